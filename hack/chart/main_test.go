package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheChartIsUpToDate generates it again.
func TestTheChartIsUpToDate(t *testing.T) {
	root := filepath.Join("..", "..")
	for _, c := range charts {
		folder := filepath.Join(root, "charts", c.name)
		written, err := c.generate(root)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range written {
			got, err := os.ReadFile(filepath.Join(folder, name))
			if err != nil || string(got) != string(want) {
				t.Errorf("%s of %s is not up to date (%v): run make manifests", name, c.name, err)
			}
		}
		entries, err := os.ReadDir(filepath.Join(folder, "templates", "generated"))
		if err != nil && len(c.parts) > 0 || len(entries) != len(written)-1 {
			t.Errorf("%d files of %s are generated, and %d are there (%v): run make manifests", len(written)-1, c.name, len(entries), err)
		}
	}
}

// TestNoNameIsForgotten has manifests that name what a release may call otherwise, in places that nobody has thought of.
func TestNoNameIsForgotten(t *testing.T) {
	const head = "kind: Thing\nmetadata:\n  name: usage-operator-thing\n"
	for _, c := range []struct{ body, want string }{
		{"spec:\n  a: b\n", ""},
		{"spec: # of usage-operator\n  group: metering.usage-operator.dev\n", ""},
		{"roleRef:\n  name: usage-operator\n", ""},
		{"rules:\n- resourceNames: [usage-operator-meters]\n", ""},
		{"rules:\n- resourceNames: [usage-api-ca]\n", ""},
		{"rules:\n- resourceNames: [usage-operator-other]\n", "usage-operator"},
		{"spec:\n  text: in usage-system\n", "usage-system"},
		{"spec:\n  service: usage-api\n", "usage-api"},
		{"spec:\n  account: usage-operator\n", "usage-operator"},
	} {
		_, err := template(head+c.body, part{})
		if c.want == "" && err != nil {
			t.Errorf("%q: %v", c.body, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), `"`+c.want+`"`)) {
			t.Errorf("%q: %v, want that %s is not known", c.body, err, c.want)
		}
	}
}

// TestValuesAreListed has a comment, a nested value, and a value that is a part of another.
func TestValuesAreListed(t *testing.T) {
	got, err := valuesTable("# Of all.\na:\n  # One\n  # thing.\n  b: \"x|y\"\n  c: {d: 1}\n  e:\n  - f: 2\n")
	want := "| value | default | what it is |\n|---|---|---|\n" +
		"| `a` | `{\"b\":\"x\\|y\",\"c\":{\"d\":1},\"e\":[{\"f\":2}]}` | Of all. |\n| `a.b` | `\"x\\|y\"` | One thing. |\n"
	if err != nil || got != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	if _, err := valuesTable("a:\n  # One.\n  b: 1\n"); err == nil {
		t.Error("a value is listed without what it is in")
	}
}
