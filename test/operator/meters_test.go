package operator_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/test/widgets"
)

var _ = Describe("A UsageMeter takes effect at once", func() {
	It("applied: what exists is metered from then on", func(ctx SpecContext) {
		_, d := begin(ctx)
		before := d.widget("before", "2")
		nextSecond(ctx)
		meter := meterOf("widgets", widgetKind)
		apply(ctx, meter)
		ready(ctx, "widgets")
		d.size(before, at(meter.CreationTimestamp.Unix()), 2)
		after := d.widget("after", "3")
		d.size(after, after.created(), 3)
		other := d.sized(widgetKind, "other", "db", "1")
		d.size(other, other.created(), 1)

		finals := d.settled("widgets")

		Expect(evidence(finals, before)).To(Equal([]string{"MeteringStarted"}))
		Expect(evidence(finals, after)).To(Equal([]string{"CreationTime"}))
		Expect(accuracies(finals)).To(Equal(map[string]v1alpha1.Accuracy{"web": v1alpha1.AccuracyPartial, "db": v1alpha1.AccuracyExact}))
	})

	It("changed: levels are what the new expressions say from then on", func(ctx SpecContext) {
		op, d := begin(ctx)
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		widget := d.widget("one", "2")
		d.size(widget, widget.created(), 2)
		op.reached(ctx, "widgets", d.last)

		d.size(widget, change(ctx, quantityOf("self.spec.size * 3")), 6)
		changed := d.patch(widget, `spec: {size: 4}`)
		d.size(widget, changed, 12)

		Expect(accuracies(d.settled("widgets"))).To(HaveKeyWithValue("web", v1alpha1.AccuracyExact))
	})

	It("changed: a dimension that is added begins, one that is gone ends", func(ctx SpecContext) {
		op, d := begin(ctx)
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		widget := d.widget("one", "2")
		who := d.self(widget, "widget", "web")
		d.hold(who, widget.created(), "", levels{"size": 2000})
		op.reached(ctx, "widgets", d.last)

		added := change(ctx, func(spec *v1alpha1.UsageMeterSpec) {
			spec.Dimensions = append(spec.Dimensions, v1alpha1.Dimension{Name: "weight", Unit: "byte", Quantity: "self.spec.size * 10"})
		})
		d.hold(who, added, "", levels{"size": 2000, "weight": 20})
		gone := change(ctx, func(spec *v1alpha1.UsageMeterSpec) { spec.Dimensions = spec.Dimensions[1:] })
		d.hold(who, gone, "", levels{"weight": 20})

		d.settled("widgets")
	})

	It("changed again and again: each edit counts from its moment, and so does each change between two", func(ctx SpecContext) {
		op, d := begin(ctx)
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		widget := d.widget("one", "2")
		d.size(widget, widget.created(), 2)
		op.reached(ctx, "widgets", d.last)

		d.size(widget, op.changeSeen(ctx, quantityOf("self.spec.size * 3")), 6)
		changed := d.patch(widget, `spec: {size: 4}`)
		d.size(widget, changed, 12)
		d.size(widget, op.changeSeen(ctx, quantityOf("self.spec.size * 5")), 20)
		changed = d.patch(widget, `spec: {size: 1}`)
		d.size(widget, changed, 5)

		Expect(accuracies(d.settled("widgets"))).To(HaveKeyWithValue("web", v1alpha1.AccuracyExact))
	})

	It("changed: objects that the selector no longer chooses end", func(ctx SpecContext) {
		op, d := begin(ctx)
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		web, db := d.widget("web", "2"), d.sized(widgetKind, "db", "db", "1")
		d.size(web, web.created(), 2)
		d.size(db, db.created(), 1)
		op.reached(ctx, "widgets", d.last)

		end := change(ctx, func(spec *v1alpha1.UsageMeterSpec) {
			spec.Selector = parseSelector("db")
		})
		d.hold(d.self(web, "widget", "web"), end, "", nil)
		chosen := d.patch(web, `metadata: {labels: {metering.usage-operator.dev/deployment: db}}`)
		d.hold(d.self(web, "widget", "db"), chosen, "", levels{"size": 2000})

		d.settled("widgets")
	})

	It("changed: objects that it begins to choose start then", func(ctx SpecContext) {
		op, d := begin(ctx)
		apply(ctx, meterOf("widgets", widgetKind, func(spec *v1alpha1.UsageMeterSpec) { spec.Exclude = "self.spec.size < 5" }))
		ready(ctx, "widgets")
		small, large := d.widget("small", "2"), d.widget("large", "5")
		d.size(large, large.created(), 5)
		op.reached(ctx, "widgets", d.last)

		d.size(small, change(ctx, func(spec *v1alpha1.UsageMeterSpec) { spec.Exclude = "" }), 2)

		Expect(evidence(d.settled("widgets"), small)).To(Equal([]string{"MeteringStarted"}))
	})

	It("suspended: it ends, and goes on when that is over", func(ctx SpecContext) {
		op, d := begin(ctx)
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		midInterval(ctx, 25) // a change at an interval's end would leave no evidence of that end
		widget := d.widget("one", "2")
		d.size(widget, widget.created(), 2)
		op.reached(ctx, "widgets", d.last)

		end := change(ctx, suspended(true), "Ready=False/Suspended", "Reconciling=False/Suspended", "Stalled=False/Suspended")
		d.hold(d.self(widget, "widget", "web"), end, "", nil)
		d.patch(widget, `spec: {size: 5}`)
		d.widget("made-meanwhile", "1")
		made := d.widget("gone-meanwhile", "1")
		d.delete(made)
		again := change(ctx, suspended(false))
		d.size(widget, again, 5)
		meanwhile := &thing{Unstructured: widget.DeepCopy()}
		meanwhile.SetName("made-meanwhile")
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(meanwhile), meanwhile.Unstructured)).To(Succeed())
		d.size(meanwhile, again, 1)

		finals := d.settled("widgets")

		Expect(evidence(finals, widget)).To(Equal([]string{"CreationTime", "MeteringStopped", "MeteringStarted"}))
		Expect(accuracies(finals)).To(HaveKeyWithValue("web", v1alpha1.AccuracyPartial))
	})

	It("deleted: it ends", func(ctx SpecContext) {
		op, d := begin(ctx)
		meter := meterOf("widgets", widgetKind)
		apply(ctx, meter)
		ready(ctx, "widgets")
		widget := d.widget("one", "2")
		d.size(widget, widget.created(), 2)
		op.reached(ctx, "widgets", d.last)

		first := nextSecond(ctx)
		Expect(admin.Delete(ctx, meter)).To(Succeed())
		Eventually(func() bool {
			_, metering := op.collector.Status("widgets")
			return metering
		}).WithContext(ctx).Should(BeFalse())
		d.hold(d.self(widget, "widget", "web"), moment{first, nextSecond(ctx)}, "", nil)
		d.patch(widget, `spec: {size: 9}`)

		Expect(evidence(d.sealed(), widget)).To(Equal([]string{"CreationTime", "MeteringStopped"}))
	})

	It("waits for its kind, ends when that is removed, and begins again with it", func(ctx SpecContext) {
		op, d := begin(ctx)
		gadgets := widgets.Kind("Gadget")
		apply(ctx, meterOf("gadgets", gadgets))
		missing := []string{"Ready=False/TargetNotInstalled", "Reconciling=True/TargetNotInstalled", "Stalled=False/TargetNotInstalled"}
		Eventually(conditions(ctx, "gadgets")).WithContext(ctx).Should(ConsistOf(missing))
		Expect(message(ctx, "gadgets", "Ready")).To(ContainSubstring("Gadget.test.example.com"))

		install(ctx, gadgets)
		DeferCleanup(func(ctx SpecContext) { uninstall(ctx, gadgets) })
		early := d.sized(gadgets, "early", "web", "2")
		d.size(early, early.created(), 2)
		ready(ctx, "gadgets")
		late := d.sized(gadgets, "late", "web", "1")
		d.size(late, late.created(), 1)
		op.reached(ctx, "gadgets", d.last)

		first := nextSecond(ctx)
		uninstall(ctx, gadgets)
		gone := moment{first, nextSecond(ctx)}
		d.hold(d.self(early, "widget", "web"), gone, "", nil)
		d.hold(d.self(late, "widget", "web"), gone, "", nil)
		Eventually(conditions(ctx, "gadgets")).WithContext(ctx).Should(ConsistOf(missing))

		install(ctx, gadgets)
		again := d.sized(gadgets, "early", "web", "3")
		d.size(again, again.created(), 3)
		ready(ctx, "gadgets")
		resized := d.patch(again, `spec: {size: 4}`)
		d.size(again, resized, 4)

		d.settled("gadgets")
	})

	It("does not measure what another one measures, until that one is gone", func(ctx SpecContext) {
		op, d := begin(ctx)
		meter := meterOf("widgets", widgetKind)
		apply(ctx, meter)
		ready(ctx, "widgets")
		widget := d.widget("one", "2")
		d.size(widget, widget.created(), 2)
		op.reached(ctx, "widgets", d.last)

		apply(ctx, meterOf("copies", widgetKind, quantityOf("self.spec.size * 100")))
		Eventually(func(g Gomega) []v1alpha1.QuarantinedObject {
			copies := &v1alpha1.UsageMeter{}
			g.Expect(admin.Get(ctx, client.ObjectKey{Name: "copies"}, copies)).To(Succeed())
			g.Expect(copies.Status.Active).To(BeZero())
			return copies.Status.Quarantine
		}).WithContext(ctx).Should(ConsistOf(And(
			HaveField("Namespace", d.namespace), HaveField("Name", "one"),
			HaveField("Message", ContainSubstring("dimension size of Widget one is already metered by UsageMeter widgets")))))

		first := nextSecond(ctx)
		Expect(admin.Delete(ctx, meter)).To(Succeed())
		Eventually(func(g Gomega) int64 {
			copies := &v1alpha1.UsageMeter{}
			g.Expect(admin.Get(ctx, client.ObjectKey{Name: "copies"}, copies)).To(Succeed())
			g.Expect(copies.Status.Quarantined).To(BeZero())
			return copies.Status.Active
		}).WithContext(ctx).Should(BeEquivalentTo(1))
		d.size(widget, moment{first, nextSecond(ctx)}, 200)

		d.settled("copies")
	})
})
