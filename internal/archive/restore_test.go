package archive

import (
	"context"
	"fmt"
	"slices"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Restore appends what the archive has to a journal that is empty: day by day, each at
// once, so that one that was interrupted goes on with the next day. What was held when
// the archive ends is held in the journal, and there are no positions: whoever takes it
// up compares it with what there is. Every sealed interval has the digest that it had.
// each is told how far it has come.
func (a *Archive) Restore(ctx context.Context, to *journal.Journal, each func(*Manifest)) error {
	state, err := to.Load(ctx)
	if err != nil {
		return err
	}
	from, err := a.restored(ctx, state)
	if err != nil {
		return err
	}
	for day := from; day <= a.last; day = day.Next() {
		m, _, err := a.Manifest(ctx, day)
		if err != nil {
			return err
		}
		c, err := a.read(ctx, m)
		if err != nil {
			return err
		}
		batch := &journal.Batch{
			Time: day.Window().End, Changes: c.rows(day == a.first, day == a.last),
			Meters: c.Meters, Coverage: c.Coverage, Seals: c.Seals,
		}
		if err := to.Append(ctx, batch); err != nil {
			return err
		}
		each(m)
	}
	return nil
}

// restored is the first day that the journal does not have: all that it has is of an
// earlier Restore.
func (a *Archive) restored(ctx context.Context, state *journal.State) (Day, error) {
	if state.Sequence == 0 {
		return a.first, nil
	}
	if n := len(state.Seals); n > 0 && state.Positions == nil {
		last := state.Seals[n-1]
		day := DayOf(last.Interval.End - 1)
		if a.first <= day && day <= a.last {
			c, err := a.Read(ctx, day)
			if err != nil {
				return 0, err
			}
			if c.lastSeal() == last.Digest {
				return day.Next(), nil
			}
		}
	}
	return 0, fmt.Errorf("the journal is not empty: it has %d commits, which are not of a restored archive; restore into another namespace, or remove its UsageBlocks", state.Sequence)
}

// rows are the chapter's segments as a journal has them, each in one of the chapters:
// that of the day on which it ended. What goes on beyond the last day is open.
func (c *Chapter) rows(first, last bool) []usage.Change {
	yesterday := c.Day - aDay
	rows := make([]usage.Change, 0, len(c.Segments)+len(c.Corrections))
	for _, s := range c.Segments {
		switch {
		case c.goesOn(&s):
			if !last {
				continue // a later day has it
			}
			s.End = usage.Boundary{}
		case !s.HasKey() && !first && lasted(&s, yesterday.Window()):
			continue // yesterday's chapter has it, too
		}
		rows = append(rows, s)
	}
	return slices.Concat(rows, c.Corrections)
}
