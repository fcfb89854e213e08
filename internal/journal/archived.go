package journal

import (
	"context"
	"errors"
	"slices"

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

// without tells what of the blocks is archived. It goes by what a row, a seal or a
// stretch says, and not by where it is: so it does not matter from which blocks it was
// left out already.
type without struct {
	Archived
	open map[foldKey]struct{} // what went on at the end of the last day
	hash hasher
	// passed is the last sequence that Compact has left it out of, or passed over.
	passed uint64
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
	if said = j.archived; !j.cuts || said == nil || said.End <= j.cut || !j.sent(said.Sequence) {
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

// mergedBytes is how much of blocks is merged at once at most, where little or nothing of
// them is left; a commit that is larger is merged as a whole.
var mergedBytes = 8 << 20 // tests set it

// cutAtOnce is how many blocks one Compact leaves out something of, or one run more: entries
// wait for it. The next one goes on there.
var cutAtOnce = 50 // tests set it

// leaveOut merges what is before the entry that says what is archived, without that: as far
// as it was recalled.
func (j *Journal) leaveOut(ctx context.Context) error {
	w := j.recent()
	if w == nil {
		return nil
	}
	all, err := j.leaveOutStep(ctx, w)
	if err != nil || !all {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.cut = max(j.cut, w.End); j.recalled == w {
		j.recalled = nil
	}
	return nil
}

// leaveOutStep does some of it; all tells whether nothing is left to do.
func (j *Journal) leaveOutStep(ctx context.Context, w *without) (all bool, err error) {
	var p piece
	units, sent := j.sentOf(j.units(), w.Sequence)
	for _, u := range units {
		if u.To <= w.passed {
			continue
		}
		// One alone is not merged: what comes after the entry is merged with it, and stays as it is.
		if u.From > w.Sequence && len(p.run) != 1 {
			break
		}
		most, blocks, err := j.kept(ctx, u, w)
		if err != nil {
			return false, err
		}
		if p.isFull(u, most) {
			enough := len(p.run) > 0 && p.blocks+blocks >= cutAtOnce
			if err := j.mergePiece(ctx, &p, w); err != nil || enough {
				return false, err
			}
		}
		p.run, p.kept, p.read = append(p.run, u), p.kept+most, p.read+u.bytes
		if p.blocks += blocks; p.blocks >= cutAtOnce && len(p.run) > 1 {
			return false, j.mergePiece(ctx, &p, w)
		}
	}
	if len(p.run) == 1 && p.run[0].From <= w.Sequence && !j.isCut(p.run[0].Key, w.End) {
		return false, nil // until something comes after it
	}
	return sent, j.mergePiece(ctx, &p, w)
}

// piece is a run of units that are merged at once. Of read bytes about kept are kept.
type piece struct {
	run        []unit
	kept, read int
	// blocks is how many were read, of this piece and of those before.
	blocks int
}

// isFull tells whether there is no room for a unit of which so many bytes are kept.
func (p *piece) isFull(u unit, kept int) bool {
	return p.kept+kept > maxSpecBytes || len(p.run) > 1 && p.read+u.bytes > mergedBytes
}

// mergePiece merges a piece, and begins another.
func (j *Journal) mergePiece(ctx context.Context, p *piece, w *without) error {
	run := p.run
	*p = piece{blocks: p.blocks}
	if len(run) > 1 {
		if err := j.mergeRun(ctx, run, w); err != nil && !smaller(err) {
			return err
		}
	}
	if len(run) > 0 {
		w.passed = run[len(run)-1].To
	}
	return nil
}

// kept is about how many bytes of a unit are not archived, and how many blocks were read for that.
func (j *Journal) kept(ctx context.Context, u unit, w *without) (bytes, read int, err error) {
	if j.isCut(u.Key, w.End) {
		return u.bytes, 0, nil
	}
	blocks, err := j.read(ctx, u.Key)
	if err != nil {
		return 0, 0, err
	}
	for _, b := range blocks {
		file, err := fileOf(b.spec)
		if err != nil {
			return 0, 0, err
		}
		rows, left := 0, 0
		err = decodeRows(file, newWords(), func(c *usage.Change) {
			if rows++; !w.has(c) {
				left++
			}
		})
		if err != nil {
			return 0, 0, err
		}
		bytes += b.bytes - len(b.spec.Segments)*(rows-left)/max(rows, 1)
	}
	return bytes, len(blocks), nil
}

// isCut tells whether what is archived until a moment was left out of some blocks already.
func (j *Journal) isCut(run Key, until int64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return !slices.ContainsFunc(j.chain, func(b *block) bool {
		return run.covers(b.Key) && (b.leftOut == nil || b.leftOut.End < until)
	})
}
