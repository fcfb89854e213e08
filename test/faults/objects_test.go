package faults_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/config"
	"github.com/usage-operator/usage-operator/test/widgets"
)

// The specs' words for what the suites share.
const (
	testGroup = widgets.Group
	// widgetKind is installed from the start.
	widgetKind = widgets.Widget
)

var meterOf = widgets.Meter

// installKind installs the kind, and waits until its objects can be made.
func (p *plane) installKind(ctx context.Context, k widgets.Kind) {
	GinkgoHelper()
	Expect(p.admin.Create(ctx, k.Definition())).To(Succeed())
	Eventually(func(ctx context.Context) error { return p.admin.List(ctx, k.List(), client.Limit(1)) }).
		WithContext(ctx).Should(Succeed())
}

// uninstallKind removes the kind, and waits until it is gone with all its objects.
func (p *plane) uninstallKind(ctx context.Context, k widgets.Kind) {
	GinkgoHelper()
	definition := k.Definition()
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
		Eventually(p.conditions(ctx, name)).WithContext(ctx).Should(ConsistOf(widgets.Metering()), name)
	}
}

// conditions of a meter, as "Ready=True/Metering".
func (p *plane) conditions(ctx context.Context, name string) func(Gomega) []string {
	return func(g Gomega) []string {
		meter := &v1alpha1.UsageMeter{}
		g.Expect(p.admin.Get(ctx, client.ObjectKey{Name: name}, meter)).To(Succeed())
		return widgets.Conditions(meter)
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
