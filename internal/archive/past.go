package archive

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Past is a journal.Past: it reads from the archive what the journal has left out. It is
// safe for concurrent use.
type Past struct{ Options }

// Recall opens the archive, and reads.
func (p Past) Recall(ctx context.Context, said *journal.Archived, from int64, day func(*journal.Batch) error, open func(*usage.Change)) error {
	return p.with(ctx, func(a *Archive) error { return a.recall(ctx, said, DayOf(from), from, day, open) })
}

// RecallLately opens the archive, and reads all manifests, and what was there lately.
func (p Past) RecallLately(ctx context.Context, said *journal.Archived, from int64, day func(*journal.Batch) error, open func(*usage.Change)) error {
	return p.with(ctx, func(a *Archive) error { return a.recall(ctx, said, Day(said.Start), from, day, open) })
}

func (p Past) with(ctx context.Context, do func(*Archive) error) error {
	s, err := openStore(ctx, p.URL)
	if err != nil {
		return err
	}
	return errors.Join(do(&Archive{store: s, name: nameOf(p.URL), cluster: p.Cluster}), s.close())
}

// lastDay is a journal.Past of an open archive, which has the last day alone.
type lastDay struct{ *Archive }

func (l lastDay) Recall(ctx context.Context, said *journal.Archived, _ int64, day func(*journal.Batch) error, open func(*usage.Change)) error {
	a := *l.Archive // where it begins is as the journal says
	return a.recall(ctx, said, Day(said.End-aDay), said.End-1, day, open)
}

// recall reads the chapters that the journal names, from the day with a moment on, and the
// manifests from another day on. Their digests hang on the one that it has.
func (a *Archive) recall(ctx context.Context, said *journal.Archived, begin Day, from int64, day func(*journal.Batch) error, open func(*usage.Change)) error {
	a.first, a.last = Day(said.Start), Day(said.End-aDay)
	first := DayOf(from)
	err := a.walk(ctx, begin, a.last, first, func(m *Manifest, c *Chapter, link journal.Digest) error {
		if m.Day == a.last && (link != said.Digest || c.lastSeal() != said.Seal || m.Day.manifest() != said.Manifest) {
			return a.blame(&Problem{Fault: Forked, Object: m.Day.manifest(), Detail: fmt.Sprintf(
				"its digest is %s, and the journal was cut after %s, with the digest %s", link, said.Manifest, said.Digest)}, "")
		}
		batch := &journal.Batch{Time: m.Day.Window().End, Coverage: c.Coverage, Seals: c.Seals}
		for i := range c.Segments {
			s := &c.Segments[i]
			switch {
			case s.End.At < m.Day.Window().End:
				if m.Day == first || s.End.At >= int64(m.Day) { // else the day before has it
					batch.Changes = append(batch.Changes, *s)
				}
			case m.Day == a.last:
				open(s)
			}
		}
		return day(batch)
	})
	if problem, is := errors.AsType[*Problem](err); is {
		problem.Cut = true
	}
	return err
}

// Prove makes sure that the journal has of the days after those that it said before just
// what their chapters have: of all of them, or of as many as there is room for at once. It
// is what the journal may say then, and leave out. Nil: there is no day after.
func (a *Archive) Prove(ctx context.Context, from Journal, before *journal.Archived) (*journal.Archived, error) {
	if a.end == nil {
		return nil, nil
	}
	first := a.first
	if before != nil {
		if first != Day(before.Start) {
			return nil, a.blame(&Problem{Fault: Missing, Object: Day(before.Start).manifest(), Cut: true, Detail: fmt.Sprintf(
				"the journal says that the archive begins with that day, and the first that is there is %s", first)}, "")
		}
		first = max(first, DayOf(before.End))
	}
	if first > a.last {
		return nil, nil
	}
	// Corrections stay in the journal: they need no room.
	c := &collection{begin: first, end: min(a.last.Next(), first+daysAtOnce*aDay), most: from.Most, since: a.first, known: math.MaxInt}
	if err := c.read(ctx, from, a); err != nil {
		return nil, a.blame(err, "")
	}
	if c.large {
		return nil, a.blame(&TooLargeError{first, c.most}, "")
	}
	if c.before > 0 {
		return nil, a.blame(&Problem{Fault: Unproven, Object: a.first.manifest(), Detail: fmt.Sprintf(
			"the journal has %d segments that ended before that day", c.before)}, "")
	}
	var said *journal.Archived
	err := a.walk(ctx, first, c.end-aDay, first, func(m *Manifest, there *Chapter, link journal.Digest) error {
		here := c.chapter(m.Day, there.PreviousSeal)
		if !slices.EqualFunc(here.Segments, there.Segments, equal) || !slices.Equal(here.Seals, there.Seals) ||
			!slices.Equal(here.Coverage, there.Coverage) {
			return a.blame(&Problem{Fault: Unproven, Object: m.Day.manifest(), Detail: "the journal has other segments, seals or coverage of the day"}, "")
		}
		said = &journal.Archived{
			Window:   usage.Window{Start: int64(a.first), End: m.Day.Window().End},
			Manifest: m.Day.manifest(), Digest: link, Seal: there.lastSeal(),
		}
		return nil
	})
	return said, err
}

func equal(a, b usage.Change) bool { return reflect.DeepEqual(a, b) }
