package meter

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

const builtinDirectory = "../../config/meters"

// clusterScoped are the targets of built-in meters that are in no namespace.
var clusterScoped = map[string]bool{
	"Node": true, "PersistentVolume": true, "NodePool": true, "NodeClaim": true,
	"VolumeSnapshotContent": true, "Vpc": true, "ClusterUserDefinedNetwork": true, "Connection": true,
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

// lifecycle is one object from its creation to its last state, as one meter reads it.
type lifecycle struct {
	meter  string
	object string
	stages []stage
}

// stage is what became of the object (a merge patch, on top of those before),
// and everything that is read of it then.
type stage struct {
	name  string
	patch string
	want  []string
}

func TestBuiltinMeters(t *testing.T) {
	lifecycles := slices.Concat(computeLifecycles, storageLifecycles, networkLifecycles, clusterLifecycles)
	for _, l := range lifecycles {
		t.Run(l.meter, func(t *testing.T) {
			m := builtin(t, l.meter)
			text := l.object
			for _, s := range l.stages {
				text = patchedText(t, text, s.patch)
				members, err := m.Read(object(t, text))
				if err != nil {
					t.Fatalf("%s: %v", s.name, err)
				}
				if diff := cmp.Diff(s.want, rendered(m, members)); diff != "" {
					t.Errorf("%s: want (-), got (+):\n%s", s.name, diff)
				}
			}
		})
	}
}

func TestKustomizationListsEveryMeter(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(builtinDirectory, "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var listed struct {
		Resources []string `json:"resources"`
	}
	if err := yaml.Unmarshal(data, &listed); err != nil {
		t.Fatal(err)
	}
	want := builtinNames(t)
	for i := range want {
		want[i] += ".yaml"
	}
	equal(t, listed.Resources, want)
}
