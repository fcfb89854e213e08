package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/recorder"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// UsageReportScheduleReconciler makes the reports of UsageReportSchedules and
// ClusterUsageReportSchedules: one for each period that is over and sealed.
type UsageReportScheduleReconciler struct {
	client.Client
	Answers *Answers
	Clock   clock.PassiveClock
	Events  recorder.EventRecorder

	pace pace
	// said is the statuses as written last, by schedule: what other clients write is ignored.
	said sync.Map // of reportKey to saidStatus
}

// saidStatus is a schedule's status as it was written last.
type saidStatus struct {
	uid types.UID
	v1alpha1.ReportScheduleStatus
}

// SetupWithManager starts the controller with the manager.
func (r *UsageReportScheduleReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("usagereportschedule").
		For(&v1alpha1.UsageReportSchedule{}).
		Watches(&v1alpha1.ClusterUsageReportSchedule{}, &handler.EnqueueRequestForObject{}).
		WatchesRawSource(source.Func(r.follow)).
		WithOptions(fairly(controller.Options{})).
		Complete(r)
}

// follow has schedules looked at again when something was sealed.
func (r *UsageReportScheduleReconciler) follow(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	return r.Answers.follow(ctx, func() {
		inNamespaces, ofCluster := &v1alpha1.UsageReportScheduleList{}, &v1alpha1.ClusterUsageReportScheduleList{}
		if err := errors.Join(r.List(ctx, inNamespaces), r.List(ctx, ofCluster)); err != nil && ctx.Err() == nil {
			ctrl.LoggerFrom(ctx).Error(err, "cannot list report schedules: what is due is made at the next seal")
		}
		for i := range inNamespaces.Items {
			queue.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&inNamespaces.Items[i])})
		}
		for i := range ofCluster.Items {
			queue.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&ofCluster.Items[i])})
		}
	})
}

// series is a schedule of either kind.
type series struct {
	client.Object
	timing *v1alpha1.ScheduleTiming
	status *v1alpha1.ReportScheduleStatus
	// report is the one of a window, without its metadata's names.
	report func(window v1alpha1.ReportWindow) client.Object
	shape  *v1alpha1.ReportShape
	common *v1alpha1.TemplateMetadata
	list   client.ObjectList // of such reports
}

func (r *UsageReportScheduleReconciler) get(ctx context.Context, key reportKey) (*series, error) {
	if key.Namespace == "" {
		found := &v1alpha1.ClusterUsageReportSchedule{}
		err := r.Get(ctx, key, found)
		template := &found.Spec.Template
		return &series{
			Object: found, timing: &found.Spec.ScheduleTiming, status: &found.Status,
			shape: &template.Spec.ReportShape, common: &template.Metadata, list: &v1alpha1.ClusterUsageReportList{},
			report: func(window v1alpha1.ReportWindow) client.Object {
				return &v1alpha1.ClusterUsageReport{Spec: v1alpha1.ClusterUsageReportSpec{ReportWindow: window, Filters: template.Spec.Filters}}
			},
		}, err
	}
	found := &v1alpha1.UsageReportSchedule{}
	err := r.Get(ctx, key, found)
	template := &found.Spec.Template
	return &series{
		Object: found, timing: &found.Spec.ScheduleTiming, status: &found.Status,
		shape: &template.Spec.ReportShape, common: &template.Metadata, list: &v1alpha1.UsageReportList{},
		report: func(window v1alpha1.ReportWindow) client.Object {
			return &v1alpha1.UsageReport{Spec: v1alpha1.UsageReportSpec{ReportWindow: window, Filters: template.Spec.Filters}}
		},
	}, err
}

// defaultHistory is how many reports are kept where the spec does not say: a year of months.
const defaultHistory = 12

