package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// view is what a journal knows of its store.
type view struct {
	found   *found
	verdict verdict
	builder *builder
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
	least := math.MaxInt
	for tries := 1; ; tries++ {
		v, err := j.lookOnce(ctx)
		if !errors.Is(err, errOutdated) {
			return v, err
		}
		if bytes := v.found.bytes(); bytes < least {
			least, tries = bytes, 1
		}
		if tries > looks {
			return nil, err
		}
	}
}

func (j *Journal) lookOnce(ctx context.Context) (*view, error) {
	f := &found{broken: map[Key]error{}, cluster: j.cluster}
	began := j.clock.Now()
	if err := j.store.List(ctx, func(stored Stored) error { j.take(f, stored); return nil }); err != nil {
		return nil, err
	}
	v := &view{found: f, looked: began, listed: began}
	for {
		f.now = j.clock.Now().Unix()
		v.verdict, v.builder = f.judge(), j.newBuilder()
		err := j.extend(ctx, v)
		var bad *unreadable
		if !errors.As(err, &bad) {
			v.release()
			return v, err
		}
		for _, key := range bad.keys {
			f.broken[key] = bad.error
		}
		f.blocks = slices.DeleteFunc(f.blocks, func(b *block) bool { return f.broken[b.Key] != nil })
	}
}

// newBuilder adds up the whole journal.
func (j *Journal) newBuilder() *builder {
	b := newBuilder(true, j.follower)
	b.fits = j.fits
	if j.replays {
		b.fold = nil
	}
	if j.retention > 0 {
		b.horizon = func(last Seal) int64 { return min(j.clock.Now().Unix()-j.retention, last.Interval.End) }
	}
	return b
}

