package journal

import (
	"context"
	"errors"
	"slices"
)

// Committed is the journal as its writer knows it, for who sends it elsewhere: what is
// committed, and nothing that may not happen. The keys of blocks come from memory.
type Committed struct{ journal *Journal }

// Committed is what this writer has committed, or found when it began.
func (j *Journal) Committed() Committed { return Committed{j} }

// ErrNotLoaded says that the journal was not loaded yet.
var ErrNotLoaded = errors.New("journal: nothing was loaded yet")

// known tells whether the journal's blocks are known. Called under the lock.
func (j *Journal) known() error {
	switch {
	case j.fenced:
		return ErrFenced
	case !j.loaded:
		return ErrNotLoaded
	}
	return nil
}

// Get is one block, or ErrNotFound; any other error is that of Keys, or the store's.
func (c Committed) Get(ctx context.Context, key Key) (Stored, error) {
	c.journal.mu.Lock()
	err, next := c.journal.known(), c.journal.next
	c.journal.mu.Unlock()
	if err != nil {
		return Stored{}, err
	}
	if key.To >= next {
		return Stored{}, ErrNotFound
	}
	return c.journal.store.Get(ctx, key)
}

// Keys are the keys of the blocks that make up the journal. The error says why it is not known: it
// was not loaded, or is damaged.
func (c Committed) Keys(context.Context) ([]Key, error) {
	c.journal.mu.Lock()
	defer c.journal.mu.Unlock()
	var keys []Key
	for _, b := range c.journal.chain {
		keys = append(keys, b.Key)
	}
	return keys, c.journal.known()
}

// Reached is for a reader that has all blocks up to a sequence. end is the journal's last sequence.
// written is when the last block was written that it has, or the first of all if it has none, in
// seconds since the epoch; 0: there is none.
func (c Committed) Reached(sequence uint64) (end uint64, written int64) {
	c.journal.mu.Lock()
	defer c.journal.mu.Unlock()
	for _, b := range c.journal.chain {
		end = max(end, b.To)
		if b.To <= sequence || written == 0 {
			written = b.spec.Time.Unix()
		}
	}
	return end, written
}

// Withheld tells whether something is archived, and not left out until another sequence is acknowledged.
func (c Committed) Withheld() (until uint64, is bool) {
	j := c.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	said := j.archived
	if !j.cuts || said == nil || said.End <= j.cut || j.sent(said.Sequence) {
		return 0, false
	}
	return said.Sequence, true
}

// sent tells whether those have all up to a sequence for whom nothing is left out that they have not.
func (j *Journal) sent(to uint64) bool { return j.acknowledged == nil || to <= j.acknowledged() }

// sentOf are the units that they have, and whether those are all that begin up to a sequence.
func (j *Journal) sentOf(units []unit, sequence uint64) (sent []unit, all bool) {
	at := slices.IndexFunc(units, func(u unit) bool { return !j.sent(u.To) })
	if at < 0 {
		return units, true
	}
	return units[:at], units[at].From > sequence
}

// apart divides units, so that what has something left out is not merged with what they have
// not for whom nothing is left out.
func (j *Journal) apart(units []unit) [][]unit {
	if j.acknowledged == nil {
		return [][]unit{units}
	}
	upTo := j.acknowledged()
	withheld := func(u unit) bool { return u.To > upTo && !u.leftOut }
	var parts [][]unit
	begin := 0
	for i := range units {
		if i > begin && withheld(units[i]) != withheld(units[i-1]) {
			parts, begin = append(parts, units[begin:i]), i
		}
	}
	return append(parts, units[begin:])
}
