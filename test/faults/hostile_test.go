package faults_test

import (
	"fmt"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/test/faults/truth"
	"github.com/usage-operator/usage-operator/test/widgets"
)

var _ = Describe("A tenant", func() {
	It("relabels in mid-interval: usage moves between its deployments, and never out of its namespace", func(ctx SpecContext) {
		op, d := home.begin(ctx, how{}, 15)
		other := home.newDriver(ctx)
		mine, theirs := d.widget("one", 2), other.widget("one", 5)
		for _, deployment := range []string{"db", other.namespace, "kube-system", "web", strings.Repeat("a", 63)} {
			nextSecond(ctx)
			mine.relabel(deployment, 2)
		}
		nextSecond(ctx)
		theirs.relabel(d.namespace, 5)
		op.reached(ctx, "widgets", theirs.GetResourceVersion())
		end := op.seal(ctx)

		d.judged(end)
		other.judged(end)
	})

	It("uses very many deployment values: all of them are counted", func(ctx SpecContext) {
		many := 300
		if *full {
			many = 5000
		}
		op, d := home.begin(ctx, how{concurrency: 16}, 20)
		d.crowd(many, func(i int) (string, string) { return fmt.Sprintf("one-%d", i), fmt.Sprintf("web-%d", i) })
		op.reached(ctx, "widgets", d.last)
		end := op.seal(ctx)

		d.judged(end)
		deployments := map[string]bool{}
		for _, r := range d.records() {
			deployments[r.Spec.Deployment] = true
		}
		Expect(deployments).To(HaveLen(many))
	}, SpecTimeout(minutes))

	It("makes objects that cannot be read, or cost too much to: they alone are quarantined", func(ctx SpecContext) {
		op := home.start(ctx, how{})
		dear := v1alpha1.Expression("size(self.spec.?bomb.orValue([]).filter(x, self.spec.bomb.exists(y, x == y + 'z'))) + self.spec.size")
		home.apply(ctx, meterOf("widgets", widgetKind, func(spec *v1alpha1.UsageMeterSpec) { spec.Dimensions[0].Quantity = dear }),
			meterOf("senseless", widgetKind, func(spec *v1alpha1.UsageMeterSpec) { spec.Dimensions[0].Quantity = "self.spec.size +" }))
		home.ready(ctx, "widgets")
		midInterval(ctx, 15)
		d := home.newDriver(ctx)
		d.widget("good", 2)
		bomb := make([]string, 300)
		for i := range bomb {
			bomb[i] = strings.Repeat("b", 250) + fmt.Sprint(i)
		}
		d.create("web", fmt.Sprintf(`{apiVersion: %s/v1, kind: Widget, metadata: {name: bomb}, spec: {size: 1, bomb: [%s]}}`, testGroup, strings.Join(bomb, ",")))
		d.create("web", fmt.Sprintf(`{apiVersion: %s/v1, kind: Widget, metadata: {name: bad}, spec: {size: -1}}`, testGroup))
		nextSecond(ctx)
		after := d.widget("after", 3)
		op.reached(ctx, "widgets", after.GetResourceVersion())

		Eventually(ctx, func(g Gomega) {
			meter := &v1alpha1.UsageMeter{}
			g.Expect(home.admin.Get(ctx, client.ObjectKey{Name: "widgets"}, meter)).To(Succeed())
			var names []string
			for _, q := range meter.Status.Quarantine {
				names = append(names, q.Name)
			}
			g.Expect(slices.Sorted(slices.Values(names))).To(Equal([]string{"bad", "bomb"}))
		}).Should(Succeed())
		Eventually(ctx, home.conditions(ctx, "senseless")).Should(ContainElement("Stalled=True/InvalidExpression"))
		d.judged(op.seal(ctx))
	})

	It("deletes its namespace: the last interval is recorded with the operator", func(ctx SpecContext) {
		op, d := home.begin(ctx, how{}, 25)
		one := d.widget("one", 2)
		op.reached(ctx, "widgets", d.last)
		nextSecond(ctx)

		asked := d.deleteNamespace()

		d.End(string(one.GetUID()), asked)
		end := op.seal(ctx)
		d.judged(end)
		for _, r := range d.records() {
			Expect(r.Namespace).To(Equal(op.namespace))
		}
	})
})

var _ = Describe("A metered kind", func() {
	It("is removed and installed again: what there was ends, and what there is then is metered", func(ctx SpecContext) {
		gadgets := widgets.Kind("Gadget")
		home.installKind(ctx, gadgets)
		DeferCleanup(func(ctx SpecContext) { home.uninstallKind(ctx, gadgets) })
		op := home.start(ctx, how{})
		home.apply(ctx, meterOf("gadgets", gadgets))
		home.ready(ctx, "gadgets")
		midInterval(ctx, 30)
		d := home.newDriver(ctx)
		old := d.sized(gadgets, "one", "web", 2)
		op.reached(ctx, "gadgets", d.last)
		nextSecond(ctx)

		asked := between(func() { home.uninstallKind(ctx, gadgets) })

		d.End(string(old.GetUID()), truth.Moment{First: asked.First, Last: asked.Last + delivery})
		Eventually(ctx, home.conditions(ctx, "gadgets")).Should(ContainElement(HavePrefix("Ready=False/")))
		home.installKind(ctx, gadgets)
		home.ready(ctx, "gadgets")
		again := d.sized(gadgets, "one", "web", 3)
		op.reached(ctx, "gadgets", again.GetResourceVersion())
		d.judged(op.seal(ctx))
	})
})
