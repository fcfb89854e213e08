package hub

import (
	"fmt"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// MaxText is how much text the rows of a block may have, in bytes: each subject's, and what
// each row has of its own. A name that many rows share is in a block once, and in each row.
const MaxText = 64 << 20

// TextError says that the rows of a block have more text than that.
type TextError struct{ Block journal.Key }

func (e *TextError) Error() string {
	return fmt.Sprintf("the rows of block %s have more than %d bytes of text", e.Block, MaxText)
}

// bounded refuses changes with too much text.
func bounded(block journal.Key, changes []usage.Change) error {
	text, known := 0, map[*usage.Subject]bool{}
	for i := range changes {
		c := &changes[i]
		text += len(c.Meter) + len(c.Dimension.Name) + len(c.Dimension.Unit)
		// These three are a part of the row's key.
		text += len(c.Subject.Resource.UID) + len(c.Subject.Instance.UID) + len(c.Subject.Container)
		if !known[c.Subject] {
			known[c.Subject] = true
			text += textOf(c.Subject)
		}
		if text > MaxText {
			return &TextError{Block: block}
		}
	}
	return nil
}

// textOf is how much text a subject has.
func textOf(s *usage.Subject) int {
	text := 0
	for _, column := range namesOf(s) {
		text += len(column)
	}
	return text + len(s.Attributes)
}

// namesOf are the columns of a subject, but for its attributes.
func namesOf(of *usage.Subject) [15]string {
	return [15]string{
		of.ResourceType, of.Namespace, of.NamespaceUID, of.Deployment,
		of.Resource.APIVersion, of.Resource.Kind, of.Resource.Name, of.Resource.UID,
		of.Instance.APIVersion, of.Instance.Kind, of.Instance.Name, of.Instance.UID,
		of.Container, of.Region, of.Bundle,
	}
}
