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

// view is what a journal knows of its store.
type view struct {
	found   *found
	verdict verdict
	builder *builder
	// unreadable are blocks that are as they were written, and cannot be read, and why.
	unreadable map[Key]error
	// unarchived is when what some of them say was, which the archive has not.
	unarchived usage.Window
	// looked is when the view was brought up to date last, and listed when that was
	// by the names of all blocks.
	looked, listed time.Time
}

// release lets go of the segments of what was added up.
func (v *view) release() {
	for _, b := range v.found.blocks {
		if b.To <= v.builder.read {
			b.spend()
		}
	}
}

// heldBytes is how much of what blocks say is kept from when they are listed
// until they are added up, which is when all are known: as much of large blocks, and
// as much of those that are small enough to be merged. What is beyond is read a second
// time, when its turn has come: a journal may be larger than memory. Small blocks may be
// gone by then, and there are few of them at any time; a large one goes only once its
// days are left out.
var heldBytes, heldSmallBytes = 32 << 20, 8 << 20 // tests set them

// looks is how often everything is read anew, where blocks were merged meanwhile. It is
// not counted where that left less to read: what is archived is left out, until all is.
const looks = 5

// look reads everything that is in the store.
func (j *Journal) look(ctx context.Context) (*view, error) {
	least, began := math.MaxInt, j.clock.Now()
	for tries := 1; ; tries++ {
		v, err := j.lookOnce(ctx)
		if !errors.Is(err, errOutdated) {
			return v, err
		}
		if bytes := v.found.bytes(); bytes < least {
			least, tries = bytes, 1
		}
		if tries > looks {
			return nil, fmt.Errorf("blocks were merged each time before they were read, for %s: see that the API server answers sooner, "+
				"or have the leader run without --archive-cut until they were read: %w", j.clock.Since(began).Round(time.Second), err)
		}
		j.log.Info("blocks were merged before they were read: reading the journal anew", "why", err.Error())
	}
}

func (j *Journal) lookOnce(ctx context.Context) (*view, error) {
	v := &view{builder: j.newBuilder(), unreadable: map[Key]error{}}
	if err := j.list(ctx, v); err != nil {
		return nil, err
	}
	for {
		err := j.recallAll(ctx, v)
		if err == nil {
			err = j.extend(ctx, v)
		}
		var bad *unreadable
		if !errors.As(err, &bad) {
			v.release()
			return v, err
		}
		for _, key := range bad.keys {
			v.unreadable[key] = bad.error
		}
		v.builder = j.newBuilder()
		if bad.of.Seconds() == 0 {
			v.judge(j.clock.Now().Unix())
			continue
		}
		v.unarchived = union(v.unarchived, bad.of)
		if err := j.list(ctx, v); err != nil { // it may have taken long to find that
			return nil, err
		}
	}
}

// union is the least window that has both, the first of which may be empty.
func union(a, b usage.Window) usage.Window {
	if a.Seconds() == 0 {
		return b
	}
	return usage.Window{Start: min(a.Start, b.Start), End: max(a.End, b.End)}
}

// list finds all that is in the store, and judges it.
func (j *Journal) list(ctx context.Context, v *view) error {
	f := &found{broken: map[Key]error{}, cluster: j.cluster}
	began := j.clock.Now()
	if err := j.store.List(ctx, func(stored Stored) error { j.take(f, stored); return nil }); err != nil {
		return err
	}
	v.found, v.looked, v.listed = f, began, began
	v.judge(j.clock.Now().Unix())
	return nil
}

// judge decides what to make of all that was found, as of a moment.
func (v *view) judge(now int64) {
	f := v.found
	f.now = now
	f.blocks = slices.DeleteFunc(f.blocks, func(b *block) bool {
		why := v.unreadable[b.Key]
		if why != nil {
			f.broken[b.Key] = why
		}
		return why != nil
	})
	v.verdict = f.judge()
}

// newBuilder adds up the whole journal.
func (j *Journal) newBuilder() *builder {
	b := newBuilder(true, j.follower)
	b.fits = j.fits
	if j.replays || j.inPortions {
		b.fold = nil
	}
	if !j.replays && j.inPortions {
		b.portions = newPortions()
	}
	if j.retention > 0 {
		b.horizon = func(last Seal) int64 { return min(j.clock.Now().Unix()-j.retention, last.Interval.End) }
	}
	return b
}

// extend adds up what follows in the view's chain.
func (j *Journal) extend(ctx context.Context, v *view) error {
	v.found.held, v.found.heldSmall = 0, 0 // what is held now is let go of
	return v.builder.extend(v.verdict.chain, func(b *block) error { return j.fetch(ctx, b) })
}

