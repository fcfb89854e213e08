package operator_test

import (
	"context"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/controllers"
	"github.com/usage-operator/usage-operator/internal/collector"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/widgets"
)

const (
	interval = 60
	// grace is how long after its end an interval may be sealed.
	grace = 10
)

// steppedClock is the real clock, plus an offset that only grows; its stopwatch grows with it.
type steppedClock struct {
	clock.RealClock
	ahead atomic.Int64 // nanoseconds
	// set is by how much somebody has set the clock, in nanoseconds. The stopwatch knows nothing of it.
	set atomic.Int64
}

func (c *steppedClock) Now() time.Time {
	if set := c.set.Load(); set != 0 {
		return c.stopwatch().Round(0).Add(time.Duration(set))
	}
	return c.stopwatch()
}

func (c *steppedClock) Since(t time.Time) time.Duration { return c.stopwatch().Sub(t) }

func (c *steppedClock) stopwatch() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// NewTicker ticks every few seconds for what is done once a minute: a clock that is stepped passes minutes quickly.
func (c *steppedClock) NewTicker(d time.Duration) clock.Ticker {
	if d >= time.Minute {
		d = 3 * time.Second
	}
	return c.RealClock.NewTicker(d)
}

// operator is one that runs in this process. Each has a namespace of its own.
type operator struct {
	namespace string
	clock     *steppedClock
	collector *collector.Collector
	started   int64
	cancel    context.CancelFunc
	ended     chan error
}

type option func(*ctrl.Options, *controllers.Options, **rest.Config)

func refreshing(seconds int64) option {
	return func(_ *ctrl.Options, o *controllers.Options, _ **rest.Config) { o.Schedule.Refresh = seconds }
}

func retaining(seconds int64) option {
	return func(_ *ctrl.Options, o *controllers.Options, _ **rest.Config) { o.Schedule.Retention = seconds }
}

// after makes an operator a later run of another: in its namespace, with its journal and its clock.
func after(former *operator) option {
	return func(_ *ctrl.Options, o *controllers.Options, _ **rest.Config) {
		o.Namespace, o.Clock, o.Identity = former.namespace, former.clock, former.namespace+"-again"
	}
}

func actingAs(user *rest.Config) option {
	return func(_ *ctrl.Options, _ *controllers.Options, c **rest.Config) { *c = user }
}

// start runs an operator until the spec ends. It is metering when start returns.
func start(ctx context.Context, options ...option) *operator {
	GinkgoHelper()
	op := &operator{clock: &steppedClock{}, ended: make(chan error, 1), namespace: newNamespace(ctx, "usage-")}
	setup := controllers.Options{
		Namespace:   op.namespace,
		Schedule:    controllers.Schedule{Interval: interval, Flush: 1, SealTimeout: 600, Refresh: 1, Retention: 3 * 24 * 3600},
		Concurrency: 8,
		Identity:    op.namespace,
		Clock:       op.clock,
	}
	manager := ctrl.Options{
		Scheme:                 scheme,
		Cache:                  controllers.CacheOptions(),
		Metrics:                metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress: "0",
		Controller:             config.Controller{SkipNameValidation: new(true)},
	}
	cluster := cp.RESTConfig()
	for _, set := range options {
		set(&manager, &setup, &cluster)
	}
	op.namespace, op.clock = setup.Namespace, setup.Clock.(*steppedClock)
	mgr, err := ctrl.NewManager(unlimited(cluster), manager)
	Expect(err).NotTo(HaveOccurred())
	op.collector, err = controllers.Setup(mgr, setup)
	Expect(err).NotTo(HaveOccurred())

	running, cancel := context.WithCancel(context.Background())
	op.cancel = cancel
	go func() { op.ended <- mgr.Start(running) }()
	DeferCleanup(op.stop)
	Eventually(op.collector.Settled).WithContext(ctx).Should(BeTrue())
	op.started = op.collector.Since()
	return op
}

func (op *operator) stop() {
	op.cancel()
	Eventually(op.ended).Should(Receive(Or(BeNil(), MatchError(context.Canceled))))
	op.ended <- nil
}

// reached waits until the meter has read everything up to the resourceVersion.
func (op *operator) reached(ctx context.Context, meter, resourceVersion string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		status, metering := op.collector.Status(meter)
		g.Expect(metering).To(BeTrue(), "UsageMeter %s is not applied", meter)
		g.Expect(status.Synced).To(BeTrue(), "UsageMeter %s is not synced", meter)
		g.Expect(source.Newer(resourceVersion, status.ResourceVersion)).To(BeFalse(),
			"UsageMeter %s has come to %s, not to %s", meter, status.ResourceVersion, resourceVersion)
	}).WithContext(ctx).Should(Succeed())
}

