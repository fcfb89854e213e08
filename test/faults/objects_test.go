package faults_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/config"
)

// kind is a kind of these tests' own, whose objects may say anything.
type kind struct{ name string }

const testGroup = "test.example.com"

// widgetKind is installed from the start.
var widgetKind = kind{"Widget"}

func (k kind) plural() string { return strings.ToLower(k.name) + "s" }

func (k kind) gvk() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: testGroup, Version: "v1", Kind: k.name}
}

func (k kind) definition() *unstructured.Unstructured {
	return parse(fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[2]s.%[3]s}
spec:
  group: %[3]s
  names: {kind: %[1]s, listKind: %[1]sList, plural: %[2]s, singular: %[4]s}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, x-kubernetes-preserve-unknown-fields: true}
`, k.name, k.plural(), testGroup, strings.ToLower(k.name)))
}

// installKind installs the kind, and waits until its objects can be made.
func (p *plane) installKind(ctx context.Context, k kind) {
	GinkgoHelper()
	Expect(p.admin.Create(ctx, k.definition())).To(Succeed())
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(k.gvk())
	Eventually(func(ctx context.Context) error { return p.admin.List(ctx, list, client.Limit(1)) }).
		WithContext(ctx).Should(Succeed())
}

// uninstallKind removes the kind, and waits until it is gone with all its objects.
func (p *plane) uninstallKind(ctx context.Context, k kind) {
	GinkgoHelper()
	definition := k.definition()
	Expect(client.IgnoreNotFound(p.admin.Delete(ctx, definition))).To(Succeed())
	Eventually(func(ctx context.Context) error {
		return p.admin.Get(ctx, client.ObjectKeyFromObject(definition), definition)
	}).WithContext(ctx).Should(MatchError(ContainSubstring("not found")))
}

// parse reads an object, or a part of one, from YAML.
func parse(text string) *unstructured.Unstructured {
	GinkgoHelper()
	object := &unstructured.Unstructured{}
	Expect(yaml.Unmarshal([]byte(text), &object.Object)).To(Succeed(), text)
	return object
}

// parseJSON reads what a program has printed.
func parseJSON(text string, into any) {
	GinkgoHelper()
	Expect(json.Unmarshal([]byte(text), into)).To(Succeed(), text)
}

// rawApply is a server-side apply of what the text says.
func rawApply(text string) client.Patch { return client.RawPatch(types.ApplyPatchType, []byte(text)) }

// applyManifest applies what the text says, and takes it away when the spec ends.
func (p *plane) applyManifest(ctx context.Context, text string) {
	GinkgoHelper()
	file := filepath.Join(GinkgoT().TempDir(), "manifest.yaml")
	Expect(os.WriteFile(file, []byte(text), 0o600)).To(Succeed())
	p.kubectl(ctx, "apply", "-f", file)
	DeferCleanup(func(ctx SpecContext) { p.kubectl(ctx, "delete", "--ignore-not-found", "--wait=false", "-f", file) })
}

// meterOf meters spec.size of a kind's objects, as a count.
func meterOf(name string, k kind, edit ...func(*v1alpha1.UsageMeterSpec)) *v1alpha1.UsageMeter {
	meter := &v1alpha1.UsageMeter{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.UsageMeterSpec{
			ResourceType: "widget",
			Target:       v1alpha1.TargetReference{Group: testGroup, Kind: k.name},
			Dimensions:   []v1alpha1.Dimension{{Name: "size", Unit: "count", Quantity: "self.spec.size"}},
		},
	}
	for _, change := range edit {
		change(&meter.Spec)
	}
	return meter
}

// builtin is a meter of the install.
func builtin(name string) client.Object {
	GinkgoHelper()
	meters, err := config.Meters()
	Expect(err).NotTo(HaveOccurred())
	for _, meter := range meters {
		if meter.GetName() == name {
			return meter
		}
	}
	Fail("there is no built-in meter " + name)
	return nil
}

// apply creates meters, which go when the spec ends.
func (p *plane) apply(ctx context.Context, meters ...client.Object) {
	GinkgoHelper()
	for _, meter := range meters {
		Expect(p.admin.Create(ctx, meter)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) {
			Expect(client.IgnoreNotFound(p.admin.Delete(ctx, meter))).To(Succeed())
		})
	}
}

// ready waits until the meters meter.
func (p *plane) ready(ctx context.Context, names ...string) {
	GinkgoHelper()
	for _, name := range names {
		Eventually(p.conditions(ctx, name)).WithContext(ctx).Should(ConsistOf(
			"Ready=True/Metering", "Reconciling=False/Metering", "Stalled=False/Metering"), name)
	}
}

// conditions of a meter, as "Ready=True/Metering".
func (p *plane) conditions(ctx context.Context, name string) func(Gomega) []string {
	return func(g Gomega) []string {
		meter := &v1alpha1.UsageMeter{}
		g.Expect(p.admin.Get(ctx, client.ObjectKey{Name: name}, meter)).To(Succeed())
		if meter.Status.ObservedGeneration != meter.Generation {
			return nil
		}
		var found []string
		for _, c := range meter.Status.Conditions {
			found = append(found, fmt.Sprintf("%s=%s/%s", c.Type, c.Status, c.Reason))
		}
		return found
	}
}

// newNamespace makes a namespace of a spec's own, which goes with it.
func (p *plane) newNamespace(ctx context.Context, prefix string) string {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix}}
	Expect(p.admin.Create(ctx, namespace)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) {
		Expect(client.IgnoreNotFound(p.admin.Delete(ctx, namespace))).To(Succeed())
	})
	return namespace.Name
}
