package hub

import (
	"fmt"
	"slices"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Said is what a block says beyond the blocks before it: all that it says, unless it stands
// for some of these.
type Said struct {
	Block    *journal.Whole
	Changes  []usage.Change
	Seals    []journal.Seal
	Coverage []usage.Stretch
}

// MismatchError says that a merged block does not begin with what the blocks say that it
// stands for.
type MismatchError struct {
	Block journal.Key
	What  string
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("block %s stands for others, and does not begin with their %s", e.Block, e.What)
}

// Told is what the blocks of a chain say, one after the other.
type Told struct {
	// Blocks are those of complete commits.
	Blocks []*Said
	// Pending are those of a commit that lacks its last part.
	Pending []*Said
}

// Take takes in the block that comes next. Nothing counts of a commit that another one
// followed before it was complete, or that a merged block stands for instead.
func (t *Told) Take(b *journal.Whole) error {
	s := &Said{Block: b, Seals: b.Seals, Coverage: b.Coverage}
	if err := b.Changes(func(c *usage.Change) { s.Changes = append(s.Changes, *c) }); err != nil {
		return err
	}
	if err := bounded(b.Key, s.Changes); err != nil {
		return err
	}
	if b.Part == 0 {
		t.Pending = nil
	}
	if err := t.subtract(s); err != nil {
		return err
	}
	t.Pending = append(t.Pending, s)
	if b.Part == b.Parts-1 {
		t.Blocks, t.Pending = append(t.Blocks, t.Pending...), nil
	}
	return nil
}

// subtract takes off what blocks have said that a merged one stands for.
func (t *Told) subtract(s *Said) error {
	first := len(t.Blocks)
	for first > 0 && t.Blocks[first-1].Block.To >= s.Block.From {
		first--
	}
	if !s.Block.Merged || first == len(t.Blocks) {
		return nil
	}
	var changes []usage.Change
	seals, coverage := 0, 0
	for _, before := range t.Blocks[first:] {
		changes = append(changes, before.Changes...)
		if !begins(s.Seals[seals:], before.Seals) {
			return &MismatchError{Block: s.Block.Key, What: "seals"}
		}
		if !begins(s.Coverage[coverage:], before.Coverage) {
			return &MismatchError{Block: s.Block.Key, What: "coverage"}
		}
		seals, coverage = seals+len(before.Seals), coverage+len(before.Coverage)
	}
	rest, ok := journal.Rest(changes, s.Changes, s.Block.From == 1)
	if !ok {
		return &MismatchError{Block: s.Block.Key, What: "segments"}
	}
	s.Changes, s.Seals, s.Coverage = rest, s.Seals[seals:], s.Coverage[coverage:]
	return nil
}

// begins tells whether a list begins with another one.
func begins[T comparable](list, with []T) bool {
	return len(list) >= len(with) && slices.Equal(list[:len(with)], with)
}

// last is what the block says that was taken in last.
func (t *Told) last() *Said {
	if n := len(t.Pending); n > 0 {
		return t.Pending[n-1]
	}
	return t.Blocks[len(t.Blocks)-1]
}