// fetch reads a block again that was let go of.
func (j *Journal) fetch(ctx context.Context, b *block) error {
	stored, err := j.store.Get(ctx, b.Key)
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: block %s was merged meanwhile", errOutdated, b.Key)
	}
	if err != nil {
		return err
	}
	again, err := openBlock(stored)
	if err == nil && again.digest != b.digest {
		err = &mismatch{stated: b.digest.String(), found: again.digest}
	}
	if err != nil {
		return fmt.Errorf("%w: block %s is another one by now: %w", errOutdated, b.Key, err)
	}
	b.spec, b.spent = again.spec, false
	return nil
}

// take notes a block.
func (j *Journal) take(f *found, stored Stored) {
	b, err := openBlock(stored)
	if err != nil {
		f.broken[stored.Key] = err
		return
	}
	delete(f.broken, b.Key)
	f.blocks = append(f.blocks, b)
	if stored.Accepts != "" {
		keys, err := accepted(stored.Accepts)
		if err != nil {
			j.log.Error(err, "cannot read what is accepted; going on without it", "block", stored.Key.String())
		}
		f.accepts = append(f.accepts, keys...)
	}
	for _, gap := range b.spec.Gaps {
		f.gaps = append(f.gaps, Gap{From: uint64(gap.From), To: uint64(gap.To), Lost: gap.Lost})
	}
	held, most := &f.held, heldBytes
	if (unit{Key: b.Key, bytes: b.bytes}).tier() < tiers {
		held, most = &f.heldSmall, heldSmallBytes
	}
	if *held += b.bytes; *held > most {
		b.spend()
	}
}

// bytes is how much there is to read.
func (f *found) bytes() int {
	n := 0
	for _, b := range f.blocks {
		n += b.bytes
	}
	return n
}

// errOutdated says that a view is of no use any more.
var errOutdated = errors.New("the view is outdated")

// Load reads the journal. A journal that is damaged gives a *DamageError, and
// the state of all that can be read; nothing can be appended then. With any other error there is
// no state.
func (j *Journal) Load(ctx context.Context) (*State, error) {
	j.order.Lock()
	defer j.order.Unlock()
	v, err := j.current(ctx, true)
	if err != nil {
		return nil, err
	}
	j.following = nil
	unknown := v.unknown()
	state := v.builder.result()
	state.Meters = v.builder.meters
	if len(unknown) > 0 {
		state.Coverage = append(state.Coverage, unknown...)
		j.follower.Committed(&Batch{Time: state.Time, Coverage: unknown})
	}
	state.Gaps = append(state.Gaps, v.verdict.accepted...)
	j.begin(v, unknown)
	j.follower.Current()
	if j.damage != nil {
		return state, j.damage
	}
	return state, nil
}

// current is what is in the store now, from what a standby knows if it does.
func (j *Journal) current(ctx context.Context, all bool) (*view, error) {
	if v := j.following; v != nil {
		if err := j.refresh(ctx, v, all); !errors.Is(err, errOutdated) {
			return v, err
		}
		j.following = nil
	}
	v, err := j.look(ctx)
	if err != nil && v != nil && v.goesOn(err) {
		v.looked, v.listed = time.Time{}, time.Time{} // the rest is read with the next look
		j.following = v                               // so that what took long is not read again
	}
	return v, err
}

// goesOn tells whether a view that met an error can be brought up to date later: all that
// is archived was read.
func (v *view) goesOn(err error) bool {
	said, _ := v.leftOut()
	return !errors.Is(err, errOutdated) && !errors.Is(err, ErrTooLarge) && !v.builder.lacks(said)
}

// begin makes the journal go on from a view, and put on record what is unknown since then.
func (j *Journal) begin(v *view, unknown []usage.Stretch) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.chain, j.spare = nil, nil
	for _, b := range v.verdict.chain {
		b.spend()
		j.chain = append(j.chain, b)
	}
	writers := map[Key]string{}
	for _, b := range v.found.blocks {
		writers[b.Key] = b.spec.Writer
	}
	for _, key := range v.verdict.spare {
		j.spare = append(j.spare, spare{Key: key, writer: writers[key]})
	}
	j.tail = nil
	j.next, j.link = v.verdict.end+1, Digest{}
	if last := len(j.chain) - 1; last >= 0 && j.chain[last].To == v.verdict.end {
		j.link = j.chain[last].link
	}
	j.accepted, j.unknown, j.damage = v.verdict.accepted, unknown, nil
	j.archived, j.cut, j.recalled = v.builder.state.Archived, 0, nil
	j.pending = nil
	if len(v.verdict.problems) > 0 {
		j.damage = &DamageError{Problems: v.verdict.problems}
	}
	j.loaded = true
}
