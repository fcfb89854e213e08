package journal

import (
	"fmt"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// builder adds up blocks to a State.
type builder struct {
	words *words
	// fold adds up segments, or portions do; neither: they are told to the follower alone.
	fold     *fold
	portions *portions
	state    State
	// read is the last sequence that was added up, or passed over.
	read uint64
	// meters are the state's, with what each measured when.
	meters []Meter
	// batch is what the parts of a batch have said so far, and rows what changed.
	batch lists
	rows  []usage.Change
	// follower is told each batch.
	follower Follower
	// horizon is the moment by which a segment had ended, at the latest, for it to be
	// left out, given the seal that was the last; nil: nothing is.
	horizon func(last Seal) int64
	// fits tells whether what is read fits into memory; nil: it does.
	fits func(read, all int64) error
	// without is what is left out of blocks, since chapters have it; nil: nothing.
	without *without
	// recalledFrom is the beginning of the first day of which all was read from the archive.
	recalledFrom int64
	// leftOut is what was left out of blocks that were read, before they were.
	leftOut *Archived
	// rowsRead is how many rows were added up.
	rowsRead int64
}

// newBuilder begins with nothing; whole tells that so does the journal.
func newBuilder(whole bool, follower Follower) *builder {
	follower.Begin()
	return &builder{words: newWords(), fold: newFold(whole), follower: follower}
}

// unreadable says which blocks cannot be read, though they are as they were written.
type unreadable struct {
	keys []Key
	// of is when what they say was, as far as that is known.
	of usage.Window
	error
}

// extend adds up what follows in the chain: batches that are whole. One without
// its last part never happened; at the end of the chain it may still happen.
// What was added up of a block is let go of, and fetched where it was before.
func (b *builder) extend(chain []*block, fetch func(*block) error) error {
	committed := map[Key]bool{}
	all := b.rowsRead
	for _, next := range chain {
		if next.From > b.read {
			all += int64(next.spec.Rows)
		}
		if next.last() {
			committed[next.batch()] = true
		}
	}
	for _, next := range chain {
		switch {
		case next.To <= b.read:
			continue
		case next.From <= b.read:
			return fmt.Errorf("%w: block %s has sequences that were read from another one", errOutdated, next.Key)
		case committed[next.batch()]:
			if next.spent {
				if err := fetch(next); err != nil {
					return err
				}
			}
			if err := b.add(next); err != nil {
				return &unreadable{keys: []Key{next.Key}, error: err}
			}
			b.rowsRead += int64(next.spec.Rows)
		case chain[len(chain)-1].batch() == next.batch():
			return nil
		}
		b.read = next.To
		if b.fits != nil {
			if err := b.fits(b.rowsRead, all); err != nil {
				return fmt.Errorf("%w: %w", ErrTooLarge, err)
			}
		}
	}
	return nil
}

// add adds up one block, all of it or nothing.
func (b *builder) add(from *block) error {
	said, err := listsOf(from.spec, b.words)
	if err != nil {
		return err
	}
	before := len(b.rows)
	file, err := fileOf(from.spec)
	if err != nil {
		return err
	}
	err = decodeRows(file, b.words, func(change *usage.Change) { b.rows = append(b.rows, *change) })
	if err != nil {
		return err
	}
	if rows := len(b.rows) - before; rows != int(from.spec.Rows) {
		return fmt.Errorf("it has %d rows, and says %d", rows, from.spec.Rows)
	}
	b.leftOut = later(b.leftOut, said.leftOut)
	if b.without.concerns(from) {
		said.seals, said.coverage = b.without.seals(said.seals), b.without.coverage(said.coverage)
		b.rows = b.rows[:before+len(b.without.changes(b.rows[before:]))]
	}
	b.addSegments(said.seals, b.rows[before:])
	from.spend()
	b.batch.add(said)
	if from.last() {
		b.commit(from)
	}
	return nil
}

func (b *builder) addSegments(seals []Seal, rows []usage.Change) {
	if n := len(seals); n > 0 {
		b.sealed(seals[n-1])
	}
	switch {
	case b.portions != nil:
		for i := range rows {
			b.portions.add(&rows[i])
		}
	case b.fold != nil:
		for i := range rows {
			b.fold.add(&rows[i])
		}
	}
}

// sealed moves the horizon, given the seal that was the last.
func (b *builder) sealed(last Seal) {
	switch {
	case b.horizon == nil:
	case b.portions != nil:
		b.portions.after(b.horizon(last))
	case b.fold != nil:
		b.fold.after(b.horizon(last))
	}
}

// commit ends a batch.
func (b *builder) commit(from *block) {
	s, said := &b.state, b.batch
	b.batch = lists{}
	s.Sequence, s.Head, s.Time = from.To, from.link, from.spec.Time.Unix()
	s.Cluster, s.Writer = from.spec.Cluster, from.spec.Writer
	if said.meters != nil {
		s.Meters = said.meters
		b.meters = withHistory(b.meters, said.meters)
	}
	if said.positions != nil {
		s.Positions = said.positions
	}
	s.Coverage = append(s.Coverage, said.coverage...)
	s.Seals = append(s.Seals, said.seals...)
	s.Gaps = append(s.Gaps, said.gaps...)
	if said.archived != nil {
		s.Archived = later(s.Archived, said.archived.in(from.To))
	}
	b.follower.Committed(&Batch{
		Time: s.Time, Changes: b.rows, Meters: said.meters, Positions: said.positions, Coverage: said.coverage, Seals: said.seals,
	})
	clear(b.rows)
	if b.rows = b.rows[:0]; cap(b.rows) > rowsPerBlock {
		b.rows = nil
	}
}

// withHistory gives meters what each measured when, where an older version did not
// write it: since it says it does; or since a meter of its name did in the batch before.
func withHistory(before, meters []Meter) []Meter {
	out := slices.Clone(meters)
	for i := range out {
		m := &out[i]
		if m.Measured != nil {
			continue
		}
		var history []usage.Metered
		for _, old := range before {
			if old.Name == m.Name && old.ResourceType == m.ResourceType {
				history = old.Measured
			}
		}
		m.Measured = usage.Redefined(history, m.Dimensions, m.Since)
	}
	return out
}

// result is what all that was added up amounts to. The builder is of no use afterwards.
func (b *builder) result() *State {
	if n := len(b.state.Seals); n > 0 {
		b.sealed(b.state.Seals[n-1])
	}
	switch {
	case b.portions != nil:
		b.state.Portions, b.state.InAll = b.portions.result(), b.portions.size()
	case b.fold != nil:
		b.state.Segments = b.fold.result()
	default:
		return &b.state
	}
	b.words, b.fold, b.portions, b.rows = nil, nil, nil, nil
	return &b.state
}

// add says after what was said before.
func (l *lists) add(more lists) {
	l.meters = extended(l.meters, more.meters)
	l.positions = extended(l.positions, more.positions)
	l.coverage = append(l.coverage, more.coverage...)
	l.seals = append(l.seals, more.seals...)
	l.gaps = append(l.gaps, more.gaps...)
	l.archived = later(l.archived, more.archived)
}

// extended is both lists; nil only when both are.
func extended[T any](list, more []T) []T {
	if list == nil {
		return more
	}
	return append(list, more...)
}
