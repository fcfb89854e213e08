package operator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/test/widgets"
)

var stalled = []string{"Ready=False/InvalidExpression", "Reconciling=False/InvalidExpression", "Stalled=True/InvalidExpression"}

var _ = Describe("A UsageMeter that is wrong", func() {
	It("is stalled, says where and what would be right, and the others go on", func(ctx SpecContext) {
		_, d := begin(ctx)
		wrong := map[string]struct{ spec, want string }{
			"does-not-parse": {`dimensions: [{name: a, unit: count, quantity: "self.spec.size +"}]`, "spec.dimensions[0].quantity 1:17: Syntax error"},
			"unknown-name":   {`active: "slef.spec.size > 1"`, "spec.active 1:1: undeclared reference to 'slef'; want self"},
			"second-line":    {`active: "self.spec.on &&\n  nothing == 1"`, "spec.active 2:3: undeclared reference to 'nothing'"},
			"not-a-truth":    {`active: "'yes'"`, "spec.active: it gives string; want a bool"},
			"not-a-level":    {`dimensions: [{name: a, unit: count, quantity: "[1]"}]`, "spec.dimensions[0].quantity: it gives list(int); want an int"},
			"too-costly":     {`active: "self.spec.all(x, self.spec.all(y, self.spec.all(z, x == y + z)))"`, "spec.active: it may cost too much"},
			"not-its-own":    {`namespace: "'kube-system'"`, "spec.namespace: Widget is namespaced"},
		}
		for name, w := range wrong {
			meter := meterOf(name, widgetKind)
			Expect(yaml.Unmarshal([]byte(w.spec), &meter.Spec)).To(Succeed())
			apply(ctx, meter)
		}
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		widget := d.widget("one", "2")
		d.size(widget, widget.created(), 2)

		for name, w := range wrong {
			Eventually(conditions(ctx, name)).WithContext(ctx).Should(ConsistOf(stalled), name)
			Expect(message(ctx, name, "Stalled")).To(ContainSubstring(w.want), name)
			Expect(message(ctx, name, "Ready")).To(ContainSubstring(w.want), name)
		}
		d.settled("widgets")
	})

	It("meters once it is put right; one that goes wrong goes on as it was", func(ctx SpecContext) {
		op, d := begin(ctx)
		apply(ctx, meterOf("widgets", widgetKind, quantityOf("self.spec.size +")))
		Eventually(conditions(ctx, "widgets")).WithContext(ctx).Should(ConsistOf(stalled))
		widget := d.widget("one", "2")

		d.size(widget, change(ctx, quantityOf("self.spec.size")), 2)

		op.reached(ctx, "widgets", d.last)
		change(ctx, quantityOf("self.spec.size * "), stalled...)
		Expect(message(ctx, "widgets", "Stalled")).To(ContainSubstring("metering goes on with the expressions as they were before"))
		d.size(widget, d.patch(widget, `spec: {size: 3}`), 3)
		d.sealedAfter("widgets", widget)
	})

	It("waits with an expression that does not compile, whether its kind is there or not", func(ctx SpecContext) {
		start(ctx, refreshing(0))
		apply(ctx, meterOf("nothings", widgets.Kind("Nothing"), quantityOf("self.spec.size +")))
		Eventually(conditions(ctx, "nothings")).WithContext(ctx).Should(ConsistOf(stalled))
	})
})

// sealedAfter is settled for a meter that is stalled and meters all the same.
func (d *driver) sealedAfter(meter string, last *thing) []v1alpha1.UsageRecord {
	GinkgoHelper()
	d.last = last.GetResourceVersion()
	return d.settled(meter)
}

