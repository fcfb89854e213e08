package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/controllers"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/publisher"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/restclient"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/controlplane"
)

const (
	deploymentsPerNamespace = 10
	// publishConcurrency is the default of --publish-concurrency.
	publishConcurrency = 16
	publishInterval    = 3600 // seconds
	publishGrace       = 10   // seconds
	publishRetention   = 72 * 3600
	// publishStart is when the first interval starts, in seconds since the epoch.
	publishStart = 1_900_000_800
	// warmUp is how many records each concurrency of the peer is tried with.
	warmUp = 1000
)

// benchmarkPublish has the record controller write an interval's records, and a bare loop create the same bytes.
func benchmarkPublish(ctx context.Context, s *settings) (_ []Figure, err error) {
	sizes := []int{100, 500, 1000}
	if s.quick {
		sizes = []int{10, 50, 100}
	}
	p, err := newPublishing(ctx, s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.cp.Stop()) }()
	if err := p.prepare(ctx, sizes[len(sizes)-1]); err != nil {
		return nil, err
	}
	concurrency, err := p.bestConcurrency(ctx)
	if err != nil {
		return nil, err
	}
	figures := make([]Figure, 0, len(sizes))
	for _, namespaces := range sizes {
		var ours, peer []float64
		sides := []struct {
			runs *[]float64
			run  func() (float64, error)
		}{
			{&ours, func() (float64, error) { return p.ours(ctx, namespaces) }},
			{&peer, func() (float64, error) { return p.peer(ctx, namespaces*deploymentsPerNamespace, concurrency) }},
		}
		for round := range s.rounds {
			for _, side := range sides {
				rate, err := side.run()
				if err != nil {
					return nil, err
				}
				*side.runs = append(*side.runs, rate)
				if err := p.clear(ctx); err != nil {
					return nil, err
				}
			}
			slices.Reverse(sides) // neither is always the first
			s.tell.say("%d namespaces, round %d of %d: ours %s records/s, peer %s", namespaces, round+1, s.rounds,
				quantity(ours[round]), quantity(peer[round]))
		}
		f := newFigure(fmt.Sprintf("%d namespaces x %d deployments", namespaces, deploymentsPerNamespace), "records/s", ours, peer)
		f = f.against("a bare create loop").ratioAtLeast(0.9)
		f.Notes = map[string]float64{
			"peerConcurrency": float64(concurrency), "ourConcurrency": publishConcurrency, "bytesPerRecord": p.bytesPerRecord, "cpuMicrosToMakeOne": p.microsPerRecord,
		}
		figures = append(figures, f)
	}
	return figures, nil
}

// publishing is a control plane to write records to, and a ledger to make them from.
type publishing struct {
	*settings
	cp             *controlplane.ControlPlane
	admin          client.Client
	ledger         *lockedLedger
	accounts       []usage.Account
	interval       usage.Window // the next that has no records yet
	bytesPerRecord float64
	// microsPerRecord is the CPU time of making one: cut, contents, JSON.
	microsPerRecord float64
}

func newPublishing(ctx context.Context, s *settings) (*publishing, error) {
	ctrl.SetLogger(logr.Discard())
	done := s.tell.during("starting an API server and an etcd that syncs to disk", nil)
	defer done()
	cp, err := controlplane.Start(ctx, controlplane.Options{Components: controlplane.APIOnly(), Progress: os.Stderr})
	if err != nil {
		return nil, err
	}
	p := &publishing{settings: s, cp: cp, interval: usage.Interval(publishStart, publishInterval)}
	scheme := runtime.NewScheme()
	err = errors.Join(clientgoscheme.AddToScheme(scheme), apiextensionsv1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))
	if err == nil {
		p.admin, err = client.New(p.config(), client.Options{Scheme: scheme})
	}
	if err != nil {
		return nil, errors.Join(err, cp.Stop())
	}
	return p, nil
}

// config is without a rate limit: the API server decides.
func (p *publishing) config() *rest.Config {
	config := p.cp.RESTConfig()
	config.QPS = -1
	return config
}

// prepare installs our CRDs, creates the namespaces and fills the ledger.
func (p *publishing) prepare(ctx context.Context, namespaces int) error {
	if err := installOwnKinds(ctx, p.admin); err != nil {
		return err
	}
	created := atomic.Int64{}
	done := p.tell.during("creating namespaces", func() string { return fmt.Sprintf("%d of %d", created.Load(), namespaces) })
	defer done()
	err := inParallel(ctx, publishConcurrency, namespaces, func(i int) error {
		defer created.Add(1)
		return p.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespaceName(i)}})
	})
	if err != nil {
		return err
	}
	p.ledger = newLockedLedger(namespaces, p.interval.Start)
	p.accounts = p.ledger.Accounts(p.interval, p.interval.End)
	return nil
}

// take gives an interval whose names nobody has used.
func (p *publishing) take() usage.Window {
	interval := p.interval
	p.interval = interval.Next()
	return interval
}

