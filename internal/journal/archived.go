package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Archived says that what was sealed in some days is in an archive, as a chapter for
// each. The journal says it in an entry, before anything is left out of blocks.
type Archived struct {
	// Window is from the beginning of the first day to the end of the last, in UTC.
	usage.Window
	// Manifest is the name of the last day's, and Digest the SHA-256 of it: that stands
	// for those of all days before.
	Manifest string
	Digest   Digest
	// Seal is that of the last day's last interval.
	Seal Digest
	// Sequence is that of the entry that said so; 0 in the batch that says it.
	Sequence uint64
}

// in is what an entry with a sequence says, or one that it stands for.
func (a *Archived) in(sequence uint64) *Archived {
	said := *a
	if said.Sequence == 0 {
		said.Sequence = sequence
	}
	return &said
}

// later is which of two goes further.
func later(a, b *Archived) *Archived {
	if a == nil || b != nil && b.End >= a.End {
		return b
	}
	return a
}

// ErrNotArchived says that an archive does not have, or not as it was, what the journal
// says that it has. Any other error of a Past is one that may pass.
var ErrNotArchived = errors.New("the archive does not have it")

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

// without tells what of the blocks is archived. It goes by what a row, a seal or a
// stretch says, and not by where it is: so it does not matter from which blocks it was
// left out already.
type without struct {
	Archived
	open map[foldKey]struct{} // what went on at the end of the last day
	hash hasher
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
	return w, err
}

// concerns tells whether a block is from before the entry that says what is archived, or begins so.
func (w *without) concerns(b *block) bool { return w != nil && b.From <= w.Sequence }

// has tells whether chapters have all that there is to say of a change's segment.
func (w *without) has(c *usage.Change) bool {
	switch {
	case c.Kind == usage.Less || c.Kind == usage.More || c.Start.At >= w.End:
		return false
	case !c.HasKey():
		return true
	}
	_, open := w.open[w.hash.key(c)]
	return !open
}

func (w *without) changes(rows []usage.Change) []usage.Change {
	kept := rows[:0]
	for i := range rows {
		if !w.has(&rows[i]) {
			kept = append(kept, rows[i])
		}
	}
	clear(rows[len(kept):])
	return kept
}

func (w *without) seals(seals []Seal) []Seal {
	var kept []Seal
	for _, seal := range seals {
		if seal.Interval.End > w.End {
			kept = append(kept, seal)
		}
	}
	return kept
}

func (w *without) coverage(stretches []usage.Stretch) []usage.Stretch {
	var kept []usage.Stretch
	for _, s := range stretches {
		if s.Start = max(s.Start, w.End); s.Seconds() > 0 {
			kept = append(kept, s)
		}
	}
	return kept
}

// recall reads from the archive what was left out of the blocks that come next.
func (j *Journal) recall(ctx context.Context, v *view) error {
	b := v.builder
	var said *Archived
	var from []Key
	for _, next := range v.verdict.chain {
		if next.To <= b.read || next.leftOut == nil {
			continue
		}
		said, from = later(said, next.leftOut), append(from, next.Key)
	}
	switch {
	case said == nil || b.without != nil && said.End <= b.without.End:
		return nil
	case b.read > 0:
		return fmt.Errorf("%w: what was not read yet is in the archive by now", errOutdated)
	}
	begins, recall := j.wanted(said)
	w, err := j.recallBy(ctx, recall, said, begins, func(day *Batch) error { return b.recalled(day, said, begins) })
	if errors.Is(err, ErrNotArchived) {
		return &unreadable{from, err}
	}
	b.without = w
	return err
}

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

// recalled adds up one of the days that are in the archive, which are read from a moment on.
func (b *builder) recalled(day *Batch, of *Archived, from int64) error {
	if b.fold != nil {
		b.addSegments(day.Seals, day.Changes)
	}
	b.state.Coverage = append(b.state.Coverage, day.Coverage...)
	b.state.Seals = append(b.state.Seals, day.Seals...)
	b.rowsRead += int64(len(day.Changes))
	b.follower.Committed(day)
	if b.fits != nil {
		all := b.rowsRead * max(1, of.End-from) / max(1, day.Time-from) // if the other days are like these
		if err := b.fits(b.rowsRead, all); err != nil {
			return fmt.Errorf("%w: %w", ErrTooLarge, err)
		}
	}
	return nil
}

