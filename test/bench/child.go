package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/controllers"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/test/growth"
)

// What a process of its own does.
const (
	childCommand = "child"
	sideList     = "list"    // the peer of restart
	sideFollow   = "follow"  // the peer of churn
	sideOperate  = "operate" // the operator, with an eye on its ledger
	sideServe    = "serve"   // the usage API
)

var errNotByHand = errors.New("a child is started by a benchmark, and not by hand")

func runChild(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errNotByHand
	}
	ctrl.SetLogger(logr.Discard())
	switch args[0] {
	case sideList:
		return runList(ctx, args[1:])
	case sideFollow:
		return runFollow(ctx, args[1:])
	case sideOperate:
		return runOperate(ctx, args[1:])
	case sideServe:
		return runServe(ctx, args[1:])
	case sideGrow:
		return growth.Child(ctx, args[1:], os.Stdin, os.Stdout)
	}
	return runMemoryChild(ctx, args)
}

var (
	podsResource      = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	instancesResource = schema.GroupVersionResource{Group: "kubevirt.io", Version: "v1", Resource: "virtualmachineinstances"}
	// metered are listed whole, owners as metadata alone: as the operator does it.
	metered   = []schema.GroupVersionResource{podsResource, instancesResource}
	meteredBy = []string{"container", "vm"} // each of them
	owners    = []schema.GroupVersionResource{
		{Version: "v1", Resource: "namespaces"}, {Version: "v1", Resource: "services"},
		{Group: "apps", Version: "v1", Resource: "replicasets"}, {Group: "apps", Version: "v1", Resource: "deployments"},
		{Group: "kubevirt.io", Version: "v1", Resource: "virtualmachines"},
	}
)

// barePage is how many objects client-go's own pager lists at once.
const barePage = 500

// bare are clients without anything around them.
type bare struct {
	whole   dynamic.Interface
	partial metadata.Interface
}

func newBare(kubeconfig string) (*bare, *rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, nil, err
	}
	config.QPS = -1
	b := &bare{}
	if b.whole, err = dynamic.NewForConfig(config); err != nil {
		return nil, nil, err
	}
	b.partial, err = metadata.NewForConfig(config)
	return b, config, err
}

// list lists a kind in pages, and does nothing with what it gets. It returns where a watch goes on.
func (b *bare) list(ctx context.Context, resource schema.GroupVersionResource, whole bool) (count int, version string, err error) {
	for next := ""; ; {
		options := metav1.ListOptions{Limit: barePage, Continue: next}
		if whole {
			page, err := b.whole.Resource(resource).List(ctx, options)
			if err != nil {
				return 0, "", err
			}
			count += len(page.Items)
			next, version = page.GetContinue(), page.GetResourceVersion()
		} else {
			page, err := b.partial.Resource(resource).List(ctx, options)
			if err != nil {
				return 0, "", err
			}
			count += len(page.Items)
			next, version = page.GetContinue(), page.GetResourceVersion()
		}
		if next == "" {
			return count, version, nil
		}
	}
}

// runList lists everything, all kinds at once, what is metered first.
func runList(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errNotByHand
	}
	start := time.Now()
	b, _, err := newBare(args[0])
	if err != nil {
		return err
	}
	var mu sync.Mutex
	counts := map[string]int{}
	all := func(resources []schema.GroupVersionResource, whole bool) error {
		return inParallel(ctx, len(resources), len(resources), func(i int) error {
			count, _, err := b.list(ctx, resources[i], whole)
			mu.Lock()
			defer mu.Unlock()
			counts[resources[i].Resource] = count
			return err
		})
	}
	if err := all(metered, true); err != nil {
		return err
	}
	took := time.Since(start).Seconds()
	if err := all(owners, false); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"Metered": took, "Objects": counts})
}

// What a parent and a child that follows changes say to each other, a line each.
const (
	saidReady = "ready"
	saidStart = "start"
	saidStop  = "stop"
)

// followed is what a child has to tell in the end.
type followed struct {
	// CPUSeconds is what it used between start and stop.
	CPUSeconds float64
	// Events is how many changes it got then. The peer's.
	Events int64
	// Seen is when which revision of a meter's kind had come: to the ledger, or out of the peer's watch.
	Seen map[string][]seenAt
}

// seenAt is a moment, in nanoseconds since the epoch, and the revision that had come by then.
type seenAt struct {
	At       int64
	Revision uint64
}

