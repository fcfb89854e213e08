package faults_test

import (
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/controlplane"
)

// narrowest is how wide the bounds of a removal may be that nobody saw, in seconds, where the API server's history
// tells of it.
const narrowest = 2*10 + 3

var _ = Describe("The operator is killed", func() {
	It("with kill -9, and is back after a while: nothing of what happened is lost", func(ctx SpecContext) {
		namespace := home.newOperatorNamespace(ctx)
		op := home.run(ctx, "first", namespace)
		home.apply(ctx, meterOf("widgets", widgetKind), builtin("vm"), builtin("vm-allocated"), builtin("volume"))
		home.ready(ctx, "widgets", "vm", "vm-allocated", "volume")
		op.metering(ctx)
		home.journalled(ctx, namespace, "widgets", "vm", "vm-allocated", "volume")
		midInterval(ctx, 25)
		d := home.newDriver(ctx)
		db, cache := d.machine("db", 2), d.machine("cache", 1)
		data := d.claim("data", "db")
		one, two := d.widget("one", 2), d.widget("two", 3)

		op.kill() // whatever it was at

		db.plug(4)
		cache.stop()
		cache.run.remove()
		cache.vm.remove()
		data.remove()
		brief := d.widget("brief", 7)
		nextSecond(ctx)
		brief.remove()
		one.resize(5)
		two.relabel("db", 3)
		intervals := int64(1)
		if *full {
			intervals = 3
		}
		back := usage.Interval(time.Now().Unix(), interval).End + (intervals-1)*interval + 5
		Eventually(ctx, func() int64 { return time.Now().Unix() }).WithTimeout(time.Duration(intervals+1) * time.Minute).
			Should(BeNumerically(">=", back))
		two.remove()

		op = home.run(ctx, "second", namespace)
		op.metering(ctx)
		nextSecond(ctx)
		one.resize(6)

		end := usage.Interval(time.Now().Unix(), interval).End
		op.sealed(ctx, end)
		d.judged(end)
		for _, gone := range []*thing{brief, two} {
			d.expectNarrow(gone)
		}
	}, SpecTimeout(minutes))

	It("and is down across several intervals: they are filled in, in order", func(ctx SpecContext) {
		op, d := home.begin(ctx, how{}, 20)
		one, two := d.widget("one", 2), d.widget("two", 3)
		op.committed(ctx, "Widget", d.last)
		down := 10 * time.Minute
		if *full {
			down = 3 * time.Hour
		}

		op = op.crashAndRestart(ctx, func() {
			one.resize(4)
			two.remove()
			op.clock.jump(down)
		})

		end := usage.Interval(op.clock.Now().Unix(), interval).Start
		op.sealedAll(ctx, end)
		d.judged(end)
		var sealed []int64
		for _, block := range op.blocks(ctx, NewWithT(GinkgoT()), op.namespace) {
			for _, seal := range block.Spec.Sealed {
				sealed = append(sealed, seal.StartTime.Unix())
			}
		}
		Expect(len(sealed)).To(BeNumerically(">=", int(down/time.Minute)))
		for i := 1; i < len(sealed); i++ {
			Expect(sealed[i]-sealed[i-1]).To(BeEquivalentTo(interval), "no interval is left out, none comes before its time")
		}
	}, SpecTimeout(3*minutes))

	It("and the API server was restarted in between: what went is bounded by etcd's history", func(ctx SpecContext) {
		op, d := home.begin(ctx, how{}, 30)
		one, two := d.widget("one", 2), d.widget("two", 3)
		op.committed(ctx, "Widget", d.last)

		var before, back int64 // before the removal of one, and when the API server made its Lease anew after it
		op = op.crashAndRestart(ctx, func() {
			before = nextSecond(ctx)
			d.widget("around", 1) // which the API server dates: what tenants can write dates nothing else
			one.remove()
			two.resize(4)
			brief := d.widget("brief", 7)
			nextSecond(ctx)
			brief.remove()
			d.widget("next", 1)
			Expect(home.Kill(controlplane.APIServer)).To(Succeed())
			Expect(home.StartComponent(ctx, controlplane.APIServer)).To(Succeed())
			back = time.Now().Unix()
		})

		op.reached(ctx, "widgets", d.widget("later", 1).GetResourceVersion())
		d.judged(op.seal(ctx))
		ends := d.endsOf(one, "size")
		Expect(ends).To(HaveLen(1))
		Expect(ends[0].first).To(BeNumerically(">=", before), "not wider than what was created around it")
		Expect(ends[0].latest).To(BeNumerically("<=", back+narrowest), "no later than the Lease says")
	}, SpecTimeout(minutes))

	It("and the history is gone (410): what nobody saw lies within bounds, and is said to be estimated", func(ctx SpecContext) {
		op, d := home.begin(ctx, how{}, 30)
		one, two := d.widget("one", 2), d.widget("two", 3)
		op.committed(ctx, "Widget", d.last)
		killed := time.Now().Unix()

		op = op.crashAndRestart(ctx, func() {
			nextSecond(ctx)
			one.remove()
			two.resize(4)
			brief := d.sized(widgetKind, "brief", "brief", 7)
			nextSecond(ctx)
			brief.remove()
			home.forgetHistory(ctx)
		})

		op.reached(ctx, "widgets", d.widget("later", 1).GetResourceVersion())
		back := time.Now().Unix()
		end := op.seal(ctx)
		unseen := append(home.coverage(ctx, op.namespace, "Unknown"), home.coverage(ctx, op.namespace, "Estimated")...)
		Expect(unseen).NotTo(BeEmpty())
		for _, w := range unseen {
			Expect(w.Start).To(BeNumerically(">=", killed-interval), "not more is unknown than was not seen: %s to %s", stamp(w.Start), stamp(w.End))
			Expect(w.End).To(BeNumerically("<=", back+1))
		}
		d.judged(end, unseen...)
		Expect(d.accuracies("web")).To(ContainElement(v1alpha1.AccuracyEstimated))
	}, SpecTimeout(minutes))

	It("and a machine is made and deleted meanwhile: it is recorded", func(ctx SpecContext) {
		op := home.start(ctx, how{})
		home.apply(ctx, builtin("vm"), builtin("vm-allocated"))
		home.ready(ctx, "vm", "vm-allocated")
		midInterval(ctx, 25)
		d := home.newDriver(ctx)
		d.machine("stays", 1)
		op.committed(ctx, "VirtualMachineInstance", d.last)
		var brief *machine

		op = op.crashAndRestart(ctx, func() {
			brief = d.machine("brief", 2)
			nextSecond(ctx)
			brief.plug(4)
			nextSecond(ctx)
			brief.run.remove()
			brief.vm.remove()
		})

		// The clock is put forward only when that has been seen.
		op.reached(ctx, "vm-allocated", d.machine("later", 1).vm.GetResourceVersion())
		d.judged(op.seal(ctx))
		d.expectNarrow(brief.vm)
	}, SpecTimeout(minutes))

	It("and a meter is made meanwhile: what happens until the next one looks is said to be estimated", func(ctx SpecContext) {
		op := home.start(ctx, how{})
		Eventually(ctx, func(g Gomega) { g.Expect(op.blocks(ctx, g, op.namespace)).NotTo(BeEmpty()) }).Should(Succeed())
		var d *driver

		op = op.crashAndRestart(ctx, func() {
			home.apply(ctx, meterOf("widgets", widgetKind))
			midInterval(ctx, 30)
			d = home.newDriver(ctx)
			one, brief := d.widget("one", 2), d.widget("brief", 3)
			for size := int64(3); size < 10; size++ {
				nextSecond(ctx)
				one.resize(size)
			}
			brief.remove()
		})

		home.ready(ctx, "widgets")
		op.reached(ctx, "widgets", d.widget("later", 1).GetResourceVersion())
		end := op.seal(ctx)
		unseen := home.coverage(ctx, op.namespace, "Estimated")
		Expect(unseen).NotTo(BeEmpty())
		d.judged(end, unseen...)
		Expect(d.accuracies("web")).To(beEstimated)
	}, SpecTimeout(minutes))

	It("right after a meter is ready: what happens from then on is not lost", func(ctx SpecContext) {
		op, d := home.begin(ctx, how{}, 20)

		op = op.crashAndRestart(ctx, func() {
			one, brief := d.widget("one", 2), d.widget("brief", 3)
			nextSecond(ctx)
			one.resize(4)
			brief.remove()
		})

		op.reached(ctx, "widgets", d.widget("later", 1).GetResourceVersion())
		d.judged(op.seal(ctx))
	}, SpecTimeout(minutes))

	It("and a namespace is deleted meanwhile: its usage is recorded with the operator", func(ctx SpecContext) {
		op, d := home.begin(ctx, how{}, 25)
		one := d.widget("one", 2)
		op.committed(ctx, "Widget", d.last)

		op = op.crashAndRestart(ctx, func() { d.End(string(one.GetUID()), d.deleteNamespace()) })

		d.judged(op.seal(ctx))
		for _, r := range d.records() {
			Expect(r.Namespace).To(Equal(op.namespace))
		}
	}, SpecTimeout(minutes))

	It("and somebody deletes a Final record meanwhile: it is put back as it was", func(ctx SpecContext) {
		op, d := home.begin(ctx, how{}, 15)
		d.widget("one", 2)
		op.reached(ctx, "widgets", d.last)
		d.judged(op.seal(ctx))
		records := d.records()
		Expect(records).To(HaveLen(1))
		was := &records[0]

		op.crashAndRestart(ctx, func() { Expect(home.admin.Delete(ctx, was.DeepCopy())).To(Succeed()) })

		is := &v1alpha1.UsageRecord{}
		Eventually(ctx, func() error { return home.admin.Get(ctx, client.ObjectKeyFromObject(was), is) }).Should(Succeed())
		Expect(is.UID).NotTo(Equal(was.UID))
		Expect([]any{is.Spec, is.Status}).To(Equal([]any{was.Spec, was.Status}))
	})

	It("with 20,000 resources in one deployment: the next one has them all, in parts that add up", func(ctx SpecContext) {
		many := 2_500
		if *full {
			many = 20_000
		}
		op, d := home.begin(ctx, how{}, 30)
		d.crowd(many/2, func(i int) (string, string) { return fmt.Sprintf("a-widget-of-some-length-%d", i), "web" })
		op.reached(ctx, "widgets", d.last)

		op = op.crashAndRestart(ctx, func() {
			d.crowd(many/2, func(i int) (string, string) { return fmt.Sprintf("a-widget-of-some-length-too-%d", i), "web" })
		})

		op.reached(ctx, "widgets", d.last)
		d.judged(op.seal(ctx))
		parts := slices.DeleteFunc(d.records(), func(r v1alpha1.UsageRecord) bool { return r.Status.Parts == 1 })
		Expect(len(parts)).To(BeNumerically(">=", many/1000))
	}, SpecTimeout(20*time.Minute))
})

// expectNarrow expects that the removal of an object is known to within some seconds.
func (d *driver) expectNarrow(t *thing) {
	GinkgoHelper()
	dimension := "size"
	if t.GetKind() == "VirtualMachine" {
		dimension = "vm_allocated"
	}
	ends := d.endsOf(t, dimension)
	Expect(ends).NotTo(BeEmpty(), t.GetName())
	last := ends[len(ends)-1]
	Expect(last.latest-last.first).To(BeNumerically("<=", narrowest), "%s went from %s to %s", t.GetName(), stamp(last.first), stamp(last.latest))
}
