package operator_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/controllers"
	"github.com/usage-operator/usage-operator/internal/archive"
	"github.com/usage-operator/usage-operator/internal/audit"
	"github.com/usage-operator/usage-operator/internal/journal/usageblocks"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// archiving makes an operator archive to a URL, and cut its journal or not. Its intervals are hours.
func archiving(location string, cuts bool) option {
	return func(_ *ctrl.Options, o *controllers.Options, _ **rest.Config) {
		o.Archive, o.ArchiveCut, o.Schedule.Interval = location, cuts, 3600
	}
}

// blocks are those of the operator's journal.
func (op *operator) blocks(ctx context.Context) []v1alpha1.UsageBlock {
	GinkgoHelper()
	list := &v1alpha1.UsageBlockList{}
	Expect(admin.List(ctx, list, client.InNamespace(op.namespace))).To(Succeed())
	return list.Items
}

// leftOut are how many of the operator's blocks have something left out, and rows how many they all have.
func (op *operator) leftOut(ctx context.Context) (blocks, rows int) {
	GinkgoHelper()
	for _, b := range op.blocks(ctx) {
		rows += int(b.Spec.Rows)
		if b.Spec.LeftOut != nil {
			blocks++
		}
	}
	return blocks, rows
}

// audited is what an audit finds in the operator's journal, and in an archive.
func (op *operator) audited(ctx context.Context, location string) *audit.Report {
	GinkgoHelper()
	config := unlimited(cp.RESTConfig())
	httpClient, err := rest.HTTPClientFor(config)
	Expect(err).NotTo(HaveOccurred())
	blocks, err := usageblocks.New(config, httpClient, op.namespace)
	Expect(err).NotTo(HaveOccurred())
	report, err := audit.Verify(ctx, audit.Input{
		Blocks: blocks, Records: noRecords{}, Namespace: op.namespace, Clock: op.clock,
		Past: archive.Past{Options: archive.Options{URL: location}},
	})
	Expect(err).NotTo(HaveOccurred())
	return report
}

// noRecords are none: what others in this cluster have published is of other operators' journals.
type noRecords struct{}

func (noRecords) List(context.Context, func(*audit.Published) error) error { return nil }

var _ = Describe("A journal with --archive-cut", func() {
	It("leaves out what is in the archive, goes on from both, and says what is missing without it", func(ctx SpecContext) {
		location := "file://" + GinkgoT().TempDir()
		op, d := begin(ctx, archiving(location, true))
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		for n := range 30 {
			gone := d.widget(fmt.Sprintf("gone-%d", n), "2")
			d.delete(gone)
		}
		d.widget("stays", "3")
		op.reached(ctx, "widgets", d.last)

		By("a day that is over, archived, and cut")
		now := op.clock.Now()
		midnight := now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
		op.clock.ahead.Add(int64(midnight.Add(grace * time.Second).Sub(now)))
		Eventually(op.collector.Sealed).WithContext(ctx).Should(BeNumerically(">=", midnight.Unix()))
		_, before := op.leftOut(ctx)
		Expect(before).To(BeNumerically(">=", 30))
		Eventually(func(g Gomega) {
			op.clock.ahead.Add(int64(20 * time.Second)) // positions are written, and blocks merged, once a minute
			blocks, rows := op.leftOut(ctx)
			g.Expect(blocks).To(BeNumerically(">", 0))
			g.Expect(rows).To(BeNumerically("<", 10))
		}).WithContext(ctx).WithTimeout(2 * patience).WithPolling(2 * time.Second).Should(Succeed())
		op.stop()
		report := op.audited(ctx, location)
		Expect(report.OK()).To(BeTrue(), "%+v", report.First)
		Expect(report.FirstInterval).To(HavePrefix(time.Unix(usage.Interval(op.started, 3600).Start, 0).UTC().Format("2006-01-02T15")))

		By("without the flag")
		again := start(ctx, after(op), archiving(location, false))
		ready(ctx, "widgets")
		Expect(again.collector.Sealed()).To(BeNumerically(">=", midnight.Unix()))
		again.stop()

		By("without the archive")
		alone := start(ctx, after(op), archiving("", false))
		Eventually(func() string { return message(ctx, "widgets", v1alpha1.ConditionReady) }).WithContext(ctx).Should(And(
			ContainSubstring("NotArchived"), ContainSubstring("--archive")))
		Expect(alone.audited(ctx, location).OK()).To(BeTrue())
	}, NodeTimeout(15*time.Minute))
})
