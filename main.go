// Command usage-operator meters what is held in a cluster, and writes it down
// as UsageRecords.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"go.uber.org/zap/zapcore"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/util/wait"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // the logins of cloud providers' kubeconfigs
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	builtin "github.com/usage-operator/usage-operator/config"
	"github.com/usage-operator/usage-operator/controllers"
	"github.com/usage-operator/usage-operator/internal/collector"
	"github.com/usage-operator/usage-operator/internal/memory"
)

// version is set by the build.
var version = "dev"

// leaseName names the Lease that the leader holds.
const leaseName = "usage-operator"

func main() {
	limit, limitErr := memory.Adopt() // of verify too: it may run in the operator's container
	if len(os.Args) > 1 && os.Args[1] == "verify" {
		os.Exit(verify(ctrl.SetupSignalHandler(), os.Args[2:], os.Stdout, os.Stderr))
	}
	if len(os.Args) > 1 && os.Args[1] == "check" {
		os.Exit(check(ctrl.SetupSignalHandler(), os.Args[2:], os.Stdout, os.Stderr))
	}
	if len(os.Args) > 1 && os.Args[1] == "archive" {
		os.Exit(archives(ctrl.SetupSignalHandler(), os.Args[2:], os.Stdout, os.Stderr))
	}
	opts, err := parse(os.Args[1:])
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintf(os.Stderr, "usage-operator: %v\nSee usage-operator --help.\n", err)
		os.Exit(2)
	}
	setLogger(logger(opts))
	if limitErr != nil {
		ctrl.Log.Error(limitErr, "cannot read the container's memory limit; going on as if there were none")
	}
	ctrl.Log.Info("memory", "limit", limit.String())
	if err := run(ctrl.SetupSignalHandler(), opts, limit); err != nil {
		ctrl.Log.Error(err, "usage-operator ends")
		os.Exit(1)
	}
}

func logger(o *options) logr.Logger {
	level, err := zapcore.ParseLevel(o.logLevel)
	if err != nil {
		level = zapcore.InfoLevel
	}
	return zap.New(zap.UseDevMode(o.logFormat == "console"), zap.Level(level), zap.StacktraceLevel(zapcore.PanicLevel))
}

// setLogger has all libraries log like the operator: client-go, by klog, would write
// text among lines of JSON otherwise.
func setLogger(log logr.Logger) {
	ctrl.SetLogger(log)
	klog.SetLoggerWithOptions(log.WithName("client-go"), klog.ContextualLogger(true))
}

// run meters until ctx is done.
func run(ctx context.Context, o *options, limit memory.Limit) error {
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("no cluster to talk to: run inside one, or set --kubeconfig or KUBECONFIG: %w", err)
	}
	config.QPS = -1 // the API server's priority and fairness governs
	config.UserAgent = "usage-operator/" + version
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), coordinationv1.AddToScheme(scheme), metav1.AddMetaToScheme(scheme)); err != nil {
		return err
	}
	lock, err := leaderLock(config, o)
	if err != nil {
		return fmt.Errorf("set up the leader election: %w", err)
	}
	mgr, err := ctrl.NewManager(config, managerOptions(o, scheme, lock))
	if err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	cluster, err := clusterUID(ctx, mgr)
	if err != nil {
		return fmt.Errorf("find out which cluster this is: %w", err)
	}
	settings := controllers.Options{
		Version:   version,
		Namespace: o.namespace,
		Schedule: controllers.Schedule{
			Interval: seconds(o.interval), Refresh: seconds(o.refresh), Retention: seconds(o.retention),
			Flush: seconds(o.flush), SealTimeout: seconds(o.sealTimeout),
			Budget: int64(o.recordBudget), Deployments: o.deployments, JournalBudget: int64(o.journalBudget),
			ReportBudget: int64(o.reportBudget),
		},
		Concurrency:  o.concurrency,
		CheckEvery:   o.checkEvery,
		OwnerKinds:   o.ownerKinds,
		Identity:     lock.Identity(),
		Cluster:      cluster,
		Clock:        clock.RealClock{},
		Metrics:      metrics.Registry,
		UsageMetrics: controllers.UsageMetrics{Series: o.metricsSeries, ByDeployment: o.metricsDeployments, Namespaces: o.metricsNamespaces.Selector},
		Memory:       limit,
		Archive:      o.archive,
		ArchiveCut:   o.archiveCut,
		HotDays:      o.hotDays,
		Scratch:      o.scratch,
		ScratchSize:  int64(o.scratchSize),
		Serving:      controllers.Serving{Address: o.usageAddress, Certificates: o.usageCertificates, OnlyBoundTokens: !o.usageClusterTokens, RequestsPerSecond: o.usageRate, Memory: int64(o.usageMemory), Connections: o.usageConnections},
	}
	if o.hub.URL != "" {
		settings.Hub = &o.hub
	}
	if o.serveOnly {
		err = serve(mgr, settings)
	} else {
		err = meter(mgr, settings, o)
	}
	if err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	ctrl.Log.Info("starting", "version", version, "interval", o.interval.String(), "namespace", o.namespace, "serveOnly", o.serveOnly)
	return mgr.Start(ctx)
}