var _ = Describe("An object that cannot be read", func() {
	quarantined := func(ctx context.Context, meter string) func(Gomega) map[string]string {
		return func(g Gomega) map[string]string {
			m := &v1alpha1.UsageMeter{}
			g.Expect(admin.Get(ctx, client.ObjectKey{Name: meter}, m)).To(Succeed())
			g.Expect(m.Status.Quarantined).To(BeEquivalentTo(len(m.Status.Quarantine)))
			found := map[string]string{}
			for _, q := range m.Status.Quarantine {
				found[q.Name] = q.Message
			}
			return found
		}
	}

	It("is quarantined by name and counted, holds what it last held, and recovers when it changes", func(ctx SpecContext) {
		op, d := begin(ctx)
		apply(ctx, meterOf("widgets", widgetKind, quantityOf("self.spec.?nan.orValue(false) ? 0.0 / double(self.spec.zero) : self.spec.size")))
		ready(ctx, "widgets")
		midInterval(ctx, 40) // a change at an interval's end would leave no evidence of that end
		bad := map[string]struct{ patch, want string }{
			"negative":  {`spec: {size: -1}`, "negative"},
			"nan":       {`spec: {nan: true, zero: 0}`, "NaN"},
			"overflow":  {`spec: {size: 1.0e+30}`, "too large"},
			"no-number": {`spec: {size: plenty}`, `"plenty" is not a quantity`},
			"a-list":    {`spec: {size: [1]}`, "list"},
			"missing":   {`spec: {size: null}`, "no such key"},
		}
		things, good := map[string]*thing{}, d.sized(widgetKind, "good", "db", "7")
		d.size(good, good.created(), 7)
		for name := range bad {
			things[name] = d.widget(name, "2")
			d.size(things[name], things[name].created(), 2)
		}
		broken := d.widget("never-readable", "{}")
		broke := map[string]moment{}
		for name, b := range bad {
			broke[name] = d.patch(things[name], b.patch)
		}
		Eventually(quarantined(ctx, "widgets")).WithContext(ctx).Should(HaveLen(len(bad) + 1))
		found := quarantined(ctx, "widgets")(NewWithT(GinkgoT()))
		for name, b := range bad {
			Expect(found).To(HaveKeyWithValue(name, ContainSubstring(b.want)))
			Expect(found[name]).To(HavePrefix("spec.dimensions[0].quantity"))
		}
		Expect(message(ctx, "widgets", "Ready")).To(ContainSubstring("see status.quarantine"))
		d.delete(broken)
		for name := range bad {
			if name == "negative" {
				continue // it stays as it is
			}
			fixed := d.patch(things[name], `spec: {size: 3, nan: null}`)
			d.split(things[name], broke[name])
			d.size(things[name], fixed, 3)
		}
		d.split(things["negative"], broke["negative"])
		op.reached(ctx, "widgets", d.last)
		Eventually(quarantined(ctx, "widgets")).WithContext(ctx).Should(And(HaveLen(1), HaveKey("negative")))

		finals := d.settled("widgets")

		Expect(accuracies(finals)).To(Equal(map[string]v1alpha1.Accuracy{"web": v1alpha1.AccuracyEstimated, "db": v1alpha1.AccuracyExact}))
		Expect(evidence(finals, things["overflow"])).To(Equal([]string{"CreationTime", "ManagedFields", "LastKnown", "ManagedFields", "ManagedFields"}))
	})

	It("does not hide behind strange names, labels and annotations", func(ctx SpecContext) {
		_, d := begin(ctx)
		apply(ctx, meterOf("widgets", widgetKind, func(spec *v1alpha1.UsageMeterSpec) {
			spec.Attributes = map[string]v1alpha1.Expression{"note": "self.metadata.?annotations[?'note']"}
		}))
		ready(ctx, "widgets")
		long := strings.Repeat("a", 253)
		dotted := strings.Repeat("a.", 126) + "a"
		deployments := []string{
			strings.Repeat("b", 63), "Web.Shop_1", "UPPER", "unattributed", "unattributed-0123456789abcdef", "web-e3b0c44298fc1c14", "1", "a..b", "a_b", "a-b",
		}
		for i, deployment := range deployments {
			widget := d.sized(widgetKind, fmt.Sprintf("labelled-%d", i), deployment, "1")
			d.size(widget, widget.created(), 1)
		}
		for _, name := range []string{long, dotted} {
			widget := d.widget(name, "1")
			d.size(widget, widget.created(), 1)
		}
		hostile := []string{"\x00\x01\x02", "\x1b[2J\x1b[31mred", "a\nb: c", "\u202eevil", strings.Repeat("ü", 5000), `","phase":"Final`}
		for i, note := range hostile {
			quoted, err := json.Marshal(note)
			Expect(err).NotTo(HaveOccurred())
			widget := d.create(fmt.Sprintf(`{apiVersion: %s/v1, kind: Widget, metadata: {name: annotated-%d, annotations: {note: %s}}, spec: {size: 1}}`, testGroup, i, quoted))
			d.holds(widget, d.self(widget, "widget", ""), widget.created(), anything, levels{"size": 1000})
		}
		d.settled("widgets")
	})

	It("does not hide behind the name of an owner", func(ctx SpecContext) {
		_, d := begin(ctx)
		apply(ctx, meterOf("widgets", widgetKind, func(spec *v1alpha1.UsageMeterSpec) {
			spec.Resource = &v1alpha1.ResourceReference{Workload: true}
		}))
		ready(ctx, "widgets")
		owners := []string{strings.Repeat("o", 253), strings.Repeat("o", 4000), "../../kube-system", "a\nb", "\x1b[31mred", "\u202eevil", strings.Repeat("ü", 200)}
		var sizes []int64
		for i, owner := range owners {
			quoted, err := json.Marshal(owner)
			Expect(err).NotTo(HaveOccurred())
			widget := d.create(fmt.Sprintf(`
apiVersion: %s/v1
kind: Widget
metadata:
  name: owned-%d
  ownerReferences: [{apiVersion: example.com/v1, kind: Owner, name: %s, uid: owner-%[2]d, controller: true}]
spec: {size: %[4]d}
`, testGroup, i, quoted, 10*i+1))
			d.knows(widget.uid())
			sizes = append(sizes, int64(10*i+1))
		}
		d.operator.reached(ctx, "widgets", d.last)
		d.operator.seal(ctx)
		found := map[int64]bool{} // an interval may have ended meanwhile
		for _, r := range d.operator.finals(ctx) {
			for _, u := range r.Status.Usage {
				if r.Spec.Namespace == d.namespace {
					found[baseLevel(NewWithT(GinkgoT()), u.Segments[0])/1000] = true
				}
			}
		}
		Expect(slices.Collect(maps.Keys(found))).To(ConsistOf(sizes))
	})
})

