package chart_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const (
	root     = "../../.."
	chartDir = root + "/charts/usage-operator"
	hubDir   = root + "/charts/usage-hub"
	// name and namespace are those of a release that is called as config/ calls things.
	name, namespace = "usage-operator", "usage-system"
)

// objects are what is rendered, by kind, namespace and name.
type objects map[string]map[string]any

func load(t testing.TB) *chart.Chart { return loadFrom(t, chartDir) }

func loadFrom(t testing.TB, folder string) *chart.Chart {
	t.Helper()
	loaded, err := loader.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// rendered is what a release has, with the values in YAML, without Helm's notes.
func rendered(t testing.TB, release, namespace, values string) (objects, error) {
	t.Helper()
	return renderedFrom(t, chartDir, release, namespace, values)
}

// renderedFrom is rendered of the chart in a folder.
func renderedFrom(t testing.TB, folder, release, namespace, values string) (objects, error) {
	t.Helper()
	var given map[string]any
	if err := yaml.Unmarshal([]byte(values), &given); err != nil {
		t.Fatal(err)
	}
	of := loadFrom(t, folder)
	options := chartutil.ReleaseOptions{Name: release, Namespace: namespace, IsInstall: true}
	all, err := chartutil.ToRenderValues(of, given, options, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(of, all)
	if err != nil {
		return nil, err
	}
	var text []string
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(file, ".yaml") {
			text = append(text, files[file])
		}
	}
	return parse(t, strings.Join(text, "\n---\n")), nil
}

func mustRender(t testing.TB, values string) objects {
	t.Helper()
	made, err := rendered(t, name, namespace, values)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// kustomized is what a kustomization over the folders of config/ makes. Those that are no components come first.
func kustomized(t testing.TB, base string, components ...string) objects {
	t.Helper()
	// kustomize reads nothing outside the folder of a kustomization, but other kustomizations.
	over, err := os.MkdirTemp(root+"/hack/ship/chart", "kustomization-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(over) })
	text := "resources: [../../../../config/" + base + "]\n"
	if len(components) > 0 {
		text += "components: [../../../../config/" + strings.Join(components, ", ../../../../config/") + "]\n"
	}
	if err := os.WriteFile(filepath.Join(over, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), over)
	if err != nil {
		t.Fatal(err)
	}
	out, err := made.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(out))
}

func parse(t testing.TB, text string) objects {
	t.Helper()
	found := objects{}
	for document := range strings.SplitSeq("\n"+text, "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(document), &object.Object); err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		if object.Object == nil {
			continue
		}
		key := fmt.Sprintf("%s %s/%s", object.GetKind(), object.GetNamespace(), object.GetName())
		if _, again := found[key]; again {
			t.Fatalf("%s is there twice", key)
		}
		found[key] = object.Object
	}
	return found
}

// without removes what the chart adds to every object: Helm's own labels, and the annotation that keeps a CRD.
func (o objects) without(t testing.TB, keys ...string) objects {
	t.Helper()
	for key, content := range o {
		object := &unstructured.Unstructured{Object: content}
		labels, annotations := object.GetLabels(), object.GetAnnotations()
		for _, unwanted := range keys {
			if labels[unwanted] == "" && annotations[unwanted] == "" && unwanted != "helm.sh/resource-policy" {
				t.Errorf("%s has not %s", key, unwanted)
			}
			delete(labels, unwanted)
			delete(annotations, unwanted)
		}
		for field, left := range map[string]map[string]string{"labels": labels, "annotations": annotations} {
			if len(left) == 0 {
				unstructured.RemoveNestedField(content, "metadata", field)
				continue
			}
			if err := unstructured.SetNestedStringMap(content, left, "metadata", field); err != nil {
				t.Fatal(err)
			}
		}
	}
	return o
}

var added = []string{
	"helm.sh/chart", "app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/resource-policy",
}
