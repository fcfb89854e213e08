package faults_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/controllers"
	"github.com/usage-operator/usage-operator/internal/collector"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/faults/crash"
	"github.com/usage-operator/usage-operator/test/faults/proxy"
)

// interval is the length of one, in seconds.
const interval = 60

// steppedClock is the real clock, plus an offset.
type steppedClock struct {
	clock.RealClock
	ahead atomic.Int64 // nanoseconds
}

func (c *steppedClock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *steppedClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// jump puts the clock forward, or back.
func (c *steppedClock) jump(by time.Duration) { c.ahead.Add(int64(by)) }

// operator runs in this process.
type operator struct {
	*plane
	namespace string
	clock     *steppedClock
	collector *collector.Collector
	life      *crash.Life
	cancel    context.CancelFunc
	ended     chan error
}

// lives counts the operators that were started.
var lives atomic.Int64

// how an operator is run.
type how struct {
	namespace   string        // "": a new one
	clock       *steppedClock // nil: a new one
	config      *rest.Config  // nil: as the operator
	through     *proxy.Proxy  // nil: straight to the API server
	life        *crash.Life   // nil: a new one
	concurrency int           // 0: 8
	setup       func(*controllers.Options)
}

// asOperator is a configuration with the rights of the operator that is installed in the namespace.
func (p *plane) asOperator(namespace string) *rest.Config {
	config := p.RESTConfig()
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + namespace + ":" + operatorAccount,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
	return config
}

// start runs an operator until the spec ends. What there is to be metered is when start returns.
func (p *plane) start(ctx context.Context, h how) *operator {
	GinkgoHelper()
	op := p.launch(ctx, h)
	Eventually(ctx, op.collector.Settled).Should(BeTrue())
	return op
}

// launch is start, without waiting for anything.
func (p *plane) launch(ctx context.Context, h how) *operator {
	GinkgoHelper()
	op := &operator{plane: p, namespace: h.namespace, clock: h.clock, life: h.life, ended: make(chan error, 1)}
	if op.namespace == "" {
		op.namespace = p.newOperatorNamespace(ctx)
	}
	if op.clock == nil {
		op.clock = &steppedClock{}
	}
	if op.life == nil {
		op.life = crash.New(crash.Point{})
	}
	if h.config == nil {
		h.config = p.asOperator(op.namespace)
	}
	if h.through != nil {
		h.config = h.through.Through(h.config)
	}
	if h.concurrency == 0 {
		h.concurrency = 8
	}
	h.config.Wrap(op.life.Wrap)
	options := controllers.Options{
		Namespace:   op.namespace,
		Schedule:    schedule,
		Concurrency: h.concurrency,
		Identity:    fmt.Sprintf("%s-%d", op.namespace, lives.Add(1)),
		Cluster:     "faults",
		Clock:       op.clock,
	}
	if h.setup != nil {
		h.setup(&options)
	}
	p.keeps(op.namespace)
	mgr, err := ctrl.NewManager(h.config, ctrl.Options{
		Scheme:                 scheme,
		Metrics:                metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress: "0",
		Controller:             config.Controller{SkipNameValidation: new(true)},
	})
	Expect(err).NotTo(HaveOccurred())
	op.collector, err = controllers.Setup(mgr, options)
	Expect(err).NotTo(HaveOccurred())
	running, cancel := context.WithCancel(context.Background())
	op.cancel = cancel
	go func() { op.ended <- mgr.Start(running) }()
	DeferCleanup(op.kill)
	return op
}

// kill ends the operator as kill -9 does: nothing that it does from now on reaches the API server.
func (op *operator) kill() {
	op.life.Kill()
	op.stop()
}

// stop ends the operator as SIGTERM does.
func (op *operator) stop() {
	GinkgoHelper()
	op.cancel()
	var err error
	Eventually(op.ended).Should(Receive(&err))
	op.ended <- err
}

// reached waits until the meter has read everything up to the resourceVersion.
func (op *operator) reached(ctx context.Context, meter, resourceVersion string) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		status, metering := op.collector.Status(meter)
		g.Expect(metering).To(BeTrue(), "UsageMeter %s is not applied", meter)
		g.Expect(status.Synced).To(BeTrue(), "UsageMeter %s is not synced", meter)
		g.Expect(source.Newer(resourceVersion, status.ResourceVersion)).To(BeFalse(),
			"UsageMeter %s has come to %s, not to %s", meter, status.ResourceVersion, resourceVersion)
	}).Should(Succeed())
}

