package journal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Past reads what was left out of a journal.
type Past interface {
	// Recall hands out the days that are archived, from the one with a moment on: what
	// ended in each of them, of the first what had ended before, too; the seals and the
	// coverage. And it hands out what went on when the last day ended.
	Recall(ctx context.Context, said *Archived, from int64, day func(*Batch) error, open func(*usage.Change)) error
}

// LatelyPast is a Past of which the seals can be read without all that was sealed.
type LatelyPast interface {
	Past
	// RecallLately does as Recall does, and hands out the days before that with a moment, too:
	// without what ended in them.
	RecallLately(ctx context.Context, said *Archived, from int64, day func(*Batch) error, open func(*usage.Change)) error
}

// recallFrom reads what is archived, from the day with a moment on.
func (j *Journal) recallFrom(ctx context.Context, said *Archived, from int64, day func(*Batch) error) (*without, error) {
	var recall recaller
	if j.past != nil {
		recall = j.past.Recall
	}
	return j.recallBy(ctx, recall, said, from, day)
}

func (j *Journal) recallBy(ctx context.Context, recall recaller, said *Archived, from int64, day func(*Batch) error) (*without, error) {
	if recall == nil {
		return nil, fmt.Errorf("%w: the days until %s, with %s (%s), are in an archive, and there is none here", ErrNotArchived,
			time.Unix(said.End, 0).UTC().Format(timeFormat), said.Manifest, said.Digest)
	}
	w := &without{Archived: *said, open: map[foldKey]struct{}{}, hash: newHasher()}
	err := recall(ctx, said, from, day, func(c *usage.Change) { w.open[w.hash.key(c)] = struct{}{} })
	if err != nil {
		return nil, err
	}
	return w, nil
}

// leftOut is what was left out of the blocks that come next, and which these are; nil: nothing was.
func (v *view) leftOut() (said *Archived, of []Key) {
	for _, next := range v.verdict.chain {
		if next.To > v.builder.read && next.leftOut != nil {
			said, of = later(said, next.leftOut), append(of, next.Key)
		}
	}
	return said, of
}

// lacks tells whether some of what was left out was not read from the archive.
func (b *builder) lacks(said *Archived) bool {
	return said != nil && (b.without == nil || said.End > b.without.End)
}

// recallAll reads from the archive what was left out of all blocks, before any of them is
// read. It may take so long that they are others then: they are listed again, and of what
// was left out meanwhile the days are read that were not.
func (j *Journal) recallAll(ctx context.Context, v *view) error {
	said, of := v.leftOut()
	for v.builder.lacks(said) {
		for _, b := range v.found.blocks {
			b.spend()
		}
		err := j.recall(ctx, v.builder, said)
		if errors.Is(err, ErrNotArchived) {
			return &unreadable{of, v.written(said, of), err}
		}
		if err != nil {
			return err
		}
		if err := j.list(ctx, v); err != nil {
			return err
		}
		said, of = v.leftOut()
	}
	if w := v.builder.without; w != nil && (said == nil || *said != w.Archived) {
		return fmt.Errorf("%w: other days were left out than what was read from the archive", errOutdated)
	}
	return nil
}

// written is when what some blocks say was: from the first day that is archived on.
func (v *view) written(said *Archived, keys []Key) usage.Window {
	w := said.Window
	for _, b := range v.found.blocks {
		if slices.Contains(keys, b.Key) {
			w.End = max(w.End, b.spec.Time.Unix())
		}
	}
	return w
}

// unknown is what the loss of days means that the archive has not any more, once a person
// accepts it: that nothing of that time is known, of any meter.
func (v *view) unknown() []usage.Stretch {
	var stretches []usage.Stretch
	lost := func(gap Gap) bool { return gap.Lost }
	if v.unarchived.Seconds() > 0 && slices.ContainsFunc(v.verdict.accepted, lost) {
		for i := range v.builder.meters {
			stretches = append(stretches, usage.Stretch{Meter: v.builder.meters[i].Name, Window: v.unarchived, Coverage: usage.CoverageUnknown})
		}
	}
	return stretches
}