var _ = Describe("An operator that may not read a kind", func() {
	It("says which rule is missing, and goes on by itself once it is there", func(ctx SpecContext) {
		name := newNamespace(ctx, "operator-")
		user, _, err := cp.AddUser(name)
		Expect(err).NotTo(HaveOccurred())
		own := rbacv1.PolicyRule{APIGroups: []string{v1alpha1.Group}, Resources: []string{"*"}, Verbs: []string{"*"}}
		reads := func(group string, resources ...string) rbacv1.PolicyRule {
			return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: []string{"get", "list", "watch"}}
		}
		allow(ctx, name, "-base", own, reads("apiextensions.k8s.io", "customresourcedefinitions"), reads("", "namespaces", "pods"))
		op, d := begin(ctx, actingAs(user))
		apply(ctx, meterOf("widgets", widgetKind))

		Eventually(conditions(ctx, "widgets")).WithContext(ctx).Should(ConsistOf(
			"Ready=False/AccessDenied", "Reconciling=False/AccessDenied", "Stalled=True/AccessDenied"))
		Expect(message(ctx, "widgets", "Stalled")).To(And(
			ContainSubstring("widgets.test.example.com"),
			ContainSubstring(`{apiGroups: ["test.example.com"], resources: ["widgets"], verbs: [get, list, watch]}`)))
		before := d.widget("before", "2")
		d.size(before, before.created(), 2)

		allow(ctx, name, "-widgets", reads(testGroup, "widgets"))
		ready(ctx, "widgets")
		after := d.widget("after", "3")
		d.size(after, after.created(), 3)
		op.reached(ctx, "widgets", d.last)

		d.settled("widgets")
	})
})

var _ = Describe("An operator that may not read nodes", func() {
	It("meters what runs on them, and its meters say which rule is missing until it is there", func(ctx SpecContext) {
		name := newNamespace(ctx, "operator-")
		user, _, err := cp.AddUser(name)
		Expect(err).NotTo(HaveOccurred())
		reads := func(group string, resources ...string) rbacv1.PolicyRule {
			return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: []string{"get", "list", "watch"}}
		}
		own := rbacv1.PolicyRule{APIGroups: []string{v1alpha1.Group}, Resources: []string{"*"}, Verbs: []string{"*"}}
		allow(ctx, name, "-base", own, reads("apiextensions.k8s.io", "customresourcedefinitions"), reads("", "namespaces", "pods"), reads(testGroup, "widgets"))
		begin(ctx, actingAs(user))
		onNodes := widgets.Meter("pods-on-nodes", widgetKind, func(spec *v1alpha1.UsageMeterSpec) {
			spec.Target = v1alpha1.TargetReference{Kind: "Pod"}
			spec.Dimensions = []v1alpha1.Dimension{{Name: "pods", Unit: "count", Quantity: "1"}}
			spec.Node = &v1alpha1.NodeReference{Name: "self.spec.?nodeName"}
		})
		apply(ctx, onNodes)
		apply(ctx, meterOf("widgets", widgetKind))

		Eventually(conditions(ctx, onNodes.Name)).WithContext(ctx).Should(ConsistOf(append(widgets.Metering(), "NodesUnreadable=True/AccessDenied")))
		Expect(message(ctx, onNodes.Name, v1alpha1.ConditionNodesUnreadable)).To(ContainSubstring(`{apiGroups: [""], resources: ["nodes"], verbs: [get, list, watch]}`))
		ready(ctx, "widgets") // which reads nothing of nodes

		allow(ctx, name, "-nodes", reads("", "nodes"))
		ready(ctx, onNodes.Name)
	})
})

// allow lets the user do what the rules say.
func allow(ctx context.Context, user, suffix string, rules ...rbacv1.PolicyRule) {
	GinkgoHelper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: user + suffix}, Rules: rules}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: user + suffix},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
	}
	for _, object := range []client.Object{role, binding} {
		Expect(admin.Create(ctx, object)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(admin.Delete(ctx, object)).To(Succeed()) })
	}
}
