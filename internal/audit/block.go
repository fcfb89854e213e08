package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/journal"
)

// checked is a store that cannot be written to, and every block of which is
// counted and checked as it is read: those too that another one stands for.
type checked struct {
	*auditor
}

var errReadOnly = errors.New("an audit writes nothing")

func (c *checked) Create(context.Context, journal.Key, []byte) error { return errReadOnly }
func (c *checked) Delete(context.Context, journal.Key) error         { return errReadOnly }
func (c *checked) Keys(context.Context) ([]journal.Key, error)       { return nil, errReadOnly }

func (c *checked) Get(ctx context.Context, key journal.Key) (journal.Stored, error) {
	return c.Blocks.Get(ctx, key)
}

func (c *checked) List(ctx context.Context, each func(journal.Stored) error) error {
	c.report.journal(nil, journal.Digest{}) // they may be read more than once
	return c.Blocks.List(ctx, func(stored journal.Stored) error {
		c.report.Blocks++
		c.report.Bytes += int64(len(stored.Spec))
		c.Progress("reading blocks", c.report.Blocks, 0)
		c.check(stored)
		c.noteSeals(stored.Spec)
		return each(stored)
	})
}

// check compares a block's digest with its content.
func (c *checked) check(stored journal.Stored) {
	expected, found, err := digestOf(stored.Spec)
	d := Difference{In: InBlock, Name: stored.Key.String(), Field: "spec.digest", Expected: expected, Found: found}
	switch {
	case err != nil:
		d.Detail = "spec cannot be read: " + err.Error()
	case expected == found:
		return
	default:
		d.Detail = "expected is the digest of what the block says, found is what it was written with"
	}
	c.blamed[stored.Key] = true
	c.report.differ(d)
}

// noteSeals notes when the seals in a block were committed, or merged into it later; and
// up to when it says that they are in the archive.
func (c *checked) noteSeals(spec []byte) {
	var said struct {
		Time     metav1.Time          `json:"time"`
		Sealed   []v1alpha1.BlockSeal `json:"sealed"`
		Archived struct {
			EndTime metav1.Time `json:"endTime"`
		} `json:"archived"`
	}
	if json.Unmarshal(spec, &said) != nil {
		return // the block is damaged: that is found elsewhere
	}
	for _, seal := range said.Sealed {
		c.sealedAt[seal.StartTime.Unix()] = said.Time.Unix()
	}
	if !said.Archived.EndTime.IsZero() {
		c.archived = append(c.archived, archived{until: said.Archived.EndTime.Unix(), at: said.Time.Unix()})
	}
}

// digestOf is the digest of a block's content, and the one that it states. It is
// not the journal's own code: an error there would be found here.
func digestOf(spec []byte) (computed, stated string, err error) {
	var fields map[string]any
	decoder := json.NewDecoder(bytes.NewReader(spec))
	decoder.UseNumber()
	if err := decoder.Decode(&fields); err != nil {
		return "", "", err
	}
	stated, _ = fields["digest"].(string)
	delete(fields, "digest")
	var canonical bytes.Buffer
	encoder := json.NewEncoder(&canonical)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(fields); err != nil {
		return "", "", err
	}
	return journal.Digest(sha256.Sum256(bytes.TrimRight(canonical.Bytes(), "\n"))).String(), stated, nil
}
