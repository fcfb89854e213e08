package faults_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/usage-operator/usage-operator/internal/usage"
)

var _ = Describe("Time", func() {
	It("is not UTC where the operator runs: its intervals are", func(ctx SpecContext) {
		op := home.run(ctx, "abroad", home.newNamespace(ctx, "usage-"))
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
})
