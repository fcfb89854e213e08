package e2e_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

const pod = `
apiVersion: v1
kind: Pod
metadata: {name: one, labels: {app.kubernetes.io/name: one}}
spec: {containers: [{name: main, image: example.com/one, resources: {requests: {cpu: "1"}}}]}`

var _ = Describe("A tenant", func() {
	It("with the view role reads its records and can write none", func(ctx SpecContext) {
		namespace := newNamespace(ctx, "tenant")
		create(ctx, namespace, pod)
		config, _, err := cp.AddUser("tenant")
		Expect(err).NotTo(HaveOccurred())
		kubectl(ctx, "create", "rolebinding", "view", "-n", namespace, "--clusterrole=view", "--user=tenant")
		tenant, err := client.New(config, client.Options{Scheme: scheme})
		Expect(err).NotTo(HaveOccurred())

		list := &v1alpha1.UsageRecordList{}
		Eventually(ctx, func(g Gomega) {
			g.Expect(tenant.List(ctx, list, client.InNamespace(namespace))).To(Succeed())
			g.Expect(list.Items).NotTo(BeEmpty())
		}).Should(Succeed())

		r := list.Items[0].DeepCopy()
		Expect(tenant.Delete(ctx, r)).To(MatchError(apierrors.IsForbidden, "is forbidden"))
		r.Status.Summary = "nothing"
		Expect(tenant.Update(ctx, r)).To(MatchError(apierrors.IsForbidden, "is forbidden"))
		r.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, Name: "mine"}
		Expect(tenant.Create(ctx, r)).To(MatchError(apierrors.IsForbidden, "is forbidden"))
		Expect(tenant.List(ctx, list)).To(MatchError(apierrors.IsForbidden, "is forbidden"), "other tenants' records are not its")
	}, SpecTimeout(3*time.Minute))

	It("whose namespace is deleted leaves its last interval with the operator", func(ctx SpecContext) {
		namespace := newNamespace(ctx, "leaving")
		create(ctx, namespace, pod)
		Eventually(ctx, func(g Gomega) {
			g.Expect(records(ctx, g, namespace, v1alpha1.PhaseOpen)).NotTo(BeEmpty())
		}).Should(Succeed())
		uid := kubectl(ctx, "get", "namespace", namespace, "-o", "jsonpath={.metadata.uid}")

		kubectl(ctx, "delete", "namespace", namespace)

		Eventually(ctx, func(g Gomega) {
			var left []v1alpha1.UsageRecord
			for _, r := range records(ctx, g, "usage-system", v1alpha1.PhaseFinal) {
				if r.Spec.Namespace == namespace {
					left = append(left, r)
				}
			}
			g.Expect(left).NotTo(BeEmpty())
			last := left[len(left)-1]
			g.Expect(last.Spec.NamespaceUID).To(Equal(uid))
			g.Expect(last.Spec.Deployment).To(Equal("one"))
			g.Expect(last.Status.Usage).To(HaveLen(1))
			for _, s := range last.Status.Usage[0].Segments {
				g.Expect(s.Evidence.End).To(Equal("Observed"), "the pod's end is in it")
			}
		}).Should(Succeed())
	}, SpecTimeout(4*time.Minute))
})

// It ends the operator: Ginkgo runs top-level containers in a random order, so it is the suite's last node.
var _ = AfterSuite(func(ctx SpecContext) {
	if operator == nil {
		return
	}
	By("having kept a ledger that adds up")
	Expect(audit(ctx)).To(ContainSubstring("All of it adds up."), "the operator's log is %s", operator.log)

	By("ending cleanly when it is asked to")
	Expect(operator.ready(ctx)).To(Succeed(), "it has been metering all along")
	Expect(operator.terminate()).To(Succeed())
	Eventually(ctx, operator.ended).WithTimeout(10*time.Second).Should(Receive(BeNil()), "it exits with 0")
	Expect(kubectl(ctx, "get", "lease", "usage-operator", "-n", "usage-system", "-o", "jsonpath={.spec.holderIdentity}")).
		To(BeEmpty(), "another replica need not wait")
}, NodeTimeout(time.Minute))
