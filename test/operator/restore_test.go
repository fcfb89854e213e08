package operator_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/controllers"
	"github.com/usage-operator/usage-operator/internal/archive"
	"github.com/usage-operator/usage-operator/internal/archive/restoring"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// restore runs usage-operator archive restore into the operator's namespace.
func (op *operator) restore(ctx context.Context, location string, dryRun bool) (string, error) {
	var out bytes.Buffer
	err := restoring.Run(ctx, unlimited(cp.RESTConfig()), restoring.Options{
		Namespace: op.namespace, Lease: "usage-operator", Archive: archive.Options{URL: location},
		DryRun: dryRun, Writer: "restore", Clock: op.clock,
	}, &out)
	return out.String(), err
}

// ofThisCluster has the operator know which cluster it is in.
func ofThisCluster(ctx context.Context) option {
	GinkgoHelper()
	system := &corev1.Namespace{}
	Expect(admin.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, system)).To(Succeed())
	return func(_ *ctrl.Options, o *controllers.Options, _ **rest.Config) { o.Cluster = string(system.UID) }
}

// archivedDay waits until the day that ends at the moment is in the archive.
func (op *operator) archivedDay(ctx context.Context, folder string, end time.Time) {
	GinkgoHelper()
	manifest := filepath.Join(folder, "manifests", end.Add(-time.Second).UTC().Format(time.DateOnly)+".json")
	Eventually(func() error {
		op.clock.ahead.Add(int64(10 * time.Second))
		_, err := os.Stat(manifest)
		return err
	}).WithContext(ctx).WithTimeout(2 * patience).WithPolling(time.Second).Should(Succeed())
}

// midnight takes the clock to where the day that goes on has ended, and waits until it is sealed.
func (op *operator) midnight(ctx context.Context) time.Time {
	GinkgoHelper()
	now := op.clock.Now()
	midnight := now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	op.clock.ahead.Add(int64(midnight.Add(grace * time.Second).Sub(now)))
	Eventually(op.collector.Sealed).WithContext(ctx).Should(BeNumerically(">=", midnight.Unix()))
	return midnight
}

// segmentsOf are what the ledger has of an object, by what it was named.
func (op *operator) segmentsOf(t *thing) []usage.Segment {
	now := op.clock.Now().Unix()
	window := usage.Window{Start: op.started - 3600, End: now + 1}
	var all []usage.Segment
	for _, account := range op.collector.Accounts(window, now) {
		for _, s := range op.collector.Cut(account, window, now) {
			if s.Subject.Instance.UID == t.uid() {
				all = append(all, s)
			}
		}
	}
	return all
}

var _ = Describe("usage-operator archive restore", func() {
	It("gives a cluster that has lost its journal the archived days back, seals and all", func(ctx SpecContext) {
		folder := GinkgoT().TempDir()
		location := "file://" + folder
		op, d := begin(ctx, archiving(location, false), ofThisCluster(ctx))
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		stays, goes := d.widget("stays", "3"), d.widget("goes", "2")
		ended := d.widget("ended", "1")
		d.delete(ended)
		op.reached(ctx, "widgets", d.last)
		midnight := op.midnight(ctx)
		op.archivedDay(ctx, folder, midnight)
		op.stop()
		was := op.segmentsOf(stays)
		Expect(was).NotTo(BeEmpty())

		By("the journal is lost, and what it had goes on without")
		d.delete(goes)
		Expect(admin.DeleteAllOf(ctx, &v1alpha1.UsageBlock{}, client.InNamespace(op.namespace))).To(Succeed())

		By("restoring while a replica meters")
		lease := &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Namespace: op.namespace, Name: "usage-operator"},
			Spec: coordinationv1.LeaseSpec{
				HolderIdentity: new("pod-a_1"), LeaseDurationSeconds: new(int32(15)),
				RenewTime: &metav1.MicroTime{Time: op.clock.Now()},
			},
		}
		Expect(admin.Create(ctx, lease)).To(Succeed())
		_, err := op.restore(ctx, location, false)
		Expect(err).To(MatchError(ContainSubstring("pod-a_1 meters")))
		Expect(op.blocks(ctx)).To(BeEmpty())
		Expect(admin.Delete(ctx, lease)).To(Succeed())

		By("restoring")
		said, err := op.restore(ctx, location, true)
		Expect(err).NotTo(HaveOccurred())
		Expect(said).To(ContainSubstring("nothing was written"))
		Expect(op.blocks(ctx)).To(BeEmpty())
		said, err = op.restore(ctx, location, false)
		Expect(err).NotTo(HaveOccurred())
		Expect(said).To(And(ContainSubstring("restored until "+midnight.Format(time.RFC3339)), ContainSubstring("seal sha256:"), Not(ContainSubstring("another cluster"))))

		By("going on")
		again := start(ctx, after(op), archiving(location, false), ofThisCluster(ctx))
		ready(ctx, "widgets")
		again.started = op.started
		Eventually(again.collector.Sealed).WithContext(ctx).Should(BeNumerically(">=", midnight.Unix()))
		Eventually(func(g Gomega) {
			now := again.segmentsOf(stays)
			g.Expect(now).To(HaveLen(len(was)))
			for i := range now {
				g.Expect(now[i].Start).To(Equal(was[i].Start))
				g.Expect(now[i].Level).To(Equal(was[i].Level))
			}
			for _, s := range again.segmentsOf(goes) {
				g.Expect(s.End.Evidence).To(Equal(usage.ReplayBound))
				g.Expect(s.End.At).To(Equal(midnight.Unix()))
			}
			g.Expect(again.segmentsOf(goes)).NotTo(BeEmpty())
			g.Expect(again.segmentsOf(ended)).NotTo(BeEmpty())
		}).WithContext(ctx).Should(Succeed())
		again.archivedDay(ctx, folder, again.midnight(ctx)) // the archive goes on, too
		again.stop()
		report := again.audited(ctx, location)
		Expect(report.OK()).To(BeTrue(), "%+v", report.First)
		Expect(report.FirstInterval).To(HavePrefix(time.Unix(usage.Interval(op.started, 3600).Start, 0).UTC().Format("2006-01-02T15")))

		By("restoring once more")
		before := len(again.blocks(ctx))
		said, err = again.restore(ctx, location, false)
		Expect(err).NotTo(HaveOccurred())
		Expect(said).To(ContainSubstring("the journal has all of it already"))
		Expect(again.blocks(ctx)).To(HaveLen(before))
	}, NodeTimeout(15*time.Minute))
})
