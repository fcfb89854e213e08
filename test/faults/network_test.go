package faults_test

import (
	"context"
	"net/http"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

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
		op, d := home.begin(ctx, how{config: between.Through(home.asOperator())}, 10)
		between.LoseAnswers(writes)
		d.widget("one", 2)
		two := d.widget("two", 3)
		nextSecond(ctx)
		two.resize(4)
		op.reached(ctx, "widgets", d.last)
		Eventually(ctx, between.Lost).Should(BeNumerically(">=", 3))
		end := op.seal(ctx)
		lost := between.Lost()
		Eventually(ctx, between.Lost).Should(BeNumerically(">", lost), "what seals the interval is written, too")

		between.LoseAnswers(nil)

		d.judged(end)
		Expect(d.records()).To(HaveLen(1))
	})
})
