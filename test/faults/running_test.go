package faults_test

import (
	"context"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/usage-operator/usage-operator/controllers"
	"github.com/usage-operator/usage-operator/internal/collector"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/faults/crash"
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

// how an operator is run.
type how struct {
	namespace   string        // "": a new one
	clock       *steppedClock // nil: a new one
	config      *rest.Config  // nil: straight to the API server, as the operator
	life        *crash.Life   // nil: a new one
	concurrency int           // 0: 8
	setup       func(*controllers.Options)
}

// asOperator is a configuration with the rights of the installed operator.
func (p *plane) asOperator() *rest.Config {
	config := p.RESTConfig()
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + operatorNamespace + ":usage-operator",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + operatorNamespace, "system:authenticated"},
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
		op.namespace = p.newNamespace(ctx, "usage-")
	}
	if op.clock == nil {
		op.clock = &steppedClock{}
	}
	if op.life == nil {
		op.life = crash.New(crash.Point{})
	}
	if h.config == nil {
		h.config = p.asOperator()
	}
	if h.concurrency == 0 {
		h.concurrency = 8
	}
	h.config.Wrap(op.life.Wrap)
	options := controllers.Options{
		Namespace:   op.namespace,
		Schedule:    schedule,
		Concurrency: h.concurrency,
		Clock:       op.clock,
	}
	if h.setup != nil {
		h.setup(&options)
	}
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
	now := op.clock.Now()
	end := usage.Interval(now.Unix(), interval).End
	op.clock.jump(time.Unix(end+sealing, 0).Sub(now))
	op.sealed(ctx, end)
	return end
}

// sealed waits until everything up to the end is sealed.
func (op *operator) sealed(ctx context.Context, end int64) {
	GinkgoHelper()
	Eventually(ctx, op.collector.Sealed).Should(BeNumerically(">=", end))
}
