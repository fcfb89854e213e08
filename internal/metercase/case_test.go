package metercase

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

const builtins = "../../config/meters"

func readMeter(t *testing.T, path string) *v1alpha1.UsageMeter {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := &v1alpha1.UsageMeter{}
	if err := yaml.UnmarshalStrict(text, m); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return m
}

// Each built-in meter reads of the objects in testdata what is expected there.
func TestBuiltinMeters(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(builtins, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		if name == "kustomization" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			m := readMeter(t, file)
			cases, err := filepath.Glob(filepath.Join(builtins, "testdata", name, "*.yaml"))
			if err != nil || len(cases) == 0 {
				t.Fatalf("no cases in config/meters/testdata/%s: %v", name, err)
			}
			for _, path := range cases {
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				found, err := Cases(text)
				if err != nil || len(found) == 0 {
					t.Fatalf("%s: %d cases, %v", path, len(found), err)
				}
				for i := range found {
					difference, err := found[i].Difference(m)
					if err != nil || difference != "" {
						t.Errorf("%s: %s: %v\nwant (-), got (+):\n%s", path, found[i].Case, err, difference)
					}
				}
			}
		})
	}
}

func TestCasesOfNoMeter(t *testing.T) {
	folders, err := filepath.Glob(filepath.Join(builtins, "testdata", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		if _, err := os.Stat(filepath.Join(builtins, filepath.Base(folder)+".yaml")); err != nil {
			t.Errorf("%s is of no built-in meter: %v", folder, err)
		}
	}
}

const (
	widgetMeter = `
metadata: {name: widget}
spec:
  resourceType: widget
  target: {group: example.com, kind: Widget}
  active: self.up
  attributes: {tier: "self.?tier"}
  dimensions:
  - {name: size, unit: byte, quantity: self.size}
  - {name: part, unit: count, quantity: "self.?parts"}
`
	widgetCase = `
case: a widget
object: {apiVersion: example.com/v1, kind: Widget, metadata: {name: w, namespace: shop, uid: w-1}, up: true, size: 1Gi, tier: gold}
expect: [{attributes: {tier: gold}, levels: {size: 1024Mi}}]
`
)

func TestDifference(t *testing.T) {
	m := &v1alpha1.UsageMeter{}
	if err := yaml.UnmarshalStrict([]byte(widgetMeter), m); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		replace, by string
		want        string // a line of the difference; "": none
		err         string
	}{
		"as expected, in other words":        {},
		"zero is nothing":                    {"size: 1024Mi", "size: 1024Mi, part: 0", "", ""},
		"another level":                      {"1024Mi", "1Mi", "-     size: 1Mi", ""},
		"another attribute":                  {"tier: gold}, levels", "tier: silver}, levels", "+     tier: gold", ""},
		"not metered at all":                 {"expect: [{attributes: {tier: gold}, levels: {size: 1024Mi}}]", "expect: []", "+ - attributes:", ""},
		"unreadable":                         {"size: 1Gi", "size: big", "it cannot be read: spec.dimensions[0].quantity", ""},
		"not unreadable, as it should be":    {"expect: [{attributes: {tier: gold}, levels: {size: 1024Mi}}]", "error: too big", "it can be read", ""},
		"a dimension that the meter has not": {"size: 1024Mi", "weight: 1", "", `the meter has no dimension "weight"`},
		"an expected quantity that is none":  {"1024Mi", "big", "", `"big" is not a quantity`},
		"an object of another kind":          {"kind: Widget", "kind: Gadget", "", "the object is a Gadget.example.com, and the meter reads a Widget.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			cases, err := Cases([]byte(strings.Replace(widgetCase, c.replace, c.by, 1)))
			if err != nil || len(cases) != 1 {
				t.Fatal(len(cases), err)
			}
			got, err := cases[0].Difference(m)
			switch {
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)), c.err == "" && err != nil:
				t.Errorf("got the error %v; want %q", err, c.err)
			case c.want == "" && got != "", !strings.Contains(got, c.want):
				t.Errorf("got\n%s\nwant %q", got, c.want)
			}
		})
	}
}

// Whole numbers are whole: a product of 2 and a default of 1 is one of ints.
func TestNumbersAreAsAWatchDeliversThem(t *testing.T) {
	cases, err := Cases([]byte(widgetCase + "---\n" + strings.Replace(widgetCase, "up: true", "up: true, whole: 2, part: 2.5", 1)))
	if err != nil || len(cases) != 2 || cases[1].Object["whole"] != int64(2) || cases[1].Object["part"] != 2.5 {
		t.Errorf("got %v, %v", cases, err)
	}
}

func TestCasesRefuseFieldsThatTheyDoNotKnow(t *testing.T) {
	if _, err := Cases([]byte(widgetCase + "---\n" + strings.Replace(widgetCase, "levels", "level", 1))); err == nil || !strings.Contains(err.Error(), `case 2: `) {
		t.Errorf("got %v", err)
	}
}
