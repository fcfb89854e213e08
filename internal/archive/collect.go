package archive

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Journal is what chapters are made of.
type Journal struct {
	Store journal.Store
	Clock clock.Clock
	Log   logr.Logger
	// Most is how many segments are held in memory at most, each about SegmentBytes: a
	// day with more is not archived. 0: any.
	Most int
}

// SegmentBytes is about how much memory a segment takes while its chapter is made: as it
// was collected, as a part of its day, as a row, and as it is read back.
const SegmentBytes = 1 << 10

// TooLargeError says that a day does not fit into memory.
type TooLargeError struct {
	Day  Day
	Most int
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("more than %d segments lasted in the day %s: they do not fit into memory, of which each takes about %d bytes. "+
		"Raise resources.limits.memory of the operator's Deployment", e.Most, e.Day, SegmentBytes)
}

const (
	// daysAtOnce is how many days' chapters are made of one reading of the journal.
	daysAtOnce = 7
	// rowsAtOnce is how many segments are collected until there are fewer days.
	rowsAtOnce = 300_000
)

// CatchUp writes the chapters of the days that are sealed as a whole, and not in the
// archive yet: those that one reading of the journal has room for. It tells how many
// that are; 0: all are there. through is the end of the last sealed interval.
func (a *Archive) CatchUp(ctx context.Context, from Journal, through int64) (int, error) {
	begin, end := Day(math.MinInt64), DayOf(through)
	if a.end != nil {
		if begin = a.last.Next(); begin >= end {
			return 0, nil
		}
	} else {
		// Which day is the first is not known yet: a reading that collects nothing tells.
		ledger := &collection{begin: end, end: end}
		if err := ledger.read(ctx, from, a); err != nil || len(ledger.seals) == 0 {
			return 0, err
		}
		if begin = DayOf(ledger.seals[0].Interval.Start); begin >= end {
			return 0, nil
		}
	}
	c := &collection{begin: begin, end: min(end, begin+daysAtOnce*aDay), most: from.Most}
	if a.end != nil {
		c.known = a.end.Corrections
	}
	if err := c.read(ctx, from, a); err != nil {
		return 0, a.blame(err, "")
	}
	if c.large {
		return 0, a.blame(&TooLargeError{begin, c.most}, "")
	}
	previous, err := a.agree(c)
	if err != nil {
		return 0, a.blame(err, a.last.manifest())
	}
	written := 0
	for day := c.begin; day < c.end; day = day.Next() {
		chapter := c.chapter(day, previous)
		if c.lost {
			chapter.note()
		}
		if err := a.write(ctx, chapter); err != nil {
			return written, err
		}
		previous = chapter.lastSeal()
		written++
	}
	return written, nil
}

// agree makes sure that the journal goes on where the archive ends. It is the digest of
// the last seal that both have.
func (a *Archive) agree(c *collection) (journal.Digest, error) {
	if a.end == nil {
		return journal.Digest{}, nil
	}
	lists, err := a.end.lists()
	if err != nil {
		return journal.Digest{}, err
	}
	last := lists.Seals[len(lists.Seals)-1]
	for _, seal := range c.seals {
		if seal.Interval.End != last.Interval.End {
			continue
		}
		if seal.Digest != last.Digest {
			return journal.Digest{}, &Problem{Fault: Forked, Detail: fmt.Sprintf(
				"it ends with an interval until %s that was sealed with %s, and the journal says %s", moment(last.Interval.End), last.Digest, seal.Digest)}
		}
		if c.corrections < a.end.Corrections {
			return journal.Digest{}, &Problem{Fault: Forked, Detail: fmt.Sprintf(
				"it has %d corrections, and the journal %d", a.end.Corrections, c.corrections)}
		}
		return last.Digest, nil
	}
	if n := len(c.seals); n > 0 && c.seals[n-1].Interval.End > last.Interval.End {
		return journal.Digest{}, &Problem{Fault: Forked, Detail: fmt.Sprintf(
			"it ends with an interval until %s, and the journal does not know it", moment(last.Interval.End))}
	}
	return journal.Digest{}, &Problem{Fault: JournalBehind, Detail: fmt.Sprintf(
		"it has intervals until %s, and the journal has not", moment(last.Interval.End))}
}

