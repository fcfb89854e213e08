package controllers

import (
	"errors"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/collector"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/usageblocks"
	"github.com/usage-operator/usage-operator/internal/publisher"
	feed "github.com/usage-operator/usage-operator/internal/source"
)

// Options are what Setup needs beside a manager.
type Options struct {
	// Namespace is the operator's own.
	Namespace string
	Schedule  Schedule
	// Concurrency is how many accounts are published at once.
	Concurrency int
	// CheckEvery is how often what is known is compared with what there is.
	CheckEvery time.Duration
	// Identity names this replica in the journal.
	Identity string
	// Cluster is the UID of the cluster: of its namespace kube-system.
	Cluster string
	Clock   clock.WithTicker
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
	writer, err := publisher.NewClient(rest.CopyConfig(config), httpClient)
	if err != nil {
		return nil, err
	}
	news := make(chan event.TypedGenericEvent[string], pendingNews)
	collected := collector.New(collector.Options{
		Dynamic: whole, Metadata: partial, Mapper: mgr.GetRESTMapper(), Clock: o.Clock,
		Namespace: o.Namespace, CheckEvery: o.CheckEvery, Retention: o.Schedule.Retention,
		Log: mgr.GetLogger().WithName("collector"),
		Notify: func(meter string) {
			select {
			case news <- event.TypedGenericEvent[string]{Object: meter}:
			default:
			}
		},
	})
	health, sealed := &Health{}, NewSealed()
	meters := &UsageMeterReconciler{
		Client: mgr.GetClient(), Collector: collected, Mapper: mgr.GetRESTMapper(), Clock: o.Clock, News: news, Health: health,
	}
	records := &UsageRecordReconciler{
		Sealed:      sealed,
		Health:      health,
		Ledger:      collected,
		Publisher:   publisher.New(writer, mgr.GetLogger().WithName("publisher")),
		Records:     feed.MetadataClient(partial, v1alpha1.GroupVersion.WithResource("usagerecords"), v1alpha1.GroupVersion.WithKind("UsageRecord")),
		Clock:       o.Clock,
		Namespace:   o.Namespace,
		Schedule:    o.Schedule,
		Concurrency: o.Concurrency,
	}
	blocks, err := usageblocks.New(config, httpClient, o.Namespace)
	if err != nil {
		return nil, err
	}
	keeper := &Keeper{
		Collector: collected,
		Journal: journal.New(journal.Options{
			Store: blocks, Writer: o.Identity, Cluster: o.Cluster, Clock: o.Clock, Log: mgr.GetLogger().WithName("journal"),
		}),
		Clock: o.Clock, Schedule: o.Schedule, TakeUp: meters.TakeUp(mgr.GetAPIReader()), Sealed: sealed, Health: health,
		Log: mgr.GetLogger().WithName("keeper"),
	}
	return collected, errors.Join(mgr.Add(keeper), mgr.Add(&standby{journal: keeper.Journal, elected: mgr.Elected()}), meters.SetupWithManager(mgr), records.SetupWithManager(mgr))
}
