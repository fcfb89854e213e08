package operator_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

var _ = Describe("The policies of config/policy/pods", func() {
	It("keep a tenant's pod until its containers are gone, and leave its place to the scheduler", func(ctx SpecContext) {
		namespace := newNamespace(ctx, "pods-")
		tenant := tenantOf(ctx, namespace)
		pod := func(name, spec string) *corev1.Pod {
			GinkgoHelper()
			object := &corev1.Pod{}
			text := `{metadata: {name: ` + name + `, namespace: ` + namespace + `}, spec: {containers: [{name: web, image: example.com/web}]` + spec + `}}`
			Expect(yaml.Unmarshal([]byte(text), object)).To(Succeed())
			return object
		}
		placed := func(name string) *corev1.Pod {
			GinkgoHelper()
			object := pod(name, "")
			Expect(tenant.Create(ctx, object)).To(Succeed())
			Expect(admin.SubResource("binding").Create(ctx, object, &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "n1"}})).To(Succeed())
			Expect(admin.Get(ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
			return object
		}
		running, waiting, over := placed("running"), pod("waiting", ""), placed("over")
		Expect(tenant.Create(ctx, waiting)).To(Succeed())
		Expect(admin.Status().Patch(ctx, over, patchOf(`status: {phase: Succeeded}`))).To(Succeed())
		DeferCleanup(func(ctx SpecContext) {
			Expect(admin.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(namespace), client.GracePeriodSeconds(0))).To(Succeed())
		})
		evict := func(by client.Client, grace int64) error {
			return by.SubResource("eviction").Create(ctx, running.DeepCopy(), &policyv1.Eviction{
				DeleteOptions: &metav1.DeleteOptions{GracePeriodSeconds: &grace, DryRun: []string{metav1.DryRunAll}},
			})
		}
		tricks := map[string]func() error{
			"deletes a pod by force": func() error {
				return tenant.Delete(ctx, running.DeepCopy(), client.GracePeriodSeconds(0), client.DryRunAll)
			},
			"deletes all pods by force": func() error {
				return tenant.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(namespace), client.GracePeriodSeconds(0), client.DryRunAll)
			},
			"evicts a pod by force": func() error { return evict(tenant, 0) },
			"makes a pod that goes at once": func() error {
				return tenant.Create(ctx, pod("sudden", ", terminationGracePeriodSeconds: 0"), client.DryRunAll)
			},
			"names a node": func() error {
				return tenant.Create(ctx, pod("placed", ", nodeName: nowhere"), client.DryRunAll)
			},
		}
		for what, trick := range tricks {
			Expect(trick()).To(Succeed(), "without the policies: %s", what)
		}
		for _, file := range []string{"removal.yaml", "placement.yaml"} {
			kubectl(ctx, "apply", "--server-side", "-f", "../../config/policy/pods/"+file)
			DeferCleanup(func(ctx SpecContext) {
				kubectl(ctx, "delete", "--ignore-not-found", "-f", "../../config/policy/pods/"+file)
			})
		}
		for what, trick := range tricks {
			Eventually(func() bool { // a policy takes a moment
				err := trick()
				return apierrors.IsForbidden(err) || apierrors.IsInvalid(err)
			}).WithContext(ctx).Should(BeTrue(), what)
		}
		Expect(tenant.Delete(ctx, running.DeepCopy(), client.DryRunAll)).To(Succeed())
		Expect(tenant.Delete(ctx, running.DeepCopy(), client.GracePeriodSeconds(1), client.DryRunAll)).To(Succeed())
		Expect(evict(tenant, 1)).To(Succeed())
		for _, object := range []*corev1.Pod{waiting, over} {
			Expect(tenant.Delete(ctx, object.DeepCopy(), client.GracePeriodSeconds(0), client.DryRunAll)).To(Succeed(), "it holds nothing")
		}
		for _, name := range []string{"system:serviceaccount:kube-system:pod-garbage-collector", "system:kube-scheduler"} {
			Expect(with(name).Delete(ctx, running.DeepCopy(), client.GracePeriodSeconds(0), client.DryRunAll)).To(Succeed(), name)
		}
		admins := &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: namespace},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "admin-" + namespace}},
		}
		Expect(admin.Create(ctx, admins)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(admin.Delete(ctx, admins)).To(Succeed()) })
		administrator := with("admin-" + namespace)
		Expect(administrator.Delete(ctx, running.DeepCopy(), client.GracePeriodSeconds(0), client.DryRunAll)).To(Succeed())
		Expect(administrator.Create(ctx, pod("debugger", ", nodeName: n1"), client.DryRunAll)).To(Succeed(), "kubectl debug node")
		Expect(evict(administrator, 0)).To(Succeed())

		own := newNamespace(ctx, "network-") // one of the cluster's own
		Expect(admin.Patch(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: own}},
			patchOf(`metadata: {labels: {metering.usage-operator.dev/pods: unrestricted}}`))).To(Succeed())
		plugin := pod("plugin", ", nodeName: n1, terminationGracePeriodSeconds: 0")
		plugin.Namespace = own
		its := tenantOf(ctx, own)
		Eventually(func() error { // the policy has it from a cache
			return its.Create(ctx, plugin.DeepCopy(), client.DryRunAll)
		}).WithContext(ctx).Should(Succeed())

		Expect(tenant.Delete(ctx, running)).To(Succeed())
		Expect(tricks["deletes a pod by force"]()).NotTo(Succeed(), "a pod that ends is there until its kubelet says that it has")
		kubelet := with("system:node:n1", "system:nodes")
		Expect(kubelet.Delete(ctx, running, client.GracePeriodSeconds(0))).To(Succeed(), "its kubelet says that it has ended")
	})
})
