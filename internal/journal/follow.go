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
	v.judge(j.clock.Now().Unix())
	if len(v.verdict.problems) > 0 || len(v.verdict.accepted) > 0 {
		return fmt.Errorf("%w: the journal is damaged", errOutdated)
	}
	if said, _ := v.leftOut(); v.builder.lacks(said) {
		return fmt.Errorf("%w: what was not read yet is in the archive by now", errOutdated)
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

const (
	// followEvery is how far a standby may be behind.
	followEvery = 5 * time.Second
	// followLater is how long it waits at most to try again, after errors of one that reads
	// an archive, too: what it has read of that is read anew.
	followLater = time.Minute
)

// Follow keeps the state at hand, for a standby, until ctx is done: Load is
// then a matter of milliseconds. Load ends it, and so does ErrTooLarge: what did not fit
// was let go of, and it may be called again. Other errors are logged, and it tries again.
func (j *Journal) Follow(ctx context.Context) error {
	for pause := followEvery; ; {
		loaded, err := j.follow(ctx)
		if j.followed != nil && ctx.Err() == nil {
			j.followed(err)
		}
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
	if errors.Is(err, ErrTooLarge) {
		j.following = nil
		j.follower.Begin() // lets go of what was read
	}
	if err != nil {
		return false, err
	}
	if len(v.verdict.problems) > 0 {
		return false, &DamageError{Problems: v.verdict.problems}
	}
	if v.unarchived.Seconds() > 0 {
		if err := v.verdict.unrecorded(); err != nil {
			return false, err
		}
	}
	if len(v.verdict.accepted) == 0 {
		j.following = v
	}
	j.follower.Current()
	return false, nil
}
