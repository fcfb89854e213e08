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

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/controllers"
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
		nextSecond(ctx)

		one.remove()

		Eventually(ctx, between.Dropped).Should(BeNumerically(">", 0))
		Eventually(ctx, func() int { status, _ := op.collector.Status("widgets"); return status.Active }).Should(Equal(1))
		d.judged(op.seal(ctx))
		Expect(d.accuracies("web")).To(Equal([]v1alpha1.Accuracy{v1alpha1.AccuracyEstimated}))
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