// meter has the manager meter, once this replica leads.
func meter(mgr ctrl.Manager, settings controllers.Options, o *options) error {
	collected, err := controllers.Setup(mgr, settings)
	if err != nil {
		return err
	}
	installed := make(chan struct{})
	if !o.installMeters && o.extraMeters == "" {
		close(installed)
	} else if err := mgr.Add(givenMeters(mgr, o, installed)); err != nil {
		return err
	}
	return addProbes(mgr, collected, installed, client.ObjectKey{Namespace: o.namespace, Name: leaseName}, settings.Identity)
}

// serve has the manager serve the usage API alone.
func serve(mgr ctrl.Manager, settings controllers.Options) error {
	answers, err := controllers.SetupServing(mgr, settings)
	if err != nil {
		return err
	}
	loaded := func(*http.Request) error {
		if !answers.Loaded() {
			return errors.New("the ledger is being loaded")
		}
		return nil
	}
	return errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("ledger", loaded))
}

func managerOptions(o *options, scheme *runtime.Scheme, lock resourcelock.Interface) ctrl.Options {
	serving := metricsserver.Options{
		BindAddress:   o.metricsAddress,
		SecureServing: o.metricsSecure,
		CertDir:       o.metricsCertificates,
		TLSOpts:       []func(*tls.Config){func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }},
	}
	if o.metricsSecure {
		serving.FilterProvider = filters.WithAuthenticationAndAuthorization
	}
	return ctrl.Options{
		Scheme:                              scheme,
		Cache:                               controllers.CacheOptions(),
		Metrics:                             serving,
		HealthProbeBindAddress:              o.probeAddress,
		PprofBindAddress:                    o.pprofAddress,
		LeaderElection:                      o.leaderElect && !o.serveOnly,
		LeaderElectionResourceLockInterface: lock,
		LeaderElectionReleaseOnCancel:       true, // main ends right after
		LeaseDuration:                       &o.leaseDuration,
		RenewDeadline:                       &o.renewDeadline,
		RetryPeriod:                         &o.retry,
	}
}

// leaderLock is the Lease that the leader holds, as this replica sees it.
func leaderLock(config *rest.Config, o *options) (resourcelock.Interface, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	identity := resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())}
	// A connection of its own: client-go shares one among clients that dial alike,
	// and the lists of a start would hold up the renewals that it depends on.
	apart := rest.CopyConfig(config)
	apart.Dial = (&net.Dialer{Timeout: o.renewDeadline / 2, KeepAlive: 30 * time.Second}).DialContext
	return resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, o.namespace, leaseName, identity, apart, o.renewDeadline)
}

