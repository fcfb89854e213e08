package api_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/config"
)

var _ = Describe("The installation", func() {
	It("is applied again without a conflict", func(ctx SpecContext) {
		waitForRights(ctx)
		kubectl(ctx, "apply", "--server-side", "-f", install)
	})

	It("runs the operator within the restricted pod security standard", func(ctx SpecContext) {
		Expect(kubectl(ctx, "get", "namespace", operatorNamespace, "-o", "jsonpath={.metadata.labels}")).
			To(ContainSubstring(`"pod-security.kubernetes.io/enforce":"restricted"`))
		Eventually(func() string {
			return kubectl(ctx, "get", "pods", "-n", operatorNamespace, "-l", "app.kubernetes.io/name=usage-operator", "-o", "name")
		}).WithContext(ctx).Should(HavePrefix("pod/usage-operator-"))
	})

	It("starts the operator with flags that it has", func(ctx SpecContext) {
		program := filepath.Join(GinkgoT().TempDir(), "usage-operator")
		out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "../..").CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
		container := deployment(ctx).Spec.Template.Spec.Containers[0]

		out, err = exec.CommandContext(ctx, program, append(container.Args, "--version")...).CombinedOutput()

		Expect(err).NotTo(HaveOccurred(), string(out))
	})

	DescribeTable("gives rights",
		func(ctx SpecContext, who func(SpecContext) string, verb, resource, group string, want bool) {
			name := who(ctx)
			Eventually(func() bool { return allowed(ctx, name, verb, resource, group, rightsNamespace) }).
				WithContext(ctx).Should(Equal(want))
		},
		Entry("to the operator: pods", theOperator, "watch", "pods", "", true),
		Entry("to the operator: the owners of pods", theOperator, "list", "replicasets", "apps", true),
		Entry("to the operator: VMs", theOperator, "watch", "virtualmachineinstances", "kubevirt.io", true),
		Entry("to the operator: Cluster API", theOperator, "list", "machines", "cluster.x-k8s.io", true),
		Entry("to the operator: the CRDs", theOperator, "watch", "customresourcedefinitions", "apiextensions.k8s.io", true),
		Entry("to the operator: creating meters", theOperator, "patch", "usagemeters", "metering.usage-operator.dev", true),
		Entry("to the operator: a meter's status", theOperator, "patch", "usagemeters/status", "metering.usage-operator.dev", true),
		Entry("to the operator: events", theOperator, "create", "events", "events.k8s.io", true),
		Entry("to the operator: asking who reads its metrics", theOperator, "create", "tokenreviews", "authentication.k8s.io", true),
		Entry("to the operator: no secrets", theOperator, "get", "secrets", "", false),
		Entry("to the operator: no config maps", theOperator, "list", "configmaps", "", false),
		Entry("to the operator: no deleting meters", theOperator, "delete", "usagemeters", "metering.usage-operator.dev", false),
		Entry("to the operator: no changing pods", theOperator, "update", "pods", "", false),
		Entry("to the operator: no leases elsewhere", theOperator, "get", "leases", "coordination.k8s.io", false),
		Entry("to viewers: reading records", having("view"), "list", "usagerecords", "metering.usage-operator.dev", true),
		Entry("to viewers: no writing records", having("view"), "create", "usagerecords", "metering.usage-operator.dev", false),
		Entry("to viewers: reading reports", having("view"), "list", "usagereports", "metering.usage-operator.dev", true),
		Entry("to viewers of the whole cluster: its reports", having("view"), "get", "clusterusagereports", "metering.usage-operator.dev", true),
		Entry("to viewers: no meters", having("view"), "get", "usagemeters", "metering.usage-operator.dev", false),
		Entry("to editors: reading records", having("edit"), "watch", "usagerecords", "metering.usage-operator.dev", true),
		Entry("to editors: no deleting records", having("edit"), "delete", "usagerecords", "metering.usage-operator.dev", false),
		Entry("to a namespace's administrators: reading records", having("admin"), "get", "usagerecords", "metering.usage-operator.dev", true),
		Entry("to a namespace's administrators: no changing records", having("admin"), "patch", "usagerecords", "metering.usage-operator.dev", false),
		Entry("to viewers: no blocks", having("view"), "list", "usageblocks", "metering.usage-operator.dev", false),
		Entry("to a namespace's administrators: no blocks", having("admin"), "get", "usageblocks", "metering.usage-operator.dev", false),
		Entry("to the operator: no blocks elsewhere", theOperator, "create", "usageblocks", "metering.usage-operator.dev", false),
		Entry("to others: nothing", having(""), "get", "usagerecords", "metering.usage-operator.dev", false),
		Entry("to others: no reports, nor their figures", having(""), "get", "usagereports", "metering.usage-operator.dev", false),
		Entry("to others: no reports of the cluster", having(""), "get", "clusterusagereports", "metering.usage-operator.dev", false),
	)

	It("lets the operator hold its Lease, and no other in its own namespace", func(ctx SpecContext) {
		may := func(verb, lease string) func() string {
			return func() string {
				out, _ := cp.Kubectl(ctx, "auth", "can-i", verb, "leases.coordination.k8s.io/"+lease, "-n", operatorNamespace, "--as="+operatorUser) // it fails where it says no
				return out
			}
		}
		Eventually(may("update", "usage-operator")).WithContext(ctx).Should(HavePrefix("yes"))
		Eventually(may("get", "usage-operator")).WithContext(ctx).Should(HavePrefix("yes"))
		Expect(may("update", "other")()).To(HavePrefix("no"))
		Expect(may("delete", "usage-operator")()).To(HavePrefix("no"))
		Expect(allowed(ctx, operatorUser, "create", "leases", "coordination.k8s.io", operatorNamespace)).To(BeTrue())
	})

	It("lets the operator read its own Secret, and no other in its own namespace", func(ctx SpecContext) {
		may := func(who, verb, what string) func() string {
			return func() string {
				out, _ := cp.Kubectl(ctx, "auth", "can-i", verb, what, "-n", operatorNamespace, "--as="+who, "--as-group=system:authenticated") // it fails where it says no
				return out
			}
		}
		for _, kind := range []string{"secrets/", "configmaps/"} {
			for _, verb := range []string{"get", "update"} {
				Eventually(may(operatorUser, verb, kind+"usage-api-ca")).WithContext(ctx).Should(HavePrefix("yes"))
				Expect(may(operatorUser, verb, kind+"other")()).To(HavePrefix("no"))
			}
			Expect(may(operatorUser, "delete", kind+"usage-api-ca")()).To(HavePrefix("no"))
		}
		Expect(allowed(ctx, operatorUser, "create", "secrets", "", operatorNamespace)).To(BeFalse())
		Eventually(may("somebody", "get", "configmaps/usage-api-ca")).WithContext(ctx).Should(HavePrefix("yes"))
		Expect(may("somebody", "update", "configmaps/usage-api-ca")()).To(HavePrefix("no"))
		Expect(may("somebody", "get", "secrets/usage-api-ca")()).To(HavePrefix("no"))
	})

	It("has a NetworkPolicy for those who want one, of the pods that there are", func(ctx SpecContext) {
		out, err := cp.Kubectl(ctx, "apply", "--server-side", "--dry-run=server", "-o", "jsonpath={.spec.podSelector.matchLabels}", "-f", "../../config/network-policy/network_policy.yaml")
		Expect(err).NotTo(HaveOccurred())
		var selected map[string]string
		Expect(json.Unmarshal([]byte(out), &selected)).To(Succeed())
		for key, value := range selected {
			Expect(deployment(ctx).Spec.Template.Labels).To(HaveKeyWithValue(key, value))
		}
		Expect(selected).NotTo(BeEmpty())
	})

	It("lets the operator keep its journal in its own namespace, and change none of it", func(ctx SpecContext) {
		for verb, want := range map[string]bool{
			"get": true, "list": true, "watch": true, "create": true, "delete": true, "update": false, "patch": false, "deletecollection": false,
		} {
			Eventually(func() bool {
				return allowed(ctx, operatorUser, verb, "usageblocks", "metering.usage-operator.dev", operatorNamespace)
			}).WithContext(ctx).Should(Equal(want), verb)
		}
	})

	It("lets the operator read who signs client certificates, and nothing else in kube-system", func(ctx SpecContext) {
		reads := func(name string) func() string {
			return func() string {
				out, _ := cp.Kubectl(ctx, "auth", "can-i", "get", "configmaps/"+name, "-n", "kube-system", "--as="+operatorUser) // it fails where it says no
				return out
			}
		}
		Eventually(reads("extension-apiserver-authentication")).WithContext(ctx).Should(Equal("yes\n"))
		Expect(reads("kube-root-ca.crt")()).To(Equal("no\n"))
	})

	It("lets everybody who is known reach the usage API through the proxy; by a port-forward, whom the role is bound to", func(ctx SpecContext) {
		may := func(verb, kind, subresource, namespace string) func() string {
			return func() string {
				out, _ := cp.Kubectl(ctx, "auth", "can-i", verb, kind, "--subresource="+subresource, "-n", namespace, "--as=anyone", "--as-group=system:authenticated")
				return out
			}
		}
		Eventually(may("get", "services/https:usage-api:https", "proxy", operatorNamespace)).WithContext(ctx).Should(Equal("yes\n"))
		Expect(may("get", "services/https:usage-api:https", "proxy", rightsNamespace)()).To(Equal("no\n"))
		Expect(may("get", "services/https:another:https", "proxy", operatorNamespace)()).To(Equal("no\n"))

		forwards, looks := may("create", "pods", "portforward", operatorNamespace), may("list", "endpointslices.discovery.k8s.io", "", operatorNamespace)
		Expect(forwards()).To(Equal("no\n"))
		Expect(looks()).To(Equal("no\n"))
		kubectl(ctx, "create", "rolebinding", "forwards", "-n", operatorNamespace, "--role=usage-operator-usage-api-port-forwarder", "--user=anyone")
		DeferCleanup(func(ctx SpecContext) { kubectl(ctx, "delete", "rolebinding", "forwards", "-n", operatorNamespace) })
		Eventually(forwards).WithContext(ctx).Should(Equal("yes\n"))
		Eventually(looks).WithContext(ctx).Should(Equal("yes\n"))
	})

	It("adds a labelled role to what the operator may do", func(ctx SpecContext) {
		waitForRights(ctx)
		Expect(allowed(ctx, operatorUser, "list", "databases", "db.example.com", "")).To(BeFalse())

		kubectl(ctx, "apply", "--server-side", "-k", "../../config/samples")

		Eventually(func() bool { return allowed(ctx, operatorUser, "list", "databases", "db.example.com", "") }).
			WithContext(ctx).Should(BeTrue())
		kubectl(ctx, "delete", "-k", "../../config/samples")
	})

	It("takes another namespace and prefix, and the policy follows", func(ctx SpecContext) {
		overlay := GinkgoT().TempDir()
		base, err := filepath.Abs("../../config/default")
		Expect(err).NotTo(HaveOccurred())
		base, err = filepath.Rel(overlay, base)
		Expect(err).NotTo(HaveOccurred())
		text := "namespace: finance\nnamePrefix: acme-\nresources: [" + base + "]\ntransformers: [" + base + "/../kube-system]\n"
		Expect(os.WriteFile(filepath.Join(overlay, "kustomization.yaml"), []byte(text), 0o600)).To(Succeed())

		objects := documents(kubectl(ctx, "kustomize", overlay))

		binding := objects["ClusterRoleBinding/acme-usage-operator-publisher"]
		Expect(binding).To(HaveKeyWithValue("subjects", ConsistOf(
			map[string]any{"kind": "ServiceAccount", "name": "acme-usage-operator", "namespace": "finance"})))
		Expect(binding["metadata"]).To(HaveKeyWithValue("labels", HaveKeyWithValue("metering.usage-operator.dev/publisher", "true")))
		Expect(objects).To(HaveKey("ServiceAccount/acme-usage-operator"))
		signers := objects["RoleBinding/acme-usage-operator-client-ca-reader"]
		Expect(signers["metadata"]).To(HaveKeyWithValue("namespace", "kube-system"))
		Expect(signers["roleRef"]).To(HaveKeyWithValue("name", "extension-apiserver-authentication-reader"))
		Expect(signers["subjects"]).To(Equal(binding["subjects"]))
		Expect(objects["ValidatingAdmissionPolicyBinding/acme-usage-operator-records"]["spec"]).
			To(HaveKeyWithValue("policyName", "acme-usage-operator-records"))
	})

	It("is in its own namespace, but for the right to read who signs client certificates", func(ctx SpecContext) {
		for _, folder := range []string{"default", "gitops"} {
			elsewhere := []string{}
			for name, object := range documents(kubectl(ctx, "kustomize", "../../config/"+folder)) {
				if namespace := (&unstructured.Unstructured{Object: object}).GetNamespace(); namespace != "" && namespace != operatorNamespace {
					elsewhere = append(elsewhere, name+" in "+namespace)
				}
			}
			Expect(elsewhere).To(ConsistOf("RoleBinding/usage-operator-client-ca-reader in kube-system"), folder)
		}
	})

	It("can have the meters in Git instead", func(ctx SpecContext) {
		manifests := kubectl(ctx, "kustomize", "../../config/gitops")

		Expect(manifests).NotTo(ContainSubstring("--install-meters"))
		Expect(strings.Count(manifests, "kind: UsageMeter\n")).To(BeNumerically(">", 10))
		Expect(kubectl(ctx, "kustomize", "../../config/default")).To(ContainSubstring("- --install-meters"))
	})
})

