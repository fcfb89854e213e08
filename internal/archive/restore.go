package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Restoration is what goes from an archive into a journal.
type Restoration struct {
	First, Last Day
	// Bytes is how much the journal takes in etcd, at most about: what lasts for days counts on each.
	Bytes int64
	// Incomplete is of how many intervals the journal had lost segments, which a person accepted.
	Incomplete int
	// Seal is the digest of the last seal.
	Seal journal.Digest
	// End is up to when all is known, in seconds since the epoch: the end of the last day.
	End int64
	// Elsewhere tells that the archive is of another cluster than the journal.
	Elsewhere bool
}

// RestoredBy begins the name of who writes a journal that is restored.
const RestoredBy = "archive-restore"

// ErrUnfinished says that a journal does not have all days of the archive yet: what goes on
// after its last day is missing, so that nothing can go on from it.
var ErrUnfinished = errors.New("the journal is being restored from an archive, and does not have all of its days: " +
	"give usage-operator archive restore again until it says up to when it restored; or remove the UsageBlocks")

// Unfinished tells whether a journal is one.
func Unfinished(state *journal.State) bool {
	return strings.HasPrefix(state.Writer, RestoredBy) && state.Positions == nil
}

// ErrEmpty says that an archive has no day yet.
var ErrEmpty = errors.New("the archive has no day yet: there is nothing to restore")

// Restoration is what Restore would write into a journal of the cluster, by the manifests alone.
func (a *Archive) Restoration(ctx context.Context, cluster string) (*Restoration, error) {
	if a.end == nil {
		return nil, ErrEmpty
	}
	r := &Restoration{First: a.first, Last: a.last, End: a.last.Window().End, Elsewhere: a.end.Cluster != cluster}
	for day := a.first; day <= a.last; day = day.Next() {
		m, _, err := a.Manifest(ctx, day)
		if err != nil {
			return nil, err
		}
		r.Bytes += m.Segments.Size / 3 * 4 // as text
		r.Incomplete += len(m.Incomplete)
	}
	c, err := a.end.outline()
	if err != nil {
		return nil, a.blame(err, a.last.manifest())
	}
	r.Seal = c.lastSeal()
	return r, nil
}

// Restore appends what the archive has to a journal that is empty: day by day, each at once, so
// that one that was interrupted goes on with the next day. Every sealed interval has the digest
// that it had, and every correction its place. each is called after each day.
//
// What was held when the archive ends is held in the journal. Each metered kind is said to have
// been seen until then, so that the operator compares it with what there is: what is there goes on,
// what is not ended at some moment since. now is in seconds since the epoch: of a journal of
// another cluster than the archive's, all from the archive's end until then is unknown, and
// what that cluster has counts from then on.
func (a *Archive) Restore(ctx context.Context, to *journal.Journal, r *Restoration, now int64, each func(*Manifest)) error {
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
		if day == a.last {
			batch.Positions = seenUntil(c.Meters, r.End)
			if r.Elsewhere {
				batch.Meters = definedAt(c.Meters, now)
				batch.Coverage = slices.Concat(batch.Coverage, unknown(c.Meters, usage.Window{Start: r.End, End: now}))
			}
		}
		if err := to.Append(ctx, batch); err != nil {
			return err
		}
		each(m)
	}
	return nil
}

// seenUntil says of the meters' kinds that they were seen until the moment. Where their watches
// were then is of no use: each is listed anew.
func seenUntil(meters []journal.Meter, moment int64) []journal.Position {
	positions := []journal.Position{} // not nil: there are those, and no others
	for _, m := range meters {
		positions = append(positions, journal.Position{Group: m.Group, Kind: m.Kind, Time: moment, Checked: moment})
	}
	order := func(a, b journal.Position) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Kind, b.Kind))
	}
	slices.SortFunc(positions, order)
	return slices.CompactFunc(positions, func(a, b journal.Position) bool { return order(a, b) == 0 })
}

// definedAt has meters count nothing that began before the moment, but for what is in the ledger.
func definedAt(meters []journal.Meter, moment int64) []journal.Meter {
	meters = slices.Clone(meters)
	for i := range meters {
		meters[i].Defined = moment
	}
	return meters
}

// unknown says that nothing is known of what the meters have in the window.
func unknown(meters []journal.Meter, window usage.Window) []usage.Stretch {
	if window.Start >= window.End {
		return nil
	}
	stretches := make([]usage.Stretch, 0, len(meters))
	for _, m := range meters {
		stretches = append(stretches, usage.Stretch{Meter: m.Name, Coverage: usage.CoverageUnknown, Window: window})
	}
	return stretches
}

// restored is the first day that the journal does not have: all that it has is of an
// earlier Restore. It is after the last one if that was done.
func (a *Archive) restored(ctx context.Context, state *journal.State) (Day, error) {
	if state.Sequence == 0 {
		return a.first, nil
	}
	if n := len(state.Seals); n > 0 {
		last := state.Seals[n-1]
		day := DayOf(last.Interval.End - 1)
		if a.first <= day && day <= a.last && (state.Positions == nil || day == a.last) {
			c, err := a.Read(ctx, day)
			if err != nil {
				return 0, err
			}
			if c.lastSeal() == last.Digest {
				return day.Next(), nil
			}
		}
	}
	return 0, fmt.Errorf("the journal is not empty: it has %d commits, which are not of this archive; "+
		"restore into another namespace, or remove its UsageBlocks if what they say is of no use any more", state.Sequence)
}

// has tells whether the meter was there when the chapter was made.
func (c *Chapter) has(meter string) bool {
	return slices.ContainsFunc(c.Meters, func(m journal.Meter) bool { return m.Name == meter })
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
			if c.has(s.Meter) { // else no operator would ever end it
				s.End = usage.Boundary{}
			}
		case !s.HasKey() && !first && lasted(&s, yesterday.Window()):
			continue // yesterday's chapter has it, too
		}
		rows = append(rows, s)
	}
	return slices.Concat(rows, c.Corrections)
}
