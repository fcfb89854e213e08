package controllers

import (
	"context"
	"maps"
	"slices"
	"time"

	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"

	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Schedule says when records are written. All times are in seconds.
type Schedule struct {
	Interval    int64 // a record's length; it divides an hour
	Flush       int64 // how often changes are written to the journal at most
	SealTimeout int64 // how long after its end an interval waits for what has not been seen of it
	Refresh     int64 // how often an Open record is brought up to date at most; 0: there are none
	Retention   int64 // how long after its end a record is kept
	Budget      int64 // how many bytes all records may take together; 0: any
	// JournalBudget is how many bytes the journal may take until people are told; 0: any.
	JournalBudget int64
}

// keptFrom is the moment before which intervals' records are not kept: the
// retention's, or, where the records take more than the budget, a later one.
func (r *UsageRecordReconciler) keptFrom(now int64) int64 {
	return max(now-r.Schedule.Retention, r.overBudget.Load())
}

// guard finds the moment from which on the records' intervals fit the budget.
func (r *UsageRecordReconciler) guard(ctx context.Context) {
	_, bytes := r.Publisher.Sizes()
	from := r.Schedule.fits(bytes, r.Sealed.Through())
	if from <= r.overBudget.Load() {
		return
	}
	r.overBudget.Store(from)
	ctrl.LoggerFrom(ctx).Info("usage records take more than --record-budget: pruning those of older intervals before their time; the ledger keeps them",
		"budget", r.Schedule.Budget, "keptFrom", time.Unix(from, 0).UTC())
}

// fits is the moment from which on the records fit the budget, given their bytes
// by the start of their interval; 0: all of them do. The interval that was
// sealed last is kept at any size: what is published to be deleted at once is of
// no use to anybody.
func (s *Schedule) fits(bytes map[int64]int64, sealedThrough int64) int64 {
	if s.Budget == 0 {
		return 0
	}
	left := s.Budget
	for _, start := range slices.Backward(slices.Sorted(maps.Keys(bytes))) {
		if left -= bytes[start]; left < 0 {
			return max(0, min(start, sealedThrough-2*s.Interval)+s.Interval)
		}
	}
	return 0
}

// live decides when Open records are written: when an account first appears in
// an interval, and when its segments changed, but not more often than refresh.
type live struct {
	refresh int64
	waiting map[usage.Account]int64 // since when
	written map[usage.Account]int64 // in the interval
	current usage.Window
}

func newLive(refresh int64) *live {
	return &live{refresh: refresh, waiting: map[usage.Account]int64{}, written: map[usage.Account]int64{}}
}

// enter begins an interval with the accounts that hold something in it.
func (l *live) enter(interval usage.Window, accounts []usage.Account, now int64) {
	l.current = interval
	clear(l.written)
	l.note(accounts, now)
}

// note takes in which accounts changed.
func (l *live) note(changed []usage.Account, now int64) {
	if l.refresh == 0 {
		return
	}
	for _, account := range changed {
		if _, waits := l.waiting[account]; !waits {
			l.waiting[account] = now
		}
	}
}

// due are the records to write now.
func (l *live) due(now int64) []record.Key {
	var keys []record.Key
	for account, since := range l.waiting {
		written, again := l.written[account]
		switch {
		case again && now-written < l.refresh:
			continue
		case account.Deployment == "" && now-since < ledger.Settle:
			continue // it may find its deployment yet
		}
		delete(l.waiting, account)
		l.written[account] = now
		keys = append(keys, record.Key{Account: account, Interval: l.current})
	}
	return keys
}

// Priorities in the queue: what is final goes out first, and what a former run
// should have published last.
const (
	finalPriority = 100
	openPriority  = 0
	againPriority = -100
)

// pruneEvery is how often old records are looked for.
const pruneEvery = 60

// keepTime has records written and pruned as time goes on.
func (r *UsageRecordReconciler) keepTime(ctx context.Context, queue workqueue.TypedRateLimitingInterface[record.Key]) {
	ticker := r.Clock.NewTicker(time.Second)
	defer ticker.Stop()
	live := newLive(r.Schedule.Refresh)
	var pruned int64
	for {
		select {
		case <-ctx.Done():
			return
		case intervals := <-r.Sealed.News():
			r.publish(ctx, queue, intervals)
			continue
		case <-ticker.C():
		}
		now := r.Clock.Now().Unix()
		if !r.ready() {
			continue
		}
		live.note(r.Ledger.Changed(), now)
		if current := usage.Interval(now, r.Schedule.Interval); current != live.current {
			live.enter(current, r.Ledger.Accounts(current, now), now)
		}
		add(queue, openPriority, live.due(now)...)
		if now-pruned >= pruneEvery {
			pruned = now
			r.prune(ctx, now)
		}
	}
}

// publish has the Final records of the intervals written.
func (r *UsageRecordReconciler) publish(ctx context.Context, queue workqueue.TypedRateLimitingInterface[record.Key], intervals []usage.Window) {
	from := r.keptFrom(r.Clock.Now().Unix())
	for i, interval := range intervals {
		if interval.End <= from {
			continue
		}
		priority := againPriority
		if i == len(intervals)-1 {
			priority = finalPriority
		}
		for _, account := range r.Ledger.Accounts(interval, interval.End) {
			add(queue, priority, record.Key{Account: account, Interval: interval})
		}
		// An Open record whose usage turned out to be somebody else's goes.
		if _, err := r.Publisher.Adopt(ctx, interval.Start); err != nil && ctx.Err() == nil {
			ctrl.LoggerFrom(ctx).Error(err, "cannot tell whose an earlier run's Open records are: they stay until they are pruned")
		}
		add(queue, priority, r.Publisher.Open(interval.Start)...)
	}
}

func add(queue workqueue.TypedRateLimitingInterface[record.Key], priority int, keys ...record.Key) {
	if q, ok := queue.(priorityqueue.PriorityQueue[record.Key]); ok {
		q.AddWithOpts(priorityqueue.AddOpts{Priority: new(priority)}, keys...)
		return
	}
	for _, key := range keys {
		queue.Add(key)
	}
}

// prune deletes records that are kept long enough, and what the ledger has of them.
func (r *UsageRecordReconciler) prune(ctx context.Context, now int64) {
	r.guard(ctx)
	before := r.keptFrom(now)
	r.Ledger.Forget(min(now-r.Schedule.Retention, r.Sealed.Through())) // what is not sealed yet is needed
	deleted, err := r.Publisher.Prune(ctx, before-r.Schedule.Interval+1)
	log := ctrl.LoggerFrom(ctx)
	if err != nil {
		log.Error(err, "cannot prune usage records; trying again")
	}
	if deleted > 0 {
		log.Info("pruned usage records", "deleted", deleted, "keptFrom", time.Unix(before, 0).UTC())
	}
}
