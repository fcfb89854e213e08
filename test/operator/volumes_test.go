package operator_test

import (
	"errors"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/config"
)

// volumeMeter is the built-in meter of claims.
func volumeMeter() *unstructured.Unstructured {
	GinkgoHelper()
	return builtInMeter("volume")
}

func builtInMeter(name string) *unstructured.Unstructured {
	GinkgoHelper()
	meters, err := config.Meters()
	Expect(err).NotTo(HaveOccurred())
	for _, meter := range meters {
		if meter.GetName() == name {
			return meter.DeepCopy()
		}
	}
	Fail("there is no meter " + name)
	return nil
}

// claim makes a claim that names a volume, and binds it, with a capacity of 10Gi; volume makes one, of the claim of the UID.
func (d *driver) claim(name string) *thing {
	GinkgoHelper()
	return d.create(fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %[1]s, labels: {app.kubernetes.io/instance: shop}}
spec: {storageClassName: fast, volumeName: $NAMESPACE-%[1]s, accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Gi}}}
`, name))
}

func (d *driver) bind(claim *thing) moment {
	GinkgoHelper()
	return d.status(claim, `{phase: Bound, capacity: {storage: 10Gi}}`)
}

func (d *driver) volume(name, uid, size string) *thing {
	GinkgoHelper()
	reference := ""
	if uid != "" {
		reference = fmt.Sprintf("claimRef: {apiVersion: v1, kind: PersistentVolumeClaim, namespace: $NAMESPACE, name: %s, uid: %s}", name, uid)
	}
	return d.create(fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: $NAMESPACE-%[1]s}
spec:
  capacity: {storage: %[3]s}
  accessModes: [ReadWriteOnce]
  storageClassName: fast
  csi: {driver: csi.example.com, volumeHandle: %[1]s}
  %[2]s
`, name, reference, size))
}

func (d *driver) bound(claim *thing) holder { return d.self(claim, "volume", "shop") }

var _ = Describe("A claim's volume", func() {
	const facts = "storageClass=fast volumeMode=Filesystem"
	size := func(gibibytes int64) levels { return levels{"storage": gibibytes * gi} }
	claimOf := func(claim *thing) string {
		return fmt.Sprintf(`spec: {claimRef: {apiVersion: v1, kind: PersistentVolumeClaim, namespace: $NAMESPACE, name: %s, uid: %s}}`, claim.GetName(), claim.uid())
	}

	It("tells how large it is from when that is so, as long as each names the other, and through a restart", func(ctx SpecContext) {
		op, d := begin(ctx)
		apply(ctx, volumeMeter())
		ready(ctx, "volume")

		By("one that was there before its claim, and is larger than that says")
		first := d.volume("first", "", "50Gi")
		claim := d.claim("first")
		d.patch(first, claimOf(claim))
		d.holds(claim, d.bound(claim), d.bind(claim), facts, size(50))
		By("one that comes after its claim is bound")
		late := d.claim("late")
		d.holds(late, d.bound(late), d.bind(late), facts, size(10))
		second := d.volume("late", late.uid(), "20Gi")
		d.holds(late, d.bound(late), second.created(), facts, size(20))
		By("one that is another claim's, and one that a claim does not name")
		greedy := d.claim("greedy")
		d.volume("greedy", late.uid(), "500Gi")
		other := d.volume("other", greedy.uid(), "500Gi")
		d.holds(greedy, d.bound(greedy), d.bind(greedy), facts, size(10))
		d.patch(other, `spec: {capacity: {storage: 600Gi}}`)
		By("one that is enlarged, whose claim says so later")
		d.holds(late, d.bound(late), d.patch(second, `spec: {capacity: {storage: 30Gi}}`), facts, size(30))
		d.status(late, `{capacity: {storage: 30Gi}}`)
		By("one that is enlarged, whose claim says nothing")
		d.holds(claim, d.bound(claim), d.patch(first, `spec: {capacity: {storage: 80Gi}}`), facts, size(80))
		op.reached(ctx, "volume", d.last)
		op.stop()

		By("and one that is enlarged, and another that is bound, while no operator is there")
		d.holds(late, d.bound(late), d.patch(second, `spec: {capacity: {storage: 40Gi}}`), facts, size(40))
		alone := d.claim("alone")
		d.volume("alone", alone.uid(), "60Gi")
		d.holds(alone, d.bound(alone), d.bind(alone), facts, size(60))

		next := start(ctx, refreshing(0), after(op))
		ready(ctx, "volume")
		d.operator = next
		d.holds(claim, d.bound(claim), d.patch(first, `spec: {capacity: {storage: 90Gi}}`), facts, size(90))
		finals := d.settled("volume")
		for _, r := range finals {
			Expect(r.Status.Accuracy).To(Equal(v1alpha1.AccuracyExact), r.Name)
		}
		Expect(evidence(finals, claim)).NotTo(ContainElement("ReplayBound"))
	})

	It("counts from when a meter is edited so that it reads it, and no more from when it does not", func(ctx SpecContext) {
		_, d := begin(ctx)
		alone := volumeMeter()
		unstructured.RemoveNestedField(alone.Object, "spec", "other")
		dimensions, _, err := unstructured.NestedSlice(alone.Object, "spec", "dimensions")
		Expect(err).NotTo(HaveOccurred())
		delete(dimensions[0].(map[string]any), "other")
		Expect(unstructured.SetNestedSlice(alone.Object, dimensions, "spec", "dimensions")).To(Succeed())
		apply(ctx, alone)
		ready(ctx, "volume")
		claim := d.claim("data")
		volume := d.volume("data", claim.uid(), "50Gi")
		d.holds(claim, d.bound(claim), d.bind(claim), facts, size(10))
		d.patch(volume, `spec: {capacity: {storage: 60Gi}}`)

		edited := &thing{Unstructured: alone}
		whole, _, err := unstructured.NestedMap(volumeMeter().Object, "spec")
		Expect(err).NotTo(HaveOccurred())
		d.do(edited, func() error {
			if err := admin.Get(ctx, client.ObjectKeyFromObject(alone), alone); err != nil {
				return err
			}
			alone.Object["spec"] = whole
			return admin.Update(ctx, alone)
		})
		ready(ctx, "volume")
		d.holds(claim, d.bound(claim), moment{edited.asked.first, nextSecond(ctx)}, facts, size(60))
		d.holds(claim, d.bound(claim), d.patch(volume, `spec: {capacity: {storage: 70Gi}}`), facts, size(70))
		d.settled("volume")
	})

	It("is not read by an operator that may not: the meter says which rule is missing until it is there", func(ctx SpecContext) {
		name := newNamespace(ctx, "operator-")
		user, _, err := cp.AddUser(name)
		Expect(err).NotTo(HaveOccurred())
		reads := func(group string, resources ...string) rbacv1.PolicyRule {
			return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: []string{"get", "list", "watch"}}
		}
		own := rbacv1.PolicyRule{APIGroups: []string{v1alpha1.Group}, Resources: []string{"*"}, Verbs: []string{"*"}}
		allow(ctx, name, "-base", own, reads("apiextensions.k8s.io", "customresourcedefinitions"), reads("", "namespaces", "nodes", "pods", "persistentvolumeclaims"))
		op, d := begin(ctx, actingAs(user))
		apply(ctx, volumeMeter())
		Eventually(conditions(ctx, "volume")).WithContext(ctx).Should(ContainElement("OtherUnreadable=True/AccessDenied"))
		Expect(message(ctx, "volume", v1alpha1.ConditionOtherUnreadable)).To(And(
			ContainSubstring("by what the objects say themselves"),
			ContainSubstring(`{apiGroups: [""], resources: ["persistentvolumes"], verbs: [get, list, watch]}`)))
		claim := d.claim("data")
		d.volume("data", claim.uid(), "50Gi")
		d.holds(claim, d.bound(claim), d.bind(claim), facts, size(10))
		op.reached(ctx, "volume", d.last)

		before := nextSecond(ctx)
		allow(ctx, name, "-volumes", reads("", "persistentvolumes"))
		Eventually(conditions(ctx, "volume")).WithContext(ctx).ShouldNot(ContainElement(ContainSubstring("OtherUnreadable")))
		Eventually(func() []int64 { return holdings(op, claim) }).WithContext(ctx).Should(ContainElement(int64(50 * gi)))
		d.holds(claim, d.bound(claim), moment{before, nextSecond(ctx)}, facts, size(50))
		d.settled("volume")
	})
})

