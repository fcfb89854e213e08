package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	kubevirtv1 "kubevirt.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/config"
	"github.com/usage-operator/usage-operator/internal/collector"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/meter"
	"github.com/usage-operator/usage-operator/test/bench/cluster"
)

const (
	sideOurs = "ours"
	sidePeer = "peer"

	// touched is how many objects of each kind change when the steady state is measured.
	touched = 2_500
	// sampleEvery is how often memory is looked at.
	sampleEvery = 2 * time.Millisecond
	// profileEnv and cpuProfileEnv name files for a heap profile of the child, and for a CPU profile of its cold start.
	profileEnv    = "BENCH_HEAP_PROFILE"
	cpuProfileEnv = "BENCH_CPU_PROFILE"
)

// sample is what a child found out about itself, in bytes.
type sample struct {
	ColdPeakRSS, ColdPeakHeap float64 // the most until everything was known
	ColdSeconds               float64
	SteadyRSS, SteadyHeap     float64 // the most while changes came in
	EventCPUMicros            float64 // CPU time of one change, in microseconds
	LiveHeap                  float64 // after garbage collection
	IdleRSS                   float64 // after that, and everything given back that can be
}

// side is what is measured: it reads everything, then follows the changes.
type side interface {
	// start returns when everything is known.
	start(ctx context.Context, instances, pods int) error
	// followed waits until so many changes have come in since start.
	followed(ctx context.Context, changes int) error
}

// runMemoryChild measures one side, and prints a sample.
func runMemoryChild(ctx context.Context, args []string) error {
	if len(args) != 4 {
		return errNotByHand
	}
	instances, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	pods, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	if os.Getenv(profileEnv) != "" {
		runtime.MemProfileRate = 16 << 10
	}
	ctrl.SetLogger(logr.Discard())
	s, err := newSide(args[0], &rest.Config{Host: args[1], QPS: -1})
	if err != nil {
		return err
	}
	at, err := measure(ctx, s, args[1], instances, pods)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(at)
}

func newSide(name string, config *rest.Config) (side, error) {
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	mapper, err := apiutil.NewDynamicRESTMapper(config, httpClient)
	if err != nil {
		return nil, err
	}
	switch name {
	case sideOurs:
		return newCollecting(config, httpClient, mapper)
	case sidePeer:
		return newCaching(config, httpClient, mapper)
	}
	return nil, fmt.Errorf("there is no side %q", name)
}

func measure(ctx context.Context, s side, server string, instances, pods int) (sample, error) {
	var at sample
	stop, err := profileCPU()
	if err != nil {
		return at, err
	}
	cold := watchMemory()
	start := time.Now()
	if err := s.start(ctx, instances, pods); err != nil {
		return at, err
	}
	at.ColdSeconds = time.Since(start).Seconds()
	at.ColdPeakRSS, at.ColdPeakHeap = cold()
	stop()

	steady := watchMemory()
	before := cpuTime()
	changes, err := touch(ctx, server)
	if err != nil {
		return at, err
	}
	if err := s.followed(ctx, changes); err != nil {
		return at, err
	}
	if changes > 0 {
		at.EventCPUMicros = (cpuTime() - before).Seconds() * 1e6 / float64(changes)
	}
	at.SteadyRSS, at.SteadyHeap = steady()

	runtime.GC()
	runtime.GC() // what the first one finalised
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	at.LiveHeap = float64(stats.HeapAlloc)
	if err := profileHeap(); err != nil {
		return at, err
	}
	debug.FreeOSMemory()
	at.IdleRSS = residentBytes()
	runtime.KeepAlive(s)
	return at, nil
}

// touch has the server deliver changes, and returns how many.
func touch(ctx context.Context, server string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("%s/touch?objects=%d", server, touched), nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(text))
}

// profileCPU profiles until the returned function is called, if that is asked for.
func profileCPU() (stop func(), err error) {
	path := os.Getenv(cpuProfileEnv)
	if path == "" {
		return func() {}, nil
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return pprof.StopCPUProfile, pprof.StartCPUProfile(file)
}

func profileHeap() error {
	path := os.Getenv(profileEnv)
	if path == "" {
		return nil
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(pprof.WriteHeapProfile(file), file.Close())
}

// watchMemory looks at memory until the returned function is called, which gives the most that was seen.
func watchMemory() (peaks func() (resident, heap float64)) {
	ended := make(chan struct{})
	var resident, heap float64
	group := sync.WaitGroup{}
	group.Go(func() {
		ticker := time.NewTicker(sampleEvery)
		defer ticker.Stop()
		for {
			resident, heap = max(resident, residentBytes()), max(heap, heapInUse())
			select {
			case <-ended:
				return
			case <-ticker.C:
			}
		}
	})
	return func() (float64, float64) {
		close(ended)
		group.Wait()
		return resident, heap
	}
}

// residentBytes is what the process has of the machine's memory.
func residentBytes() float64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident float64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		return 0
	}
	return resident * float64(os.Getpagesize())
}

// heapInUse is MemStats.HeapInuse, without stopping the world.
func heapInUse() float64 {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}}
	metrics.Read(samples)
	return float64(samples[0].Value.Uint64() + samples[1].Value.Uint64())
}

