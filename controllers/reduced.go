package controllers

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/usage-operator/usage-operator/internal/lru"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// plans caches the plans of sealed intervals, the most recently used ones: which records
// list less than all. They are computed from what was sealed, and never change.
type plans struct {
	mu    sync.Mutex
	known *lru.Cache[usage.Window, *record.Plan]
}

// plansKept is of how many intervals: those that are published.
const plansKept = 4

// plan is which records of a sealed interval list less than all; nil: none.
func (r *UsageRecordReconciler) plan(interval usage.Window) *record.Plan {
	limits := r.Sealed.Limits(interval)
	if limits.IsZero() {
		return nil
	}
	r.plans.mu.Lock()
	defer r.plans.mu.Unlock()
	if r.plans.known == nil {
		r.plans.known = lru.New[usage.Window, *record.Plan](plansKept)
	}
	plan, known := r.plans.known.Get(interval)
	if !known {
		plan = record.PlanOf(holdings(r.Ledger, interval), limits)
		r.plans.known.Put(interval, plan, 1)
	}
	return plan
}

// fill makes of the input's account what its records are made from.
func (r *UsageRecordReconciler) fill(in *record.Input) {
	cut := func(account usage.Account) []usage.Segment { return r.Ledger.Cut(account, in.Interval, in.Now) }
	if in.Final {
		r.plan(in.Interval).Fill(in, cut)
		return
	}
	in.Segments = cut(in.Account)
	if r.shares.coarse(in.Account.Namespace, in.Interval.Start) {
		in.Detail = usage.DetailTotals
	}
}

// guard finds the moments from which on the records of namespaces fit their shares of
// the budget, and the namespaces whose Open records take more than their share of an
// interval's budget.
func (r *UsageRecordReconciler) guard(ctx context.Context, now int64) {
	sizes := r.Publisher.Sizes()
	share, through := r.Schedule.share(sizes), r.Sealed.Through()
	over := map[string]excess{}
	for namespace, of := range sizes {
		if from := r.Schedule.fits(of, share, through); from > 0 {
			over[namespace] = excess{bytes: bytesOf(of), share: share, keptFrom: from}
		}
	}
	for _, e := range r.shares.found(over, r.retainedFrom(now), now) {
		r.announce(ctx, "RecordsOverShare", "PruneRecords", e.namespace, e.note(r.Schedule.Budget))
	}
	start := r.Schedule.interval(now, through).Start
	r.shares.foundOpen(start, r.Schedule.coarse(sizes, start))
}

// reduced announces the namespaces whose records of the interval list less than all.
func (r *UsageRecordReconciler) reduced(ctx context.Context, plan *record.Plan, interval usage.Window, now int64) {
	for _, of := range r.shares.reduced(plan.Reduced(), now) {
		r.announce(ctx, "RecordsReduced", "PublishRecords", of.Namespace, noteReduced(of, interval, r.Schedule.Deployments))
	}
}

func (r *UsageRecordReconciler) announce(ctx context.Context, reason, action, namespace, note string) {
	ctrl.LoggerFrom(ctx).Info(note, "reason", reason)
	r.Health.announce(announcement{kind: corev1.EventTypeWarning, reason: reason, action: action, namespace: namespace, note: note})
}
