package operator_test

import (
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// as is a client that may do everything, under a name that admission sees.
func as(name string) client.Client {
	GinkgoHelper()
	return with(name, "system:masters")
}

// with is a client with the rights that a user and its groups have.
func with(name string, groups ...string) client.Client {
	GinkgoHelper()
	config := unlimited(cp.RESTConfig())
	config.Impersonate = rest.ImpersonationConfig{UserName: name, Groups: groups}
	c, err := client.New(config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	return c
}

var _ = Describe("The policies of config/policy/parts", func() {
	It("let KubeVirt alone say whose a pod is, and that an instance runs", func(ctx SpecContext) {
		namespace := newNamespace(ctx, "parts-")
		for _, file := range []string{"launchers.yaml", "instances.yaml"} {
			kubectl(ctx, "apply", "--server-side", "-f", "../../config/policy/parts/"+file)
			DeferCleanup(func(ctx SpecContext) {
				kubectl(ctx, "delete", "--ignore-not-found", "-f", "../../config/policy/parts/"+file)
			})
		}
		tenant, kubevirt := as("system:serviceaccount:"+namespace+":kubevirt-controller"), as("system:serviceaccount:kubevirt:kubevirt-controller")
		instance := parse(fmt.Sprintf(`
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: db-0, namespace: %s}
spec: {domain: {devices: {}}}
`, namespace))
		Expect(tenant.Create(ctx, instance)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { // what is left would be metered by what comes next
			Expect(admin.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(namespace), client.GracePeriodSeconds(0))).To(Succeed())
			Expect(client.IgnoreNotFound(admin.Delete(ctx, instance))).To(Succeed())
		})
		pod := func(name, owners string) client.Object {
			return parse(fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s, ownerReferences: [%s]}
spec: {containers: [{name: compute, image: example.com/launcher}]}
`, name, namespace, owners))
		}
		owner := fmt.Sprintf("{apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance, name: db-0, uid: %s, controller: true}", instance.GetUID())

		Eventually(func() bool { // a policy takes a moment
			return apierrors.IsForbidden(tenant.Create(ctx, pod("forged", owner), client.DryRunAll))
		}).WithContext(ctx).Should(BeTrue())
		Eventually(func() bool {
			return apierrors.IsForbidden(tenant.Patch(ctx, instance.DeepCopy(), patchOf(`status: {phase: Running}`), client.DryRunAll))
		}).WithContext(ctx).Should(BeTrue())

		honest := pod("honest", "")
		Expect(tenant.Create(ctx, honest)).To(Succeed())
		Expect(apierrors.IsForbidden(tenant.Patch(ctx, honest, patchOf("metadata: {ownerReferences: ["+owner+"]}")))).To(BeTrue())
		launcher := pod("virt-launcher-db-0", owner)
		Expect(kubevirt.Create(ctx, launcher)).To(Succeed())
		Expect(tenant.Patch(ctx, launcher, patchOf(`metadata: {labels: {touched: "yes"}}`))).To(Succeed(), "what it was already, it may stay")
		Expect(kubevirt.Patch(ctx, instance, patchOf(fmt.Sprintf(`status: {phase: Running, activePods: {%s: n1}}`, launcher.GetUID())))).To(Succeed())
		Expect(tenant.Patch(ctx, instance, patchOf(`metadata: {labels: {touched: "yes"}}`))).To(Succeed())
	})
})

// ingressOf and gatewayNamed are objects that have their finalizer from a cloud's controller.
func ingressOf(class string) string {
	return fmt.Sprintf(`{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: %s}, spec: {ingressClassName: %s, defaultBackend: {service: {name: web, port: {number: 80}}}}}`, class, class)
}

func gatewayNamed(name string) string {
	return fmt.Sprintf(`{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: %s}, spec: {gatewayClassName: %s, listeners: [{name: http, port: 80, protocol: HTTP}]}}`, name, name)
}

// mayEdit gives a namespace's tenant what other roles would, such as a CRD's own that is aggregated.
func mayEdit(ctx SpecContext, namespace, group string, resources ...string) {
	GinkgoHelper()
	name := strings.ReplaceAll(resources[0], "/", "-")
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{group}, Resources: resources, Verbs: []string{"*"}}},
	}
	Expect(admin.Create(ctx, role)).To(Succeed())
	Expect(admin.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "tenant-" + namespace}},
	})).To(Succeed())
}

var _ = Describe("The policy of config/policy/finalizers", func() {
	It("keeps a tenant from freeing the object before what it holds", func(ctx SpecContext) {
		namespace := newNamespace(ctx, "finalizers-")
		tenant := tenantOf(ctx, namespace)
		mayEdit(ctx, namespace, "gateway.networking.k8s.io", "gateways")
		mayEdit(ctx, namespace, "snapshot.storage.k8s.io", "volumesnapshots")
		held := map[string]*unstructured.Unstructured{}
		for finalizer, text := range map[string]string{
			"kubernetes.io/pvc-protection":                                   `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}`,
			"service.kubernetes.io/load-balancer-cleanup":                    `{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}`,
			"resource.kubernetes.io/delete-protection":                       `{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: gpus}, spec: {devices: {requests: [{name: a, exactly: {deviceClassName: gpu}}]}}}`,
			"service.k8s.aws/resources":                                      `{apiVersion: v1, kind: Service, metadata: {name: nlb}, spec: {ports: [{port: 80}]}}`,
			"gke.networking.io/l4-netlb-v2":                                  `{apiVersion: v1, kind: Service, metadata: {name: gke}, spec: {ports: [{port: 80}]}}`,
			"ingress.k8s.aws/resources":                                      ingressOf("alb"),
			"group.ingress.k8s.aws/shared":                                   ingressOf("alb-group"),
			"networking.gke.io/ingress-finalizer-V2":                         ingressOf("gce"),
			"gateway.finalizer.networking.gke.io":                            gatewayNamed("gke"),
			"gateway.k8s.aws/alb":                                            gatewayNamed("aws"),
			"snapshot.storage.kubernetes.io/volumesnapshot-bound-protection": `{apiVersion: snapshot.storage.k8s.io/v1, kind: VolumeSnapshot, metadata: {name: nightly}, spec: {source: {persistentVolumeClaimName: data}}}`,
		} {
			object := parse(text)
			object.SetNamespace(namespace)
			object.SetFinalizers([]string{finalizer, "example.com/own"})
			Expect(tenant.Create(ctx, object)).To(Succeed(), finalizer)
			held[finalizer] = object
		}
		DeferCleanup(func(ctx SpecContext) { // what is left would be metered by what comes next
			for _, object := range held {
				Expect(client.IgnoreNotFound(admin.Patch(ctx, object, patchOf(`metadata: {finalizers: null}`)))).To(Succeed())
				Expect(client.IgnoreNotFound(admin.Delete(ctx, object))).To(Succeed())
			}
		})
		without := patchOf(`metadata: {finalizers: [example.com/own]}`)
		for finalizer, object := range held {
			Expect(tenant.Patch(ctx, object.DeepCopy(), without, client.DryRunAll)).To(Succeed(), "without the policy: %s", finalizer)
		}
		const file = "../../config/policy/finalizers/finalizers.yaml"
		kubectl(ctx, "apply", "--server-side", "-f", file)
		DeferCleanup(func(ctx SpecContext) { kubectl(ctx, "delete", "--ignore-not-found", "-f", file) })
		for finalizer, object := range held {
			Eventually(func() bool { // a policy takes a moment
				return apierrors.IsForbidden(tenant.Patch(ctx, object.DeepCopy(), without, client.DryRunAll))
			}).WithContext(ctx).Should(BeTrue(), finalizer)
			Expect(tenant.Patch(ctx, object.DeepCopy(), patchOf(`metadata: {finalizers: [`+finalizer+`], labels: {a: b}}`))).To(Succeed(), "its own finalizer is its own")
			Expect(as("system:serviceaccount:kube-system:its-controller").Patch(ctx, object.DeepCopy(), without, client.DryRunAll)).To(Succeed())
		}
	})
})

var _ = Describe("The policy of load balancers' types", func() {
	It("keeps a tenant from changing a Service that has one", func(ctx SpecContext) {
		namespace := newNamespace(ctx, "types-")
		tenant := tenantOf(ctx, namespace)
		service := func(name, ingress string) client.Object {
			made := parse(fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: %s}, spec: {type: LoadBalancer, ports: [{port: 80}]}}`, name, namespace))
			Expect(tenant.Create(ctx, made)).To(Succeed())
			Expect(admin.Status().Patch(ctx, made, patchOf("status: {loadBalancer: {ingress: ["+ingress+"]}}"))).To(Succeed())
			return made
		}
		given, waits := service("given", "{ip: 203.0.113.7}"), service("waits", "")
		DeferCleanup(func(ctx SpecContext) { // what is left would be metered by what comes next
			Expect(admin.DeleteAllOf(ctx, &corev1.Service{}, client.InNamespace(namespace))).To(Succeed())
		})
		change := func(c client.Client, service client.Object) error {
			return c.Patch(ctx, service.DeepCopyObject().(client.Object), patchOf(`spec: {type: ClusterIP}`), client.DryRunAll)
		}
		Expect(change(tenant, given)).To(Succeed(), "without the policy")
		const file = "../../config/policy/finalizers/types.yaml"
		kubectl(ctx, "apply", "--server-side", "-f", file)
		DeferCleanup(func(ctx SpecContext) { kubectl(ctx, "delete", "--ignore-not-found", "-f", file) })
		Eventually(func() bool { // a policy takes a moment
			return apierrors.IsInvalid(change(tenant, given))
		}).WithContext(ctx).Should(BeTrue())
		Expect(change(tenant, waits)).To(Succeed(), "one without an address")
		Expect(change(admin, given)).To(Succeed(), "who may bypass the policies")
		Expect(tenant.Patch(ctx, given, patchOf(`{metadata: {labels: {a: b}}, spec: {ports: [{port: 443}]}}`))).To(Succeed())

		mayEdit(ctx, namespace, "gateway.networking.k8s.io", "gateways")
		for _, c := range []struct{ text, status, change, honest string }{
			{gatewayNamed("edge"), `addresses: [{type: IPAddress, value: 203.0.113.9}]`, `spec: {gatewayClassName: other}`, `spec: {listeners: [{name: http, port: 8080, protocol: HTTP}]}`},
			{ingressOf("alb"), `loadBalancer: {ingress: [{ip: 203.0.113.9}]}`, `spec: {ingressClassName: nginx}`, `spec: {tls: [{secretName: a}]}`},
			{ingressOf("gce"), `loadBalancer: {ingress: [{ip: 203.0.113.9}]}`, `metadata: {annotations: {kubernetes.io/ingress.class: nginx}}`, `metadata: {annotations: {a: b}}`},
		} {
			made := parse(c.text)
			made.SetNamespace(namespace)
			Expect(tenant.Create(ctx, made)).To(Succeed())
			Expect(tenant.Patch(ctx, made.DeepCopy(), patchOf(c.change), client.DryRunAll)).To(Succeed(), "one without an address: %s", c.change)
			Expect(admin.Status().Patch(ctx, made, patchOf("status: {"+c.status+"}"))).To(Succeed())
			Expect(apierrors.IsInvalid(tenant.Patch(ctx, made.DeepCopy(), patchOf(c.change), client.DryRunAll))).To(BeTrue(), c.change)
			Expect(admin.Patch(ctx, made.DeepCopy(), patchOf(c.change), client.DryRunAll)).To(Succeed(), c.change)
			Expect(tenant.Patch(ctx, made, patchOf(c.honest))).To(Succeed(), c.honest)
			Expect(tenant.Delete(ctx, made)).To(Succeed())
		}
	})
})