// collecting is our side: the collector, with the built-in meters of virtual machines and containers.
type collecting struct {
	collector *collector.Collector
	mapper    meta.RESTMapper
	meters    []*meter.Meter
	targets   []collector.Target
}

func newCollecting(restConfig *rest.Config, httpClient *http.Client, mapper meta.RESTMapper) (*collecting, error) {
	whole, err := dynamic.NewForConfigAndClient(restConfig, httpClient)
	if err != nil {
		return nil, err
	}
	partial, err := metadata.NewForConfigAndClient(metadata.ConfigFor(restConfig), httpClient)
	if err != nil {
		return nil, err
	}
	c := &collecting{mapper: mapper}
	c.collector = collector.New(collector.Options{
		Dynamic: whole, Metadata: partial, Mapper: mapper, Clock: clock.RealClock{}, Namespace: "usage-system", Log: logr.Discard(),
	})
	all, err := config.Meters()
	if err != nil {
		return nil, err
	}
	for _, definition := range all {
		if name := definition.GetName(); name != "vm" && name != "container" {
			continue
		}
		m := &v1alpha1.UsageMeter{}
		if err := apiruntime.DefaultUnstructuredConverter.FromUnstructured(definition.Object, m); err != nil {
			return nil, err
		}
		compiled, err := meter.Compile(m.Name, &m.Spec, true)
		if err != nil {
			return nil, err
		}
		mapping, err := mapper.RESTMapping(schema.GroupKind{Group: m.Spec.Target.Group, Kind: m.Spec.Target.Kind})
		if err != nil {
			return nil, err
		}
		c.meters = append(c.meters, compiled)
		c.targets = append(c.targets, collector.Target{Mapping: mapping, Version: "1"})
	}
	return c, nil
}

func (c *collecting) start(ctx context.Context, instances, pods int) error {
	if err := c.collector.Prepare(ctx, &journal.State{}); err != nil {
		return err
	}
	for i, m := range c.meters {
		if err := c.collector.Apply(m, c.targets[i]); err != nil {
			return err
		}
	}
	c.collector.Start()
	active := map[string]int{"vm": instances, "container": pods}
	return c.wait(ctx, func(name string, status collector.Status) bool {
		return status.Synced && status.Active == active[name] && c.collector.Settled()
	})
}

// wait waits until all meters are as they should be.
func (c *collecting) wait(ctx context.Context, done func(string, collector.Status) bool) error {
	return wait.PollUntilContextCancel(ctx, 5*time.Millisecond, true, func(context.Context) (bool, error) {
		for _, m := range c.meters {
			status, _ := c.collector.Status(m.Name())
			if status.Err != nil || len(status.Quarantined) > 0 {
				return false, fmt.Errorf("meter %s: %w, quarantined: %v", m.Name(), status.Err, status.Quarantined)
			}
			if !done(m.Name(), status) {
				return false, nil
			}
		}
		return true, nil
	})
}

// followed is when one kind is at the last revision, and the other has not moved for a while.
func (c *collecting) followed(ctx context.Context, changes int) error {
	const quiet = 300 * time.Millisecond
	last := strconv.Itoa(cluster.First + changes)
	before, since := "", time.Now()
	return wait.PollUntilContextCancel(ctx, 5*time.Millisecond, true, func(context.Context) (bool, error) {
		positions, there := "", false
		for _, m := range c.meters {
			status, _ := c.collector.Status(m.Name())
			positions += " " + status.ResourceVersion
			there = there || status.ResourceVersion == last
		}
		if positions != before {
			before, since = positions, time.Now()
		}
		return there && time.Since(since) > quiet, nil
	})
}

// caching is the peer: controller-runtime's cache, of typed objects without their managed fields.
type caching struct {
	cache   cache.Cache
	updates atomic.Int64
}

func newCaching(restConfig *rest.Config, httpClient *http.Client, mapper meta.RESTMapper) (*caching, error) {
	scheme := apiruntime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), kubevirtv1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	cached, err := cache.New(restConfig, cache.Options{
		HTTPClient: httpClient, Scheme: scheme, Mapper: mapper, DefaultTransform: cache.TransformStripManagedFields(),
	})
	return &caching{cache: cached}, err
}

func (c *caching) start(ctx context.Context, instances, pods int) error {
	go func() { _ = c.cache.Start(ctx) }()
	for object, want := range map[client.Object]int{&kubevirtv1.VirtualMachineInstance{}: instances, &corev1.Pod{}: pods} {
		informer, err := c.cache.GetInformer(ctx, object, cache.BlockUntilSynced(false))
		if err != nil {
			return err
		}
		_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{UpdateFunc: func(any, any) { c.updates.Add(1) }})
		if err != nil {
			return err
		}
		defer func() {
			if shared, ok := informer.(toolscache.SharedIndexInformer); ok && len(shared.GetStore().ListKeys()) != want {
				panic(fmt.Sprintf("the cache has %d objects of %T: want %d", len(shared.GetStore().ListKeys()), object, want))
			}
		}()
	}
	if !c.cache.WaitForCacheSync(ctx) {
		return ctx.Err()
	}
	return nil
}

func (c *caching) followed(ctx context.Context, changes int) error {
	return wait.PollUntilContextCancel(ctx, 5*time.Millisecond, true, func(context.Context) (bool, error) {
		return c.updates.Load() >= int64(changes), nil
	})
}