// converse has a child that is ready tell the parent what it used between start and stop.
func converse(in io.Reader, out io.Writer, between func() (end func(*followed))) error {
	fmt.Fprintln(out, saidReady)
	lines := bufio.NewScanner(in)
	if !lines.Scan() || lines.Text() != saidStart {
		return errNotByHand
	}
	end := between()
	before := cpuTime()
	if !lines.Scan() || lines.Text() != saidStop {
		return errNotByHand
	}
	told := &followed{CPUSeconds: (cpuTime() - before).Seconds()}
	end(told)
	return json.NewEncoder(out).Encode(told)
}

// runFollow lists what is metered and watches it, decodes each change, and does nothing with it.
func runFollow(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errNotByHand
	}
	b, _, err := newBare(args[0])
	if err != nil {
		return err
	}
	f := &followedKinds{bare: b, come: map[string]string{}}
	for i, resource := range metered {
		_, version, err := b.list(ctx, resource, true)
		if err != nil {
			return err
		}
		go func() {
			for ctx.Err() == nil {
				version = f.watch(ctx, resource, meteredBy[i], version)
			}
		}()
	}
	return converse(os.Stdin, os.Stdout, func() func(*followed) {
		before := f.counted()
		end := observe(f.revision)
		return func(told *followed) {
			end(told)
			told.Events = f.counted() - before
		}
	})
}

// followedKinds are watched, and nothing is done with what comes.
type followedKinds struct {
	*bare
	mu     sync.Mutex
	events int64
	come   map[string]string // the last revision, by meter
}

func (f *followedKinds) counted() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.events
}

func (f *followedKinds) revision(meter string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.come[meter]
}

func (f *followedKinds) watch(ctx context.Context, resource schema.GroupVersionResource, meter, version string) string {
	watching, err := f.whole.Resource(resource).Watch(ctx, metav1.ListOptions{ResourceVersion: version, AllowWatchBookmarks: true})
	if err != nil {
		time.Sleep(100 * time.Millisecond)
		return version
	}
	defer watching.Stop()
	for event := range watching.ResultChan() {
		if object, ok := event.Object.(metav1.Object); ok {
			version = object.GetResourceVersion()
			f.mu.Lock()
			f.events++
			f.come[meter] = version
			f.mu.Unlock()
		}
	}
	return version
}

// lookEvery is how often a child asks itself how far it has come.
const lookEvery = 2 * time.Millisecond

// runOperate runs the operator as main wires it, and asks its collector every two milliseconds how far each meter has
// come: a revision that it has come to is in the ledger.
func runOperate(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errNotByHand
	}
	refresh, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	_, config, err := newBare(args[0])
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), metav1.AddMetaToScheme(scheme)); err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
	})
	if err != nil {
		return err
	}
	collected, err := controllers.Setup(mgr, controllers.Options{
		Namespace: operatorNamespace,
		Schedule: controllers.Schedule{
			Interval: 3600, Refresh: refresh, Retention: 72 * 3600, Flush: 5, SealTimeout: 600, Budget: 512 << 20,
		},
		Concurrency: publishConcurrency,
		CheckEvery:  30 * time.Minute,
		Identity:    "bench-" + strconv.Itoa(os.Getpid()),
		Clock:       clock.RealClock{},
	})
	if err != nil {
		return err
	}
	stop, err := profileCPU()
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	for !collected.Settled() {
		select {
		case err := <-ended:
			return fmt.Errorf("the operator has ended: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	stop()
	return converse(os.Stdin, os.Stdout, func() func(*followed) {
		return observe(func(meter string) string {
			status, _ := collected.Status(meter)
			return status.ResourceVersion
		})
	})
}

// observe notes how far each meter has come, until the returned function is called. Both sides are observed alike, for
// that takes time, too.
func observe(revision func(meter string) string) (end func(*followed)) {
	seen := map[string][]seenAt{}
	stop := make(chan struct{})
	group := sync.WaitGroup{}
	group.Go(func() {
		ticker := time.NewTicker(lookEvery)
		defer ticker.Stop()
		last := map[string]string{}
		for {
			for _, name := range meters {
				if come := revision(name); come != last[name] {
					last[name] = come
					seen[name] = append(seen[name], seenAt{At: time.Now().UnixNano(), Revision: source.Revision(come)})
				}
			}
			select {
			case <-stop:
				return
			case <-ticker.C:
			}
		}
	})
	return func(told *followed) {
		close(stop)
		group.Wait()
		told.Seen = seen
	}
}
