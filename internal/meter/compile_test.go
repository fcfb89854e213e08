package meter

import (
	"errors"
	"strings"
	"testing"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

const small = `
resourceType: thing
target: {group: example.com, kind: Thing}
dimensions: [{name: thing, unit: count, quantity: "1"}]
`

func TestCompileRefuses(t *testing.T) {
	cases := map[string]struct {
		change string // a merge patch to small
		want   []string
	}{
		"an unknown name, with its place": {
			change: `active: "self.spec.on && slef.x"`,
			want:   []string{`spec.active 1:17: undeclared reference to 'slef'; want self, the object (in "self.spec.on && slef.x")`},
		},
		"a syntax error on its own line": {
			change: `active: "self.spec.on &&\n  ) == 1"`,
			want:   []string{`spec.active 2:3: Syntax error: mismatched input ')'`, `(in "  ) == 1")`},
		},
		"a member where there is none": {
			change: `{exclude: "item.name == 'x'", forEach: {in: "self.items", key: "item.name"}}`,
			want:   []string{`spec.exclude 1:1: undeclared reference to 'item'; want self, the object`},
		},
		"a truth that is none": {
			change: `active: "'yes'"`,
			want:   []string{`spec.active: it gives string; want a bool (in "'yes'")`},
		},
		"an optional truth": {
			change: `active: "optional.of(true)"`,
			want:   []string{`spec.active: it gives optional(bool); want a bool`},
		},
		"a time that is a number":     {change: `startTime: "1795293450"`, want: []string{`spec.startTime: it gives int; want a timestamp or an RFC 3339 string`}},
		"a time that is a duration":   {change: `endTime: "duration('1h')"`, want: []string{`spec.endTime: it gives duration; want a timestamp`}},
		"a text that is a number":     {change: `bundle: "1"`, want: []string{`spec.bundle: it gives int; want a string`}},
		"an attribute that is a list": {change: `attributes: {a: "['x']"}`, want: []string{`spec.attributes.a: it gives list(string); want a string`}},
		"a list that is a text":       {change: `forEach: {in: "'x'", key: "item"}`, want: []string{`spec.forEach.in: it gives string; want a list`}},
		"a quantity that is a truth": {
			change: `dimensions: [{name: a, unit: core, quantity: "1"}, {name: b, unit: core, quantity: "true"}]`,
			want:   []string{`spec.dimensions[1].quantity: it gives bool; want an int, a uint, a double, a quantity or a quantity's text`},
		},
		"a namespaced object's namespace": {
			change: `namespace: "'other'"`,
			want:   []string{`spec.namespace: Thing is namespaced, so its usage belongs to its own namespace; want this field left out`},
		},
		"a regular expression that is none": {change: `active: "'x'.matches('(')"`, want: []string{`spec.active 1:13: invalid matches argument`}},
		"a bad selector": {
			change: `selector: {matchExpressions: [{key: a, operator: Near}]}`,
			want:   []string{`spec.selector: "Near" is not a valid label selector operator`},
		},
		"a variable that CEL keeps for itself": {change: `forEach: {in: "self.items", as: for, key: "'k'"}`, want: []string{`spec.forEach.as: "for" cannot be a variable; want another name, such as item`}},
		"a variable that hides the object":     {change: `forEach: {in: "self.items", as: self, key: "'k'"}`, want: []string{`spec.forEach.as: "self" cannot be a variable`}},
		"half a resource":                      {change: `resource: {kind: "'Pool'", name: "'p'"}`, want: []string{`spec.resource.apiVersion: it is empty; want a string`, `spec.resource.uid: it is empty`}},
		"two resources":                        {change: `resource: {workload: true, uid: "'u'"}`, want: []string{`spec.resource: workload: true already says which resource is billed`}},
		"no dimension":                         {change: `dimensions: []`, want: []string{`spec.dimensions: it is empty; want at least one`}},
		"a dimension twice": {
			change: `dimensions: [{name: a, unit: core, quantity: "1"}, {name: a, unit: core, quantity: "1"}]`,
			want:   []string{`spec.dimensions[1].name: there are two dimensions "a"; want each name once`},
		},
		"three loops inside each other": {
			change: `active: "self.a.all(x, self.b.all(y, self.c.all(z, z == x + y)))"`,
			want:   []string{`spec.active: it may cost too much: up to`, `want fewer loops inside loops`},
		},
		"three loops that build a list": {
			change: `forEach: {in: "self.a.map(x, self.b.map(y, self.c.map(z, z)).flatten()).flatten()", key: "item"}`,
			want:   []string{`spec.forEach.in: it may cost too much`},
		},
		"everything at once": {
			change: `{active: "1", bundle: "nope", endTime: "2"}`,
			want:   []string{"spec.active: ", "spec.bundle 1:1: ", "spec.endTime: "},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Compile("test", patched(t, c.change), true)
			var invalid *InvalidExpressionsError
			if !errors.As(err, &invalid) {
				t.Fatalf("got %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got  %v\nwant %s", err, want)
				}
			}
			if lines := strings.Count(err.Error(), "\n") + 1; lines != len(invalid.Expressions) {
				t.Errorf("%d lines for %d errors:\n%v", lines, len(invalid.Expressions), err)
			}
		})
	}
}

func TestCompileTakes(t *testing.T) {
	cases := map[string]string{
		"what only the object knows":          `{active: self.on, startTime: self.t, bundle: self.b, forEach: {in: self.items, key: item.name}}`,
		"null":                                `{startTime: "null", bundle: "null"}`,
		"an optional":                         `{startTime: "self.?t", bundle: "self.?b", endTime: "optional.none()"}`,
		"a timestamp":                         `{startTime: "timestamp(self.t)"}`,
		"a double":                            `{dimensions: [{name: a, unit: core, quantity: "1.5 * double(self.n)"}]}`,
		"a uint":                              `{dimensions: [{name: a, unit: core, quantity: "uint(self.n)"}]}`,
		"a quantity":                          `{dimensions: [{name: a, unit: byte, quantity: "quantity('1Gi').add(quantity(self.n))"}]}`,
		"an optional quantity":                `{dimensions: [{name: a, unit: byte, quantity: "optional.of(quantity('1Gi'))"}]}`,
		"two loops inside each other":         `{active: "self.a.all(x, self.b.exists(y, x.name == y.name))"}`,
		"a loop over labels":                  `{active: "self.metadata.labels.exists(k, k.startsWith('example.com/'))"}`,
		"two variables in a loop":             `{active: "self.metadata.labels.exists(k, v, k == v)"}`,
		"lists that are flattened and sorted": `{active: "[[2], [1]].flatten().sort() == [1, 2]"}`,
		"Kubernetes' formats":                 `{active: "!format.dns1123Label().validate(self.n).hasValue()"}`,
		"a default variable":                  `{forEach: {in: self.items, key: item}}`,
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := Compile("test", patched(t, change), true); err != nil {
				t.Error(err)
			}
		})
	}
}

// patched is the small meter's spec with a change.
func patched(t testing.TB, change string) *v1alpha1.UsageMeterSpec {
	t.Helper()
	return spec(t, patchedText(t, small, change))
}
