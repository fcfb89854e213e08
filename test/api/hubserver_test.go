package api_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var _ = Describe("A usage hub in a cluster", func() {
	const namespace = "usage-hub"

	It("is accepted, within the restricted pod security standard, without any right", func(ctx SpecContext) {
		for range 2 { // applied again without a conflict, too
			kubectl(ctx, "apply", "--server-side", "-k", "../../config/hub-server")
		}
		DeferCleanup(func(ctx SpecContext) { kubectl(ctx, "delete", "--wait=false", "namespace", namespace) })
		kubectl(ctx, "apply", "--server-side", "-k", "../../config/hub-server/migrate")
		kubectl(ctx, "apply", "--server-side", "--dry-run=server", "-f", "../../config/hub-server/network-policy/network_policy.yaml")

		hub, migrate := &appsv1.Deployment{}, &batchv1.Job{}
		Expect(admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "usage-hub"}, hub)).To(Succeed())
		Expect(admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "usage-hub-migrate"}, migrate)).To(Succeed())
		for name, spec := range map[string]corev1.PodSpec{"hub": hub.Spec.Template.Spec, "migrate": migrate.Spec.Template.Spec} {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: spec}
			Eventually(func() error { return admin.Create(ctx, pod.DeepCopy(), client.DryRunAll) }).WithContext(ctx).Should(Succeed(), name)
			pod.Spec.SecurityContext = nil
			Expect(admin.Create(ctx, pod, client.DryRunAll)).To(MatchError(ContainSubstring("restricted")))
		}
		Expect(allowed(ctx, "system:serviceaccount:usage-hub:usage-hub", "get", "secrets", "", namespace)).To(BeFalse())
	})
})
