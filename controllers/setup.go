package controllers

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/archive"
	"github.com/usage-operator/usage-operator/internal/collector"
	"github.com/usage-operator/usage-operator/internal/hub/sender"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/usageblocks"
	"github.com/usage-operator/usage-operator/internal/memory"
	"github.com/usage-operator/usage-operator/internal/publisher"
	"github.com/usage-operator/usage-operator/internal/restclient"
	feed "github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/steadyclock"
)

// Options are what Setup needs beside a manager.
type Options struct {
	// Version is the operator's, as metrics show it.
	Version string
	// Namespace is the operator's own.
	Namespace string
	Schedule  Schedule
	// Concurrency is how many accounts are published at once.
	Concurrency int
	// CheckEvery is how often what is known is compared with what there is.
	CheckEvery time.Duration
	// OwnerKinds control what is metered, beside those that are known to.
	OwnerKinds []schema.GroupKind
	// Identity names this replica in the journal.
	Identity string
	// Cluster is the UID of the cluster: of its namespace kube-system.
	Cluster string
	// Clock is the machine's. Setup sees to it that time does not go back.
	Clock clock.WithTicker
	// Metrics is where the metrics are registered; nil: nowhere.
	Metrics prometheus.Registerer
	// UsageMetrics are what is shown there of usage.
	UsageMetrics UsageMetrics
	// Serving is how the usage API is served.
	Serving Serving
	// Memory is how much of it there is.
	Memory memory.Limit
	// HotDays is how many days, before the one that is being sealed, are not packed in memory.
	HotDays int64
	// Scratch is a folder for the days that are packed; empty: they are kept in memory.
	Scratch string
	// ScratchSize is how many bytes may lie there; what is more is kept in memory.
	ScratchSize int64
	// Archive is the URL of the archive; empty: there is none.
	Archive string
	// ArchiveCut has the journal leave out what is in the archive.
	ArchiveCut bool
	// Hub is where the journal is sent to; nil: nowhere.
	Hub *sender.Place
}

// pendingNews is how many meters' news may wait; what is lost comes with the
// next refresh of the status.
const pendingNews = 1024