// Reconcile makes the reports that are due, and deletes those that are too many.
func (r *UsageReportScheduleReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	s, err := r.get(ctx, req.NamespacedName)
	if apierrors.IsNotFound(err) {
		r.said.Delete(req.NamespacedName)
	}
	if err != nil || !s.GetDeletionTimestamp().IsZero() {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := s.status.DeepCopy()
	if known, is := r.said.Load(req.NamespacedName); is && known.(saidStatus).uid == s.GetUID() {
		said := known.(saidStatus).ReportScheduleStatus
		*s.status = *said.DeepCopy()
	}
	standing, wait, err := r.keepUp(ctx, s)
	if err != nil {
		return ctrl.Result{}, err
	}
	s.status.ObservedGeneration = s.GetGeneration()
	setConditions(&s.status.Conditions, s.GetGeneration(), metav1.NewTime(r.Clock.Now().Truncate(time.Second)), standing.conditions()...)
	r.said.Store(req.NamespacedName, saidStatus{uid: s.GetUID(), ReportScheduleStatus: *s.status.DeepCopy()})
	if !equality.Semantic.DeepEqual(before, s.status) {
		if err = r.Status().Update(ctx, s.Object); err == nil {
			r.announce(s, before.Conditions)
		}
	}
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: conflictRetry}, nil // the cache is behind our own last write
	}
	return ctrl.Result{RequeueAfter: wait}, client.IgnoreNotFound(err)
}

// announce creates an Event for a schedule that makes no reports any more until a person acts.
func (r *UsageReportScheduleReconciler) announce(s *series, before []metav1.Condition) {
	if stalled := turned(before, s.status.Conditions, v1alpha1.ConditionStalled); stalled != nil {
		r.Events.Eventf(s.Object, nil, corev1.EventTypeWarning, stalled.Reason, "CreateReport", "%s", limit(stalled.Message, maxNote))
	}
}

// keepUp creates the reports that are due, within the limits. What needs action is in
// the account; wait is after how long there is more to do. An error means: try again.
func (r *UsageReportScheduleReconciler) keepUp(ctx context.Context, s *series) (as account, wait time.Duration, err error) {
	switch {
	case s.timing.Suspend:
		s.status.NextScheduleTime = nil
		return account{standing: ready, reason: v1alpha1.ReasonSuspended, message: "spec.suspend is true: no reports are made"}, 0, nil
	case !r.Answers.Loaded():
		return account{standing: reconciling, reason: v1alpha1.ReasonWaitingForLedger, message: "the ledger is being loaded"}, 0, nil
	}
	schedule, err := report.NewSchedule(s.timing, s.GetCreationTimestamp().Unix())
	if refused := report.Refused(err); refused != nil {
		s.status.NextScheduleTime = nil
		return account{standing: stalled, reason: refused.Reason, message: refused.Message}, 0, nil
	}
	if err != nil {
		return account{}, 0, err
	}
	history := int(s.timing.HistoryLimit)
	if history == 0 {
		history = defaultHistory
	}
	sealed := r.Answers.Snapshot().Sealed()
	progress := schedule.Valid(s.progress(), sealed)
	missing, next := schedule.Missing(progress, sealed, history)
	made := 0
	for made < len(missing) && wait == 0 && err == nil {
		if wait, err = r.create(ctx, s, s.GetName()+"-"+schedule.Suffix(missing[made]), missing[made]); wait == 0 && err == nil {
			made++
		}
	}
	s.goesOn(schedule, progress.After(missing, made), missing)
	if errors.Is(err, errNameTaken) {
		return account{standing: stalled, reason: v1alpha1.ReasonNameTaken, message: fmt.Sprintf(
			"a report %s that this schedule did not make is in the way: delete or rename it", s.GetName()+"-"+schedule.Suffix(missing[made]))}, 0, nil
	}
	if err != nil {
		return account{}, 0, err
	}
	s.status.NextScheduleTime = nil
	if next.End > 0 {
		at := metav1.Unix(next.End, 0)
		s.status.NextScheduleTime = &at
	}
	as = account{standing: ready, reason: v1alpha1.ReasonScheduled, message: "a report was made for each period that is over and sealed"}
	if left := len(missing) - made; left > 0 {
		as.reason, as.message = v1alpha1.ReasonCatchingUp, fmt.Sprintf(
			"the reports of %d periods from %s to %s are still to be made, the newest first: in a namespace %d at once, and then one a minute",
			left, stamp(missing[len(missing)-1].Start), stamp(missing[made].End), reportsAtOnce)
	}
	return as, wait, r.prune(ctx, s, history)
}