var _ = Describe("A retained volume", func() {
	It("is not that of a namespace that is made again under the name of its claim's, through a restart", func(ctx SpecContext) {
		op, d := begin(ctx)
		meter := builtInMeter("volume-retained")
		apply(ctx, meter)
		ready(ctx, "volume-retained")
		released := func(name string) *thing {
			volume := d.volume(name, "3f1c2f0e-3d5c-4a53-9a39-b6f6f3a4f8f2", "50Gi")
			d.status(volume, `{phase: Bound}`)
			d.status(volume, `{phase: Released}`)
			return volume
		}
		seen := released("seen")
		op.reached(ctx, "volume-retained", d.last)
		old := &corev1.Namespace{}
		Expect(admin.Get(ctx, client.ObjectKey{Name: d.namespace}, old)).To(Succeed())
		op.stop()

		unseen := released("unseen")
		Expect(admin.Delete(ctx, old)).To(Succeed())
		Eventually(func() error { // as the namespace controller does
			if err := admin.Get(ctx, client.ObjectKeyFromObject(old), old); err != nil {
				return client.IgnoreNotFound(err)
			}
			old.Spec.Finalizers = nil
			if err := admin.SubResource("finalize").Update(ctx, old); err != nil {
				return client.IgnoreNotFound(err)
			}
			return errors.New("it is there")
		}).WithContext(ctx).Should(Succeed())
		nextSecond(ctx)
		Expect(admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: d.namespace}})).To(Succeed())
		again := &corev1.Namespace{}
		Expect(admin.Get(ctx, client.ObjectKey{Name: d.namespace}, again)).To(Succeed())
		d.patch(seen, `metadata: {labels: {touched: "1"}}`)

		next := start(ctx, refreshing(0), after(op))
		ready(ctx, "volume-retained")
		d.patch(seen, `metadata: {labels: {touched: "2"}}`)
		d.patch(unseen, `metadata: {labels: {touched: "2"}}`)
		later := released("later")
		next.reached(ctx, "volume-retained", d.last)
		whose := func(t *thing) (uids []string) {
			for _, s := range next.segmentsOf(t) {
				uids = append(uids, s.Subject.NamespaceUID)
			}
			return uids
		}
		Expect(whose(seen)).To(HaveEach(string(old.UID)))
		Expect(whose(unseen)).To(And(Not(BeEmpty()), Not(ContainElement(string(again.UID)))))
		Expect(whose(later)).To(HaveEach(string(again.UID)), "a volume of the new one's counts as that")
	})
})

// holdings are the levels that an object has held.
func holdings(op *operator, t *thing) []int64 {
	var held []int64
	for _, s := range op.segmentsOf(t) {
		held = append(held, s.Level)
	}
	return held
}