// seal puts the clock past the end of the present interval, and waits until it is sealed. It returns that end.
func (op *operator) seal(ctx context.Context) int64 {
	GinkgoHelper()
	end := op.pass()
	op.sealed(ctx, end)
	return end
}

// pass puts the clock past the end of the present interval, and returns that end.
func (op *operator) pass() int64 {
	now := op.clock.Now()
	end := usage.Interval(now.Unix(), interval).End
	op.clock.jump(time.Unix(end+sealing, 0).Sub(now))
	return end
}

// sealed waits until everything up to the end is sealed.
func (op *operator) sealed(ctx context.Context, end int64) {
	GinkgoHelper()
	Eventually(ctx, op.collector.Sealed).Should(BeNumerically(">=", end))
}

// sealedAll waits until all intervals up to the end are sealed, however many, as long as one more is every now and then.
func (op *operator) sealedAll(ctx context.Context, end int64) {
	GinkgoHelper()
	for sealed := op.collector.Sealed(); sealed < end; sealed = op.collector.Sealed() {
		op.sealed(ctx, sealed+1)
	}
}

// crashAndRestart is kill -9, what happens meanwhile, and another start.
func (op *operator) crashAndRestart(ctx context.Context, meanwhile func()) *operator {
	GinkgoHelper()
	op.kill()
	meanwhile()
	return op.start(ctx, how{namespace: op.namespace, clock: op.clock})
}

// committed waits until the journal has everything of a kind up to the resourceVersion.
func (op *operator) committed(ctx context.Context, kind, resourceVersion string) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		come := ""
		for _, block := range op.blocks(ctx, g, op.namespace) {
			for _, position := range block.Spec.Positions {
				if position.Kind == kind {
					come = position.ResourceVersion
				}
			}
		}
		g.Expect(source.Newer(resourceVersion, come)).To(BeFalse(), "the journal has come to %s, not to %s", come, resourceVersion)
	}).Should(Succeed())
}

// journalled waits until the journal knows that the meters see everything.
func (p *plane) journalled(ctx context.Context, namespace string, meters ...string) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		listed := map[string]bool{}
		for _, block := range p.blocks(ctx, g, namespace) {
			for _, meter := range block.Spec.Meters {
				listed[meter.Name] = meter.Listed
			}
		}
		for _, name := range meters {
			g.Expect(listed).To(HaveKeyWithValue(name, true))
		}
	}).Should(Succeed())
}

// blocks are those of the journal in the namespace, in order.
func (p *plane) blocks(ctx context.Context, g Gomega, namespace string) []v1alpha1.UsageBlock {
	list := &v1alpha1.UsageBlockList{}
	g.Expect(p.admin.List(ctx, list, client.InNamespace(namespace))).To(Succeed())
	slices.SortFunc(list.Items, func(a, b v1alpha1.UsageBlock) int { return cmp.Compare(a.Spec.Sequence, b.Spec.Sequence) })
	return list.Items
}

// coverage are the stretches that the journal says are known in that way.
func (p *plane) coverage(ctx context.Context, namespace string, how v1alpha1.BlockCoverage) []usage.Window {
	GinkgoHelper()
	list := &v1alpha1.UsageBlockList{}
	Expect(p.admin.List(ctx, list, client.InNamespace(namespace))).To(Succeed())
	var found []usage.Window
	for _, block := range list.Items {
		for _, stretch := range block.Spec.Coverage {
			if stretch.Coverage == how {
				found = append(found, usage.Window{Start: stretch.StartTime.Unix(), End: stretch.EndTime.Unix()})
			}
		}
	}
	return found
}
