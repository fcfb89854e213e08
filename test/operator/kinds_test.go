package operator_test

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
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
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
`, k.name, k.plural(), testGroup, strings.ToLower(k.name)))
}

// install installs the kind, and waits until its objects can be made.
func install(ctx context.Context, k kind) {
	GinkgoHelper()
	Expect(admin.Create(ctx, k.definition())).To(Succeed())
	served(ctx, k)
}

func served(ctx context.Context, k kind) {
	GinkgoHelper()
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(k.gvk())
	Eventually(func(ctx context.Context) error { return admin.List(ctx, list, client.Limit(1)) }).
		WithContext(ctx).Should(Succeed())
}

// uninstall removes the kind, and waits until it is gone with all its objects.
func uninstall(ctx context.Context, k kind) {
	GinkgoHelper()
	definition := k.definition()
	Expect(client.IgnoreNotFound(admin.Delete(ctx, definition))).To(Succeed())
	Eventually(func(ctx context.Context) error {
		return admin.Get(ctx, client.ObjectKeyFromObject(definition), definition)
	}).WithContext(ctx).Should(MatchError(ContainSubstring("not found")))
}
