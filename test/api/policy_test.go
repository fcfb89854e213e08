package api_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var _ = Describe("Who may write UsageRecords", Ordered, ContinueOnFailure, func() {
	const refused = "only usage-operator writes UsageRecords"
	var (
		final *unstructured.Unstructured
		// viewer has the cluster's view role in the namespace; writer has in addition all rights on records.
		viewer, writer client.Client
	)

	BeforeAll(func(ctx SpecContext) {
		final = written(ctx, record())
		viewer, writer = user("vera"), user("will")
		bind(ctx, final.GetNamespace(), "view", "vera")
		Expect(admin.Create(ctx, &rbacv1.Role{
			ObjectMeta: metav1.ObjectMeta{Name: "all-of-records", Namespace: final.GetNamespace()},
			Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"metering.usage-operator.dev"}, Resources: []string{"usagerecords"}, Verbs: []string{"*"}}},
		})).To(Succeed())
		bind(ctx, final.GetNamespace(), "view", "will")
		bindRole(ctx, final.GetNamespace(), rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "all-of-records"}, "will")
		Eventually(func() error { return viewer.Get(ctx, client.ObjectKeyFromObject(final), final.DeepCopy()) }).Should(Succeed())
		Eventually(func() error { return writer.Delete(ctx, final.DeepCopy(), client.DryRunAll) }).Should(Succeed())
	})

	another := func() *unstructured.Unstructured {
		object := openRecord()
		object.SetNamespace(final.GetNamespace())
		object.SetName("another")
		return object
	}
	patch := func(text string) client.Patch { return client.RawPatch(types.MergePatchType, []byte(text)) }
	label := patch(`{"metadata":{"labels":{"metering.usage-operator.dev/deployment":"mine"}}}`)
	summary := patch(`{"status":{"summary":"nothing"}}`)

	Context("a tenant with the view role", func() {
		It("reads them", func(ctx SpecContext) {
			list := &unstructured.UnstructuredList{}
			list.SetGroupVersionKind(final.GroupVersionKind())
			Expect(viewer.List(ctx, list, client.InNamespace(final.GetNamespace()))).To(Succeed())
			Expect(list.Items).To(HaveLen(1))
		})

		It("reads no other namespace's", func(ctx SpecContext) {
			other := written(ctx, record())
			Expect(apierrors.IsForbidden(viewer.Get(ctx, client.ObjectKeyFromObject(other), other.DeepCopy()))).To(BeTrue())
		})

		It("neither writes nor deletes them", func(ctx SpecContext) {
			Expect(apierrors.IsForbidden(viewer.Create(ctx, another()))).To(BeTrue())
			Expect(apierrors.IsForbidden(viewer.Patch(ctx, final.DeepCopy(), summary))).To(BeTrue())
			Expect(apierrors.IsForbidden(viewer.Delete(ctx, final.DeepCopy()))).To(BeTrue())
		})
	})

	Context("a tenant who was given all rights on them", func() {
		It("writes none", func(ctx SpecContext) {
			expectAnswer(writer.Create(ctx, another()), refused+", from its ledger; will is not it")
			expectAnswer(writer.Patch(ctx, final.DeepCopy(), label), refused)
		})

		It("deletes them, and the operator puts them back", func(ctx SpecContext) {
			object := another()
			Expect(operator.Create(ctx, object)).To(Succeed())
			Expect(writer.Delete(ctx, object)).To(Succeed())
			Expect(operator.Create(ctx, another())).To(Succeed())
			Expect(operator.Delete(ctx, another())).To(Succeed())
		})
	})

	Context("a cluster administrator", func() {
		It("writes none", func(ctx SpecContext) {
			expectAnswer(admin.Create(ctx, another()), refused)
			open := another()
			Expect(operator.Create(ctx, open)).To(Succeed())
			expectAnswer(admin.Patch(ctx, open.DeepCopy(), summary), refused)
			expectAnswer(admin.Patch(ctx, open.DeepCopy(), label), refused)
			Expect(operator.Delete(ctx, open)).To(Succeed())
		})

		It("may set annotations and other labels", func(ctx SpecContext) {
			Expect(admin.Patch(ctx, final.DeepCopy(), patch(`{"metadata":{"annotations":{"ticket":"1"},"labels":{"team":"a"}}}`))).To(Succeed())
		})

		It("deletes with all that the garbage collector does in between", func(ctx SpecContext) {
			for _, propagation := range []metav1.DeletionPropagation{metav1.DeletePropagationForeground, metav1.DeletePropagationOrphan} {
				object := another()
				object.SetName("collected")
				Expect(operator.Create(ctx, object)).To(Succeed())
				Expect(admin.Delete(ctx, object, client.PropagationPolicy(propagation))).To(Succeed())
				Eventually(func() bool {
					return apierrors.IsNotFound(admin.Get(ctx, client.ObjectKeyFromObject(object), object.DeepCopy()))
				}).WithContext(ctx).Should(BeTrue(), string(propagation))
			}
		})
	})

	Context("the operator", func() {
		It("writes, changes and deletes them", func(ctx SpecContext) {
			open := another()
			Expect(operator.Create(ctx, open)).To(Succeed())
			Expect(operator.Patch(ctx, open, summary)).To(Succeed())
			Expect(operator.Delete(ctx, open)).To(Succeed())
		})

		It("is no other service account of that name", func(ctx SpecContext) {
			impostor := impersonate("system:serviceaccount:" + final.GetNamespace() + ":usage-operator")
			bindRole(ctx, final.GetNamespace(), rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "all-of-records"},
				"system:serviceaccount:"+final.GetNamespace()+":usage-operator")
			Eventually(func() string { return impostor.Create(ctx, another(), client.DryRunAll).Error() }).
				Should(ContainSubstring(refused))
		})
	})

	It("goes with its namespace", func(ctx SpecContext) {
		object := written(ctx, record())
		namespace := &unstructured.Unstructured{}
		namespace.SetAPIVersion("v1")
		namespace.SetKind("Namespace")
		namespace.SetName(object.GetNamespace())
		Expect(admin.Delete(ctx, namespace)).To(Succeed())
		Eventually(func() bool {
			return apierrors.IsNotFound(admin.Get(ctx, client.ObjectKeyFromObject(namespace), namespace.DeepCopy()))
		}).WithContext(ctx).Should(BeTrue())
	})
})

// user is the client of a person with a certificate of their own.
func user(name string) client.Client {
	GinkgoHelper()
	config, _, err := cp.AddUser(name)
	Expect(err).NotTo(HaveOccurred())
	return as(config)
}

// bind gives a user a cluster role in a namespace.
func bind(ctx SpecContext, namespace, clusterRole, user string) {
	GinkgoHelper()
	bindRole(ctx, namespace, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole}, user)
}

func bindRole(ctx SpecContext, namespace string, role rbacv1.RoleRef, user string) {
	GinkgoHelper()
	Expect(admin.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Namespace: namespace},
		RoleRef:    role,
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}},
	})).To(Succeed())
}
