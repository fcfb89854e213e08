package controllers

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/recorder"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/timeline"
)

// UsageReportReconciler makes UsageReports and ClusterUsageReports say what the
// timeline says: when their spec changes, at each seal and each correction, and
// when a rolling period moves on.
type UsageReportReconciler struct {
	client.Client
	Answers *Answers
	Clock   clock.PassiveClock
	Events  recorder.EventRecorder
	// Interval is how long recording intervals are, in seconds.
	Interval int64
	// Health tells what stands in every report's way.
	Health *Health
	// Budget is what the statuses of all reports may take.
	Budget *ReportBudget
	// Timings observe how long reports take; nil disables it.
	Timings *Timings

	tallies  *tallies
	statuses *statusWriter
	queue    atomic.Pointer[queue]
	told     atomic.Pointer[news]
}

// news is what there was to tell the last time.
type news struct {
	relearnt uint64
	reason   string // of what stands in every report's way
}

// reportKey names a UsageReport or, without a namespace, a ClusterUsageReport.
type reportKey = types.NamespacedName

// reportConcurrency is how many reports are made at the same time: one is added up
// while another is written.
const reportConcurrency = 2

// SetupWithManager starts the controller with the manager.
func (r *UsageReportReconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.tallies, r.statuses = newTallies(maxKept), newStatusWriter(r.Client)
	// Also of changes to the status alone, so that one that somebody else wrote is put back.
	others := builder.WithPredicates(r.statuses.others())
	return ctrl.NewControllerManagedBy(mgr).
		Named("usagereport").
		For(&v1alpha1.UsageReport{}, others).
		Watches(&v1alpha1.ClusterUsageReport{}, &handler.EnqueueRequestForObject{}, others).
		WatchesMetadata(namespaceNamed(""), handler.EnqueueRequestsFromMapFunc(r.selecting), builder.WithPredicates(predicate.LabelChangedPredicate{})).
		WatchesRawSource(source.Func(r.follow)).
		WithOptions(fairly(controller.Options{MaxConcurrentReconciles: reportConcurrency})).
		Complete(r)
}

// namespaceNamed is a namespace's metadata, to be read.
func namespaceNamed(name string) *metav1.PartialObjectMetadata {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	namespace.Name = name
	return namespace
}

// follow has reports made again when something was sealed or corrected.
func (r *UsageReportReconciler) follow(ctx context.Context, queue queue) error {
	r.queue.Store(&queue)
	return r.Answers.follow(ctx, func() {
		now := &news{relearnt: r.Answers.Snapshot().Relearnt(), reason: r.Health.finding().reason}
		before := r.told.Swap(now)
		for _, s := range r.all(ctx) {
			// What is sealed and told is only told again if something else is known of it.
			if before == nil || *now != *before || !s.isDone() || !r.statuses.isOurs(s) {
				queue.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(s)})
			}
		}
	})
}

// again enqueues reports that are affected by another change.
func (r *UsageReportReconciler) again(reports []reportKey) {
	queue := r.queue.Load()
	if queue == nil {
		return
	}
	for _, report := range reports {
		(*queue).Add(reconcile.Request{NamespacedName: report})
	}
}

// selecting are the reports that choose namespaces by their labels, or name this one.
func (r *UsageReportReconciler) selecting(ctx context.Context, namespace client.Object) []reconcile.Request {
	var requests []reconcile.Request
	for _, s := range r.all(ctx) {
		if s.cluster != nil && (s.cluster.NamespaceSelector != nil || slices.Contains(s.cluster.Namespaces, v1alpha1.FilterValue(namespace.GetName()))) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(s)})
		}
	}
	return requests
}

// subject is a report of either kind.
type subject struct {
	client.Object
	window  *v1alpha1.ReportWindow
	filters *v1alpha1.ReportFilters
	cluster *v1alpha1.ClusterReportFilters // of a ClusterUsageReport that has filters
	status  *v1alpha1.UsageReportStatus
	// there are the namespaces that exist now, where the filters name some; selectsNone is that
	// their selector lets none through.
	there       []timeline.NamespaceRef
	selectsNone bool
}

// isDone tells whether a seal changes nothing about the report: its window is over
// and sealed, or it is suspended.
func (s *subject) isDone() bool {
	return s.window.Suspend || meta.IsStatusConditionTrue(s.status.Conditions, v1alpha1.ConditionComplete)
}

func namespaced(r *v1alpha1.UsageReport) *subject {
	return &subject{Object: r, window: &r.Spec.ReportWindow, filters: r.Spec.Filters, status: &r.Status}
}

