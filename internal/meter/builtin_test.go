package meter

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

const builtinDirectory = "../../config/meters"

// clusterScoped are the targets of built-in meters that are in no namespace.
var clusterScoped = map[string]bool{
	"Node": true, "PersistentVolume": true, "NodePool": true,
	"Vpc": true, "ClusterUserDefinedNetwork": true, "Connection": true,
}

// builtin is a built-in meter, compiled from its file.
func builtin(t testing.TB, name string) *Meter {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(builtinDirectory, name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	m := &v1alpha1.UsageMeter{}
	if err := yaml.UnmarshalStrict(data, m); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if m.Name != name || m.Kind != "UsageMeter" || m.APIVersion != "metering.usage-operator.dev/v1alpha1" {
		t.Fatalf("%s.yaml has %s %s %q", name, m.APIVersion, m.Kind, m.Name)
	}
	compiled, err := Compile(m.Name, &m.Spec, !clusterScoped[m.Spec.Target.Kind])
	if err != nil {
		t.Fatalf("%s:\n%v", name, err)
	}
	return compiled
}

// builtinNames are the names of all built-in meters.
func builtinNames(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(builtinDirectory, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".yaml"); name != "kustomization" {
			names = append(names, name)
		}
	}
	return names
}

func TestBuiltinMetersCompile(t *testing.T) {
	for _, name := range builtinNames(t) {
		t.Run(name, func(t *testing.T) { builtin(t, name) })
	}
}
