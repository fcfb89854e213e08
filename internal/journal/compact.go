package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// Why a run is not merged as a whole.
var (
	errTooLarge = errors.New("too large for one block")
	errTaken    = errors.New("the name is taken")
)

// Compact merges runs of small blocks into larger ones, and deletes blocks that
// others stand for. It returns how many it deleted.
//
// A block is not deleted before this writer has appended something after the
// block that stands for it was written: a writer that was fenced, and does not
// know it yet, must not delete what the next one reads. So what one call merges,
// a later one deletes.
func (j *Journal) Compact(ctx context.Context) (int, error) {
	j.compacting.Lock()
	defer j.compacting.Unlock()
	if err := j.writable(); err != nil {
		return 0, err
	}
	deleted, err := j.sweep(ctx)
	if err != nil {
		return deleted, fmt.Errorf("journal: delete what was merged: %w", err)
	}
	for merged := true; merged; {
		merged = false
		for _, units := range j.apart(j.units()) {
			for _, run := range plan(units) {
				err := j.mergeRun(ctx, run, nil)
				if err != nil && !smaller(err) {
					return deleted, fmt.Errorf("journal: merge the blocks %d to %d: %w", run[0].From, run[len(run)-1].To, err)
				}
				merged = merged || err == nil
			}
		}
	}
	if err := j.leaveOut(ctx); err != nil {
		return deleted, fmt.Errorf("journal: leave out what the archive has: %w", err)
	}
	return deleted, nil
}