// ours starts the record controller as main does, with a ledger that is full already and a clock that stands still,
// then lets the interval end. It returns records a second from then until the API server has accepted the last.
func (p *publishing) ours(ctx context.Context, namespaces int) (float64, error) {
	interval := p.take()
	want := int64(namespaces * deploymentsPerNamespace)
	created := &creations{want: want, done: make(chan struct{})}
	config := p.config()
	config.Wrap(created.count)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	clock := clocktesting.NewFakeClock(time.Unix(interval.End-1, 0))
	sealed := controllers.NewSealed()
	ended, err := startController(ctx, config, clock, p.ledger.first(namespaces, interval.Start), sealed, publishRetention)
	if err != nil {
		return 0, err
	}
	told := p.tell.during("ours", created.progress)
	defer told()
	start := time.Now()
	clock.SetTime(time.Unix(interval.End+publishGrace, 0))
	sealed.Add(journal.Seal{Interval: interval})
	select {
	case <-created.done:
	case err := <-ended:
		return 0, fmt.Errorf("the controller ended: %w", err)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	took := time.Since(start)
	cancel()
	return float64(want) / took.Seconds(), <-ended
}

// startController returns once the controller waits for time to pass.
func startController(ctx context.Context, restConfig *rest.Config, clock *clocktesting.FakeClock, l controllers.Ledger, sealed *controllers.Sealed, retention int64) (<-chan error, error) {
	mgr, err := ctrl.NewManager(restConfig, ctrl.Options{
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: ptr.To(true)}, // there is one in each round
	})
	if err != nil {
		return nil, err
	}
	partial, err := metadata.NewForConfigAndClient(metadata.ConfigFor(mgr.GetConfig()), mgr.GetHTTPClient())
	if err != nil {
		return nil, err
	}
	writer, err := restclient.New(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, err
	}
	records := &controllers.UsageRecordReconciler{
		Ledger:      l,
		Publisher:   publisher.New(writer, logr.Discard()),
		Records:     source.MetadataClient(partial, v1alpha1.GroupVersion.WithResource("usagerecords"), v1alpha1.GroupVersion.WithKind("UsageRecord")),
		Clock:       clock,
		Namespace:   "default",
		Schedule:    controllers.Schedule{Interval: publishInterval, Retention: retention},
		Sealed:      sealed,
		Concurrency: publishConcurrency,
	}
	if err := records.SetupWithManager(mgr); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	err = wait.PollUntilContextTimeout(ctx, 10*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		return clock.HasWaiters(), nil
	})
	return ended, err
}

// creations counts what a client's creates have been accepted of.
type creations struct {
	want     int64
	accepted atomic.Int64
	done     chan struct{}
}

func (c *creations) progress() string { return fmt.Sprintf("%d of %d", c.accepted.Load(), c.want) }

func (c *creations) count(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		if err == nil && request.Method == http.MethodPost && response.StatusCode == http.StatusCreated && c.accepted.Add(1) == c.want {
			close(c.done)
		}
		return response, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// peer creates records of the same bytes, which are ready beforehand, in a loop of that concurrency.
func (p *publishing) peer(ctx context.Context, records, concurrency int) (float64, error) {
	interval := p.take()
	bodies := make([][]byte, records)
	var total int
	before := cpuTime()
	for i := range bodies {
		made := record.For(p.input(p.accounts[i], interval))
		body, err := json.Marshal(made[0])
		if err != nil {
			return 0, err
		}
		bodies[i] = body
		total += len(body)
	}
	p.bytesPerRecord = float64(total) / float64(records)
	p.microsPerRecord = (cpuTime() - before).Seconds() * 1e6 / float64(records)
	httpClient, err := rest.HTTPClientFor(p.config())
	if err != nil {
		return 0, err
	}
	writer, err := restclient.New(p.config(), httpClient)
	if err != nil {
		return 0, err
	}
	created := atomic.Int64{}
	told := p.tell.during(fmt.Sprintf("peer, %d at once", concurrency), func() string { return fmt.Sprintf("%d of %d", created.Load(), records) })
	defer told()
	start := time.Now()
	err = inParallel(ctx, concurrency, records, func(i int) error {
		defer created.Add(1)
		return writer.Post().Namespace(p.accounts[i].Namespace).Resource("usagerecords").
			SetHeader("Content-Type", runtime.ContentTypeJSON).Body(bytes.NewReader(bodies[i])).Do(ctx).Error()
	})
	return float64(records) / time.Since(start).Seconds(), err
}

func (p *publishing) input(account usage.Account, interval usage.Window) record.Input {
	return record.Input{
		Key:       record.Key{Account: account, Interval: interval},
		Segments:  p.ledger.Cut(account, interval, interval.End),
		Namespace: account.Namespace,
		Final:     true,
		Now:       interval.End,
	}
}

// bestConcurrency is how many creates at once are fastest.
func (p *publishing) bestConcurrency(ctx context.Context) (int, error) {
	best, bestRate := 0, 0.0
	records := min(warmUp, len(p.accounts))
	if _, err := p.peer(ctx, records, 16); err != nil { // whatever is cold gets warm
		return 0, err
	}
	for _, concurrency := range []int{8, 16, 32, 64} {
		rate, err := p.peer(ctx, records, concurrency)
		if err != nil {
			return 0, err
		}
		p.tell.say("warm-up: the peer with %d at once: %s records/s", concurrency, quantity(rate))
		if rate > bestRate {
			best, bestRate = concurrency, rate
		}
	}
	return best, p.clear(ctx)
}

// clear deletes all records, so that each run meets the same store. It does so in etcd itself: the API server would
// take minutes.
func (p *publishing) clear(ctx context.Context) error {
	defer p.tell.during("deleting the records", nil)()
	resource := v1alpha1.GroupVersion.WithResource("usagerecords").GroupResource()
	_, err := p.cp.Etcdctl(ctx, "del", "--prefix", fmt.Sprintf("/registry/%s/%s/", resource.Group, resource.Resource))
	if err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		left := &v1alpha1.UsageRecordList{}
		err := p.admin.List(ctx, left, client.Limit(1))
		return err == nil && len(left.Items) == 0, nil
	})
}