// collection is what a reading of the journal has for the chapters from begin until end.
type collection struct {
	begin, end Day
	// known is how many corrections are in chapters already.
	known int
	// since is the archive's first day, and before how many segments had ended before it.
	since  Day
	before int
	// most is how many segments and corrections may be held; 0: any. large tells that the
	// first day has more: nothing is held any more.
	most  int
	large bool

	seals    []journal.Seal
	coverage usage.Stretches
	meters   []journal.Meter
	sequence uint64
	// lost tells that a person accepted that a part of the journal is.
	lost bool
	// keyed are segments that lasted in one of the days, by their keys, and brief those
	// that have none.
	keyed map[usage.SegmentKey]usage.Change
	brief []usage.Change
	// fresh are the corrections that are not in chapters yet, of all there are.
	fresh       []usage.Change
	corrections int
}

// read collects what the journal has. Of what it has left out the last day is enough.
func (c *collection) read(ctx context.Context, from Journal, a *Archive) error {
	state, err := journal.Replay(ctx, journal.Options{
		Store: from.Store, Writer: "archive", Cluster: a.cluster, Clock: from.Clock, Log: from.Log, Follower: c, Past: lastDay{a},
	})
	if err != nil {
		return err
	}
	c.seals, c.meters, c.sequence = state.Seals, state.Meters, state.Sequence
	c.coverage = usage.Stretches{}.With(state.Coverage...)
	c.lost = slices.ContainsFunc(state.Gaps, func(gap journal.Gap) bool { return gap.Lost })
	return nil
}

// Begin begins anew.
func (c *collection) Begin() {
	c.keyed, c.brief, c.fresh, c.corrections, c.large = map[usage.SegmentKey]usage.Change{}, nil, nil, 0, false
	c.before = 0
}

// Committed takes what lasted in one of the days, and every correction.
func (c *collection) Committed(batch *journal.Batch) {
	if c.large {
		return
	}
	for i := range batch.Changes {
		c.take(&batch.Changes[i])
	}
	for c.rows() > c.atOnce() && c.end > c.begin.Next() {
		c.shrink()
	}
	if c.large = c.most > 0 && c.rows() > c.most && c.end == c.begin.Next(); c.large {
		c.keyed, c.brief, c.fresh = nil, nil, nil
	}
}

func (c *collection) take(change *usage.Change) {
	if _, latest := change.End.EndBounds(); change.Kind == usage.Put && !change.End.IsZero() && latest < int64(c.since) {
		c.before++
	}
	switch {
	case change.Kind == usage.Less || change.Kind == usage.More:
		if c.corrections++; c.corrections > c.known && c.begin < c.end {
			c.fresh = append(c.fresh, *change)
		}
	case !change.HasKey():
		if lasted(change, c.window()) {
			c.brief = append(c.brief, *change)
		}
	case change.Kind == usage.Put && lasted(change, c.window()):
		c.keyed[change.Key()] = *change
	default:
		delete(c.keyed, change.Key())
	}
}

// atOnce is how many segments are held until a day is left out.
func (c *collection) atOnce() int {
	if c.most > 0 {
		return min(rowsAtOnce, c.most)
	}
	return rowsAtOnce
}

func (c *collection) rows() int { return len(c.keyed) + len(c.brief) + len(c.fresh) }

// Current does nothing: what was read is all there is.
func (c *collection) Current() {}

func (c *collection) window() usage.Window {
	return usage.Window{Start: int64(c.begin), End: int64(c.end)}
}

// shrink leaves the last day out.
func (c *collection) shrink() {
	c.end -= aDay
	kept := make(map[usage.SegmentKey]usage.Change, len(c.keyed)/2)
	for key, change := range c.keyed {
		if lasted(&change, c.window()) {
			kept[key] = change
		}
	}
	c.keyed = kept
	brief := c.brief[:0]
	for _, change := range c.brief {
		if lasted(&change, c.window()) {
			brief = append(brief, change)
		}
	}
	c.brief = brief
}

// chapter is that of a day. The first one has the corrections.
func (c *collection) chapter(day Day, previous journal.Digest) *Chapter {
	out := &Chapter{Day: day, PreviousSeal: previous, sequence: c.sequence, corrections: c.corrections, Corrections: c.fresh}
	c.fresh = nil
	out.Meters, out.Coverage = c.meters, c.coverage.Cut(day.Window())
	for _, seal := range c.seals {
		if day.Window().Contains(seal.Interval.Start) {
			out.Seals = append(out.Seals, seal)
		}
	}
	add := func(change usage.Change) {
		if part, ok := partOf(change, day); ok {
			out.Segments = append(out.Segments, part)
		}
	}
	for _, change := range c.keyed {
		add(change)
	}
	for _, change := range c.brief {
		add(change)
	}
	out.order()
	return out
}