// progress is how far the schedule has come, by its status.
func (s *series) progress() (p report.Progress) {
	if w := s.status.LastPeriod; w != nil {
		p.Last = w.EndTime.Unix()
	}
	if w := s.status.Backlog; w != nil {
		p.Backlog = usage.Window{Start: w.StartTime.Unix(), End: w.EndTime.Unix()}
	}
	return p
}

// goesOn sets in the status how far the schedule has come, of what was missing.
func (s *series) goesOn(schedule *report.Schedule, p report.Progress, missing []usage.Window) {
	window := func(w usage.Window) *v1alpha1.TimeWindow {
		return &v1alpha1.TimeWindow{StartTime: metav1.Unix(w.Start, 0), EndTime: metav1.Unix(w.End, 0)}
	}
	switch {
	case p.Last == 0:
		s.status.LastPeriod, s.status.LastReport = nil, ""
	case len(missing) > 0 && missing[0].End == p.Last:
		s.status.LastPeriod, s.status.LastReport = window(missing[0]), s.GetName()+"-"+schedule.Suffix(missing[0])
	}
	s.status.Backlog = nil
	if p.Backlog.Seconds() > 0 {
		s.status.Backlog = window(p.Backlog)
	}
}

var errNameTaken = errors.New("the name is taken")

// create creates a period's report, or returns how long to wait. A report that exists
// already counts as created.
func (r *UsageReportScheduleReconciler) create(ctx context.Context, s *series, name string, period usage.Window) (wait time.Duration, err error) {
	made, err := r.draft(s, name, period)
	if err != nil {
		return 0, err
	}
	there := made.DeepCopyObject().(client.Object)
	err = r.Get(ctx, client.ObjectKeyFromObject(made), there)
	if apierrors.IsNotFound(err) {
		if wait = r.pace.take(s.GetNamespace(), r.Clock.Now()); wait > 0 {
			return wait, nil
		}
		if err = r.Create(ctx, made); err == nil {
			r.Events.Eventf(s.Object, made, corev1.EventTypeNormal, "Created", "CreateReport", "made the report %s", name)
			return 0, nil
		}
		if apierrors.IsAlreadyExists(err) {
			err = r.Get(ctx, client.ObjectKeyFromObject(made), there) // an error too where the cache does not have it yet
		}
	}
	if err == nil && !metav1.IsControlledBy(there, s.Object) {
		err = errNameTaken
	}
	return 0, err
}

// draft is a period's report, to be created.
func (r *UsageReportScheduleReconciler) draft(s *series, name string, period usage.Window) (client.Object, error) {
	start, end := metav1.Unix(period.Start, 0), metav1.Unix(period.End, 0)
	window := v1alpha1.ReportWindow{ReportShape: *s.shape.DeepCopy(), StartingOn: &start, EndingBefore: &end}
	if window.TimeZone == "" {
		window.TimeZone = s.timing.TimeZone
	}
	made := s.report(window)
	made.SetNamespace(s.GetNamespace())
	made.SetName(name)
	labels, annotations := map[string]string{}, map[string]string{}
	for key, value := range s.common.Labels {
		labels[key] = string(value)
	}
	for key, value := range s.common.Annotations {
		annotations[key] = string(value)
	}
	labels[v1alpha1.LabelSchedule] = s.GetName()
	made.SetLabels(labels)
	made.SetAnnotations(annotations)
	return made, controllerutil.SetControllerReference(s.Object, made, r.Scheme(), controllerutil.WithBlockOwnerDeletion(false))
}

// prune deletes the schedule's oldest reports, if there are more than it keeps.
func (r *UsageReportScheduleReconciler) prune(ctx context.Context, s *series, history int) error {
	err := r.List(ctx, s.list, client.InNamespace(s.GetNamespace()), client.MatchingLabels{v1alpha1.LabelSchedule: s.GetName()})
	if err != nil {
		return err
	}
	for _, old := range s.surplus(history) {
		if err := r.Delete(ctx, old); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}