func clusterwide(r *v1alpha1.ClusterUsageReport) *subject {
	s := &subject{Object: r, window: &r.Spec.ReportWindow, cluster: r.Spec.Filters, status: &r.Status}
	if s.cluster != nil {
		s.filters = &s.cluster.ReportFilters
	}
	return s
}

func (r *UsageReportReconciler) get(ctx context.Context, key reportKey) (*subject, error) {
	if key.Namespace == "" {
		found := &v1alpha1.ClusterUsageReport{}
		err := r.Get(ctx, key, found)
		return clusterwide(found), err
	}
	found := &v1alpha1.UsageReport{}
	err := r.Get(ctx, key, found)
	return namespaced(found), err
}

// all are the reports that there are, to be read.
func (r *UsageReportReconciler) all(ctx context.Context) []*subject {
	var found []*subject
	inNamespaces, ofCluster := &v1alpha1.UsageReportList{}, &v1alpha1.ClusterUsageReportList{}
	for _, list := range []client.ObjectList{inNamespaces, ofCluster} {
		if err := r.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil && ctx.Err() == nil {
			ctrl.LoggerFrom(ctx).Error(err, "cannot list reports: they are not refreshed now")
		}
	}
	for i := range inNamespaces.Items {
		found = append(found, namespaced(&inNamespaces.Items[i]))
	}
	for i := range ofCluster.Items {
		found = append(found, clusterwide(&ofCluster.Items[i]))
	}
	return found
}

// Reconcile makes one report.
func (r *UsageReportReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	s, err := r.get(ctx, req.NamespacedName)
	if err != nil {
		r.tallies.drop(req.NamespacedName)
		r.again(r.Budget.drop(req.NamespacedName))
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	now := r.Clock.Now()
	made, err := r.make(ctx, s, now.Unix())
	if err != nil {
		return ctrl.Result{}, err
	}
	r.Timings.reported(r.Clock.Since(now))
	before := s.status.DeepCopy()
	*s.status = made.status(before, s.GetGeneration(), metav1.NewTime(now.Truncate(time.Second)))
	switch {
	case made.standing == stalled:
		r.again(r.Budget.drop(req.NamespacedName))
	case made.figures != nil:
		if over := r.overBudget(req.NamespacedName, s.status); over != nil {
			made = over
			*s.status = made.status(before, s.GetGeneration(), metav1.NewTime(now.Truncate(time.Second)))
		}
	}
	err = r.put(ctx, s, made, before)
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: conflictRetry}, nil // the cache is behind our own last write
	}
	if err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if made.rolls > 0 {
		return ctrl.Result{RequeueAfter: max(time.Second, time.Unix(made.rolls, 0).Sub(now))}, nil
	}
	return ctrl.Result{}, nil
}

// put writes the report's status if it is not what it should be.
func (r *UsageReportReconciler) put(ctx context.Context, s *subject, made *made, before *v1alpha1.UsageReportStatus) error {
	fields := map[string]any{"/status": s.status}
	if made.keeps() {
		fields = map[string]any{"/status/conditions": s.status.Conditions, "/status/observedGeneration": s.status.ObservedGeneration}
	}
	was, _ := sumOf(before)
	is, _ := sumOf(s.status)
	if was == is && (!made.keeps() || equality.Semantic.DeepEqual(before, s.status)) {
		if !made.keeps() {
			r.statuses.found(s)
		}
		return nil
	}
	if err := r.statuses.write(ctx, s.Object, fields); err != nil {
		return err
	}
	r.announce(s, made, before)
	return nil
}

// overBudget is the result for a report whose status does not fit into the budget.
func (r *UsageReportReconciler) overBudget(report reportKey, status *v1alpha1.UsageReportStatus) *made {
	_, bytes := sumOf(status)
	granted, others := r.Budget.want(report, bytes)
	r.again(others)
	if granted {
		return nil
	}
	return &made{account: account{standing: stalled, reason: v1alpha1.ReasonOverBudget, message: fmt.Sprintf(
		"the status would take %s, and those of all reports may take %s together (--report-budget), of which this namespace has its share: "+
			"lower spec.limit, group by fewer keys, or delete reports of this namespace", inBytes(bytes), inBytes(r.Budget.bytes))}}
}

