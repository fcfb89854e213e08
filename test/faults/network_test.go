package faults_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/controllers"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/usageblocks"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/controlplane"
	"github.com/usage-operator/usage-operator/test/faults/proxy"
)

// proxied is a proxy before the API server, until the spec ends.
func (p *plane) proxied() *proxy.Proxy {
	GinkgoHelper()
	between, err := proxy.Start(p.RESTConfig())
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(between.Close)
	return between
}

// begin runs an operator that meters widgets, and a driver, with some seconds left of the interval.
func (p *plane) begin(ctx context.Context, h how, left int64) (*operator, *driver) {
	GinkgoHelper()
	op := p.start(ctx, h)
	p.apply(ctx, meterOf("widgets", widgetKind))
	p.ready(ctx, "widgets")
	midInterval(ctx, left)
	return op, p.newDriver(ctx)
}

// writes tells which requests write what the operator has to say.
func writes(r *http.Request) bool {
	return r.Method != http.MethodGet && strings.Contains(r.URL.Path, "/apis/metering.usage-operator.dev/")
}

var _ = Describe("The network", func() {
	It("loses the answers to writes: each is done once", func(ctx SpecContext) {
		between := home.proxied()
		op, d := home.begin(ctx, how{through: between}, 10)
		between.LoseAnswers(writes)
		d.widget("one", 2)
		two := d.widget("two", 3)
		nextSecond(ctx)
		two.resize(4)
		op.reached(ctx, "widgets", d.last)
		Eventually(ctx, between.Lost).Should(BeNumerically(">=", 3))
		end := op.pass()
		lost := between.Lost()
		Eventually(ctx, between.Lost).Should(BeNumerically(">", lost+2))

		between.LoseAnswers(nil)

		op.sealed(ctx, end)
		d.judged(end)
		Expect(d.records()).To(HaveLen(1))
	})

	It("delays watches and lists: nothing is counted twice, nothing goes back", func(ctx SpecContext) {
		between := home.proxied()
		op, d := home.begin(ctx, how{through: between, setup: checkingEvery(2 * time.Second)}, 30)
		one, two := d.widget("one", 2), d.widget("two", 3)
		op.reached(ctx, "widgets", d.last)

		between.DelayWatches(4 * time.Second)
		between.DelayAnswers(func(r *http.Request) time.Duration { // what a list says is older than what a watch said meanwhile
			if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/widgets") {
				return 3 * time.Second
			}
			return 0
		})
		for size := int64(3); size < 7; size++ {
			nextSecond(ctx)
			one.resize(size)
			d.widget(fmt.Sprintf("brief-%d", size), size).remove()
		}
		two.remove()
		op.reached(ctx, "widgets", d.last)
		between.DelayWatches(0)
		between.DelayAnswers(nil)

		d.judged(op.seal(ctx))
	}, SpecTimeout(minutes))

	It("loses the event of a removal: the next check finds that the object is gone", func(ctx SpecContext) {
		between := home.proxied()
		op, d := home.begin(ctx, how{through: between, setup: checkingEvery(5 * time.Second)}, 25)
		one := d.widget("one", 2)
		d.widget("two", 3)
		op.reached(ctx, "widgets", d.last)
		between.DropEvents(func(e proxy.Event) bool { return e.Type == watch.Deleted && e.Object.UID == one.GetUID() })
		passes(ctx, 6) // it was there at a check: what is gone at the next one is gone since then, and not since it was made

		one.remove()

		Eventually(ctx, between.Dropped).Should(BeNumerically(">", 0))
		Eventually(ctx, func() []end { return d.endsOf(one, "size") }).Should(HaveLen(1))
		d.judged(op.seal(ctx))
		Expect(d.accuracies("web")).To(beEstimated)
	}, SpecTimeout(minutes))

	It("is cut while an object is made again under its old name: there are two resources", func(ctx SpecContext) {
		between := home.proxied()
		op, d := home.begin(ctx, how{through: between}, 25)
		one := d.widget("one", 2)
		op.reached(ctx, "widgets", d.last)

		between.Refuse(true)
		nextSecond(ctx)
		one.remove()
		nextSecond(ctx)
		again := d.widget("one", 3)
		between.Refuse(false)

		op.reached(ctx, "widgets", again.GetResourceVersion())
		d.judged(op.seal(ctx))
		Expect(d.endsOf(one, "size")).To(HaveLen(1))
	}, SpecTimeout(minutes))
})

