package operator_test

import (
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// policies applies files of config/policy for as long as the spec runs.
func policies(ctx SpecContext, files ...string) {
	GinkgoHelper()
	for _, file := range files {
		kubectl(ctx, "apply", "--server-side", "-f", "../../config/policy/"+file)
		DeferCleanup(func(ctx SpecContext) {
			kubectl(ctx, "delete", "--ignore-not-found", "-f", "../../config/policy/"+file)
		})
	}
}

// refused tells whether a policy refused a request.
func refused(err error) bool { return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) }

var _ = Describe("The policies of config/policy/requests", func() {
	const all = "cpu: 100m, memory: 64Mi, ephemeral-storage: 1Gi"
	It("have a tenant's pods request what they may use", func(ctx SpecContext) {
		namespace := newNamespace(ctx, "requests-")
		tenant := tenantOf(ctx, namespace)
		mayEdit(ctx, namespace, "", "pods/ephemeralcontainers", "pods/resize") // which the role edit does not have
		pod := func(name, spec string) *unstructured.Unstructured {
			GinkgoHelper()
			return parse(fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: %s}, spec: {%s}}`, name, namespace, spec))
		}
		container := func(resources string) string {
			return `containers: [{name: web, image: x, resources: {` + resources + `}}]`
		}
		tricks := map[string]*unstructured.Unstructured{
			"requests nothing":                            pod("none", container("")),
			"has no limit":                                pod("open", container("requests: {"+all+"}")),
			"has a limit of memory":                       pod("cpu", container("limits: {memory: 64Mi, ephemeral-storage: 1Gi}, requests: {cpu: 100m}")),
			"requests less than it may":                   pod("small", container("limits: {"+all+"}, requests: {cpu: 1m}")),
			"writes to the local disk":                    pod("disk", container("limits: {cpu: 100m, memory: 64Mi}")),
			"has an init container that requests nothing": pod("init", container("limits: {"+all+"}")+`, initContainers: [{name: miner, image: x}]`),
			"has a second one that requests nothing":      pod("second", `containers: [{name: web, image: x, resources: {limits: {`+all+`}}}, {name: b, image: x}]`),
			"requests less as a whole":                    pod("whole", `resources: {limits: {cpu: "4"}, requests: {cpu: 100m}}, `+container("limits: {memory: 64Mi, ephemeral-storage: 1Gi}")),
		}
		honest := map[string]*unstructured.Unstructured{
			"limits alone":        pod("limits", container("limits: {"+all+"}")),
			"limits and requests": pod("both", container("limits: {"+all+"}, requests: {cpu: 0.1, memory: 65536Ki, ephemeral-storage: 1Gi}")),
			"the pod as a whole": pod("as-a-whole", `resources: {limits: {cpu: "1", memory: 1Gi}}, initContainers: [{name: i, image: x, resources: {limits: {ephemeral-storage: 1Gi}}}], `+
				container("limits: {ephemeral-storage: 1Gi}")),
		}
		for what, trick := range tricks {
			Expect(tenant.Create(ctx, trick.DeepCopy(), client.DryRunAll)).To(Succeed(), "without the policies: %s", what)
		}
		running := honest["limits alone"]
		Expect(tenant.Create(ctx, running)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { // what is left would be metered by what comes next
			Expect(admin.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(namespace), client.GracePeriodSeconds(0))).To(Succeed())
		})
		merge := func(c client.SubResourceClient, spec string, options ...client.SubResourcePatchOption) error {
			return c.Patch(ctx, running.DeepCopy(), client.RawPatch(types.StrategicMergePatchType, []byte(spec)), options...)
		}
		const miner = `{"spec": {"ephemeralContainers": [{"name": "miner", "image": "x"}]}}`
		Expect(merge(tenant.SubResource("ephemeralcontainers"), miner, client.DryRunAll)).To(Succeed(), "without the policies")
		policies(ctx, "requests/requests.yaml", "requests/ephemeral.yaml")
		for what, trick := range tricks {
			Eventually(func() bool { // a policy takes a moment
				return refused(tenant.Create(ctx, trick.DeepCopy(), client.DryRunAll))
			}).WithContext(ctx).Should(BeTrue(), what)
		}
		for what, one := range honest {
			if one == running {
				continue
			}
			Expect(tenant.Create(ctx, one.DeepCopy(), client.DryRunAll)).To(Succeed(), what)
		}
		Expect(admin.Create(ctx, tricks["requests nothing"].DeepCopy(), client.DryRunAll)).To(Succeed(), "who may bypass the policies")
		owned := tricks["requests nothing"].DeepCopy()
		owned.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "00000000-0000-0000-0000-000000000001"}})
		Expect(refused(admin.Create(ctx, owned.DeepCopy(), client.DryRunAll))).To(BeTrue(), "for a template of a tenant's")
		Expect(as("system:serviceaccount:kubevirt:kubevirt-controller").Create(ctx, owned, client.DryRunAll)).To(Succeed(), "what runs a machine")

		Expect(tenant.Patch(ctx, running.DeepCopy(), patchOf(`metadata: {labels: {a: b}}`))).To(Succeed())
		Eventually(func() bool {
			return refused(merge(tenant.SubResource("ephemeralcontainers"), miner, client.DryRunAll))
		}).WithContext(ctx).Should(BeTrue(), "a container that is put into it")
		Expect(merge(admin.SubResource("ephemeralcontainers"), `{"spec": {"ephemeralContainers": [{"name": "debugger", "image": "x"}]}}`)).To(Succeed())
		resized := func(limit, request string) error {
			return merge(tenant.SubResource("resize"), fmt.Sprintf(
				`{"spec": {"containers": [{"name": "web", "resources": {"limits": {"cpu": %q}, "requests": {"cpu": %q}}}]}}`, limit, request))
		}
		Expect(refused(resized("4", "100m"))).To(BeTrue(), "a limit that is raised alone")
		Expect(resized("200m", "200m")).To(Succeed())

		own := newNamespace(ctx, "plugins-") // one of the cluster's own
		Expect(admin.Patch(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: own}},
			patchOf(`metadata: {labels: {metering.usage-operator.dev/requests: unrestricted}}`))).To(Succeed())
		plugin := tricks["requests nothing"].DeepCopy()
		plugin.SetNamespace(own)
		its := tenantOf(ctx, own)
		Eventually(func() error { // the policy has it from a cache
			return its.Create(ctx, plugin.DeepCopy(), client.DryRunAll)
		}).WithContext(ctx).Should(Succeed())
	})
})

var _ = Describe("The policy of config/policy/ingresses", func() {
	It("refuses Ingresses of classes whose load balancer nothing meters", func(ctx SpecContext) {
		namespace := newNamespace(ctx, "classes-")
		tenant := tenantOf(ctx, namespace)
		ingress := func(text string) *unstructured.Unstructured {
			GinkgoHelper()
			object := parse(text)
			object.SetNamespace(namespace)
			return object
		}
		const legacy = `{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: legacy, annotations: {kubernetes.io/ingress.class: %s}}, spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}}`
		tricks := map[string]*unstructured.Unstructured{
			"a class of a cloud's":       ingress(ingressOf("azure-application-gateway")),
			"such a class, annotated":    ingress(fmt.Sprintf(legacy, "azure/application-gateway")),
			"no class":                   ingress(`{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: none}, spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}}`),
			"a class beside another one": ingress(`{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: two, annotations: {kubernetes.io/ingress.class: other}}, spec: {ingressClassName: nginx, defaultBackend: {service: {name: web, port: {number: 80}}}}}`),
		}
		before := ingress(ingressOf("other"))
		Expect(tenant.Create(ctx, before)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(admin.Delete(ctx, before)).To(Succeed()) })
		delete(tricks, "a class beside another one") // which the API server refuses itself
		for what, trick := range tricks {
			Expect(tenant.Create(ctx, trick.DeepCopy(), client.DryRunAll)).To(Succeed(), "without the policy: %s", what)
		}
		policies(ctx, "ingresses/classes.yaml")
		for what, trick := range tricks {
			Eventually(func() bool {
				return refused(tenant.Create(ctx, trick.DeepCopy(), client.DryRunAll))
			}).WithContext(ctx).Should(BeTrue(), what)
		}
		for _, honest := range []string{ingressOf("nginx"), ingressOf("alb"), fmt.Sprintf(legacy, "gce")} {
			Expect(tenant.Create(ctx, ingress(honest), client.DryRunAll)).To(Succeed(), honest)
		}
		Expect(tenant.Patch(ctx, before.DeepCopy(), patchOf(`metadata: {labels: {a: b}}`))).To(Succeed(), "what it was already, it may stay")
		Expect(refused(tenant.Patch(ctx, before.DeepCopy(), patchOf(`spec: {ingressClassName: third}`), client.DryRunAll))).To(BeTrue())
		Expect(admin.Create(ctx, tricks["no class"].DeepCopy(), client.DryRunAll)).To(Succeed(), "who may bypass the policies")
	})
})

var _ = Describe("The policy of machines' CPUs", func() {
	It("keeps a tenant from CPUs beside those of the guest", func(ctx SpecContext) {
		namespace := newNamespace(ctx, "machines-")
		tenant := as("system:serviceaccount:" + namespace + ":default")
		object := func(text string) *unstructured.Unstructured {
			GinkgoHelper()
			made := parse(text)
			made.SetNamespace(namespace)
			return made
		}
		const machine = `{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: db}, spec: {runStrategy: Halted, template: {spec: {domain: %s}}}}`
		const instance = `{apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance, metadata: {name: db}, spec: {domain: %s}}`
		const emulator = `{cpu: {cores: 2, dedicatedCpuPlacement: true, isolateEmulatorThread: true}, devices: {}}`
		const threads = `{cpu: {cores: 2, dedicatedCpuPlacement: true}, ioThreadsPolicy: supplementalPool, ioThreads: {supplementalPoolThreadCount: 16}, devices: {}}`
		tricks := []*unstructured.Unstructured{
			object(fmt.Sprintf(machine, emulator)), object(fmt.Sprintf(machine, threads)), object(fmt.Sprintf(instance, emulator)), object(fmt.Sprintf(instance, threads)),
		}
		for _, trick := range tricks {
			Expect(tenant.Create(ctx, trick.DeepCopy(), client.DryRunAll)).To(Succeed(), "without the policy")
		}
		policies(ctx, "parts/machines.yaml")
		for _, trick := range tricks {
			Eventually(func() bool {
				return refused(tenant.Create(ctx, trick.DeepCopy(), client.DryRunAll))
			}).WithContext(ctx).Should(BeTrue(), "%v", trick.Object)
		}
		for _, text := range []string{machine, instance} {
			Expect(tenant.Create(ctx, object(fmt.Sprintf(text, `{cpu: {cores: 2, dedicatedCpuPlacement: true}, devices: {}}`)), client.DryRunAll)).To(Succeed())
		}
		of := object(fmt.Sprintf(instance, emulator)) // of an instance type of the cluster's
		Expect(as("system:serviceaccount:kubevirt:kubevirt-controller").Create(ctx, of)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(admin.Delete(ctx, of)).To(Succeed()) })
		Expect(tenant.Patch(ctx, of.DeepCopy(), patchOf(`metadata: {labels: {a: b}}`))).To(Succeed())
	})
})
