package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// view is what a journal knows of its store.
type view struct {
	found   *found
	verdict verdict
	builder *builder
}

// look reads everything that is in the store.
func (j *Journal) look(ctx context.Context) (*view, error) {
	f := &found{broken: map[Key]error{}, cluster: j.cluster}
	if err := j.store.List(ctx, func(stored Stored) error { j.take(f, stored); return nil }); err != nil {
		return nil, err
	}
	v := &view{found: f}
	for {
		f.now = j.clock.Now().Unix()
		v.verdict, v.builder = f.judge(), newBuilder(true, j.follower)
		err := v.builder.extend(v.verdict.chain)
		var bad *unreadable
		if !errors.As(err, &bad) {
			return v, err
		}
		f.broken[bad.Key] = bad.error
		// What was read was let go of.
		if err := j.fill(ctx, f); err != nil {
			return nil, err
		}
	}
}

// fill gets the segments again of blocks that let go of them.
func (j *Journal) fill(ctx context.Context, f *found) error {
	f.blocks = slices.DeleteFunc(f.blocks, func(b *block) bool { return f.broken[b.Key] != nil })
	for _, b := range f.blocks {
		if b.spec.Segments != "" || b.spec.Rows == 0 {
			continue
		}
		stored, err := j.store.Get(ctx, b.Key)
		if err != nil {
			return err
		}
		again, err := openBlock(stored)
		if err != nil {
			return err
		}
		b.spec.Segments = again.spec.Segments
	}
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
}

// errOutdated says that a view is of no use any more.
var errOutdated = errors.New("the view is outdated")

// refresh brings a view up to what is in the store now. After errOutdated it is
// of no use; after any other error, the store's, it can be refreshed again.
func (j *Journal) refresh(ctx context.Context, v *view) error {
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
	missing := make([]Key, 0, len(there))
	for key := range there {
		missing = append(missing, key)
	}
	slices.SortFunc(missing, func(a, b Key) int { return cmp.Compare(a.From, b.From) })
	for _, key := range missing {
		stored, err := j.store.Get(ctx, key)
		if errors.Is(err, ErrNotFound) {
			continue // merged since
		}
		if err != nil {
			return err
		}
		j.take(v.found, stored)
	}
	v.found.now = j.clock.Now().Unix()
	v.verdict = v.found.judge()
	if len(v.verdict.problems) > 0 || len(v.verdict.accepted) > 0 {
		return fmt.Errorf("%w: the journal is damaged", errOutdated)
	}
	if err := v.builder.extend(v.verdict.chain); err != nil {
		return fmt.Errorf("%w: %w", errOutdated, err)
	}
	return nil
}

// Load reads the journal. A journal that is damaged gives a *DamageError, and
// the state of all that can be read; nothing can be appended then.
func (j *Journal) Load(ctx context.Context) (*State, error) {
	j.order.Lock()
	defer j.order.Unlock()
	v, err := j.current(ctx)
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
func (j *Journal) current(ctx context.Context) (*view, error) {
	if v := j.following; v != nil {
		if err := j.refresh(ctx, v); !errors.Is(err, errOutdated) {
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
		b.spec.Segments = ""
		j.chain = append(j.chain, b)
	}
	for _, key := range v.verdict.spare {
		j.spare = append(j.spare, spare{Key: key})
	}
	j.next, j.link = v.verdict.end+1, Digest{}
	if last := len(j.chain) - 1; last >= 0 && j.chain[last].To == v.verdict.end {
		j.link = j.chain[last].link
	}
	j.accepted, j.damage = v.verdict.accepted, nil
	j.pending = nil
	if len(v.verdict.problems) > 0 {
		j.damage = &DamageError{Problems: v.verdict.problems}
	}
	j.loaded = true
}

// followEvery is how far a standby may be behind.
const followEvery = 5 * time.Second

// Follow keeps the state at hand, for a standby, until ctx is done: Load is
// then a matter of milliseconds. Load ends it.
func (j *Journal) Follow(ctx context.Context) error {
	for {
		loaded, err := j.follow(ctx)
		if err != nil && ctx.Err() == nil {
			j.log.Error(err, "cannot follow the journal; trying again")
		}
		if loaded {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-j.clock.After(followEvery):
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
	v, err := j.current(ctx)
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