// clusterUID tells this cluster from every other: the UID of its namespace
// kube-system. It waits for an API server that is away.
func clusterUID(ctx context.Context, mgr ctrl.Manager) (uid string, err error) {
	system := &metav1.PartialObjectMetadata{}
	system.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err = wait.PollUntilContextCancel(ctx, 2*time.Second, true, func(ctx context.Context) (bool, error) {
		err := mgr.GetAPIReader().Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, system)
		if err != nil {
			ctrl.Log.Info("cannot read the namespace kube-system; trying again", "error", err.Error())
		}
		return err == nil, nil
	})
	return string(system.UID), err
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// givenMeters creates the built-in meters, and applies those that the operator is given, once this replica leads; it closes
// installed when they are there.
func givenMeters(mgr ctrl.Manager, o *options, installed chan<- struct{}) manager.Runnable {
	return manager.RunnableFunc(func(ctx context.Context) error {
		log := mgr.GetLogger().WithName("given-meters")
		uncached, err := client.New(mgr.GetConfig(), client.Options{HTTPClient: mgr.GetHTTPClient(), Mapper: mgr.GetRESTMapper()})
		if err != nil {
			return err
		}
		err = wait.PollUntilContextCancel(ctx, 10*time.Second, true, func(ctx context.Context) (bool, error) {
			err := installMeters(ctx, uncached, o, log)
			if err != nil {
				log.Error(err, "not all meters that are to be installed are; trying again")
			}
			return err == nil, nil
		})
		if ctx.Err() != nil {
			return nil
		}
		close(installed)
		return err
	})
}

func installMeters(ctx context.Context, cluster client.Client, o *options, log logr.Logger) error {
	var failures []error
	if o.installMeters {
		created, err := builtin.CreateMeters(ctx, cluster, o.namespace)
		if len(created) > 0 {
			log.Info("created built-in meters", "meters", created)
		}
		failures = append(failures, err)
	}
	if o.extraMeters != "" {
		applied, err := builtin.ApplyMeters(ctx, cluster, o.extraMeters)
		if len(applied) > 0 {
			log.Info("applied the meters of --extra-meters", "meters", applied)
		}
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// readyFor is how long it counts whether this replica is ready.
const readyFor = 2 * time.Second

// addProbes serves what the probes ask. Alive: the collector's lock can be had.
// Ready: every meter was taken up and every kind listed; or another replica
// leads, and this one stands by.
func addProbes(mgr ctrl.Manager, collected *collector.Collector, installed <-chan struct{}, lease client.ObjectKey, identity string) error {
	alive := func(*http.Request) error {
		collected.Alive()
		return nil
	}
	ready := func(request *http.Request) error {
		select {
		case <-mgr.Elected():
		default:
			return standingBy(request.Context(), mgr.GetAPIReader(), lease, identity)
		}
		select {
		case <-installed:
			return metering(request.Context(), mgr.GetAPIReader(), collected)
		default:
			return errors.New("meters are being created")
		}
	}
	return errors.Join(mgr.AddHealthzCheck("collector", alive),
		mgr.AddReadyzCheck("metering", controllers.Remembered(ready, readyFor, clock.RealClock{})))
}

// standingBy tells why a replica that does not meter is of no use: nobody else leads.
func standingBy(ctx context.Context, reader client.Reader, name client.ObjectKey, identity string) error {
	lease := &coordinationv1.Lease{}
	if err := reader.Get(ctx, name, lease); err != nil {
		return fmt.Errorf("no replica leads yet: %w", err)
	}
	holder, renewed := ptr.Deref(lease.Spec.HolderIdentity, ""), ptr.Deref(lease.Spec.RenewTime, metav1.MicroTime{})
	lasts := time.Duration(ptr.Deref(lease.Spec.LeaseDurationSeconds, 0)) * time.Second
	if holder == "" || holder == identity || time.Since(renewed.Time) > lasts {
		return errors.New("no replica meters yet")
	}
	return nil
}

func metering(ctx context.Context, reader client.Reader, collected *collector.Collector) error {
	if !collected.Settled() {
		return errors.New("kinds are being listed")
	}
	meters := &v1alpha1.UsageMeterList{}
	if err := reader.List(ctx, meters); err != nil {
		return err
	}
	for i := range meters.Items {
		if m := &meters.Items[i]; m.Status.ObservedGeneration != m.Generation {
			return fmt.Errorf("UsageMeter %s has not been taken up yet", m.Name)
		}
	}
	return nil
}
