// Package controllers runs the operator: it applies UsageMeters to the collector,
// keeps the journal and seals intervals, publishes, repairs and prunes UsageRecords,
// computes UsageReports and creates those of schedules, and serves the usage API.
package controllers

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/collector"
	"github.com/usage-operator/usage-operator/internal/meter"
)

// conflictRetry is how long a write that lost against another waits.
const conflictRetry = 200 * time.Millisecond

// statusRefresh is how often a meter's figures are brought up to date.
const statusRefresh = 5 * time.Second

// UsageMeterReconciler takes up meters, and reports how they get on.
type UsageMeterReconciler struct {
	client.Client
	Collector *collector.Collector
	Mapper    meta.RESTMapper
	Clock     clock.PassiveClock
	// News names the meters whose status has something new to say.
	News <-chan event.TypedGenericEvent[string]
	// Health tells what stands in every meter's way.
	Health *Health
}

// SetupWithManager starts the controller with the manager.
func (r *UsageMeterReconciler) SetupWithManager(mgr ctrl.Manager) error {
	named := handler.TypedFuncs[string, reconcile.Request]{
		GenericFunc: func(_ context.Context, e event.TypedGenericEvent[string], q queue) {
			q.Add(request(e.Object))
		},
	}
	definitions := &metav1.PartialObjectMetadata{}
	definitions.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	return ctrl.NewControllerManagedBy(mgr).
		Named("usagemeter").
		For(&v1alpha1.UsageMeter{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesMetadata(definitions, handler.EnqueueRequestsFromMapFunc(r.kindsChanged),
			builder.WithPredicates(predicate.ResourceVersionChangedPredicate{})).
		WatchesRawSource(source.TypedChannel(r.News, named)).
		Complete(r)
}

// kindsChanged looks again at all meters when a kind was installed or removed.
func (r *UsageMeterReconciler) kindsChanged(ctx context.Context, _ client.Object) []reconcile.Request {
	meta.MaybeResetRESTMapper(r.Mapper)
	r.Collector.Discover()
	meters := &v1alpha1.UsageMeterList{}
	if err := r.List(ctx, meters); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "cannot list usage meters")
	}
	requests := make([]reconcile.Request, len(meters.Items))
	for i := range meters.Items {
		requests[i] = request(meters.Items[i].Name)
	}
	return requests
}

// Reconcile takes up one meter as its spec says, and brings its status up to date.
func (r *UsageMeterReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	m := &v1alpha1.UsageMeter{}
	if err := r.Get(ctx, req.NamespacedName, m); err != nil {
		if apierrors.IsNotFound(err) {
			r.Collector.Remove(req.Name)
			err = nil
		}
		return ctrl.Result{}, err
	}
	if !r.Collector.Started() {
		return ctrl.Result{RequeueAfter: 100 * time.Millisecond}, nil
	}
	now := metav1.NewTime(r.Clock.Now())

	finding, err := r.apply(m)
	if err != nil {
		return ctrl.Result{}, err
	}
	status, _ := r.Collector.Status(m.Name)
	err = r.report(ctx, m, meterStatus(m, finding, status, r.Health.finding(), now))
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: conflictRetry}, nil // the cache is behind our own last write
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: statusRefresh}, nil
}

// unservedFor is how many times the kind of a meter that was metered before is looked for, once a
// second, before it counts as uninstalled: an API server that has just started serves its custom
// resources only seconds later, and what is uninstalled ends what was held.
const unservedFor = 30

// TakeUp gives a function that applies every meter that reader knows. It is called again after an error.
func (r *UsageMeterReconciler) TakeUp(reader client.Reader) func(context.Context) error {
	looked := 0
	return func(ctx context.Context) error {
		meters := &v1alpha1.UsageMeterList{}
		if err := reader.List(ctx, meters); err != nil {
			return err
		}
		var unserved error
		for i := range meters.Items {
			m := &meters.Items[i]
			found, err := r.apply(m)
			if err != nil {
				return err
			}
			gone := found.reason == v1alpha1.ReasonTargetNotInstalled || found.reason == v1alpha1.ReasonVersionNotServed
			kind := schema.GroupKind{Group: m.Spec.Target.Group, Kind: m.Spec.Target.Kind}
			if gone && looked < unservedFor-1 && r.Collector.Resumes(m.Name, kind) {
				unserved = fmt.Errorf("UsageMeter %s: kind %s of group %q was metered, and is not served; that is looked for %d times", m.Name, m.Spec.Target.Kind, m.Spec.Target.Group, unservedFor)
			}
		}
		looked++
		return unserved
	}
}

// apply has the collector meter what the spec says. What stands in its way is
// the finding; an error is something to try again.
func (r *UsageMeterReconciler) apply(m *v1alpha1.UsageMeter) (finding, error) {
	if m.Spec.Suspend {
		r.Collector.Remove(m.Name)
		return suspended(), nil
	}
	target := m.Spec.Target
	kind := schema.GroupKind{Group: target.Group, Kind: target.Kind}
	var versions []string
	if target.Version != "" {
		versions = []string{target.Version}
	}
	mapping, err := r.Mapper.RESTMapping(kind, versions...)
	if meta.IsNoMatchError(err) {
		// Whether the expressions are right can be said all the same.
		if _, err := meter.Compile(m.Name, &m.Spec, m.Spec.Namespace == ""); err != nil {
			return invalid(err, false), nil
		}
		served, err := r.Mapper.RESTMappings(kind)
		if err != nil && !meta.IsNoMatchError(err) {
			return finding{}, fmt.Errorf("UsageMeter %s: find the versions of kind %s: %w", m.Name, kind, err)
		}
		return notInstalled(m, served), nil
	}
	if err != nil {
		return finding{}, fmt.Errorf("UsageMeter %s: find the resource of kind %s: %w", m.Name, kind, err)
	}
	compiled, err := meter.Compile(m.Name, &m.Spec, mapping.Scope.Name() == meta.RESTScopeNameNamespace)
	if err != nil {
		_, metering := r.Collector.Status(m.Name)
		if !metering {
			r.Collector.Remove(m.Name) // what there is counts from when it is put right
		}
		return invalid(err, metering), nil
	}
	return finding{mapping: mapping}, r.Collector.Apply(compiled, collector.Target{
		Mapping: mapping,
		Version: fmt.Sprintf("%s/%d", m.UID, m.Generation),
		Created: m.CreationTimestamp.Unix(),
		Edited:  edited(m),
	})
}

// edited is when one who has written the spec wrote last, in seconds since the epoch, as
// the managed fields say; 0: they do not say.
func edited(m *v1alpha1.UsageMeter) int64 {
	var newest int64
	for _, entry := range m.ManagedFields {
		if entry.Subresource == "" && entry.Time != nil && entry.FieldsV1 != nil && strings.Contains(entry.FieldsV1.GetRawString(), `"f:spec"`) {
			newest = max(newest, entry.Time.Unix())
		}
	}
	return newest
}

// report writes the status, when it says something new.
func (r *UsageMeterReconciler) report(ctx context.Context, m *v1alpha1.UsageMeter, status v1alpha1.UsageMeterStatus) error {
	if equality.Semantic.DeepEqual(m.Status, status) {
		return nil
	}
	m.Status = status
	return client.IgnoreNotFound(r.Status().Update(ctx, m))
}