// sweep deletes the blocks that others stand for, in order.
func (j *Journal) sweep(ctx context.Context) (int, error) {
	j.mu.Lock()
	ready := slices.DeleteFunc(slices.Clone(j.spare), func(s spare) bool { return !s.ready })
	chain := slices.Clone(j.chain)
	j.mu.Unlock()
	slices.SortFunc(ready, func(a, b spare) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	deleted := 0
	standing := map[Key]bool{}
	for _, s := range ready {
		at := slices.IndexFunc(chain, func(b *block) bool { return b.Key != s.Key && b.covers(s.Key) })
		if at < 0 || j.holdsPlace(s) {
			continue
		}
		// Somebody may have deleted the block that stands for it.
		stands, known := standing[chain[at].Key]
		if !known {
			var err error
			if stands, err = j.stands(ctx, chain[at]); err != nil {
				return deleted, err
			}
			standing[chain[at].Key] = stands
		}
		if !stands {
			continue
		}
		if err := j.store.Delete(ctx, s.Key); err != nil {
			return deleted, err
		}
		deleted++
		j.mu.Lock()
		j.spare = slices.DeleteFunc(j.spare, func(other spare) bool { return other.Key == s.Key })
		j.mu.Unlock()
	}
	return deleted, nil
}

// holdsPlace tells whether an entry has to stay, because its place is to be taken
// for as long as the entry before it is there: where one writer follows another,
// that entry is all that the former one may know. It finds that it is not the
// last any more by the place that is taken, or by its own entry that is gone.
func (j *Journal) holdsPlace(s spare) bool {
	if s.From != s.To {
		return false
	}
	before := Key{From: s.From - 1, To: s.From - 1}
	j.mu.Lock()
	defer j.mu.Unlock()
	follows := func(writer string) bool { return writer == "" || writer != s.writer }
	return slices.ContainsFunc(j.chain, func(b *block) bool { return b.Key == before && follows(b.spec.Writer) }) ||
		slices.ContainsFunc(j.spare, func(other spare) bool { return other.Key == before && follows(other.writer) })
}

// stands tells whether a block of the chain is in the store.
func (j *Journal) stands(ctx context.Context, b *block) (bool, error) {
	stored, err := j.store.Get(ctx, b.Key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	there, err := openBlock(stored)
	return err == nil && there.digest == b.digest, nil
}

// units are what there is to merge. A batch at the end that lacks its last part
// is none: nobody knows yet whether it ever happened.
func (j *Journal) units() []unit {
	j.mu.Lock()
	defer j.mu.Unlock()
	var units []unit
	complete := true
	var batch Key
	for _, b := range j.chain {
		if last := len(units) - 1; last >= 0 && b.batch() == batch && units[last].To+1 == b.From {
			units[last].To = b.To
			units[last].bytes += b.bytes
		} else {
			units = append(units, unit{Key: b.Key, bytes: b.bytes, leftOut: b.leftOut != nil})
		}
		batch, complete = b.batch(), b.last()
	}
	if !complete {
		units = units[:len(units)-1]
	}
	return units
}

// smaller tells whether a part of the run may do where the whole does not.
func smaller(err error) bool { return errors.Is(err, errTooLarge) || errors.Is(err, errTaken) }

// mergeRun merges a run, or the first half of it where that does not do.
func (j *Journal) mergeRun(ctx context.Context, run []unit, w *without) error {
	for ; len(run) > 1; run = run[:len(run)/2] {
		blocks, err := j.read(ctx, Key{From: run[0].From, To: run[len(run)-1].To})
		if err != nil {
			return err
		}
		merged, encoded, err := merge(blocks, w)
		if err == nil {
			err = j.replace(ctx, merged, encoded)
		}
		if !smaller(err) {
			return err
		}
	}
	return errTooLarge
}

// read gets the blocks of the chain with these sequences, with their segments.
func (j *Journal) read(ctx context.Context, run Key) ([]*block, error) {
	j.mu.Lock()
	blocks := slices.DeleteFunc(slices.Clone(j.chain), func(b *block) bool { return !run.covers(b.Key) })
	j.mu.Unlock()
	for i, b := range blocks {
		stored, err := j.store.Get(ctx, b.Key)
		if err != nil {
			return nil, fmt.Errorf("block %s: %w", b.Key, err)
		}
		if blocks[i], err = openBlock(stored); err != nil {
			return nil, fmt.Errorf("block %s: %w", b.Key, err)
		}
		if blocks[i].digest != b.digest {
			return nil, fmt.Errorf("block %s: %w", b.Key, &mismatch{stated: blocks[i].digest.String(), found: b.digest})
		}
	}
	return blocks, nil
}

// merge is one block that says what a run of blocks says: the same one,
// whoever merges them. What the archive has may be left out.
func merge(run []*block, w *without) (*block, []byte, error) {
	first, last := run[0], run[len(run)-1]
	b := newBuilder(first.From == 1, nobody{})
	if b.without = w; w != nil {
		b.leftOut = &w.Archived
	}
	if err := b.extend(run, nil); err != nil {
		return nil, nil, err
	}
	said := b.result()
	spec := &v1alpha1.UsageBlockSpec{
		Format: v1alpha1.BlockFormatPlain, Kind: v1alpha1.BlockCompacted, Sequence: int64(last.To), Part: v1alpha1.BlockPart{Count: 1},
		Covers:         &v1alpha1.BlockCovers{From: int64(first.From), To: int64(last.To), Digest: last.link.String()},
		PreviousDigest: first.spec.PreviousDigest,
		Time:           last.spec.Time, Writer: last.spec.Writer, Cluster: last.spec.Cluster,
	}
	file, err := encodeRows(said.Segments)
	if err != nil {
		return nil, nil, err
	}
	setSegments(spec, chunk{changes: said.Segments, file: file})
	setLists(spec, said)
	spec.Archived, spec.LeftOut = blockArchived(said.Archived), blockArchived(b.leftOut)
	if spec.Archived != nil || spec.LeftOut != nil {
		spec.Format = v1alpha1.BlockFormatArchived
	}
	encoded, digest, err := encodeBlock(spec)
	if err != nil {
		return nil, nil, err
	}
	if len(file) > maxSegmentBytes || len(encoded) > maxSpecBytes ||
		max(len(spec.Positions), len(spec.Meters), len(spec.Coverage), len(spec.Sealed), len(spec.Gaps)) > maxItems {
		return nil, nil, errTooLarge
	}
	spec.Segments = "" // encoded has it
	return &block{
		Key: Key{From: first.From, To: last.To}, spec: spec, bytes: len(encoded),
		digest: digest, previous: first.previous, link: last.link, leftOut: b.leftOut,
	}, encoded, nil
}

// replace writes a merged block, and puts it into the chain.
func (j *Journal) replace(ctx context.Context, merged *block, encoded []byte) error {
	err := j.store.Create(ctx, merged.Key, encoded)
	if errors.Is(err, ErrExists) {
		merged, err = j.adopt(ctx, merged)
	}
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	covered := func(b *block) bool { return merged.covers(b.Key) }
	at := slices.IndexFunc(j.chain, covered)
	if at < 0 {
		return nil // the journal was loaded anew meanwhile
	}
	for _, b := range j.chain {
		if covered(b) {
			j.spare = append(j.spare, spare{Key: b.Key, bytes: b.bytes, writer: b.spec.Writer})
		}
	}
	j.chain = slices.Insert(slices.DeleteFunc(j.chain, covered), at, merged)
	return nil
}

// adopt is the block that another leader merged from the same ones. It is not
// deleted, whatever it is: the other one may lead by now, and read it.
func (j *Journal) adopt(ctx context.Context, merged *block) (*block, error) {
	stored, err := j.store.Get(ctx, merged.Key)
	if err != nil {
		return nil, err
	}
	there, err := openBlock(stored)
	switch {
	case err != nil:
	case there.link != merged.link || there.previous != merged.previous:
		err = errors.New("it is part of another chain")
	case !reflect.DeepEqual(there.leftOut, merged.leftOut):
		err = errors.New("it leaves out something else") // which was not proven here to be in the archive
	}
	if err != nil {
		j.log.Error(err, "a merged block is not what it should be; merging fewer blocks", "block", merged.String())
		return nil, errTaken
	}
	there.spec.Segments = ""
	return there, nil
}
