package operator_test

import (
	"fmt"
	"net/url"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/usage-operator/usage-operator/test/monitoring"
)

// hastened are the alerts of config/monitoring that do not wait: an alert fires at once where its expression holds.
func hastened() []monitoring.Group {
	GinkgoHelper()
	groups, err := monitoring.Groups(checkout)
	Expect(err).NotTo(HaveOccurred())
	for i := range groups {
		for j := range groups[i].Rules {
			groups[i].Rules[j].For = ""
		}
	}
	return groups
}

// Each of these faults is made, and ends. docs/monitoring.md has the alerts whose faults take too long.
var _ = Describe("Alerts", func() {
	It("fire in a real Prometheus for as long as what they tell of is so", func(ctx SpecContext) {
		served, etcd := &exposed{metrics: freeAddress(), api: freeAddress()}, &fullEtcd{}
		server := prometheusWith(hastened(), served.metrics, scraper(ctx, newNamespace(ctx, "monitoring-")))
		firing := func(alert string) func(Gomega) int {
			return func(g Gomega) int {
				var result struct{ Result []sample }
				query := fmt.Sprintf(`ALERTS{alertname=%q, alertstate="firing"}`, alert)
				server.get(ctx, g, "/api/v1/query", url.Values{"query": {query}}, &result)
				return len(result.Result)
			}
		}
		fires := func(alerts ...string) {
			GinkgoHelper()
			for _, alert := range alerts {
				Eventually(firing(alert)).WithContext(ctx).WithTimeout(time.Minute).Should(BeNumerically(">", 0), alert)
			}
		}
		clears := func(alerts ...string) {
			GinkgoHelper()
			for _, alert := range alerts {
				Eventually(firing(alert)).WithContext(ctx).WithTimeout(time.Minute).Should(BeZero(), alert)
			}
		}

		By("no replica meters, and then one does")
		fires("UsageNotMetered")
		op, d := begin(ctx, served.option, etcd.option)
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		clears("UsageNotMetered", "UsageJournalDegraded", "UsageJournalBehind", "UsageQuarantined", "UsageClockBehind")

		By("an object cannot be read, and is corrected")
		widget := d.widget("one", "2")
		d.patch(widget, `spec: {size: plenty}`)
		fires("UsageQuarantined")
		d.patch(widget, `spec: {size: 3}`)
		clears("UsageQuarantined")

		By("etcd is full for two minutes, and then there is room")
		etcd.full.Store(true)
		d.patch(widget, `spec: {size: 4}`)
		fires("UsageJournalDegraded")
		op.clock.ahead.Add(int64(2 * time.Minute))
		fires("UsageJournalBehind")
		etcd.full.Store(false)
		clears("UsageJournalDegraded", "UsageJournalBehind")

		By("the machine's clock is set back, and put right")
		op.clock.set.Store(int64(-time.Hour))
		fires("UsageClockBehind")
		op.clock.set.Store(0)
		clears("UsageClockBehind")
	})
})