var _ = Describe("The built-in meters", Ordered, func() {
	var meters []*unstructured.Unstructured

	BeforeAll(func(ctx SpecContext) {
		waitForRights(ctx)
		var err error
		meters, err = config.Meters()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx SpecContext) { kubectl(ctx, "delete", "--ignore-not-found", "-k", "../../config/meters") })
	})

	It("are all in the kustomization", func() {
		files, err := filepath.Glob("../../config/meters/*.yaml")
		Expect(err).NotTo(HaveOccurred())
		Expect(meters).To(HaveLen(len(files) - 1))
	})

	It("are created by the operator, with the rights that it has", func(ctx SpecContext) {
		created, err := config.CreateMeters(ctx, operator, "usage-system")
		Expect(err).NotTo(HaveOccurred())
		Expect(created).To(HaveLen(len(meters)))
	})

	It("are left alone afterwards, and stay deleted", func(ctx SpecContext) {
		kubectl(ctx, "patch", "um", meters[0].GetName(), "--type=merge", "-p", `{"spec":{"suspend":true}}`)
		Expect(admin.Delete(ctx, meters[1].DeepCopy())).To(Succeed())

		created, err := config.CreateMeters(ctx, operator, "usage-system")

		Expect(err).NotTo(HaveOccurred())
		Expect(created).To(BeEmpty())
		Expect(kubectl(ctx, "get", "um", meters[1].GetName(), "--ignore-not-found")).To(BeEmpty())
		Expect(kubectl(ctx, "get", "um", meters[0].GetName(), "-o", "jsonpath={.spec.suspend}")).To(Equal("true"))
	})

	It("can be applied over by those who take them into their own hands", func(ctx SpecContext) {
		kubectl(ctx, "apply", "--server-side", "-k", "../../config/meters")
	})

	It("are not applied over where somebody edited them", func(ctx SpecContext) {
		kubectl(ctx, "patch", "um", "volume", "--type=merge", "-p", `{"spec":{"active":"true"}}`)

		_, err := cp.Kubectl(ctx, "apply", "--server-side", "-k", "../../config/meters")

		Expect(err).To(MatchError(ContainSubstring("conflict with \"kubectl-patch\"")))
	})

	It("meter what the operator may read", func(ctx SpecContext) {
		for _, meter := range meters {
			group, _, _ := unstructured.NestedString(meter.Object, "spec", "target", "group")
			kind, _, _ := unstructured.NestedString(meter.Object, "spec", "target", "kind")
			resource := strings.ToLower(kind) + "s"
			if strings.HasSuffix(kind, "s") { // Ingress
				resource = strings.ToLower(kind) + "es"
			}
			Expect(allowed(ctx, operatorUser, "list", resource, group, "")).To(BeTrue(), "%s: list %s.%s", meter.GetName(), resource, group)
			Expect(allowed(ctx, operatorUser, "watch", resource, group, "")).To(BeTrue(), "%s: watch %s.%s", meter.GetName(), resource, group)
		}
	})
})

