package journal

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// Fault is what is wrong with a stretch of the journal.
type Fault string

// The faults.
const (
	// Missing: there is no such block, and there are later ones.
	Missing Fault = "Missing"
	// Damaged: a block is not what was written.
	Damaged Fault = "Damaged"
	// NewerFormat: a block was written by a version that is newer than this one.
	NewerFormat Fault = "NewerFormat"
	// OtherCluster: a block tells of another cluster.
	OtherCluster Fault = "OtherCluster"
	// NotArchived: what was left out of a block cannot be read from the archive.
	NotArchived Fault = "NotArchived"
	// AheadOfClock: a block is of a time that the clock has not reached.
	AheadOfClock Fault = "AheadOfClock"
)

// lost tells whether what the blocks said is not known.
func (f Fault) lost() bool { return f != OtherCluster && f != AheadOfClock }

// Problem is one stretch of the journal with a fault.
type Problem struct {
	Fault
	Key
	// Detail says what differs, and from what.
	Detail string
}

// String says which blocks have what fault, and what a person can do.
func (p Problem) String() string {
	blocks := "block " + p.sequences()
	if p.From != p.To {
		blocks = "blocks " + p.sequences()
	}
	return fmt.Sprintf("%s: %s: %s. %s", blocks, p.Fault, p.Detail, p.Remedy())
}

func (p Problem) sequences() string {
	if p.From == p.To {
		return strconv.FormatUint(p.From, 10)
	}
	return fmt.Sprintf("%d-%d", p.From, p.To)
}

// Remedy is what a person can do.
func (p Problem) Remedy() string {
	accept := fmt.Sprintf("annotate any intact UsageBlock with %s=%s", v1alpha1.AnnotationAcceptGap, p.sequences())
	switch p.Fault {
	case NewerFormat:
		return "Run the newer version; or, to go on without these blocks, " + accept
	case NotArchived:
		return "Start with the --archive that has it, or restore there what is missing; or, to go on without these blocks, " + accept
	case OtherCluster:
		return "If the journal was taken over from the other cluster on purpose, " + accept + "; else delete its blocks, or use another namespace"
	case AheadOfClock:
		return "Set the node's clock; or, if it is right and was wrong before, " + accept
	}
	return "Look at the whole with usage-operator verify. Restore from a backup; or, to go on without it, " + accept
}

// DamageError says why nothing can be appended to a journal as it is.
type DamageError struct {
	Problems []Problem
}

func (e *DamageError) Error() string {
	texts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		texts[i] = p.String()
	}
	return "the journal is damaged: " + strings.Join(texts, "; ")
}

// accepted reads the sequences that a person accepts: "17", "17-19", "17,20-22".
func accepted(list string) ([]Key, error) {
	var keys []Key
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			to = from
		}
		first, err := strconv.ParseUint(strings.TrimSpace(from), 10, 63)
		if err != nil {
			return nil, fmt.Errorf("%q: want sequences such as 17, 17-19 or 17,20-22", list)
		}
		last, err := strconv.ParseUint(strings.TrimSpace(to), 10, 63)
		if err != nil || first < 1 || last < first {
			return nil, fmt.Errorf("%q: want sequences such as 17, 17-19 or 17,20-22", list)
		}
		keys = append(keys, Key{From: first, To: last})
	}
	return keys, nil
}

// ranges are sequences, as stretches in any order.
type ranges []Key

// has tells whether every sequence of k is in one of the stretches.
func (r ranges) has(k Key) bool {
	for at := k.From; at <= k.To; {
		next := at
		for _, stretch := range r {
			if stretch.From <= at && at <= stretch.To {
				next = stretch.To + 1
				break
			}
		}
		if next == at {
			return false
		}
		at = next
	}
	return true
}