var _ = Describe("A kind", func() {
	It("cannot be read until --seal-timeout is over: its interval is sealed as unknown, and corrected when it can", func(ctx SpecContext) {
		between := home.proxied()
		op, d := home.begin(ctx, how{through: between, setup: func(o *controllers.Options) { o.Schedule.SealTimeout = 5 }}, 20)
		one := d.widget("one", 2)
		op.committed(ctx, string(widgetKind), d.last)
		between.LoseAnswers(func(r *http.Request) bool {
			return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/widgets")
		})
		between.Cut()
		nextSecond(ctx)

		one.resize(4)
		resized := one.written()
		end := op.pass()
		op.clock.jump(10 * time.Second) // the timeout, and some more
		op.sealed(ctx, end)

		var unknown []usage.Window
		Eventually(ctx, func() []usage.Window { // once it is committed
			unknown = home.coverage(ctx, op.namespace, "Unknown")
			return unknown
		}).Should(HaveLen(1))
		Expect(unknown[0].Contains(resized)).To(BeTrue(), "unknown is from %s to %s", stamp(unknown[0].Start), stamp(unknown[0].End))
		d.judged(end, unknown...)
		Eventually(ctx, d.accuracies).WithArguments("web").Should(Equal([]v1alpha1.Accuracy{v1alpha1.AccuracyPartial}))

		between.LoseAnswers(nil)
		between.Cut()
		op.reached(ctx, "widgets", d.last)
		start := end - interval
		Eventually(ctx, func(g Gomega) {
			g.Expect(op.corrections(ctx, g, d.namespace, start)).To(Equal(map[usage.ChangeKind]int64{
				usage.Less: 2000 * (end - resized), usage.More: 4000 * (end - resized),
			}))
		}).Should(Succeed())
		d.judged(op.seal(ctx), unknown...)
	}, SpecTimeout(minutes))
})

// corrections are the sums of what the journal says of a namespace beside a sealed interval. In others there may still
// be what specs before this one left to be collected.
func (op *operator) corrections(ctx context.Context, g Gomega, namespace string, interval int64) map[usage.ChangeKind]int64 {
	GinkgoHelper()
	sums := map[usage.ChangeKind]int64{}
	for _, change := range op.state(ctx, g, op.clock).Segments {
		if change.Corrects == interval && change.Subject.Namespace == namespace {
			sums[change.Kind] += change.Level * (change.End.At - change.Start.At)
		}
	}
	return sums
}

// state is what the operator's journal says, by a clock that is not behind those that wrote it.
func (op *operator) state(ctx context.Context, g Gomega, now clock.Clock) *journal.State {
	GinkgoHelper()
	config := op.RESTConfig()
	httpClient, err := rest.HTTPClientFor(config)
	g.Expect(err).NotTo(HaveOccurred())
	store, err := usageblocks.New(config, httpClient, op.namespace)
	g.Expect(err).NotTo(HaveOccurred())
	state, err := journal.New(journal.Options{Store: store, Clock: now, Log: GinkgoLogr}).Load(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	return state
}

// checkingEvery has what is known compared with what there is as often.
func checkingEvery(period time.Duration) func(*controllers.Options) {
	return func(o *controllers.Options) { o.CheckEvery = period }
}

var _ = Describe("The API server", func() {
	It("is killed with kill -9 while the operator writes, and comes back: each write is done once", func(ctx SpecContext) {
		op, d := home.begin(ctx, how{}, 35)
		one, two := d.widget("one", 2), d.widget("two", 3)
		op.reached(ctx, "widgets", d.last)
		before := len(op.life.Writes())
		nextSecond(ctx)
		one.resize(4)
		Eventually(ctx, func() int { return len(op.life.Writes()) }).WithPolling(time.Millisecond).Should(BeNumerically(">", before))

		Expect(home.Kill(controlplane.APIServer)).To(Succeed())
		Expect(home.StartComponent(ctx, controlplane.APIServer)).To(Succeed())

		two.remove() // the watch cannot go on where it was: the API server's memory begins anew
		one.resize(5)
		op.reached(ctx, "widgets", one.GetResourceVersion())
		d.judged(op.seal(ctx))
		d.expectNarrow(two)
		expectChain(op.blocks(ctx, NewWithT(GinkgoT()), op.namespace))
	}, SpecTimeout(minutes))
})
