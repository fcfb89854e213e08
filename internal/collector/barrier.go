package collector

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Behind says which kinds have not been seen up to a moment.
type Behind struct {
	Kinds []string
	Err   error // why the first of them does not get on
}

func (e *Behind) Error() string {
	return fmt.Sprintf("not all has been seen of %s: %v", strings.Join(e.Kinds, ", "), e.Err)
}

func (e *Behind) Unwrap() error { return e.Err }

// Pass returns once everything that happened before the moment, in seconds since
// the epoch, has been seen of what is metered: each kind's resourceVersion is asked
// for, and its watch waited for until it has come there. The error is a Behind. Kinds
// that are followed for the owners among them are waited for too, as long as an
// owner is: what they tell later is a correction, and they may never tell it.
func (c *Collector) Pass(ctx context.Context, moment int64) error {
	c.mu.Lock()
	var late, owning []*feed
	for _, f := range c.feeds {
		switch {
		case f.passed.Load() >= moment && !f.amends(moment) || !f.counts():
		case f.isMetered():
			late = append(late, f)
		case f.synced && f.err == nil:
			owning = append(owning, f)
		}
	}
	c.mu.Unlock()
	soon, cancel := context.WithTimeout(ctx, ownersWait)
	defer cancel()
	behind := make([]error, len(late))
	var reaching sync.WaitGroup
	for i, f := range late {
		reaching.Go(func() { behind[i] = f.pass(ctx, moment) })
	}
	for _, f := range owning {
		reaching.Go(func() { _ = f.pass(soon, moment) })
	}
	reaching.Wait()
	var failed Behind
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, f := range late {
		if behind[i] == nil || c.feeds[f.kind()] == nil {
			continue // a kind that is not metered any more is not waited for
		}
		failed.Kinds = append(failed.Kinds, f.kind().String())
		failed.Err = behind[i]
	}
	if failed.Err == nil {
		return nil
	}
	slices.Sort(failed.Kinds)
	return &failed
}

// sealWithout notes which kinds are not waited for any longer, though they have not been read
// yet, or catch up: what is placed by them may belong elsewhere. Those that tenants brought in
// are none that others wait for, whatever becomes of them. Called under the lock.
func (c *Collector) sealWithout(moment int64) {
	for kind, f := range c.feeds {
		_, brought := c.named.by[kind]
		behind := !f.synced || f.source.Behind()
		if behind && !brought && !f.ended && !f.isForbidden() && f.passed.Load() < moment {
			c.doubtPlacements(f, f.position(kind).Time, moment)
		}
	}
}

// isForbidden tells whether the kind was never there to be read: others are placed without
// it. Called under the lock.
func (f *feed) isForbidden() bool {
	return apierrors.IsNotFound(f.err) || refused(f.err) && !f.known && !f.resumed
}

// counts tells whether intervals wait for the feed: not for a kind that is gone,
// nor for one that could not be read from the start and has nothing to tell. One
// that a former run has metered has: it cannot be read yet. Called under the lock.
func (f *feed) counts() bool {
	metered := f.resumed && len(f.meters) > 0 && !apierrors.IsNotFound(f.err)
	return !f.ended && (f.synced || f.err == nil || metered)
}

// pass waits until everything from before the moment has been seen, and the changes of
// meters from before it have taken effect.
func (f *feed) pass(ctx context.Context, moment int64) error {
	if err := f.reach(ctx, moment); err != nil {
		return err
	}
	return f.amended(ctx, moment)
}

// reach waits until the watch has come to where the kind is now, which is past the moment.
func (f *feed) reach(ctx context.Context, moment int64) error {
	c := f.collector
	resourceVersion, err := f.source.Current(ctx)
	if err != nil {
		return err
	}
	if err := f.source.Reach(ctx, resourceVersion); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f.passed.Store(max(f.passed.Load(), moment))
	return nil
}

// GiveUp notes that what happened before the moment will not be seen in time:
// the stretch of each kind that has not passed it is unknown. What is placed by such a
// kind may belong elsewhere: its stretch is estimated.
func (c *Collector) GiveUp(moment int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.feeds {
		if f.passed.Load() < moment && !f.ended {
			since := f.position(f.kind()).Time
			f.cover(since, moment, usage.CoverageUnknown)
			if f.counts() {
				c.doubtPlacements(f, since, moment)
			}
		}
	}
}

// estimate notes a stretch in which the kind was not seen: neither what its objects held is known
// to the second, nor where those belonged that are placed by them. Called under the lock.
func (f *feed) estimate(from, to int64) {
	f.cover(from, to, usage.CoverageEstimated)
	f.collector.doubtPlacements(f, from, to)
}

// doubt is a stretch in which a kind was not seen that others may be placed by.
type doubt struct {
	kind     schema.GroupKind
	from, to int64
	covered  map[*metering]bool // what is placed by the kind, as far as that is known
}

// doubtPlacements notes that a kind was not seen that others are placed by.
// Called under the lock.
func (c *Collector) doubtPlacements(late *feed, from, to int64) {
	sealed := c.ledger.Sealed()
	c.doubts = slices.DeleteFunc(c.doubts, func(d doubt) bool { return d.to <= sealed })
	if from = max(from, sealed); from >= to {
		return
	}
	d := doubt{late.kind(), from, to, map[*metering]bool{}}
	c.doubts = append(c.doubts, d)
	for _, f := range c.feeds {
		f.coverDoubt(d)
	}
}

// coverDoubt estimates what the feed's meters have, if it is placed by a kind that was not seen.
// Called under the lock.
func (f *feed) coverDoubt(d doubt) {
	if f.kind() == d.kind || len(f.meters) == 0 || !f.collector.placedBy(f, d.kind, map[*feed]bool{}) {
		return
	}
	for _, at := range f.meters {
		if !d.covered[at] && (d.kind != nodeKind || at.meter.RunsOnNodes()) {
			d.covered[at] = true
			f.collector.cover(at, d.from, d.to, usage.CoverageEstimated)
		}
	}
}

// placedBy tells whether objects of a feed's kind are placed by those of the other kind, or by
// what is placed by those. Called under the lock.
func (c *Collector) placedBy(f *feed, other schema.GroupKind, met map[*feed]bool) bool {
	if met[f] {
		return false
	}
	met[f] = true
	above := c.before(f.kind())
	for _, at := range f.meters {
		if by := c.otherFeed(at); by != nil {
			above = append(above, by)
		}
	}
	for kind := range f.owners {
		if owners := c.feeds[kind]; owners != nil {
			above = append(above, owners)
		}
	}
	return slices.ContainsFunc(above, func(by *feed) bool { return by.kind() == other || c.placedBy(by, other, met) })
}

// ownedBy notes of which kind an owner of the feed's objects is. Called under the lock.
func (f *feed) ownedBy(owner usage.Object) {
	if owner.Kind == "" {
		return
	}
	group, _, grouped := strings.Cut(owner.APIVersion, "/")
	if !grouped {
		group = ""
	}
	kind := schema.GroupKind{Group: group, Kind: owner.Kind}
	c := f.collector
	if _, noted := f.owners[kind]; noted || c.feeds[kind] == nil && !c.named.trusts(kind) {
		return // there are few of these, whatever tenants write
	}
	if f.owners == nil {
		f.owners = map[schema.GroupKind]struct{}{}
	}
	f.owners[kind] = struct{}{}
	for _, d := range c.doubts {
		for _, other := range c.feeds {
			other.coverDoubt(d) // what is placed by it may be learnt from this
		}
	}
}
