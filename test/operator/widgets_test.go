package operator_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/test/widgets"
)

// begin starts an operator, without Open records unless the options say otherwise, and a driver, in mid-interval.
func begin(ctx context.Context, options ...option) (*operator, *driver) {
	GinkgoHelper()
	op := start(ctx, append([]option{refreshing(0)}, options...)...)
	midInterval(ctx, 5)
	return op, newDriver(ctx, op)
}

// newDriver drives objects in a namespace of its own.
func newDriver(ctx context.Context, op *operator) *driver {
	GinkgoHelper()
	d := &driver{diary: newDiary(), ctx: ctx, operator: op, namespace: newNamespace(ctx, "shop-")}
	DeferCleanup(func(ctx SpecContext) {
		for _, object := range d.made {
			Expect(client.IgnoreNotFound(admin.Delete(ctx, object))).To(Or(Succeed(), MatchError(ContainSubstring("could not find"))))
		}
	})
	return d
}

// sized makes an object of the kind, of a deployment. size is YAML.
func (d *driver) sized(k widgets.Kind, name, deployment, size string) *thing {
	GinkgoHelper()
	return d.create(fmt.Sprintf(`
apiVersion: %s/v1
kind: %s
metadata: {name: %q, labels: {metering.usage-operator.dev/deployment: %q}}
spec: {size: %s}
`, testGroup, k, name, deployment, size))
}

func (d *driver) widget(name, size string) *thing {
	GinkgoHelper()
	return d.sized(widgetKind, name, "web", size)
}

// size notes that a widget has this size from the moment on.
func (d *driver) size(t *thing, when moment, size int64) {
	d.holds(t, d.self(t, "widget", t.GetLabels()[v1alpha1.LabelDeployment]), when, "", levels{"size": size * 1000})
}

// settled seals the present interval once the meter has read everything, and compares the records with the diary.
func (d *driver) settled(meter string) []v1alpha1.UsageRecord {
	GinkgoHelper()
	d.operator.reached(d.ctx, meter, d.last)
	return d.sealed()
}

func (d *driver) sealed() []v1alpha1.UsageRecord {
	GinkgoHelper()
	end := d.operator.seal(d.ctx)
	finals := slices.DeleteFunc(d.operator.finals(d.ctx), func(r v1alpha1.UsageRecord) bool { return r.Spec.Namespace != d.namespace })
	g := NewWithT(GinkgoT())
	Expect(d.compare(g, finals, nil, end)).To(BeEmpty())
	expectConsistent(g, finals)
	return finals
}

// evidence is how the boundaries of an object's segments are known, in order, without those of interval cuts.
func evidence(records []v1alpha1.UsageRecord, t *thing) []string {
	type known struct {
		start    int64
		from, to string
	}
	var all []known
	for i := range records {
		for _, u := range records[i].Status.Usage {
			if holderOf(&records[i], u).instance != t.uid() {
				continue
			}
			for _, s := range u.Segments {
				all = append(all, known{s.StartTime.Unix(), s.Evidence.Start, s.Evidence.End})
			}
		}
	}
	slices.SortFunc(all, func(a, b known) int { return cmp.Compare(a.start, b.start) })
	var words []string
	for _, k := range all {
		if k.from != "IntervalCut" {
			words = append(words, k.from)
		}
		if k.to != "IntervalCut" {
			words = append(words, k.to)
		}
	}
	return words
}

// accuracies are those of the records, the worst of each deployment.
func accuracies(records []v1alpha1.UsageRecord) map[string]v1alpha1.Accuracy {
	order := []v1alpha1.Accuracy{v1alpha1.AccuracyExact, v1alpha1.AccuracyEstimated, v1alpha1.AccuracyPartial}
	worst := map[string]v1alpha1.Accuracy{}
	for _, r := range records {
		before := worst[r.Spec.Deployment]
		if before == "" || slices.Index(order, r.Status.Accuracy) > slices.Index(order, before) {
			worst[r.Spec.Deployment] = r.Status.Accuracy
		}
	}
	return worst
}

// change edits the spec of the meter widgets, waits until the operator has taken that up, and returns when: some second
// in between.
func change(ctx context.Context, edit func(*v1alpha1.UsageMeterSpec), now ...string) moment {
	GinkgoHelper()
	first := nextSecond(ctx)
	editMeter(ctx, edit)
	if len(now) == 0 {
		now = widgets.Metering()
	}
	Eventually(conditions(ctx, "widgets")).WithContext(ctx).Should(ConsistOf(now))
	return moment{first, nextSecond(ctx)}
}

func editMeter(ctx context.Context, edit func(*v1alpha1.UsageMeterSpec)) {
	GinkgoHelper()
	meter := &v1alpha1.UsageMeter{}
	Expect(admin.Get(ctx, client.ObjectKey{Name: "widgets"}, meter)).To(Succeed())
	patch := client.MergeFrom(meter.DeepCopy())
	edit(&meter.Spec)
	Expect(admin.Patch(ctx, meter, patch)).To(Succeed())
}

// changeSeen edits the spec of the meter widgets, and waits until the operator has seen that: the edit need not have
// taken effect.
func (op *operator) changeSeen(ctx context.Context, edit func(*v1alpha1.UsageMeterSpec)) moment {
	GinkgoHelper()
	first := nextSecond(ctx)
	editMeter(ctx, edit)
	Eventually(func(g Gomega) {
		if status, _ := op.collector.Status("widgets"); !status.Amending {
			g.Expect(conditions(ctx, "widgets")(g)).To(ConsistOf(widgets.Metering()))
		}
	}).WithContext(ctx).WithPolling(2 * time.Millisecond).Should(Succeed())
	return moment{first, nextSecond(ctx)}
}

func quantityOf(expression v1alpha1.Expression) func(*v1alpha1.UsageMeterSpec) {
	return func(spec *v1alpha1.UsageMeterSpec) { spec.Dimensions[0].Quantity = expression }
}

func suspended(yes bool) func(*v1alpha1.UsageMeterSpec) {
	return func(spec *v1alpha1.UsageMeterSpec) { spec.Suspend = yes }
}

func parseSelector(deployment string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.LabelDeployment: deployment}}
}