// waitForRights waits until the control plane has put together what the operator may do.
func waitForRights(ctx SpecContext) {
	GinkgoHelper()
	Eventually(func() bool {
		return allowed(ctx, operatorUser, "list", "nodes", "", "") && allowed(ctx, operatorUser, "patch", "usagemeters", "metering.usage-operator.dev", "")
	}).WithContext(ctx).Should(BeTrue())
}

func deployment(ctx SpecContext) *appsv1.Deployment {
	GinkgoHelper()
	deployment := &appsv1.Deployment{}
	Expect(admin.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: "usage-operator"}, deployment)).To(Succeed())
	return deployment
}

func theOperator(SpecContext) string { return operatorUser }

// having is someone who has a cluster role in the namespace in which rights are asked for.
func having(clusterRole string) func(SpecContext) string {
	return func(ctx SpecContext) string {
		name := "someone-with-" + clusterRole
		if clusterRole != "" {
			bind(ctx, rightsNamespace, clusterRole, name)
		}
		return name
	}
}

// rightsNamespace is where rights are asked for.
const rightsNamespace = "default"

// allowed asks the API server whether a user may do something. A namespace of "" is all of them.
func allowed(ctx SpecContext, user, verb, resource, group, namespace string) bool {
	GinkgoHelper()
	resource, subresource, _ := strings.Cut(resource, "/")
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: verb, Resource: resource, Subresource: subresource, Group: group, Namespace: namespace,
		},
	}}
	Expect(admin.Create(ctx, review)).To(Succeed())
	return review.Status.Allowed
}

// documents splits YAML into objects by kind and name.
func documents(text string) map[string]map[string]any {
	GinkgoHelper()
	objects := map[string]map[string]any{}
	for document := range strings.SplitSeq(text, "\n---\n") {
		object := &unstructured.Unstructured{}
		Expect(yaml.Unmarshal([]byte(document), &object.Object)).To(Succeed())
		objects[object.GetKind()+"/"+object.GetName()] = object.Object
	}
	return objects
}