// Archived is what the journal says of the archive; nil: nothing.
func (j *Journal) Archived() *Archived {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.archived
}

// toLeaveOut is what is archived and in blocks still, and from when on; nil: nothing.
func (j *Journal) toLeaveOut() (said *Archived, from int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if said = j.archived; !j.cuts || said == nil || said.End <= j.cut {
		return nil, 0
	}
	return said, min(max(said.Start, cutUntil(j.chain)), said.End-1)
}

// cutUntil is up to when what is archived was left out of all blocks that there were when it
// was said; 0: of some it was not, since a writer ended in the middle, or the archive has more.
func cutUntil(chain []*block) int64 {
	var last *Archived
	for _, b := range chain {
		last = later(last, b.leftOut)
	}
	if last == nil || slices.ContainsFunc(chain, func(b *block) bool {
		return b.From <= last.Sequence && (b.leftOut == nil || b.leftOut.End < last.End)
	}) {
		return 0
	}
	return last.End
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
// any: nothing is left out that was not there shortly before. It takes as long as the
// archive does, and neither Append nor Compact waits for it.
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

// mergedBytes is how much of blocks is merged at once at most, where little or nothing of
// them is left; a commit that is larger is merged as a whole.
var mergedBytes = 8 << 20 // tests set it

// leaveOut merges what is before the entry that says what is archived, without that: as far
// as it was recalled.
func (j *Journal) leaveOut(ctx context.Context) error {
	w := j.recent()
	if w == nil {
		return nil
	}
	var p piece
	for _, u := range j.units() {
		// One alone is not merged: what comes after the entry is merged with it, and stays as it is.
		if u.From > w.Sequence && len(p.run) != 1 {
			break
		}
		most, err := j.kept(ctx, u, w)
		if err != nil {
			return err
		}
		if p.isFull(u, most) {
			if err := j.mergePiece(ctx, &p, w); err != nil {
				return err
			}
		}
		p.run, p.kept, p.read = append(p.run, u), p.kept+most, p.read+u.bytes
	}
	if len(p.run) == 1 && p.run[0].From <= w.Sequence && !j.isCut(p.run[0].Key, w.End) {
		return nil // until something comes after it
	}
	if err := j.mergePiece(ctx, &p, w); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.cut = max(j.cut, w.End); j.recalled == w {
		j.recalled = nil
	}
	return nil
}

// piece is a run of units that are merged at once. Of read bytes about kept are kept.
type piece struct {
	run        []unit
	kept, read int
}

// isFull tells whether there is no room for a unit of which so many bytes are kept.
func (p *piece) isFull(u unit, kept int) bool {
	return p.kept+kept > maxSpecBytes || len(p.run) > 1 && p.read+u.bytes > mergedBytes
}

// mergePiece merges a piece, and begins another.
func (j *Journal) mergePiece(ctx context.Context, p *piece, w *without) error {
	run := p.run
	*p = piece{}
	if len(run) < 2 {
		return nil
	}
	if err := j.mergeRun(ctx, run, w); !smaller(err) {
		return err
	}
	return nil
}

// kept is about how many bytes of a unit are not archived.
func (j *Journal) kept(ctx context.Context, u unit, w *without) (int, error) {
	if j.isCut(u.Key, w.End) {
		return u.bytes, nil
	}
	blocks, err := j.read(ctx, u.Key)
	if err != nil {
		return 0, err
	}
	bytes := 0
	for _, b := range blocks {
		file, err := fileOf(b.spec)
		if err != nil {
			return 0, err
		}
		rows, left := 0, 0
		err = decodeRows(file, newWords(), func(c *usage.Change) {
			if rows++; !w.has(c) {
				left++
			}
		})
		if err != nil {
			return 0, err
		}
		bytes += b.bytes - len(b.spec.Segments)*(rows-left)/max(rows, 1)
	}
	return bytes, nil
}

// isCut tells whether what is archived until a moment was left out of some blocks already.
func (j *Journal) isCut(run Key, until int64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return !slices.ContainsFunc(j.chain, func(b *block) bool {
		return run.covers(b.Key) && (b.leftOut == nil || b.leftOut.End < until)
	})
}