// extend adds up what follows in the view's chain.
func (j *Journal) extend(ctx context.Context, v *view) error {
	v.found.held, v.found.heldSmall = 0, 0 // what is held now is let go of
	if err := j.recall(ctx, v); err != nil {
		return err
	}
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

const (
	// listEvery is how often a standby lists the names of all blocks. Between, it
	// reads the entries that come next, by their names.
	listEvery = 5 * time.Minute
	// missedAfter is after how long without a look a standby lists them at once:
	// what comes next may have been merged and deleted. That takes the leader a
	// minute at least, from one compaction to another.
	missedAfter = 30 * time.Second
)

// refresh brings a view up to what is in the store now: to all of it, or to what
// was appended. After errOutdated it is of no use; after any other error, the
// store's, it can be refreshed again.
func (j *Journal) refresh(ctx context.Context, v *view, all bool) error {
	began := j.clock.Now()
	// Entries come first: a merged block with some that were not read is of no use.
	if err := j.advance(ctx, v); err != nil {
		return err
	}
	if all || began.Sub(v.looked) > missedAfter || began.Sub(v.listed) >= listEvery {
		if err := j.compareAll(ctx, v); err != nil {
			return err
		}
		v.listed = began
	}
	v.looked = began
	return nil
}

// advance reads the entries that come next, one after the other.
func (j *Journal) advance(ctx context.Context, v *view) error {
	before := v.verdict.end
	var failed error
	for {
		next := v.verdict.end + 1
		stored, err := j.store.Get(ctx, Key{From: next, To: next})
		if err != nil {
			if !errors.Is(err, ErrNotFound) {
				failed = err
			}
			break
		}
		j.take(v.found, stored)
		v.verdict.end = next
	}
	if v.verdict.end == before {
		return failed
	}
	if err := j.goOn(ctx, v); err != nil {
		return err
	}
	return failed
}

// compareAll makes the view know just the blocks that are there.
func (j *Journal) compareAll(ctx context.Context, v *view) error {
	keys, err := j.store.Keys(ctx)
	if err != nil {
		return err
	}
	there := map[Key]bool{}
	for _, key := range keys {
		there[key] = true
	}
	gone := func(key Key) bool { return !there[key] }
	v.found.blocks = slices.DeleteFunc(v.found.blocks, func(b *block) bool { return gone(b.Key) })
	maps.DeleteFunc(v.found.broken, func(key Key, _ error) bool { return gone(key) })
	for _, b := range v.found.blocks {
		delete(there, b.Key)
	}
	for _, key := range slices.SortedFunc(maps.Keys(there), func(a, b Key) int { return cmp.Compare(a.From, b.From) }) {
		stored, err := j.store.Get(ctx, key)
		if errors.Is(err, ErrNotFound) {
			continue // merged since
		}
		if err != nil {
			return err
		}
		j.take(v.found, stored)
	}
	return j.goOn(ctx, v)
}

// goOn judges what the view has found since, and adds it up.
func (j *Journal) goOn(ctx context.Context, v *view) error {
	v.found.now = j.clock.Now().Unix()
	v.verdict = v.found.judge()
	if len(v.verdict.problems) > 0 || len(v.verdict.accepted) > 0 {
		return fmt.Errorf("%w: the journal is damaged", errOutdated)
	}
	err := j.extend(ctx, v)
	if _, bad := errors.AsType[*unreadable](err); bad {
		return fmt.Errorf("%w: %w", errOutdated, err)
	}
	if err == nil {
		v.release()
	}
	return err
}

// Load reads the journal. A journal that is damaged gives a *DamageError, and
// the state of all that can be read; nothing can be appended then.
func (j *Journal) Load(ctx context.Context) (*State, error) {
	j.order.Lock()
	defer j.order.Unlock()
	v, err := j.current(ctx, true)
	if err != nil {
		return nil, err
	}
	j.following = nil
	state := v.builder.result()
	state.Meters = v.builder.meters
	state.Gaps = append(state.Gaps, v.verdict.accepted...)
	j.begin(v)
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
	return j.look(ctx)
}

// begin makes the journal go on from a view.
func (j *Journal) begin(v *view) {
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
	j.accepted, j.damage = v.verdict.accepted, nil
	j.archived, j.cut, j.recalled = v.builder.state.Archived, 0, nil
	j.pending = nil
	if len(v.verdict.problems) > 0 {
		j.damage = &DamageError{Problems: v.verdict.problems}
	}
	j.loaded = true
}

const (
	// followEvery is how far a standby may be behind.
	followEvery = 5 * time.Second
	// followLater is how long it waits at most to try again, after errors of one that reads
	// an archive, too: what it has read of that is read anew.
	followLater = time.Minute
)

// Follow keeps the state at hand, for a standby, until ctx is done: Load is
// then a matter of milliseconds. Load ends it, and so does ErrTooLarge.
func (j *Journal) Follow(ctx context.Context) error {
	for pause := followEvery; ; {
		loaded, err := j.follow(ctx)
		if errors.Is(err, ErrTooLarge) {
			return err
		}
		if loaded {
			return nil
		}
		wait := followEvery
		if err != nil && ctx.Err() == nil {
			j.log.Error(err, "cannot follow the journal; trying again")
			if j.past != nil {
				wait, pause = pause, min(2*pause, followLater)
			}
		} else {
			pause = followEvery
		}
		select {
		case <-ctx.Done():
			return nil
		case <-j.clock.After(wait):
		}
	}
}

// follow takes one look; loaded tells that there is nothing to follow any more.
func (j *Journal) follow(ctx context.Context) (loaded bool, err error) {
	j.order.Lock()
	defer j.order.Unlock()
	if j.loaded {
		return true, nil
	}
	v, err := j.current(ctx, false)
	if err != nil {
		return false, err
	}
	if len(v.verdict.problems) > 0 {
		return false, &DamageError{Problems: v.verdict.problems}
	}
	if len(v.verdict.accepted) == 0 {
		j.following = v
	}
	j.follower.Current()
	return false, nil
}