// Setup adds the data path to the manager: sources, ledger, meters and records.
func Setup(mgr ctrl.Manager, o Options) (*collector.Collector, error) {
	config, httpClient := mgr.GetConfig(), mgr.GetHTTPClient()
	whole, err := dynamic.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, err
	}
	partial, err := metadata.NewForConfigAndClient(metadata.ConfigFor(config), httpClient)
	if err != nil {
		return nil, err
	}
	writer, err := restclient.New(config, httpClient)
	if err != nil {
		return nil, err
	}
	health := &Health{
		Log:           mgr.GetLogger().WithName("health"),
		Announce:      announcer(mgr.GetEventRecorder("usage-operator"), o.Namespace),
		JournalBudget: o.Schedule.JournalBudget,
	}
	steady := steadyclock.New(o.Clock, health.jumped)
	news := make(chan event.TypedGenericEvent[string], pendingNews)
	collected := collector.New(collector.Options{
		Dynamic: whole, Metadata: partial, Mapper: mgr.GetRESTMapper(), Clock: steady,
		Namespace: o.Namespace, OwnerKinds: o.OwnerKinds, CheckEvery: o.CheckEvery, Retention: o.Schedule.Retention, Memory: o.Memory,
		Log: mgr.GetLogger().WithName("collector"),
		Notify: func(meter string) {
			select {
			case news <- event.TypedGenericEvent[string]{Object: meter}:
			default:
			}
		},
	})
	answers, err := newHotAnswers(mgr, &o)
	if err != nil {
		return nil, err
	}
	sealed, timings := NewSealed(), NewTimings()
	health.Memory, err = addMemory(mgr, answers, &o, steady)
	if err != nil {
		return nil, err
	}
	health.Memory.Announce, health.Memory.Elected = health.Announce, mgr.Elected()
	if o.Hub != nil {
		health.Shipper = &Shipper{
			Log: mgr.GetLogger().WithName("hub"), Clock: steady, Hub: o.Hub.Client(o.Cluster), Announce: health.Announce,
		}
	}
	written, err := addJournal(mgr, health, answers, &o, steady)
	if err != nil {
		return nil, err
	}
	if err := addShipper(mgr, health.Shipper, written, &o); err != nil {
		return nil, err
	}
	if err := addArchivist(mgr, health, sealed, written, &o, steady); err != nil {
		return nil, err
	}
	meters := &UsageMeterReconciler{
		Client: mgr.GetClient(), Collector: collected, Mapper: mgr.GetRESTMapper(), Clock: steady, News: news, Health: health,
	}
	records := &UsageRecordReconciler{
		Sealed:      sealed,
		Health:      health,
		Ledger:      collected,
		Publisher:   publisher.New(writer, mgr.GetLogger().WithName("publisher")),
		Records:     feed.MetadataClient(partial, v1alpha1.GroupVersion.WithResource("usagerecords"), v1alpha1.GroupVersion.WithKind("UsageRecord")),
		Clock:       steady,
		Namespace:   o.Namespace,
		Schedule:    o.Schedule,
		Concurrency: o.Concurrency,
	}
	keeper := &Keeper{
		Collector: collected, Journal: written,
		Clock: steady, Schedule: o.Schedule, TakeUp: meters.TakeUp(mgr.GetAPIReader()), Sealed: sealed, Health: health, Timings: timings,
		Log: mgr.GetLogger().WithName("keeper"),
	}
	if o.ArchiveCut {
		keeper.Says = health.Archivist.Says
	}
	budget := NewReportBudget(o.Schedule.ReportBudget)
	state, err := addLedgerState(mgr, health, written, &o, steady)
	if err != nil {
		return nil, err
	}
	state.SealedTime = collected.Sealed
	state.Taken = func() (int64, int64) { return allRecords(records.Publisher).Bytes, budget.Taken() }
	if o.Metrics != nil {
		err = errors.Join(o.Metrics.Register(newBuildInfo(o.Version)), o.Metrics.Register(timings), o.Metrics.Register(newUsageMetrics(mgr, answers, &o)), o.Metrics.Register(&Metrics{
			Reports: budget, State: state,
			Collector: collected, Health: health, Journal: keeper.Journal, Publisher: records.Publisher, Clock: steady,
			Schedule: o.Schedule, Elected: mgr.Elected(), shares: &records.shares,
		}))
	}
	reports := &UsageReportReconciler{
		Client: mgr.GetClient(), Answers: answers, Clock: steady, Events: mgr.GetEventRecorder("usage-operator"),
		Interval: o.Schedule.Interval, Health: health, Budget: budget, Timings: timings,
	}
	schedules := &UsageReportScheduleReconciler{
		Client: mgr.GetClient(), Answers: answers, Clock: steady, Events: mgr.GetEventRecorder("usage-operator"),
	}
	return collected, errors.Join(err, mgr.Add(keeper), mgr.Add(&standby{journal: keeper.Journal, elected: mgr.Elected()}),
		meters.SetupWithManager(mgr), records.SetupWithManager(mgr), reports.SetupWithManager(mgr), schedules.SetupWithManager(mgr),
		addUsageAPI(mgr, answers, &o))
}

// addJournal is the cluster's journal, for this replica to write while it leads. Answers follow
// it. Where the journal is cut, they follow it by themselves: what is only in the archive is
// theirs alone, and what is written needs the same however long ago the first day was.
func addJournal(mgr ctrl.Manager, health *Health, answers *Answers, o *Options, time clock.Clock) (*journal.Journal, error) {
	if !o.ArchiveCut {
		return newJournal(mgr, o, journal.Options{Follower: answers, Past: pastOf(o), Clock: time, Acknowledged: health.Shipper.acknowledging()})
	}
	health.History = &history{Log: mgr.GetLogger().WithName("history"), Clock: time}
	reading, err := newJournal(mgr, o, journal.Options{
		Follower: answers, Past: pastOf(o), OnlyTold: true, Clock: time, Followed: health.History.note,
	})
	if err != nil {
		return nil, err
	}
	if err := mgr.Add(historian{health.History, reading}); err != nil {
		return nil, err
	}
	return newJournal(mgr, o, journal.Options{Past: pastOf(o), Lately: true, Cuts: true, Clock: time, Acknowledged: health.Shipper.acknowledging()})
}

