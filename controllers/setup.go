package controllers

import (
	"errors"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/collector"
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
	Clock       clock.WithTicker
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
		Namespace: o.Namespace, Log: mgr.GetLogger().WithName("collector"),
		Notify: func(meter string) {
			select {
			case news <- event.TypedGenericEvent[string]{Object: meter}:
			default:
			}
		},
	})
	meters := &UsageMeterReconciler{
		Client: mgr.GetClient(), Collector: collected, Mapper: mgr.GetRESTMapper(), Clock: o.Clock, News: news,
	}
	records := &UsageRecordReconciler{
		Ledger:      collected,
		Publisher:   publisher.New(writer, mgr.GetLogger().WithName("publisher")),
		Records:     feed.MetadataClient(partial, v1alpha1.GroupVersion.WithResource("usagerecords"), v1alpha1.GroupVersion.WithKind("UsageRecord")),
		Clock:       o.Clock,
		Namespace:   o.Namespace,
		Schedule:    o.Schedule,
		Concurrency: o.Concurrency,
	}
	return collected, errors.Join(mgr.Add(collected), meters.SetupWithManager(mgr), records.SetupWithManager(mgr))
}