// seal puts the clock past the end of the present interval, and waits until it is sealed. It returns that end.
func (op *operator) seal(ctx context.Context) int64 {
	GinkgoHelper()
	now := op.clock.Now()
	end := usage.Interval(now.Unix(), interval).End
	op.clock.ahead.Add(int64(time.Unix(end+grace, 0).Sub(now)))
	Eventually(op.collector.Sealed).WithContext(ctx).Should(BeNumerically(">=", end))
	return end
}

// finals are all Final records of the intervals that this operator has sealed, once they are all there.
func (op *operator) finals(ctx context.Context) []v1alpha1.UsageRecord {
	GinkgoHelper()
	namespaces := map[string]bool{}
	Eventually(func(g Gomega, ctx context.Context) {
		for w := usage.Interval(op.started, interval); w.End <= op.collector.Sealed(); w = w.Next() {
			for _, account := range op.collector.Accounts(w, w.End) {
				in := record.Input{Key: record.Key{Account: account, Interval: w}, Namespace: op.collector.Home(account)}
				namespaces[in.Namespace] = true
				op.expectFinal(ctx, g, in)
			}
		}
	}).WithContext(ctx).Should(Succeed())
	var finals []v1alpha1.UsageRecord
	for namespace := range namespaces {
		records := &v1alpha1.UsageRecordList{}
		Expect(admin.List(ctx, records, client.InNamespace(namespace), client.MatchingFields{"status.phase": "Final"})).To(Succeed())
		for i := range records.Items {
			if records.Items[i].Spec.StartTime.Unix() >= usage.Interval(op.started, interval).Start {
				finals = append(finals, records.Items[i])
			}
		}
	}
	return finals
}

// expectFinal expects all parts of an account's records of an interval.
func (op *operator) expectFinal(ctx context.Context, g Gomega, in record.Input) {
	first := &v1alpha1.UsageRecord{}
	g.Expect(admin.Get(ctx, client.ObjectKey{Namespace: in.Namespace, Name: record.Name(in, 0)}, first)).To(Succeed())
	g.Expect(first.Status.Phase).To(Equal(v1alpha1.PhaseFinal), first.Name)
	for part := 1; part < int(first.Status.Parts); part++ {
		further := &metav1.PartialObjectMetadata{}
		further.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("UsageRecord"))
		g.Expect(admin.Get(ctx, client.ObjectKey{Namespace: in.Namespace, Name: record.Name(in, part)}, further)).To(Succeed())
	}
}

func stamp(seconds int64) string { return time.Unix(seconds, 0).UTC().Format("15:04:05") }

// newNamespace makes a namespace of its own for a spec. Nothing removes it: there is no controller that could.
func newNamespace(ctx context.Context, prefix string) string {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix}}
	Expect(admin.Create(ctx, namespace)).To(Succeed())
	return namespace.Name
}

// nextSecond waits until the next second begins, so that what follows happens in one second and no other.
func nextSecond(ctx context.Context) int64 {
	GinkgoHelper()
	before := time.Now().Unix()
	Eventually(func() int64 { return time.Now().Unix() }).WithContext(ctx).WithPolling(2 * time.Millisecond).
		Should(BeNumerically(">", before))
	return time.Now().Unix()
}

// midInterval waits until an interval is under way, and ends in no less than so many seconds.
func midInterval(ctx context.Context, left int64) {
	GinkgoHelper()
	Eventually(func() int64 { return time.Now().Unix() % interval }).WithContext(ctx).
		Should(And(BeNumerically(">=", 2), BeNumerically("<=", interval-left)))
}

// apply creates a meter, which goes when the spec ends.
func apply(ctx context.Context, meter client.Object) {
	GinkgoHelper()
	Expect(admin.Create(ctx, meter)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) {
		Expect(client.IgnoreNotFound(admin.Delete(ctx, meter))).To(Succeed())
	})
}

// conditions of a meter, as "Ready=True/Metering".
func conditions(ctx context.Context, name string) func(Gomega) []string {
	return func(g Gomega) []string {
		meter := &v1alpha1.UsageMeter{}
		g.Expect(admin.Get(ctx, client.ObjectKey{Name: name}, meter)).To(Succeed())
		return widgets.Conditions(meter)
	}
}

func message(ctx context.Context, name, condition string) string {
	GinkgoHelper()
	meter := &v1alpha1.UsageMeter{}
	Expect(admin.Get(ctx, client.ObjectKey{Name: name}, meter)).To(Succeed())
	found := meta.FindStatusCondition(meter.Status.Conditions, condition)
	Expect(found).NotTo(BeNil())
	return found.Message
}

// ready waits until the meters meter.
func ready(ctx context.Context, names ...string) {
	GinkgoHelper()
	for _, name := range names {
		Eventually(conditions(ctx, name)).WithContext(ctx).Should(ConsistOf(widgets.Metering()), name)
	}
}

// position is how far the meter's watch has come.
func (op *operator) position(meter string) string {
	status, _ := op.collector.Status(meter)
	return status.ResourceVersion
}
