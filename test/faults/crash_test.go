package faults_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/controllers"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/faults/crash"
	"github.com/usage-operator/usage-operator/test/widgets"
)

// heldClock says the same moment for ever. Its timers run all the same.
type heldClock struct {
	clock.RealClock
	moment time.Time
}

func (c heldClock) Now() time.Time { return c.moment }

func (c heldClock) Since(t time.Time) time.Duration { return c.moment.Sub(t) }

// hour is the length of an interval here: so the moment at which the operator is held is far from the real one, and
// what happens there does not depend on how long the machine takes.
const hour = 3600

// gears are nobody else's: what others leave behind does not count.
var gears = widgets.Kind("Gear")

// replayed is a history that operators find when they start: each of them, at the same moment, makes the same of it.
type replayed struct {
	*driver
	namespace string // of the operators
	moment    time.Time
	end       int64 // of the last interval that they seal
	base      []v1alpha1.UsageBlock
	said      []string // by the first run: what its digests are of
	operator  client.Client
}

// outcome is what is left of a run: the digests of intervals, and the records, by name.
type outcome map[string]string

var _ = Describe("The operator is killed", func() {
	It("at any of its writes, before it or after it: the next one comes to the same bytes", func(ctx SpecContext) {
		deployments, intervals := 1, int64(1)
		if *full {
			deployments, intervals = 6, 3
		}
		h := makeHistory(ctx, deployments, intervals)
		want, writes := h.run(ctx, crash.Point{}, nil)
		h.reset(ctx)
		By(fmt.Sprintf("crashing at each write, of about %d: %q", len(writes), writes))
		// How many there are differs by a few: what is ready at once is written at once.
		crashes := 0
		for n, last := 1, false; !last; n++ {
			for _, point := range []crash.Point{{Write: n}, {Write: n, After: true}} {
				_, began := h.run(ctx, point, want)
				h.reset(ctx)
				if len(began) < n {
					last = true
					break
				}
				crashes++
			}
		}
		Expect(crashes).To(BeNumerically(">", 4*deployments))
		AddReportEntry("crash points", fmt.Sprintf("%d crashes", crashes))
	}, SpecTimeout(20*time.Minute))
})

// makeHistory lets an operator take up some gears, ends it, and changes them.
func makeHistory(ctx context.Context, deployments int, intervals int64) *replayed {
	GinkgoHelper()
	home.installKind(ctx, gears)
	DeferCleanup(func(ctx SpecContext) { home.uninstallKind(ctx, gears) })
	first := home.start(ctx, how{setup: hourly})
	home.apply(ctx, meterOf("gears", gears))
	home.ready(ctx, "gears")
	h := &replayed{driver: home.newDriver(ctx), namespace: first.namespace}
	type gear struct{ stays, resized, relabelled, removed *thing }
	all := make([]gear, deployments)
	for i := range all {
		gearOf := func(name string) *thing {
			return h.sized(gears, fmt.Sprintf("%s-%d", name, i), fmt.Sprintf("web-%d", i), 2)
		}
		all[i] = gear{gearOf("stays"), gearOf("resized"), gearOf("relabelled"), gearOf("removed")}
	}
	first.committed(ctx, string(gears), h.last)
	first.stop()
	h.base = first.blocks(ctx, NewWithT(GinkgoT()), first.namespace)

	for i, w := range all {
		brief := h.sized(gears, fmt.Sprintf("brief-%d", i), fmt.Sprintf("web-%d", i), 5)
		w.resized.resize(3)
		w.relabelled.relabel("other", 2)
		h.removeDated(ctx, w.removed, brief)
		passes(ctx, apart)
		w.resized.resize(4)
	}
	h.end = usage.Interval(time.Now().Unix(), hour).End + intervals*hour
	h.moment = time.Unix(h.end+5, 0)
	var err error
	h.operator, err = client.New(home.asOperator(h.namespace), client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	return h
}

func hourly(o *controllers.Options) {
	o.Schedule.Interval, o.Schedule.Flush, o.Schedule.Refresh = hour, 0, 0
}

// apart is how many seconds lie between a removal and whatever else may date it: so far apart, bounds are made tighter.
const apart = 6

// removeDated removes objects at a moment that whoever looks for it later finds in the same way. What dates a removal
// are the renewals of Leases around it: there are two at once, and no other for some seconds before and after.
func (h *replayed) removeDated(ctx context.Context, things ...*thing) {
	GinkgoHelper()
	system := client.InNamespace(metav1.NamespaceSystem)
	newest := func(g Gomega) int64 {
		leases := &coordinationv1.LeaseList{}
		g.Expect(h.admin.List(ctx, leases, system)).To(Succeed())
		var last int64
		for _, lease := range leases.Items {
			last = max(last, lease.Spec.RenewTime.Unix())
		}
		return last
	}
	before := newest(NewWithT(GinkgoT()))
	Eventually(ctx, newest).Should(BeNumerically(">", before)) // the API server renews its own every 10 s
	passes(ctx, apart)
	ours := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, GenerateName: "faults-"}}
	renew := func() {
		now := metav1.NowMicro()
		ours.Spec.RenewTime = &now
		if ours.Name == "" {
			Expect(h.admin.Create(ctx, ours)).To(Succeed())
			DeferCleanup(func(ctx SpecContext) { Expect(h.admin.Delete(ctx, ours)).To(Succeed()) })
			return
		}
		Expect(h.admin.Update(ctx, ours)).To(Succeed())
	}
	renew()
	for _, t := range things {
		t.remove()
		renew()
		nextSecond(ctx)
		renew() // which is dated after the one before was committed
	}
}

