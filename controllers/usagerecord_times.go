package controllers

import (
	"context"
	"maps"
	"math"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"

	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// recordQueue is what is to be published.
type recordQueue = workqueue.TypedRateLimitingInterface[record.Key]

// Priorities in the queue: what is final goes out first, and what a former run
// should have published last.
const (
	finalPriority = 100
	openPriority  = 0
	againPriority = -100
)

// keepTime has records written as time goes on.
func (r *UsageRecordReconciler) keepTime(ctx context.Context, queue recordQueue) {
	ticker := r.Clock.NewTicker(time.Second)
	defer ticker.Stop()
	live := newLive(r.Schedule.Refresh)
	live.most = r.Schedule.Deployments
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.Sealed.news:
			r.publish(ctx, queue, r.Sealed.take())
			continue
		case <-ticker.C():
			r.publish(ctx, queue, r.Sealed.take()) // what comes next counts on it
		}
		now := r.Clock.Now().Unix()
		if !r.ready() {
			continue
		}
		live.note(r.Ledger.Changed(), now)
		if current := r.Schedule.interval(now, r.Sealed.Through()); current != live.current {
			live.enter(current, r.Ledger.Accounts(current, now), now)
		}
		add(queue, openPriority, live.due(now)...)
	}
}

// publish has the Final records of the intervals written.
func (r *UsageRecordReconciler) publish(ctx context.Context, queue recordQueue, intervals []usage.Window) {
	if len(intervals) == 0 {
		return
	}
	now := r.Clock.Now().Unix()
	r.intervals.add(intervals, r.retainedFrom(now))
	r.Sealed.forget(r.retainedFrom(now))
	last := intervals[len(intervals)-1]
	priority := func(interval usage.Window) int {
		if interval == last {
			return finalPriority
		}
		return againPriority
	}
	for _, interval := range intervals {
		if interval.End <= r.retainedFrom(now) {
			continue
		}
		plan := r.plan(interval)
		for _, account := range plan.Accounts(r.Ledger.Accounts(interval, interval.End)) {
			if interval.End <= r.keptFrom(account.Namespace, now) {
				continue
			}
			add(queue, priority(interval), record.Key{Account: account, Interval: interval})
		}
	}
	r.reduced(ctx, r.plan(last), last, now)
	r.adopt(ctx, queue, intervals[0].Start, last.End)
	// An Open record whose usage turned out to be somebody else's goes.
	for _, key := range r.Publisher.Open(last.End) {
		add(queue, priority(key.Interval), key)
	}
}

func add(queue recordQueue, priority int, keys ...record.Key) {
	if q, ok := queue.(priorityqueue.PriorityQueue[record.Key]); ok {
		q.AddWithOpts(priorityqueue.AddOpts{Priority: new(priority)}, keys...)
		return
	}
	for _, key := range keys {
		queue.Add(key)
	}
}

// tidyEvery is how often, in seconds, old records are looked for, and what an
// earlier run left Open.
const tidyEvery = 60

// keepTidy prunes, and takes up what an earlier run left. It takes as long as the
// API server takes, and nobody waits for it.
func (r *UsageRecordReconciler) keepTidy(ctx context.Context, queue recordQueue) {
	ticker := r.Clock.NewTicker(time.Second)
	defer ticker.Stop()
	var tidied int64
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
		now := r.Clock.Now().Unix()
		if now-tidied < tidyEvery || !r.ready() {
			continue
		}
		tidied = now
		r.adopt(ctx, queue, math.MinInt64, now)
		r.prune(ctx, now)
	}
}

// adopt has those records published that an earlier run left Open in intervals
// that are sealed by now, and those deleted that are of no interval at all: that
// run had intervals of another length. It looks at those whose interval started
// in [from, before).
func (r *UsageRecordReconciler) adopt(ctx context.Context, queue recordQueue, from, before int64) {
	if !r.intervals.any() {
		return // nobody knows which intervals there are
	}
	keys, err := r.Publisher.Adopt(ctx, from, before, func(w usage.Window) bool { return r.intervals.exists(w, &r.Schedule) })
	if err != nil && ctx.Err() == nil {
		ctrl.LoggerFrom(ctx).Error(err, "cannot take up all records that an earlier run left Open; trying again")
	}
	for _, key := range keys {
		if key.Interval.End <= r.Sealed.Through() {
			add(queue, againPriority, key)
		}
	}
}

// sealedIntervals are those that were sealed and published, as far as their records are kept.
type sealedIntervals struct {
	mu      sync.Mutex
	sealed  map[usage.Window]bool
	through int64 // the end of the last; 0: there is none
}

// add notes intervals, in order, and forgets those that ended by the moment.
func (s *sealedIntervals) add(intervals []usage.Window, keptFrom int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sealed == nil {
		s.sealed = map[usage.Window]bool{}
	}
	for _, interval := range intervals {
		s.sealed[interval], s.through = true, interval.End
	}
	maps.DeleteFunc(s.sealed, func(w usage.Window, _ bool) bool { return w.End <= keptFrom })
}

// any tells whether one was added.
func (s *sealedIntervals) any() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.through > 0
}

// exists tells whether there is such an interval: a sealed one, or one after those.
func (s *sealedIntervals) exists(w usage.Window, schedule *Schedule) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sealed[w] || schedule.unsealed(w, s.through)
}

// keptFrom is the moment before which intervals' records of the namespace are not
// kept: the retention's, or, where the namespace takes more than its share of the
// budget, a later one.
func (r *UsageRecordReconciler) keptFrom(namespace string, now int64) int64 {
	return max(r.retainedFrom(now), r.shares.keptFrom(namespace))
}

// retainedFrom is the moment from which on the retention keeps what there is. What
// was sealed last says how late it can be: a clock that is set ahead by mistake
// makes nothing older.
func (r *UsageRecordReconciler) retainedFrom(now int64) int64 {
	return min(now, r.Sealed.Through()+r.Schedule.Interval) - r.Schedule.Retention
}

// prune deletes records that have been kept long enough, and what the ledger has of
// them.
func (r *UsageRecordReconciler) prune(ctx context.Context, now int64) {
	r.guard(ctx, now)
	r.Ledger.Forget(min(r.retainedFrom(now), r.Sealed.Through())) // what is not sealed yet is needed
	deleted, err := r.Publisher.Prune(ctx, func(namespace string) int64 {
		return r.keptFrom(namespace, now) - r.Schedule.Interval + 1
	})
	log := ctrl.LoggerFrom(ctx)
	if err != nil && ctx.Err() == nil {
		log.Error(err, "cannot prune usage records; trying again")
	}
	if deleted > 0 {
		log.Info("pruned usage records", "deleted", deleted, "retainedFrom", time.Unix(r.retainedFrom(now), 0).UTC())
	}
}