// inParallel calls work with 0 to n-1, so many at once, until one fails.
func inParallel(ctx context.Context, concurrency, n int, work func(int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	group := sync.WaitGroup{}
	for range concurrency {
		group.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := work(i); err != nil {
					cancel(err)
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

func namespaceName(i int) string { return fmt.Sprintf("tenant-%04d", i) }

// lockedLedger is a full ledger behind a lock, as the collector is.
type lockedLedger struct {
	mu     sync.Mutex
	ledger *ledger.Ledger
}

// newLockedLedger has ten deployments in each namespace, each of two pods with CPU and memory since the moment.
func newLockedLedger(namespaces int, since int64) *lockedLedger {
	l := ledger.New()
	meter := ledger.NewMeter("container", since, []usage.Dimension{{Name: "cpu", Unit: usage.Core}, {Name: "memory", Unit: usage.Byte}})
	for i := range namespaces * deploymentsPerNamespace {
		deployment := fmt.Sprintf("frontend-%d", i%deploymentsPerNamespace)
		for replica := range 2 {
			uid := fmt.Sprintf("%08x-7c1b-4f0e-9a51-%012x", i, replica)
			err := l.Observe(&ledger.Observation{
				Meter: meter, UID: uid, Origin: ledger.First, Written: since, Now: since,
				Members: []usage.Member{{
					Active: true,
					Levels: []int64{250, 512 << 20},
					Start:  usage.Boundary{At: since, Evidence: usage.ObjectTime},
					Subject: usage.Subject{
						ResourceType: "container",
						Resource:     usage.Object{APIVersion: "apps/v1", Kind: "Deployment", Name: deployment, UID: fmt.Sprintf("%08x-1f3d-4c55-8e0b-000000000000", i)},
						Instance:     usage.Object{APIVersion: "v1", Kind: "Pod", Name: fmt.Sprintf("%s-6d4cf56db6-x%dk2p", deployment, replica), UID: uid},
						Container:    "app",
						Account: usage.Account{
							Namespace:    namespaceName(i / deploymentsPerNamespace),
							NamespaceUID: fmt.Sprintf("%08x-5a2e-4d7b-b1c9-000000000000", i/deploymentsPerNamespace),
							Deployment:   deployment,
						},
					},
				}},
			})
			if err != nil {
				panic(err)
			}
		}
	}
	return &lockedLedger{ledger: l}
}

func (l *lockedLedger) Accounts(w usage.Window, now int64) []usage.Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ledger.Accounts(w, now)
}

func (l *lockedLedger) Cut(account usage.Account, w usage.Window, now int64) []usage.Segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ledger.Cut(account, w, now)
}

// first is the ledger as a controller sees it that starts then, with the first namespaces alone.
func (l *lockedLedger) first(namespaces int, since int64) controllers.Ledger {
	return &view{lockedLedger: l, last: namespaceName(namespaces - 1), since: since}
}

// view is a part of a ledger, for one run of the controller.
type view struct {
	*lockedLedger
	last   string
	since  int64
	sealed atomic.Int64
}

var _ controllers.Ledger = &view{}

func (v *view) Accounts(w usage.Window, now int64) []usage.Account {
	all := v.lockedLedger.Accounts(w, now)
	for i := range all {
		if all[i].Namespace > v.last {
			return all[:i]
		}
	}
	return all
}

func (v *view) Ready() bool                           { return true }
func (v *view) Changed() []usage.Account              { return nil }
func (v *view) Home(account usage.Account) string     { return account.Namespace }
func (v *view) Coverage(usage.Window) []usage.Stretch { return nil }
func (v *view) Forget(int64)                          {}