// run lets an operator take up the history. If it dies at the point another one goes on. What comes of it must be what is
// wanted, if that is known. It returns that, and what the first one wrote: less than the point, if it did not come there.
func (h *replayed) run(ctx context.Context, point crash.Point, want outcome) (outcome, []string) {
	GinkgoHelper()
	life := crash.New(point)
	op := h.launch(ctx, how{namespace: h.namespace, life: life, concurrency: 1, setup: h.held})
	h.rests(ctx, op)
	select {
	case <-life.Dead():
		op.kill()
		op = h.launch(ctx, how{namespace: h.namespace, concurrency: 1, setup: h.held})
		h.rests(ctx, op)
	default:
	}
	var got outcome
	Eventually(ctx, func(g Gomega) {
		got = h.outcome(ctx, op)
		if want != nil {
			g.Expect(cmp.Diff(want, got)).To(BeEmpty(), "crashed %s (-want +got): %q, then %q\nsays otherwise:\n%s", point,
				life.Writes(), op.life.Writes(), cmp.Diff(h.said, says(op.state(ctx, g, heldClock{moment: h.moment}))))
		}
	}).Should(Succeed())
	if want == nil {
		h.said = says(op.state(ctx, NewWithT(GinkgoT()), heldClock{moment: h.moment}))
	}
	op.kill()
	return got, life.Writes()
}

// rests waits until the operator has sealed all, and writes nothing any more, or is dead.
func (h *replayed) rests(ctx context.Context, op *operator) {
	GinkgoHelper()
	quiet, before := time.Now(), -1
	Eventually(ctx, func(g Gomega) {
		select {
		case <-op.life.Dead():
			return
		default:
		}
		g.Expect(op.collector.Sealed()).To(BeNumerically(">=", h.end))
		if n := len(op.life.Writes()); n != before {
			quiet, before = time.Now(), n
		}
		g.Expect(time.Since(quiet)).To(BeNumerically(">", 2*time.Second), "it writes: %q", op.life.Writes())
	}).Should(Succeed())
}

func (h *replayed) held(o *controllers.Options) {
	hourly(o)
	o.Clock = heldClock{moment: h.moment}
	o.Identity = "one of those that are killed" // it is part of a block
}

// outcome is what is there now.
func (h *replayed) outcome(ctx context.Context, op *operator) outcome {
	GinkgoHelper()
	found := outcome{}
	for _, block := range op.blocks(ctx, NewWithT(GinkgoT()), op.namespace) {
		for _, seal := range block.Spec.Sealed {
			found["interval "+rfc3339(seal.StartTime.Unix())] = fmt.Sprint(seal.Digest, seal.Partial)
		}
	}
	list := &v1alpha1.UsageRecordList{}
	Expect(h.operator.List(ctx, list)).To(Succeed())
	for _, r := range list.Items {
		if r.Namespace != h.namespace && r.Namespace != h.driver.namespace {
			continue // another spec's operator wrote it, and its namespace is about to go
		}
		text, err := json.Marshal([]any{r.Labels, r.Spec, r.Status})
		Expect(err).NotTo(HaveOccurred())
		found["record "+r.Namespace+"/"+r.Name] = string(text)
	}
	return found
}

// says is what a journal says, as text: what is held when, and how it is known.
func says(state *journal.State) (lines []string) {
	for i := range state.Segments {
		s := &state.Segments[i]
		lines = append(lines, fmt.Sprint(s.Subject.Deployment, " ", s.Subject.Instance.Name, " ", s.Dimension.Name, " ", s.Kind, " ", s.Level,
			" from ", s.Start, " to ", s.End, " corrects ", s.Corrects))
	}
	for _, s := range state.Coverage {
		lines = append(lines, fmt.Sprint(s))
	}
	slices.Sort(lines)
	return lines
}

// reset takes away what a run has written.
func (h *replayed) reset(ctx context.Context) {
	GinkgoHelper()
	base := map[string]*v1alpha1.UsageBlock{}
	for i := range h.base {
		base[h.base[i].Name] = &h.base[i]
	}
	blocks := &v1alpha1.UsageBlockList{}
	Expect(h.operator.List(ctx, blocks, client.InNamespace(h.namespace))).To(Succeed())
	for i := range blocks.Items {
		if base[blocks.Items[i].Name] == nil {
			Expect(h.operator.Delete(ctx, &blocks.Items[i])).To(Succeed())
		}
		delete(base, blocks.Items[i].Name)
	}
	for _, lost := range slices.Collect(maps.Values(base)) {
		again := &v1alpha1.UsageBlock{ObjectMeta: metav1.ObjectMeta{Namespace: lost.Namespace, Name: lost.Name, Labels: lost.Labels}, Spec: lost.Spec}
		Expect(h.operator.Create(ctx, again)).To(Succeed())
	}
	records := &v1alpha1.UsageRecordList{}
	Expect(h.operator.List(ctx, records)).To(Succeed())
	for i := range records.Items {
		Expect(h.operator.Delete(ctx, &records.Items[i])).To(Succeed())
	}
	meter := &v1alpha1.UsageMeter{}
	Expect(h.admin.Get(ctx, client.ObjectKey{Name: "gears"}, meter)).To(Succeed())
	meter.Status = v1alpha1.UsageMeterStatus{}
	Expect(h.admin.Status().Update(ctx, meter)).To(Succeed())
}
