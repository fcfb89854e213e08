package api_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var _ = Describe("Who may write what reports and schedules say", Ordered, func() {
	const refused = "only usage-operator writes what reports and their schedules say"
	kinds := map[string]string{
		"UsageReport":                `{"period": {"unit": "day"}}`,
		"ClusterUsageReport":         `{"period": {"unit": "day"}}`,
		"UsageReportSchedule":        `{"everyPeriod": "month"}`,
		"ClusterUsageReportSchedule": `{"everyPeriod": "month"}`,
	}
	var (
		shop string
		will client.Client // has all rights on all of them
	)
	objects := func(ctx SpecContext) []*unstructured.Unstructured {
		GinkgoHelper()
		var list []*unstructured.Unstructured
		for kind, spec := range kinds {
			object := parse(`{"apiVersion": "metering.usage-operator.dev/v1alpha1", "kind": "` + kind + `", "metadata": {"generateName": "forged-"}, "spec": ` + spec + `}`)
			if !strings.HasPrefix(kind, "Cluster") {
				object.SetNamespace(shop)
			}
			Expect(will.Create(ctx, object)).To(Succeed())
			DeferCleanup(func(ctx SpecContext) { Expect(admin.Delete(ctx, object)).To(Succeed()) })
			list = append(list, object)
		}
		return list
	}
	patch := func(text string) client.Patch { return client.RawPatch(types.MergePatchType, []byte(text)) }
	forged := patch(`{"status": {"observedGeneration": 7, "conditions": []}}`)

	BeforeAll(func(ctx SpecContext) {
		shop, will = namespace(ctx), user("wilhelm")
		role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{GenerateName: "all-of-reports-"}, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"metering.usage-operator.dev"}, Resources: []string{"*"}, Verbs: []string{"*"},
		}}}
		Expect(admin.Create(ctx, role)).To(Succeed())
		binding := &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "wilhelm"}},
		}
		Expect(admin.Create(ctx, binding)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) {
			Expect(admin.Delete(ctx, binding)).To(Succeed())
			Expect(admin.Delete(ctx, role)).To(Succeed())
		})
		Eventually(func() error {
			object := parse(`{"apiVersion": "metering.usage-operator.dev/v1alpha1", "kind": "ClusterUsageReport", "metadata": {"name": "tried"}, "spec": {"period": {"unit": "day"}}}`)
			return will.Create(ctx, object, client.DryRunAll)
		}).WithContext(ctx).Should(Succeed())
	})

	It("neither a tenant with all rights on them, nor a cluster administrator", func(ctx SpecContext) {
		for _, object := range objects(ctx) {
			expectAnswer(will.Status().Patch(ctx, object.DeepCopy(), forged), refused+", from its ledger; wilhelm is not it")
			expectAnswer(admin.Status().Patch(ctx, object.DeepCopy(), forged), refused)
			By("a status that is created or edited with the rest is dropped: " + object.GetKind())
			said := object.Object["status"]
			Expect(will.Patch(ctx, object, patch(`{"metadata": {"labels": {"team": "a"}}, "status": {"observedGeneration": 7}}`))).To(Succeed())
			Expect(object.Object["status"]).To(Equal(said))
			By("what changes nothing is let through")
			Expect(admin.Status().Patch(ctx, object, patch(`{"metadata": {"annotations": {"a": "b"}}}`))).To(Succeed())
		}
	})

	It("the operator", func(ctx SpecContext) {
		for _, object := range objects(ctx) {
			change := []byte(`[{"op": "add", "path": "/status/observedGeneration", "value": 1}]`)
			if strings.HasSuffix(object.GetKind(), "Schedule") {
				Expect(unstructured.SetNestedField(object.Object, int64(1), "status", "observedGeneration")).To(Succeed())
				Expect(operator.Status().Update(ctx, object)).To(Succeed())
				continue
			}
			Expect(operator.Status().Patch(ctx, object, client.RawPatch(types.JSONPatchType, change))).To(Succeed())
		}
	})
})
