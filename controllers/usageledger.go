package controllers

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/archive"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/memory"
)

// LedgerState keeps the UsageLedger up to date while this replica leads: how far the ledger
// is, what it takes, and when that will be too much. It foresees when the journal comes to its
// budget, and tells so ahead of time. It is safe for concurrent use.
type LedgerState struct {
	Log    logr.Logger
	Client client.Client // which does not cache
	Clock  clock.WithTicker
	// Key is the UsageLedger's, Identity this replica's.
	Key      client.ObjectKey
	Identity string
	Health   *Health
	Journal  interface{ Size() journal.Size }
	// SealedTime is the end of the last sealed interval, in seconds since the epoch; 0: there is none.
	SealedTime func() int64
	// Taken is how many bytes all records, and the statuses of all reports, take.
	Taken    func() (records, reports int64)
	Schedule Schedule
	// HotDays is --hot-days.
	HotDays int64
	// Announce makes an Event; nil: none is made.
	Announce func(announcement)

	// again has it written before its time.
	again chan struct{}

	mu       sync.Mutex
	bytes    int64        // of the journal
	trend    memory.Trend // of them
	forecast memory.Forecast
	near     bool // the journal is about to come to its budget
	missing  bool // the kind is not there
}

// Start writes until ctx is done.
func (l *LedgerState) Start(ctx context.Context) error {
	ticker := l.Clock.NewTicker(lookEvery)
	defer ticker.Stop()
	l.look(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			l.look(ctx)
		case <-l.again:
			l.put(ctx)
		}
	}
}

// Changed says that there is something new, that is not to wait for a minute.
func (l *LedgerState) Changed() {
	select {
	case l.again <- struct{}{}:
	default:
	}
}

// look takes a sample, tells what is to be told, and writes.
func (l *LedgerState) look(ctx context.Context) {
	l.foresee(l.Journal.Size().Bytes)
	l.put(ctx)
}

// put writes, and says why it cannot.
func (l *LedgerState) put(ctx context.Context) {
	err := l.write(ctx)
	missing := meta.IsNoMatchError(err) || apierrors.IsNotFound(err)
	l.mu.Lock()
	again := missing && l.missing
	l.missing = missing
	l.mu.Unlock()
	switch {
	case err == nil, ctx.Err() != nil, again:
	case missing:
		l.Log.Info("there is no UsageLedger: the CRDs are of an earlier version; apply those of this one", "error", err.Error())
	default:
		l.Log.Info("cannot write the UsageLedger; trying again in a minute", "ledger", l.Key.String(), "error", err.Error())
	}
}

// foresee takes in how large the journal is.
func (l *LedgerState) foresee(bytes int64) {
	now := l.Clock.Now()
	l.mu.Lock()
	if bytes < l.bytes*9/10 {
		l.trend, l.forecast = memory.Trend{}, memory.Forecast{} // it was cut: what it grew by before tells nothing any more
	}
	l.bytes = bytes
	if l.trend.Add(now.Unix(), bytes) {
		l.forecast = l.trend.Forecast(l.Schedule.JournalBudget)
	}
	ahead := foreseenFor
	if l.near {
		ahead = roomFor
	}
	budget, at := l.Schedule.JournalBudget, l.forecast.Reached
	is := budget > 0 && bytes <= budget && at > 0 && at < now.Add(ahead).Unix()
	was, note := l.near, l.nearRemedy()
	l.near = is
	l.mu.Unlock()
	switch {
	case is && !was:
		l.tell(announcement{kind: corev1.EventTypeWarning, reason: v1alpha1.ReasonJournalNearBudget, action: writeJournal, note: note})
	case was && !is && bytes <= budget: // for one that is over it there is another Event
		l.tell(announcement{
			kind: corev1.EventTypeNormal, reason: "JournalWithinBudget", action: writeJournal,
			note: "The journal is not about to reach its budget any more.",
		})
	}
}

func (l *LedgerState) tell(a announcement) {
	l.Log.Info(a.note, "reason", a.reason)
	if l.Announce != nil {
		l.Announce(a)
	}
}

// nearRemedy says what is foreseen, and what to do. Called under the lock.
func (l *LedgerState) nearRemedy() string {
	return fmt.Sprintf("the journal grows by %s a day, and comes to --journal-budget=%s about %s; nothing of it is deleted then: "+
		"see that etcd has room for more (--quota-backend-bytes) and raise the budget, archive and cut it (--archive, --archive-cut), or meter fewer kinds",
		rounded(int64(l.forecast.Growth*86400)), rounded(l.Schedule.JournalBudget), text(time.Unix(l.forecast.Reached, 0)))
}

// foreseen is how fast the journal grows, in bytes a second, and when it comes to its budget,
// in seconds since the epoch; 0: that cannot be foreseen.
func (l *LedgerState) foreseen() memory.Forecast {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.forecast
}

