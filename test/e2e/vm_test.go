package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// stretch is a level held from one second to another.
type stretch struct {
	instance, dimension, level string
	start, end                 int64
}

var _ = Describe("A KubeVirt virtual machine", func() {
	It("is recorded to the second when it is resized, stopped, started again and deleted", func(ctx SpecContext) {
		namespace := newNamespace(ctx, "machines")
		vm := create(ctx, namespace, `
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: db}
spec: {runStrategy: Always, template: {spec: {domain: {devices: {}, cpu: {cores: 2}, memory: {guest: 4Gi}}}}}`)
		created := vm.GetCreationTimestamp().Unix()

		first, started := run(ctx, vm)
		nextSeconds(ctx)
		resized := patch(ctx, first, `{"status":{"currentCPUTopology":{"sockets":1,"cores":4,"threads":1}}}`)
		nextSeconds(ctx)
		stopped := time.Now().Unix()
		patch(ctx, first, fmt.Sprintf(`{"status":{"phase":"Succeeded","phaseTransitionTimestamps":[%s,%s]}}`,
			transition("Running", started), transition("Succeeded", stopped)))
		nextSeconds(ctx)
		remove(ctx, first)

		second, restarted := run(ctx, vm)
		nextSeconds(ctx)
		ended := remove(ctx, second)
		deleted := remove(ctx, vm)

		want := []stretch{
			{string(vm.GetUID()), "vm_allocated", "1", created, deleted},
			{string(first.GetUID()), "vcpu", "2", started, resized},
			{string(first.GetUID()), "vcpu", "4", resized, stopped},
			{string(second.GetUID()), "vcpu", "2", restarted, ended},
		}
		Eventually(ctx, func(g Gomega) {
			g.Expect(stretches(records(ctx, g, namespace, v1alpha1.PhaseFinal), "vm_allocated", "vcpu")).To(ConsistOf(
				// A removal leaves no time: the watch saw it in the second of the request, or in the next.
				SatisfyAny(Equal(want[0]), Equal(later(want[0]))), Equal(want[1]), Equal(want[2]),
				SatisfyAny(Equal(want[3]), Equal(later(want[3])))))
		}).Should(Succeed())
		Eventually(ctx, func(g Gomega) {
			for _, r := range records(ctx, g, namespace, v1alpha1.PhaseFinal) {
				g.Expect(r.Spec.Deployment).To(Equal("db"))
				g.Expect(r.Status.Accuracy).To(Equal(v1alpha1.AccuracyExact))
				for _, usage := range r.Status.Usage {
					g.Expect(usage.Resource.UID).To(Equal(string(vm.GetUID())), "the machine is billed, whichever instance ran")
				}
			}
		}).Should(Succeed())
	}, SpecTimeout(4*time.Minute))
})

func later(s stretch) stretch {
	s.end++
	return s
}

// stretches are the records' segments, joined where an interval cuts them.
func stretches(list []v1alpha1.UsageRecord, dimensions ...string) []stretch {
	var all []stretch
	for _, r := range list {
		for _, usage := range r.Status.Usage {
			instance := usage.Resource.UID
			if usage.Instance != nil {
				instance = usage.Instance.UID
			}
			for _, s := range usage.Segments {
				if slices.Contains(dimensions, s.Dimension) {
					all = append(all, stretch{instance, s.Dimension, s.Level, s.StartTime.Unix(), s.EndTime.Unix()})
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b stretch) int { return int(a.start - b.start) })
	var joined []stretch
	for _, s := range all {
		i := slices.IndexFunc(joined, func(before stretch) bool {
			return before.instance == s.instance && before.dimension == s.dimension && before.level == s.level && before.end == s.start
		})
		if i < 0 {
			joined = append(joined, s)
			continue
		}
		joined[i].end = s.end
	}
	return joined
}

// run makes the instance that KubeVirt would make, and has it run. It returns when it began to.
func run(ctx context.Context, vm *unstructured.Unstructured) (*unstructured.Unstructured, int64) {
	GinkgoHelper()
	nextSeconds(ctx) // what states a time before the object's own is not believed
	started := time.Now().Unix()
	return create(ctx, vm.GetNamespace(), fmt.Sprintf(`
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata:
  name: %s
  ownerReferences: [{apiVersion: kubevirt.io/v1, kind: VirtualMachine, name: %[1]s, uid: %s, controller: true}]
spec: {domain: {devices: {}, cpu: {cores: 2}, memory: {guest: 4Gi}}}
status: {phase: Running, phaseTransitionTimestamps: [%s]}`, vm.GetName(), vm.GetUID(), transition("Running", started))), started
}

func transition(phase string, at int64) string {
	return fmt.Sprintf(`{"phase":%q,"phaseTransitionTimestamp":%q}`, phase, time.Unix(at, 0).UTC().Format(time.RFC3339))
}

func create(ctx context.Context, namespace, manifest string) *unstructured.Unstructured {
	GinkgoHelper()
	object := &unstructured.Unstructured{}
	Expect(yaml.Unmarshal([]byte(manifest), &object.Object)).To(Succeed())
	object.SetNamespace(namespace)
	Expect(cluster.Create(ctx, object)).To(Succeed())
	return object
}

// patch changes the object, and returns the API server's time of the write.
func patch(ctx context.Context, object *unstructured.Unstructured, text string) int64 {
	GinkgoHelper()
	Expect(cluster.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(text)))).To(Succeed())
	var newest int64
	for _, entry := range object.GetManagedFields() {
		newest = max(newest, entry.Time.Unix())
	}
	return newest
}

// remove deletes the object, and returns the second in which the API server did.
func remove(ctx context.Context, object *unstructured.Unstructured) int64 {
	GinkgoHelper()
	at := time.Now().Unix()
	Expect(cluster.Delete(ctx, object)).To(Succeed())
	return at
}

// nextSeconds waits until what happens next is some seconds later than what happened before.
func nextSeconds(ctx context.Context) {
	GinkgoHelper()
	begin := time.Now().Unix()
	Eventually(ctx, func() int64 { return time.Now().Unix() - begin }).Should(BeNumerically(">=", 2))
}