// newJournal is one for the cluster's.
func newJournal(mgr ctrl.Manager, o *Options, as journal.Options) (*journal.Journal, error) {
	blocks, err := usageblocks.New(mgr.GetConfig(), mgr.GetHTTPClient(), o.Namespace)
	if err != nil {
		return nil, err
	}
	as.Store, as.Writer, as.Cluster, as.Log = blocks, o.Identity, o.Cluster, mgr.GetLogger().WithName("journal")
	as.Retention, as.InPortions = o.Schedule.Retention, true
	as.Fits = (&loading{log: as.Log, clock: as.Clock, fits: memory.NewGuard(o.Memory).Fits}).Fits
	return journal.New(as), nil
}

// pastOf is the archive; nil: there is none.
func pastOf(o *Options) journal.Past {
	if o.Archive == "" {
		return nil
	}
	return archive.Past{Options: archive.Options{URL: o.Archive, Cluster: o.Cluster}}
}

// archivePart is which part of the memory chapters may take while they are made: a quarter.
const archivePart = 4

// addArchivist has this replica archive while it leads, if there is an archive.
func addArchivist(mgr ctrl.Manager, health *Health, sealed *Sealed, written *journal.Journal, o *Options, time clock.WithTicker) error {
	if o.Archive == "" {
		return nil
	}
	blocks, err := usageblocks.New(mgr.GetConfig(), mgr.GetHTTPClient(), o.Namespace)
	if err != nil {
		return err
	}
	log := mgr.GetLogger().WithName("archive")
	health.Archivist = &Archivist{
		Log: log, Clock: time, Sealed: sealed, Announce: health.Announce,
		Journal: archive.Journal{Store: blocks, Clock: time, Log: log, Most: int(o.Memory.Bytes / archivePart / archive.SegmentBytes)},
		Open: func(ctx context.Context) (*archive.Archive, error) {
			return archive.Open(ctx, archive.Options{URL: o.Archive, Cluster: o.Cluster, Writes: true})
		},
	}
	if o.ArchiveCut {
		health.Archivist.Written = written
	}
	if o.Metrics != nil {
		if err := o.Metrics.Register(health.Archivist); err != nil {
			return err
		}
	}
	return mgr.Add(health.Archivist)
}

// addLedgerState has this replica write the UsageLedger while it leads.
func addLedgerState(mgr ctrl.Manager, health *Health, written *journal.Journal, o *Options, time clock.WithTicker) (*LedgerState, error) {
	uncached, err := client.New(mgr.GetConfig(), client.Options{HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()})
	if err != nil {
		return nil, err
	}
	state := &LedgerState{
		Log: mgr.GetLogger().WithName("ledger"), Client: uncached, Clock: time, Identity: o.Identity, Health: health, Journal: written,
		Key:      client.ObjectKey{Namespace: o.Namespace, Name: v1alpha1.UsageLedgerName},
		Schedule: o.Schedule, HotDays: o.HotDays, Announce: health.Announce, again: make(chan struct{}, 1),
	}
	if health.Shipper != nil {
		health.Shipper.Changed = state.Changed
	}
	return state, mgr.Add(state)
}

// addShipper has this replica send the journal to the hub while it leads, if there is one.
func addShipper(mgr ctrl.Manager, s *Shipper, written *journal.Journal, o *Options) error {
	if s == nil {
		return nil
	}
	s.Journal = written.Committed()
	if o.Metrics != nil {
		if err := o.Metrics.Register(s); err != nil {
			return err
		}
	}
	return mgr.Add(s)
}

// addMemory has this replica watch over its memory, whether it leads or not.
func addMemory(mgr ctrl.Manager, answers *Answers, o *Options, time clock.WithTicker) (*Memory, error) {
	m := &Memory{
		Log: mgr.GetLogger().WithName("memory"), Clock: time, Limit: o.Memory,
		Segments: func() int { return answers.Snapshot().Segments() }, OnDisk: answers.onDisk,
	}
	if o.Metrics != nil {
		if err := o.Metrics.Register(m); err != nil {
			return nil, err
		}
	}
	return m, mgr.Add(m)
}
