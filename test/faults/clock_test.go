package faults_test

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/faults/truth"
)

var _ = Describe("Time", func() {
	It("is not UTC where the operator runs: its intervals are", func(ctx SpecContext) {
		op := home.run(ctx, "abroad", home.newOperatorNamespace(ctx))
		home.apply(ctx, meterOf("widgets", widgetKind), builtin("vm"), builtin("vm-allocated"), builtin("volume"))
		home.ready(ctx, "widgets", "vm", "vm-allocated", "volume")
		op.metering(ctx)
		midInterval(ctx, 20)
		d := home.newDriver(ctx)
		db, cache := d.machine("db", 2), d.machine("cache", 1)
		d.claim("data", "db")
		one := d.widget("one", 2)
		nextSecond(ctx)
		db.plug(4)
		cache.stop()
		nextSecond(ctx)
		cache.run.remove()
		cache.vm.remove()
		one.resize(5)

		end := usage.Interval(time.Now().Unix(), interval).End
		op.sealed(ctx, end)
		d.judged(end)
	}, SpecTimeout(minutes))

	It("has a change on the boundary between two intervals: it counts in the one that begins", func(ctx SpecContext) {
		op := home.start(ctx, how{})
		home.apply(ctx, meterOf("widgets", widgetKind))
		home.ready(ctx, "widgets")
		d := home.newDriver(ctx)
		one, two := d.widget("one", 2), d.widget("two", 7)
		size := int64(2)
		Eventually(ctx, func() int64 { // on a busy machine it may take a few boundaries until one is met
			Eventually(ctx, func() int64 { return time.Now().Unix() % interval }).WithPolling(5 * time.Millisecond).Should(BeZero())
			size++
			one.resize(size)
			return one.written() % interval
		}).WithTimeout(5 * time.Minute).Should(BeZero())
		two.remove()
		op.reached(ctx, "widgets", d.last)

		d.judged(op.seal(ctx))
	}, SpecTimeout(minutes))

	It("jumps, as the operator sees it: nothing overlaps, all adds up, and what is Final stays", func(ctx SpecContext) {
		op, d := home.begin(ctx, how{}, 25)
		one := d.widget("one", 2)
		for i, jump := range []time.Duration{10 * time.Second, -25 * time.Second, time.Second, 90 * time.Second, -30 * time.Second} {
			op.clock.jump(jump)
			nextSecond(ctx)
			one.resize(int64(3 + i))
			d.widget(fmt.Sprintf("brief-%d", i), 5).remove()
			op.reached(ctx, "widgets", d.last)
		}
		one.remove()
		op.reached(ctx, "widgets", d.last)
		start := usage.Interval(d.Begun(), interval).Start
		end := op.seal(ctx)
		Eventually(ctx, d.records).ShouldNot(BeEmpty())

		nothing := &truth.Diary{} // against which only what records say of themselves can be wrong
		Expect(nothing.Judge(truth.Case{Records: d.records(), Window: usage.Window{Start: start - interval, End: end + 3*interval}})).To(BeEmpty())
	})
})