// write brings the object up to date, and creates it where there is none.
func (l *LedgerState) write(ctx context.Context) error {
	ledger := &v1alpha1.UsageLedger{}
	err := l.Client.Get(ctx, l.Key, ledger)
	if apierrors.IsNotFound(err) {
		ledger.Namespace, ledger.Name = l.Key.Namespace, l.Key.Name
		err = l.Client.Create(ctx, ledger)
	}
	if err != nil {
		return err
	}
	conditions := ledger.Status.Conditions
	ledger.Status = l.status()
	ledger.Status.Conditions = conditions
	setConditions(&ledger.Status.Conditions, ledger.Generation, ledger.Status.ObservedTime, l.conditions()...)
	if l.Health.Archivist == nil {
		meta.RemoveStatusCondition(&ledger.Status.Conditions, v1alpha1.ConditionArchived)
	}
	if l.Health.Shipper == nil {
		meta.RemoveStatusCondition(&ledger.Status.Conditions, v1alpha1.ConditionShipped)
	}
	return l.Client.Status().Update(ctx, ledger)
}

// status is what there is to say, but for the conditions.
func (l *LedgerState) status() v1alpha1.UsageLedgerStatus {
	leader, _, _ := strings.Cut(l.Identity, "_") // the pod's name is before it
	s := v1alpha1.UsageLedgerStatus{
		ObservedTime: metav1.NewTime(l.Clock.Now().UTC().Truncate(time.Second)), Leader: leader,
		Journal: sizeOf(l.Journal.Size().Bytes, l.Schedule.JournalBudget, l.foreseen()),
	}
	records, reports := l.Taken()
	s.Records = sizeOf(records, l.Schedule.Budget, memory.Forecast{})
	s.Reports = sizeOf(reports, l.Schedule.ReportBudget, memory.Forecast{})
	if sealed := l.SealedTime(); sealed > 0 {
		s.SealedTime = timeOf(sealed)
		s.HotTime = timeOf(int64(archive.DayOf(sealed)) - l.HotDays*86400)
	}
	if m := l.Health.Memory; m != nil {
		held, limit, forecast := m.figures()
		s.Memory, s.Segments = sizeOf(held, limit, forecast), int64(m.Segments())
	}
	if a := l.Health.Archivist; a != nil {
		through, cut := a.reached()
		s.Archive = &v1alpha1.LedgerArchive{ThroughTime: timeOf(through), CutThroughTime: timeOf(cut)}
	}
	s.Hub = l.Health.Shipper.state()
	return s
}

// conditions are what the object says of how things are.
func (l *LedgerState) conditions() []metav1.Condition {
	found := l.Health.finding()
	state := account{standing: ready, reason: v1alpha1.ReasonSealing}
	if found.reason != "" {
		state = account{standing: reconciling, reason: found.reason, message: found.message}
	}
	conditions := append(state.conditions(), l.withinLimits())
	if a := l.Health.Archivist; a != nil {
		archived := metav1.Condition{Type: v1alpha1.ConditionArchived, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonArchived}
		if said := a.finding(); said != "" {
			archived.Status, archived.Reason, archived.Message = metav1.ConditionFalse, v1alpha1.ReasonArchiveUnavailable, limit(said, maxMessage)
		}
		conditions = append(conditions, archived)
	}
	if shipped := l.Health.Shipper.condition(); shipped != nil {
		conditions = append(conditions, *shipped)
	}
	return conditions
}

func (l *LedgerState) withinLimits() metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionWithinLimits, Status: metav1.ConditionFalse}
	memory, over := l.Health.Memory.finding(), l.Health.isOverBudget()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case memory != "":
		c.Reason, c.Message = v1alpha1.ReasonMemoryNearLimit, memory
	case over:
		c.Reason, c.Message = v1alpha1.ReasonJournalOverBudget, l.Health.budgetRemedy()+l.Health.Shipper.withheld()
	case l.near:
		c.Reason, c.Message = v1alpha1.ReasonJournalNearBudget, l.nearRemedy()+l.Health.Shipper.withheld()
	default:
		c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonRoom
	}
	return c
}

// sizeOf is a size as the object has it; 0 for the limit: there is none.
func sizeOf(used, limit int64, forecast memory.Forecast) *v1alpha1.LedgerSize {
	s := &v1alpha1.LedgerSize{Used: *rounded(used), LimitTime: timeOf(forecast.Reached)}
	if limit > 0 {
		s.Limit = rounded(limit)
	}
	if forecast.Growth > 0 {
		s.GrowthPerDay = rounded(int64(forecast.Growth * 86400))
	}
	return s
}

// rounded is a number of bytes to two digits or more, rounded up: 12Mi, and not 12373221.
func rounded(bytes int64) *resource.Quantity {
	unit := int64(1)
	for bytes/unit >= 10<<10 {
		unit <<= 10
	}
	return resource.NewQuantity((bytes+unit-1)/unit*unit, resource.BinarySI)
}

// timeOf is a moment in seconds since the epoch; nil for 0.
func timeOf(seconds int64) *metav1.Time {
	if seconds == 0 {
		return nil
	}
	return &metav1.Time{Time: time.Unix(seconds, 0).UTC()}
}
