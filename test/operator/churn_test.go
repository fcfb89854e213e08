package operator_test

import (
	"context"
	"fmt"
	"math/big"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/controllers"
	"github.com/usage-operator/usage-operator/internal/audit"
	"github.com/usage-operator/usage-operator/internal/journal/usageblocks"
	"github.com/usage-operator/usage-operator/internal/restclient"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// budgeting gives all records together so many bytes, and so many deployments of a namespace records of their own.
func budgeting(bytes, deployments int64) option {
	return func(_ *ctrl.Options, o *controllers.Options, _ **rest.Config) {
		o.Schedule.Budget, o.Schedule.Deployments = bytes, deployments
	}
}

var _ = Describe("A tenant that changes a deployment's label each second", func() {
	It("loses detail of its own records: others' are as they would be without it", func(ctx SpecContext) {
		const changes, own = 8, 3
		op := start(ctx, refreshing(1), budgeting(16*6000, own))
		blue, red := newDriver(ctx, op), newDriver(ctx, op)
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		midInterval(ctx, changes+12)
		steady := blue.widget("steady", "2")
		blue.size(steady, steady.created(), 2)
		churn := red.sized(widgetKind, "churn", "d0", "3")
		for i := range changes {
			red.patch(churn, fmt.Sprintf(`metadata: {labels: {metering.usage-operator.dev/deployment: d%d}}`, i+1))
		}
		op.reached(ctx, "widgets", red.last)

		end := op.seal(ctx)

		By("looking at the records of the tenant that does")
		var records []v1alpha1.UsageRecord
		Eventually(func(g Gomega) {
			records = recordsOf(ctx, red.namespace, end)
			g.Expect(records).To(HaveLen(own + 1))
			for i := range records {
				g.Expect(records[i].Status.Phase).To(Equal(v1alpha1.PhaseFinal))
			}
		}).WithContext(ctx).Should(Succeed())
		sum, together := new(big.Int), int32(0)
		for i := range records {
			r := &records[i]
			Expect(r.Status.Detail).To(Equal(v1alpha1.DetailTotals), r.Name)
			Expect(r.Status.Usage).To(BeEmpty(), r.Name)
			exact, ok := new(big.Int).SetString(r.Status.Totals[0].Exact, 10)
			Expect(ok).To(BeTrue())
			sum.Add(sum, exact)
			if r.Spec.Deployment == usage.OtherDeployments {
				together = r.Status.Deployments
			}
		}
		Expect(together).To(BeEquivalentTo(changes + 1 - own))
		Expect(sum.Int64()).To(Equal(3000 * (end - churn.GetCreationTimestamp().Unix())))

		By("looking at those of the other")
		var others []v1alpha1.UsageRecord
		Eventually(func(g Gomega) {
			others = recordsOf(ctx, blue.namespace, end)
			g.Expect(others).To(HaveLen(1))
			g.Expect(others[0].Status.Phase).To(Equal(v1alpha1.PhaseFinal))
		}).WithContext(ctx).Should(Succeed())
		Expect(blue.compare(NewWithT(GinkgoT()), others, nil, end)).To(BeEmpty())
		Expect(others[0].Status.Detail).To(BeEmpty())

		By("looking for who is told")
		for _, namespace := range []string{red.namespace, op.namespace} {
			Eventually(func(g Gomega) {
				events := &corev1.EventList{}
				g.Expect(admin.List(ctx, events, client.InNamespace(namespace))).To(Succeed())
				var notes []string
				for _, e := range events.Items {
					if e.Reason == "RecordsReduced" {
						notes = append(notes, e.Message)
					}
				}
				g.Expect(notes).To(ConsistOf(ContainSubstring(red.namespace)))
			}).WithContext(ctx).Should(Succeed())
		}

		By("verifying it all")
		report := op.verify(ctx, red.namespace, blue.namespace)
		Expect(report.OK()).To(BeTrue(), fmt.Sprint(report.First))
		Expect(report.Records).To(BeNumerically(">=", own+2))
	})
})

// recordsOf are the records of a namespace in the interval that ends then.
func recordsOf(ctx context.Context, namespace string, end int64) (found []v1alpha1.UsageRecord) {
	GinkgoHelper()
	records := &v1alpha1.UsageRecordList{}
	Expect(admin.List(ctx, records, client.InNamespace(namespace))).To(Succeed())
	for i := range records.Items {
		if records.Items[i].Spec.EndTime.Unix() == end {
			found = append(found, records.Items[i])
		}
	}
	return found
}

// verify recomputes the operator's journal, and the records of the namespaces.
func (op *operator) verify(ctx context.Context, namespaces ...string) *audit.Report {
	GinkgoHelper()
	config := unlimited(cp.RESTConfig())
	httpClient, err := rest.HTTPClientFor(config)
	Expect(err).NotTo(HaveOccurred())
	blocks, err := usageblocks.New(config, httpClient, op.namespace)
	Expect(err).NotTo(HaveOccurred())
	records, err := restclient.New(config, httpClient)
	Expect(err).NotTo(HaveOccurred())
	report, err := audit.Verify(ctx, audit.Input{
		Blocks: blocks, Records: ofNamespaces{audit.ClusterRecords(records), strings.Join(namespaces, " ")}, Namespace: op.namespace,
		Clock: clocktesting.NewFakeClock(op.clock.Now().Add(10 * time.Minute)),
	})
	Expect(err).NotTo(HaveOccurred())
	return report
}

// ofNamespaces are the records of some namespaces: others' are of other operators.
type ofNamespaces struct {
	audit.Records
	names string
}

func (o ofNamespaces) List(ctx context.Context, each func(*audit.Published) error) error {
	return o.Records.List(ctx, func(p *audit.Published) error {
		if !strings.Contains(o.names, p.Metadata.Namespace) {
			return nil
		}
		return each(p)
	})
}