// make reckons the report as it is now. An error is something to try again.
func (r *UsageReportReconciler) make(ctx context.Context, s *subject, now int64) (*made, error) {
	switch {
	case !r.Answers.Loaded():
		return &made{account: account{standing: reconciling, reason: v1alpha1.ReasonWaitingForLedger, message: "the ledger is being loaded"}}, nil
	case r.Health.Damaged():
		whole := r.Health.finding()
		return &made{account: account{standing: reconciling, reason: whole.reason, message: "the report stays as it is: " + whole.message}}, nil
	}
	request, err := r.request(ctx, s)
	var out *made
	switch {
	case err != nil:
	case s.window.Suspend && s.status.Window == nil: // it was never made
		out = (&made{figures: &v1alpha1.UsageReportStatus{}}).suspended(true)
	case s.window.Suspend:
		out, err = r.reckonAgain(s, request, now)
	default:
		var resolved *report.Resolved
		if resolved, err = report.Resolve(request, now); err == nil {
			out, err = r.reckon(s, resolved)
		}
	}
	if refused := report.Refused(err); refused != nil {
		return &made{account: account{standing: stalled, reason: refused.Reason, message: refused.Message}}, nil
	}
	if err != nil {
		return nil, err
	}
	if whole := r.Health.finding(); whole.reason != "" {
		out.message += "; " + whole.message
	}
	return out, nil
}

// reckon adds up what the report asks for.
func (r *UsageReportReconciler) reckon(s *subject, resolved *report.Resolved) (*made, error) {
	snapshot := r.Answers.Snapshot()
	var figures *v1alpha1.UsageReportStatus
	err := r.tallies.use(client.ObjectKeyFromObject(s), resolved.Query, snapshot, snapshot.Sealed(), func(tally *timeline.Tally) (err error) {
		figures, err = report.Figures(resolved, tally)
		return err
	})
	if err != nil {
		return nil, err
	}
	return reported(resolved, figures, snapshot.Sealed(), r.Interval).found(s.checkNames(snapshot, &resolved.Query)).suspended(s.window.Suspend), nil
}

// reckonAgain computes again what a suspended report said: another client may have
// written its status.
func (r *UsageReportReconciler) reckonAgain(s *subject, request report.Request, now int64) (*made, error) {
	resolved, err := report.As(request, s.status, now)
	if err != nil {
		return nil, err
	}
	snapshot := r.Answers.Snapshot()
	r.tallies.adding.Lock()
	figures, err := report.FiguresAs(resolved, s.status, snapshot, r.tallies.limits)
	r.tallies.adding.Unlock()
	if err != nil {
		return nil, err
	}
	sealed := min(reached(s.status), snapshot.Sealed())
	return reported(resolved, figures, sealed, r.Interval).found(s.checkNames(snapshot, &resolved.Query)).suspended(true), nil
}

// reached is up to when a status says that it reaches, in seconds since the epoch; 0: it does not.
func reached(s *v1alpha1.UsageReportStatus) int64 {
	if s.SealedTime == nil {
		return 0
	}
	return s.SealedTime.Unix()
}

// request is what the report asks for: of its own namespace alone or, of the
// whole cluster, of the namespaces that its filters let through.
func (r *UsageReportReconciler) request(ctx context.Context, s *subject) (report.Request, error) {
	request := report.Request{Window: s.window, Filters: s.filters}
	if own := s.GetNamespace(); own != "" {
		namespace := namespaceNamed(own)
		if err := r.Get(ctx, client.ObjectKeyFromObject(namespace), namespace); err != nil {
			return request, err
		}
		// Another namespace that had the name was another tenant's.
		request.Namespaces = []timeline.NamespaceRef{{Name: own, UID: string(namespace.UID)}}
		return request, nil
	}
	if s.cluster == nil {
		return request, nil
	}
	if len(s.cluster.Namespaces) > 0 {
		there, err := namespacesNow(ctx, r, labels.Everything())
		if err != nil {
			return request, err
		}
		s.there = there
	}
	if s.cluster.NamespaceSelector != nil {
		selected, err := r.selected(ctx, s.cluster)
		request.Namespaces, s.selectsNone = selected, len(selected) == 0
		return request, err
	}
	for _, name := range s.cluster.Namespaces {
		request.Namespaces = append(request.Namespaces, timeline.NamespaceRef{Name: string(name)})
	}
	return request, nil
}

// selected are the namespaces that a selector lets through; none is not nil.
func (r *UsageReportReconciler) selected(ctx context.Context, filters *v1alpha1.ClusterReportFilters) ([]timeline.NamespaceRef, error) {
	selector, err := metav1.LabelSelectorAsSelector(filters.NamespaceSelector)
	if err != nil {
		return nil, &report.Problem{Reason: v1alpha1.ReasonInvalidSelector, Message: "spec.filters.namespaceSelector: " + err.Error()}
	}
	selected, err := namespacesNow(ctx, r, selector)
	if err != nil {
		return nil, err
	}
	return report.Ordered(report.Named(selected, filters.Namespaces)), nil
}
