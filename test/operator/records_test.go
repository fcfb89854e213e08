package operator_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// current reads one record as it is now.
func current(ctx context.Context, namespace, name string) func(Gomega) *v1alpha1.UsageRecord {
	return func(g Gomega) *v1alpha1.UsageRecord {
		r := &v1alpha1.UsageRecord{}
		g.Expect(admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, r)).To(Succeed())
		return r
	}
}

// nameAt is the name of a deployment's record of the interval around a second.
func nameAt(deployment string, second int64) string {
	return deployment + "." + time.Unix(usage.Interval(second, interval).Start, 0).UTC().Format("200601021504")
}

// digest is a record's, computed from what the API server gives.
func digest(r *v1alpha1.UsageRecord) string {
	GinkgoHelper()
	text, err := json.Marshal(struct {
		Spec     v1alpha1.UsageRecordSpec
		Accuracy v1alpha1.Accuracy
		Usage    []v1alpha1.Usage
	}{r.Spec, r.Status.Accuracy, r.Status.Usage})
	Expect(err).NotTo(HaveOccurred())
	sum := sha256.Sum256(append(text, '\n'))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// said is all that a record says, without what the API server adds.
func said(r *v1alpha1.UsageRecord) map[string]any {
	return map[string]any{"labels": r.Labels, "spec": r.Spec, "status": r.Status}
}

var _ = Describe("UsageRecords", func() {
	It("are Open while their interval goes on, and Final after it, under the same name", func(ctx SpecContext) {
		op, d := begin(ctx, refreshing(1))
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		midInterval(ctx, 25) // the record is to stay Open for a while
		widget := d.widget("one", "2")
		d.size(widget, widget.created(), 2)
		name := nameAt("web", time.Now().Unix())

		Eventually(current(ctx, d.namespace, name)).WithContext(ctx).Should(HaveField("Status.Phase", v1alpha1.PhaseOpen))
		resized := d.patch(widget, `spec: {size: 3}`)
		d.size(widget, resized, 3)
		var open *v1alpha1.UsageRecord
		Eventually(func(g Gomega) {
			open = current(ctx, d.namespace, name)(g)
			g.Expect(open.Status.Usage[0].Segments).To(HaveLen(2))
		}).WithContext(ctx).Should(Succeed())
		Expect(open.Status.ObservedTime.Unix()).To(BeNumerically(">=", resized.first))
		Expect(open.Status.Usage[0].Segments[1]).To(And(HaveField("EndTime", BeNil()), HaveField("Level", "3")))
		Expect(open.Labels).To(Equal(map[string]string{
			v1alpha1.LabelDeployment: "web", v1alpha1.LabelInterval: open.Spec.StartTime.UTC().Format("20060102T1504Z"),
		}))
		Expect(open.Status.Digest).To(Equal(digest(open)))

		finals := d.settled("widgets")
		index := slices.IndexFunc(finals, func(r v1alpha1.UsageRecord) bool { return r.Name == name })
		Expect(index).To(BeNumerically(">=", 0), "%s is Final", name)
		final := finals[index]
		Expect(final.UID).To(Equal(open.UID))
		Expect(final.Status.ObservedTime).To(BeNil())
		Expect(final.Status.Digest).To(Equal(digest(&final)))
		Expect(final.Spec.NamespaceUID).NotTo(BeEmpty())
		Expect(op.collector.Late()).To(BeZero())
	})

	It("are put back as they were when they are edited or deleted", func(ctx SpecContext) {
		_, d := begin(ctx, refreshing(1))
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		midInterval(ctx, 25) // the record is to stay Open for a while
		widget := d.widget("one", "2")
		d.size(widget, widget.created(), 2)
		name := nameAt("web", time.Now().Unix())
		patch := func(text string) error {
			r := &v1alpha1.UsageRecord{}
			r.Namespace, r.Name = d.namespace, name
			return admin.Patch(ctx, r, client.RawPatch(types.MergePatchType, []byte(text)))
		}
		remove := func() {
			GinkgoHelper()
			r := &v1alpha1.UsageRecord{}
			r.Namespace, r.Name = d.namespace, name
			Expect(admin.Delete(ctx, r)).To(Succeed())
		}
		Eventually(current(ctx, d.namespace, name)).WithContext(ctx).Should(HaveField("Status.Phase", v1alpha1.PhaseOpen))

		By("an Open one")
		Expect(patch(`{"status": {"totals": null, "summary": "nothing at all", "digest": "sha256:` + fmt.Sprintf("%064d", 0) + `"}}`)).To(Succeed())
		Eventually(current(ctx, d.namespace, name)).WithContext(ctx).Should(And(
			HaveField("Status.Summary", Not(Equal("nothing at all"))), HaveField("Status.Totals", HaveLen(1)),
			WithTransform(func(r *v1alpha1.UsageRecord) bool { return r.Status.Digest == digest(r) }, BeTrue())))
		remove()
		Eventually(current(ctx, d.namespace, name)).WithContext(ctx).Should(HaveField("Status.Phase", v1alpha1.PhaseOpen))
		Expect(patch(`{"metadata": {"labels": {"metering.usage-operator.dev/deployment": "other"}}}`)).To(Succeed())
		Eventually(current(ctx, d.namespace, name)).WithContext(ctx).Should(HaveField("Labels", HaveKeyWithValue(v1alpha1.LabelDeployment, "web")))

		By("a Final one")
		d.settled("widgets")
		final := current(ctx, d.namespace, name)(NewWithT(GinkgoT()))
		Expect(patch(`{"status": {"summary": "nothing at all"}}`)).To(MatchError(ContainSubstring("a Final record cannot be changed")))
		Expect(patch(`{"status": {"phase": "Open", "observedTime": "2026-11-21T20:00:00Z"}}`)).To(MatchError(ContainSubstring("a Final record cannot be changed")))
		Expect(patch(`{"spec": {"deployment": "other"}}`)).To(MatchError(ContainSubstring("spec is the record's identity")))
		Expect(patch(`{"metadata": {"labels": {"metering.usage-operator.dev/deployment": "other"}}}`)).To(Succeed())
		Eventually(func(g Gomega) map[string]any { return said(current(ctx, d.namespace, name)(g)) }).WithContext(ctx).Should(Equal(said(final)))
		remove()
		Eventually(func(g Gomega) map[string]any { return said(current(ctx, d.namespace, name)(g)) }).WithContext(ctx).Should(Equal(said(final)))
	})

	It("of one deployment become those of another when the attribution changes", func(ctx SpecContext) {
		_, d := begin(ctx, refreshing(1))
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		widget := d.widget("one", "2")
		d.size(widget, widget.created(), 2)
		moved := d.patch(widget, `metadata: {labels: {metering.usage-operator.dev/deployment: shop}}`)
		d.hold(d.self(widget, "widget", "web"), moved, "", nil)
		d.size(widget, moved, 2)
		unnamed := d.patch(widget, `metadata: {labels: {metering.usage-operator.dev/deployment: null}}`)
		d.hold(d.self(widget, "widget", "shop"), unnamed, "", nil)
		d.size(widget, unnamed, 2)

		finals := d.settled("widgets")

		deployments := map[string]bool{}
		for _, r := range finals {
			deployments[r.Spec.Deployment] = true
			if r.Spec.Deployment == "" {
				Expect(r.Name).To(HavePrefix("unattributed"))
			}
		}
		Expect(deployments).To(Equal(map[string]bool{"web": true, "shop": true, "": true}))
	})

	It("of the live view that nobody's usage stands behind any more are deleted", func(ctx SpecContext) {
		_, d := begin(ctx, refreshing(1))
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		owned := d.create(fmt.Sprintf(`{apiVersion: %s/v1, kind: Widget, metadata: {name: claim-like}, spec: {size: 1}}`, testGroup))
		d.knows(owned.uid())
		d.delete(owned)
		d.operator.reached(ctx, "widgets", d.operator.position("widgets"))
		d.operator.seal(ctx)
		d.operator.finals(ctx)
		Eventually(func(g Gomega) {
			list := &v1alpha1.UsageRecordList{}
			g.Expect(admin.List(ctx, list, client.InNamespace(d.namespace))).To(Succeed())
			for _, r := range list.Items {
				g.Expect(r.Status.Phase == v1alpha1.PhaseFinal || r.Spec.EndTime.Unix() > d.operator.collector.Sealed()).To(BeTrue(), r.Name)
			}
		}).WithContext(ctx).Should(Succeed())
	})

	It("that were Final stay so when another operator takes over", func(ctx SpecContext) {
		op, d := begin(ctx)
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		widget := d.widget("one", "2")
		d.size(widget, widget.created(), 2)
		before := d.settled("widgets")
		op.stop()

		next := start(ctx, refreshing(1))
		ready(ctx, "widgets")
		next.reached(ctx, "widgets", d.last)
		next.seal(ctx)
		for i := range before {
			Consistently(func(g Gomega) map[string]any {
				return said(current(ctx, before[i].Namespace, before[i].Name)(g))
			}, "2s").WithContext(ctx).Should(Equal(said(&before[i])))
		}
	})

	It("go on after a restart as if there had been none, in their own namespace alone", func(ctx SpecContext) {
		op, d := begin(ctx)
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		one, two := d.widget("one", "2"), d.widget("two", "1")
		d.size(one, one.created(), 2)
		d.size(two, two.created(), 1)
		op.reached(ctx, "widgets", d.last)
		op.stop()

		d.size(two, d.patch(two, "spec: {size: 3}"), 3)
		three := d.widget("three", "5")
		d.size(three, three.created(), 5)

		next := start(ctx, refreshing(1), after(op))
		Expect(next.started).To(BeNumerically("<=", one.GetCreationTimestamp().Unix()), "the ledger goes on")
		ready(ctx, "widgets")
		d.operator = next
		for _, r := range d.settled("widgets") {
			Expect(r.Status.Accuracy).To(Equal(v1alpha1.AccuracyExact), r.Name)
		}
		moved := &v1alpha1.UsageRecordList{}
		Expect(admin.List(ctx, moved, client.InNamespace(next.namespace))).To(Succeed())
		Expect(moved.Items).To(BeEmpty(), "the tenant's namespace is there: nothing of it is recorded with the operator")
	})

	It("are deleted once they have been kept long enough, and do not come back", func(ctx SpecContext) {
		op, d := begin(ctx, retaining(2*interval))
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		widget := d.widget("one", "2")
		d.size(widget, widget.created(), 2)
		finals := d.settled("widgets")
		Expect(finals).NotTo(BeEmpty())
		first := finals[0]

		op.clock.ahead.Add(int64(4 * interval * time.Second))

		Eventually(func() error {
			return admin.Get(ctx, client.ObjectKeyFromObject(&first), &v1alpha1.UsageRecord{})
		}).WithContext(ctx).WithTimeout(4*time.Minute).Should(MatchError(ContainSubstring("not found")), "a leap is believed when it lasts")
		Eventually(current(ctx, d.namespace, nameAt("web", op.clock.Now().Unix()-2*interval+grace))).WithContext(ctx).
			Should(HaveField("Status.Phase", v1alpha1.PhaseFinal))
		Consistently(func() error {
			return admin.Get(ctx, client.ObjectKeyFromObject(&first), &v1alpha1.UsageRecord{})
		}, "2s").WithContext(ctx).Should(MatchError(ContainSubstring("not found")))
	})
})