// recall reads the days from the archive that were not. After an error the builder is of
// no use: it has some of them.
func (j *Journal) recall(ctx context.Context, b *builder, said *Archived) error {
	begins, recall := j.wanted(said)
	done := int64(math.MinInt64)
	if b.without == nil {
		b.recalledFrom = begins - begins%secondsADay // a day is handed out as a whole
	} else {
		done = b.without.End
	}
	w, err := j.recallBy(ctx, recall, said, max(begins, done), func(day *Batch) error {
		if day.Time <= done {
			return nil
		}
		// What had ended before its first day was in the last one that was read.
		day.Changes = slices.DeleteFunc(day.Changes, func(c usage.Change) bool { return c.End.At < done })
		return b.recalled(day, said)
	})
	if err == nil {
		b.without = w
	}
	return err
}

const secondsADay = 24 * 60 * 60

// recaller is one of the ways to read what is archived.
type recaller func(ctx context.Context, said *Archived, from int64, day func(*Batch) error, open func(*usage.Change)) error

// wanted is from when on what is archived is read, and how: all of it, or what had not ended
// before the retention began.
func (j *Journal) wanted(said *Archived) (from int64, recall recaller) {
	if lately, can := j.past.(LatelyPast); can && j.lately && j.retention > 0 {
		return max(said.Start, min(j.clock.Now().Unix()-j.retention, said.End-1)), lately.RecallLately
	}
	if j.past == nil {
		return said.Start, nil
	}
	return said.Start, j.past.Recall
}

// recalled adds up one of the days that are in the archive.
func (b *builder) recalled(day *Batch, of *Archived) error {
	b.addSegments(day.Seals, day.Changes)
	b.state.Coverage = append(b.state.Coverage, day.Coverage...)
	b.state.Seals = append(b.state.Seals, day.Seals...)
	b.rowsRead += int64(len(day.Changes))
	b.follower.Committed(day)
	if b.fits != nil {
		all := b.rowsRead * max(1, of.End-b.recalledFrom) / max(1, day.Time-b.recalledFrom) // if the other days are like these
		if err := b.fits(b.rowsRead, all); err != nil {
			return fmt.Errorf("%w: %w", ErrTooLarge, err)
		}
	}
	return nil
}

// recallLasts is for how long the archive is believed to have what was read of it.
const recallLasts = 15 * time.Minute

// ToRecall tells whether there is something that Compact leaves out once Recall has read it.
func (j *Journal) ToRecall() bool {
	said, _ := j.toLeaveOut()
	if said == nil {
		return false
	}
	w := j.recent()
	return w == nil || w.End < said.End
}

// Recall reads the days from the archive that Compact is to leave out next, if there are
// any: Compact leaves out only what Recall read within the last 15 minutes. It takes as long as the
// archive does, and neither Append nor Compact waits for it. After an error nothing more is left out.
func (j *Journal) Recall(ctx context.Context) error {
	if !j.ToRecall() {
		return nil
	}
	said, from := j.toLeaveOut()
	w, err := j.recallFrom(ctx, said, from, func(*Batch) error { return nil })
	if err != nil {
		return fmt.Errorf("journal: read again what is to be left out: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.archived != nil && w.End <= j.archived.End { // else it was loaded anew meanwhile, and says less
		j.recalled, j.recalledAt = w, j.clock.Now()
	}
	return nil
}

// recent is what was read a short time ago, and is not left out; nil: nothing.
func (j *Journal) recent() *without {
	j.mu.Lock()
	defer j.mu.Unlock()
	if w := j.recalled; w != nil && w.End > j.cut && j.clock.Since(j.recalledAt) < recallLasts {
		return w
	}
	return nil
}
