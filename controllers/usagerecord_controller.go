package controllers

import (
	"context"
	"errors"
	"time"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/usage-operator/usage-operator/internal/publisher"
	"github.com/usage-operator/usage-operator/internal/record"
	feed "github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Ledger is all that records are made from.
type Ledger interface {
	// Ready tells whether the ledger has begun, and Home knows the namespaces.
	Ready() bool
	// Accounts are those with usage inside the window; Changed those whose
	// segments changed since it was last called.
	Accounts(w usage.Window, now int64) []usage.Account
	Changed() []usage.Account
	// Cut is what the account held inside the window.
	Cut(account usage.Account, w usage.Window, now int64) []usage.Segment
	// Coverage is how the window is known, where it is not observed.
	Coverage(w usage.Window) []usage.Stretch
	// Home is the namespace in which an account's records are written.
	Home(account usage.Account) string
	// Forget drops what ended at or before the moment.
	Forget(before int64)
}

// UsageRecordReconciler makes the records of an account and an interval say
// what the ledger says.
type UsageRecordReconciler struct {
	Ledger    Ledger
	Publisher *publisher.Publisher
	// Records reads the metadata of usage records, so that one that is edited or
	// deleted is put back.
	Records feed.Client
	Clock   clock.WithTicker
	// Namespace is the operator's own.
	Namespace string
	Schedule  Schedule
	// Concurrency is how many accounts are published at once.
	Concurrency int
	// Sealed are the intervals whose seals are committed.
	Sealed *Sealed

	// Health tells whether the journal is whole.
	Health *Health

	intervals sealedIntervals
	shares    shares
	plans     plans
}

// SetupWithManager starts the controller with the manager.
func (r *UsageRecordReconciler) SetupWithManager(mgr ctrl.Manager) error {
	c, err := controller.NewTyped("usagerecord", mgr, controller.TypedOptions[record.Key]{
		Reconciler:              r,
		MaxConcurrentReconciles: r.Concurrency,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[record.Key](100*time.Millisecond, 30*time.Second),
	})
	if err != nil {
		return err
	}
	return c.Watch(source.TypedFunc[record.Key](func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[record.Key]) error {
		records := feed.New(r.Records, r.Publisher.Watcher(func(key record.Key) { queue.Add(key) }), r.Clock,
			feed.Options{Latest: true})
		go records.Run(ctx)
		go r.keepTime(ctx, queue)
		go r.keepTidy(ctx, queue)
		return nil
	}))
}

// ready tells whether what the ledger says can be published: it knows where to,
// and nothing of it is missing.
func (r *UsageRecordReconciler) ready() bool { return r.Ledger.Ready() && !r.Health.Damaged() }

// Reconcile publishes the records of one account and one interval.
func (r *UsageRecordReconciler) Reconcile(ctx context.Context, key record.Key) (reconcile.Result, error) {
	if !r.ready() {
		return reconcile.Result{RequeueAfter: 100 * time.Millisecond}, nil
	}
	now := r.Clock.Now().Unix()
	if key.Interval.End <= r.keptFrom(key.Account.Namespace, now) {
		return reconcile.Result{}, nil // pruned, and not to come back
	}
	in := record.Input{
		Key:       key,
		Namespace: r.Ledger.Home(key.Account),
		Coverage:  r.Ledger.Coverage(key.Interval),
		Final:     r.Sealed.Through() >= key.Interval.End,
		Now:       now,
	}
	if r.intervals.exists(key.Interval, &r.Schedule) { // else there is no record of it
		r.fill(&in)
	}
	err := r.Publisher.Publish(ctx, in)
	if errors.Is(err, publisher.ErrNamespaceGone) && in.Namespace != r.Namespace {
		in.Namespace = r.Namespace
		err = r.Publisher.Publish(ctx, in)
	}
	return reconcile.Result{}, err
}
