package faults_test

import (
	"context"
	"slices"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// leader is who leads in the namespace; "" when nobody does.
func (p *plane) leader(ctx context.Context, namespace string) func(Gomega) string {
	return func(g Gomega) string {
		lease := &coordinationv1.Lease{}
		g.Expect(p.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "usage-operator"}, lease)).To(Succeed())
		return ptr.Deref(lease.Spec.HolderIdentity, "")
	}
}

// pair is a leader and, when there is one, a standby.
type pair struct {
	namespace string
	a, b      *process
	leader    string // a's identity
}

// leading runs two replicas, of which the first leads, and meters widgets.
func (p *plane) leading(ctx context.Context, more ...string) *pair {
	GinkgoHelper()
	two := &pair{namespace: p.newOperatorNamespace(ctx)}
	two.a = p.run(ctx, "a", two.namespace, more...)
	p.apply(ctx, meterOf("widgets", widgetKind))
	p.ready(ctx, "widgets")
	two.a.metering(ctx)
	p.journalled(ctx, two.namespace, "widgets")
	Eventually(ctx, p.leader(ctx, two.namespace)).ShouldNot(BeEmpty())
	two.leader = p.leader(ctx, two.namespace)(NewWithT(GinkgoT()))
	two.b = p.run(ctx, "b", two.namespace, more...)
	two.b.metering(ctx) // it stands by
	return two
}

// takenOver waits until the standby leads and has begun to write the journal.
func (p *plane) takenOver(ctx context.Context, two *pair) {
	GinkgoHelper()
	Eventually(ctx, p.leader(ctx, two.namespace)).ShouldNot(Or(BeEmpty(), Equal(two.leader)))
	Eventually(ctx, func(g Gomega) {
		blocks := p.blocks(ctx, g, two.namespace)
		g.Expect(blocks[len(blocks)-1].Spec.Writer).NotTo(Equal(two.leader))
	}).Should(Succeed())
}

// expectChain expects each block to name the one before, and one writer after another. Those that another stands for
// may still be there.
func expectChain(blocks []v1alpha1.UsageBlock) {
	GinkgoHelper()
	merged := slices.Clone(blocks)
	blocks = slices.DeleteFunc(blocks, func(b v1alpha1.UsageBlock) bool {
		return slices.ContainsFunc(merged, func(by v1alpha1.UsageBlock) bool {
			covers := by.Spec.Covers
			return by.Name != b.Name && covers != nil && covers.From <= b.Spec.Sequence && b.Spec.Sequence <= covers.To
		})
	})
	writers := map[string]bool{}
	for i := 1; i < len(blocks); i++ {
		before, block := blocks[i-1].Spec, blocks[i].Spec
		from := block.Sequence
		if block.Covers != nil {
			from = block.Covers.From
		}
		digest := before.Digest
		if before.Covers != nil {
			digest = before.Covers.Digest
		}
		Expect(from).To(Equal(before.Sequence + 1))
		Expect(block.PreviousDigest).To(Equal(digest))
		if block.Writer != before.Writer {
			Expect(writers[block.Writer]).To(BeFalse(), "%s writes again, at %d", block.Writer, block.Sequence)
			writers[before.Writer] = true
		}
	}
}

var _ = Describe("The leader", func() {
	It("is stopped for longer than its lease, and goes on when another leads: it writes nothing any more", func(ctx SpecContext) {
		two := home.leading(ctx)
		midInterval(ctx, 20)
		d := home.newDriver(ctx)
		one, gone := d.widget("one", 2), d.widget("gone", 3)
		nextSecond(ctx)
		one.resize(4)

		two.a.signal(syscall.SIGSTOP) // with that in its hands

		gone.remove()
		d.widget("two", 5)
		home.takenOver(ctx, two)
		nextSecond(ctx)
		one.resize(6)
		two.a.signal(syscall.SIGCONT)
		one.resize(7)
		Eventually(ctx, two.a.ended).Should(BeClosed())

		end := usage.Interval(time.Now().Unix(), interval).End
		two.b.sealed(ctx, end)
		d.judged(end)
		expectChain(home.blocks(ctx, NewWithT(GinkgoT()), two.namespace))
	}, SpecTimeout(minutes))

	It("is killed with kill -9, and things change until another takes over: nothing is lost", func(ctx SpecContext) {
		two := home.leading(ctx)
		midInterval(ctx, 25)
		d := home.newDriver(ctx)
		one, gone := d.widget("one", 2), d.widget("gone", 3)

		two.a.kill()

		for size := int64(3); ; size++ {
			one.resize(size)
			if blocks := home.blocks(ctx, NewWithT(GinkgoT()), two.namespace); blocks[len(blocks)-1].Spec.Writer != two.leader {
				break
			}
			if gone != nil {
				gone.remove()
				gone = nil
			}
			nextSecond(ctx)
		}

		end := usage.Interval(time.Now().Unix(), interval).End
		two.b.sealed(ctx, end)
		d.judged(end)
		expectChain(home.blocks(ctx, NewWithT(GinkgoT()), two.namespace))
	}, SpecTimeout(minutes))

	It("is not the only one that believes it leads: one of two writes", func(ctx SpecContext) {
		namespace := home.newOperatorNamespace(ctx)
		a := home.run(ctx, "a", namespace, "--leader-elect=false")
		home.apply(ctx, meterOf("widgets", widgetKind))
		home.ready(ctx, "widgets")
		a.metering(ctx)
		home.journalled(ctx, namespace, "widgets")
		midInterval(ctx, 20)
		d := home.newDriver(ctx)
		one := d.widget("one", 2)

		b := home.run(ctx, "b", namespace, "--leader-elect=false")

		winner := a
		for size := int64(3); ; size++ { // changes, that both see, until one of them has tried to write
			nextSecond(ctx)
			one.resize(size)
			select {
			case <-a.ended:
				winner = b
			case <-b.ended:
			default:
				continue
			}
			break
		}
		end := usage.Interval(time.Now().Unix(), interval).End
		winner.sealed(ctx, end)
		d.judged(end)
		expectChain(home.blocks(ctx, NewWithT(GinkgoT()), namespace))
	}, SpecTimeout(minutes))
})
