package meter

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

const thing = `
apiVersion: example.com/v1
kind: Thing
metadata: {name: t, namespace: shop, uid: u1, creationTimestamp: "2026-11-21T20:00:00Z"}
`

func TestRead(t *testing.T) {
	cases := map[string]struct {
		meter  string // a merge patch to small
		object string // a merge patch to thing
		want   []string
	}{
		"an object that exists, from its creation": {
			want: []string{"shop/ thing; example.com/v1 Thing t u1; holds thing=1000; from 20:00:00 CreationTime"},
		},
		"an excluded object has no members": {
			meter:  `exclude: "'a' in self.metadata.labels"`,
			object: `metadata: {labels: {a: b}}`,
			want:   []string{},
		},
		"with active alone, the start is not known": {
			meter:  `active: self.up`,
			object: `up: true`,
			want:   []string{"shop/ thing; example.com/v1 Thing t u1; holds thing=1000"},
		},
		"inactive: its identity and its end, and no expression more": {
			meter:  `{active: self.up, startTime: self.missing, endTime: self.t, bundle: self.missing, attributes: {a: self.missing}}`,
			object: `{up: false, t: "2026-11-21T20:37:30Z"}`,
			want:   []string{"shop/ thing; example.com/v1 Thing t u1; to 20:37:30 ObjectTime"},
		},
		"active: no end": {
			meter:  `{active: self.up, endTime: self.missing}`,
			object: `up: true`,
			want:   []string{"shop/ thing; example.com/v1 Thing t u1; holds thing=1000"},
		},
		"a start that the object states": {
			meter:  `startTime: self.t`,
			object: `t: "2026-11-21T20:37:30.9Z"`,
			want:   []string{"shop/ thing; example.com/v1 Thing t u1; holds thing=1000; from 20:37:30 ObjectTime"},
		},
		"a start that the object does not state": {
			meter: `startTime: self.?t`,
			want:  []string{"shop/ thing; example.com/v1 Thing t u1; holds thing=1000"},
		},
		"a start before the object is its creation": {
			meter:  `startTime: self.t`,
			object: `t: "2020-01-01T00:00:00Z"`,
			want:   []string{"shop/ thing; example.com/v1 Thing t u1; holds thing=1000; from 20:00:00 CreationTime"},
		},
		"a resource that bills another object": {
			meter:  `resource: {apiVersion: "'v1'", kind: "'Owner'", name: self.owner.name, uid: self.owner.uid}`,
			object: `owner: {name: o, uid: u2}`,
			want:   []string{"shop/ thing; bills v1 Owner o u2; example.com/v1 Thing t u1; holds thing=1000; from 20:00:00 CreationTime"},
		},
		"without a uid the object itself is billed, and the rest is not read": {
			meter: `resource: {apiVersion: self.owner.x, kind: self.owner.x, name: self.owner.x, uid: "self.?owner.?uid"}`,
			want:  []string{"shop/ thing; example.com/v1 Thing t u1; holds thing=1000; from 20:00:00 CreationTime"},
		},
		"a workload is for the caller to find": {
			meter: `resource: {workload: true}`,
			want:  []string{"shop/ thing; bills (workload); example.com/v1 Thing t u1; holds thing=1000; from 20:00:00 CreationTime"},
		},
		"deployment, bundle, region and attributes": {
			meter:  `{deployment: self.d, bundle: self.b, region: self.r, attributes: {z: self.b, empty: "''", a: "self.?none"}}`,
			object: `{d: web, b: large, r: eu-2, metadata: {labels: {topology.kubernetes.io/region: eu-1}}}`,
			want:   []string{"shop/web thing; example.com/v1 Thing t u1; region eu-2; bundle large; [z:large]; holds thing=1000; from 20:00:00 CreationTime"},
		},
		"the region's label goes before the zone's": {
			object: `metadata: {namespace: null, labels: {topology.kubernetes.io/region: eu-1, topology.kubernetes.io/zone: eu-1a}}`,
			want:   []string{"/ thing; example.com/v1 Thing t u1; region eu-1; holds thing=1000; from 20:00:00 CreationTime"},
		},
		"the zone will do": {
			object: `metadata: {namespace: null, labels: {topology.kubernetes.io/zone: eu-1a}}`,
			want:   []string{"/ thing; example.com/v1 Thing t u1; region eu-1a; holds thing=1000; from 20:00:00 CreationTime"},
		},
		"the labels of an object in a namespace are its tenant's": {
			object: `metadata: {labels: {topology.kubernetes.io/region: cheap, topology.kubernetes.io/zone: cheap-a}}`,
			want:   []string{"shop/ thing; example.com/v1 Thing t u1; holds thing=1000; from 20:00:00 CreationTime"},
		},
		"members come by key, whatever their order": {
			meter:  `{forEach: {in: self.parts, as: part, key: part.name}, dimensions: [{name: thing, unit: count, quantity: part.num}]}`,
			object: `parts: [{name: b, num: 2}, {name: a, num: "1500m"}]`,
			want: []string{
				"shop/ thing; example.com/v1 Thing t u1; container a; holds thing=1500; from 20:00:00 CreationTime",
				"shop/ thing; example.com/v1 Thing t u1; container b; holds thing=2000; from 20:00:00 CreationTime",
			},
		},
		"members of a map, by its keys": {
			meter:  `{forEach: {in: "self.parts.map(k, k)", key: item}, dimensions: [{name: thing, unit: count, quantity: "self.parts[item]"}]}`,
			object: `parts: {c: 3, a: 1}`,
			want: []string{
				"shop/ thing; example.com/v1 Thing t u1; container a; holds thing=1000; from 20:00:00 CreationTime",
				"shop/ thing; example.com/v1 Thing t u1; container c; holds thing=3000; from 20:00:00 CreationTime",
			},
		},
		"a list that is not there has no members": {
			meter: `{forEach: {in: "self.?parts", key: item}}`,
			want:  []string{},
		},
		"one member may be active and another not": {
			meter:  `{active: item.up, forEach: {in: self.parts, key: item.name}}`,
			object: `parts: [{name: a, up: true}, {name: b, up: false}]`,
			want: []string{
				"shop/ thing; example.com/v1 Thing t u1; container a; holds thing=1000",
				"shop/ thing; example.com/v1 Thing t u1; container b",
			},
		},
		"a long label is cut, and does not keep anything from being metered": {
			meter:  `deployment: self.metadata.labels.app`,
			object: `metadata: {labels: {app: "` + strings.Repeat("a", 254) + `"}}`,
			want: []string{"shop/" + strings.Repeat("a", 236) +
				"-136496c2a16a22b5 thing; example.com/v1 Thing t u1; holds thing=1000; from 20:00:00 CreationTime"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := compiled(t, patchedText(t, small, c.meter))
			got, err := m.Read(object(t, patchedText(t, thing, c.object)))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, rendered(m, got), c.want)
		})
	}
}

func TestReadQuarantines(t *testing.T) {
	parts := func(n int) string {
		var list strings.Builder
		for i := range n {
			fmt.Fprintf(&list, "{name: p%d}, ", i)
		}
		return "parts: [" + list.String() + "]"
	}
	long := "long: " + strings.Repeat("x", 100_000) + "\n"
	cases := map[string]struct {
		meter, object, want string
		some                bool // of its members are read
	}{
		"a field that is not there": {meter: `bundle: self.spec.type`, want: "spec.bundle: no such key: spec"},
		"a text that is a number":   {meter: `bundle: self.b`, object: `b: 3`, want: "spec.bundle: it gives int; want a string"},
		"a truth that is a text":    {meter: `active: self.up`, object: `up: "true"`, want: "spec.active: it gives string; want a bool"},
		"a time that is none":       {meter: `startTime: self.t`, object: `t: soon`, want: `spec.startTime: "soon" is not a time; want RFC 3339`},
		"a negative quantity":       {meter: `dimensions: [{name: thing, unit: count, quantity: self.num}]`, object: `num: -1`, want: "spec.dimensions[0].quantity: the quantity is negative"},
		"a quantity that is a map":  {meter: `dimensions: [{name: thing, unit: count, quantity: self.num}]`, object: `num: {a: 1}`, want: "it gives map; want an int"},
		"a list that is a map":      {meter: `forEach: {in: self.parts, key: item}`, object: `parts: {a: 1}`, want: "spec.forEach.in: it gives map; want a list"},
		"two members of one key":    {meter: `forEach: {in: self.parts, key: item.name}`, object: `parts: [{name: a}, {name: b}, {name: a}]`, want: `spec.forEach.key (member "a"): two members of the object have this key`},
		"an error of one member":    {meter: `{bundle: item.type, forEach: {in: self.parts, key: item.name}}`, object: `parts: [{name: a}]`, want: `spec.bundle (member "a"): no such key: type`},
		"too many members":          {meter: `forEach: {in: self.parts, key: item.name}`, object: parts(5001), want: "spec.forEach.in: the object has 5001 members; at most 5000 are metered", some: true},
		"one member that is not as it should be": {
			meter:  `{forEach: {in: self.parts, key: item.name}, dimensions: [{name: thing, unit: count, quantity: item.num}]}`,
			object: `parts: [{name: a, num: 1}, {name: b, num: -1}, {name: c, num: 2}]`,
			want:   `spec.dimensions[0].quantity (member "b"): the quantity is negative`, some: true,
		},
		"an expression that costs too much": {
			meter:  `active: "self.parts.all(a, self.long + a.name != 'x')"`,
			object: long + parts(1000), want: "spec.active: operation cancelled: actual cost limit exceeded",
		},
		"expressions that cost too much together": {
			meter:  `{bundle: "self.long + item.name", forEach: {in: self.parts, key: item.name}}`,
			object: long + parts(1000), want: "the object's expressions cost more than 1000000 operations", some: true,
		},
		"searching long lists in a loop": {
			meter:  `active: "self.parts.all(a, !(a.name in self.parts))"`,
			object: parts(1200), want: "spec.active: operation cancelled: actual cost limit exceeded",
		},
		"an object without identity": {object: `metadata: {uid: null}`, want: "the object has no metadata.uid"},
		"what a tenant writes does not reach a terminal": {
			meter: `startTime: self.t`, object: `t: "\e[31mred"`, want: "spec.startTime: \"\uFFFD[31mred\" is not a time",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := compiled(t, patchedText(t, small, c.meter))
			members, err := m.Read(object(t, patchedText(t, thing, c.object)))
			var unreadable *UnreadableError
			if !errors.As(err, &unreadable) || (members != nil) != c.some {
				t.Fatalf("got %d members, %v", len(members), err)
			}
			if !strings.Contains(err.Error(), c.want) || len(err.Error()) > maxMessage {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

// What holds nothing hides nothing, however much of it there is.
func TestReadsWhatIsInACrowdOfNothing(t *testing.T) {
	var zeros strings.Builder
	for i := range 5050 {
		fmt.Fprintf(&zeros, "%q: \"0\", ", fmt.Sprintf("example.com/r%04d", i))
	}
	m := builtin(t, "container-extended-resources")
	pod := patchedText(t, podOfThree, `spec: {initContainers: null, containers: [{name: web, resources: {requests: {`+zeros.String()+`nvidia.com/gpu: "8"}}}]}`)
	members, err := m.Read(object(t, pod))
	if err != nil || len(members) != 1 || members[0].Levels[0] != 8000 {
		t.Errorf("got %d members, %v", len(members), err)
	}
}

// A tenant cannot hide a pod by filling it with containers: what the last one
// requests is counted, and so is what all of them do.
func TestReadsACrowd(t *testing.T) {
	const crowd = 9000
	var containers, statuses strings.Builder
	for i := range crowd {
		fmt.Fprintf(&containers, "{name: c%d, resources: {requests: {cpu: 1m, hugepages-2Mi: 2Mi}}}, ", i)
		fmt.Fprintf(&statuses, "{name: c%d, state: {running: {}}}, ", i)
	}
	pod := object(t, patchedText(t, podOfThree, fmt.Sprintf(
		`{spec: {initContainers: null, containers: [%s{name: z, resources: {requests: {cpu: "200", nvidia.com/gpu: "8"}}}]}, status: {containerStatuses: [%s]}}`,
		&containers, &statuses)))
	for name, want := range map[string][]int64{
		"container":                    {200_000 + crowd},
		"container-extended-resources": {8000, crowd << 21},
	} {
		r := newReading(builtin(t, name), pod)
		members, err := r.readEach()
		if err != nil || len(members) > mostLines+2 {
			t.Fatalf("%s: got %d members, %v", name, len(members), err)
		}
		held := make([]int64, len(want))
		for _, member := range members {
			for i := range held {
				held[i] += member.Levels[i]
			}
		}
		if !slices.Equal(held, want) || r.spent > maxObjectCost*3/4 {
			t.Errorf("%s: held %v at a cost of %d; want %v", name, held, r.spent, want)
		}
	}
}

// An error may quote what a tenant wrote, but never at length.
func TestErrorsAreBounded(t *testing.T) {
	m := compiled(t, patchedText(t, small, `bundle: "self.metadata.labels[self.name]"`))
	o := object(t, patchedText(t, thing, `{metadata: {labels: {a: b}}, name: `+strings.Repeat("東", 5000)+`}`))
	if _, err := m.Read(o); err == nil || len(err.Error()) > maxMessage {
		t.Errorf("got %v", err)
	}
}

func TestNamespaceOfAClusterScopedObject(t *testing.T) {
	for name, c := range map[string]struct{ meter, want string }{
		"as the meter says":          {meter: `namespace: self.tenant`, want: "shop"},
		"none where it says none":    {meter: `namespace: self.?nobody`, want: ""},
		"none where it says nothing": {meter: `{}`, want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Compile("test", patched(t, c.meter), false)
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.Read(object(t, patchedText(t, thing, `{tenant: shop, metadata: {namespace: null}}`)))
			if err != nil || len(got) != 1 || got[0].Subject.Namespace != c.want {
				t.Errorf("got %v, %v; want the namespace %q", got, err, c.want)
			}
		})
	}
}

func TestMatches(t *testing.T) {
	all := compiled(t, small)
	some := compiled(t, patchedText(t, small, `selector: {matchLabels: {metered: "yes"}}`))
	if !all.Matches(nil) || !some.Matches(map[string]string{"metered": "yes"}) || some.Matches(nil) {
		t.Error("a meter takes every object, or those that its selector chooses")
	}
}

// Go's maps have a random order; what a meter reads has not.
func TestReadingIsDeterministic(t *testing.T) {
	m := compiled(t, patchedText(t, small, `{bundle: "self.metadata.labels.map(k, k)[0]", region: "self.metadata.labels.transformList(k, v, v)[0]"}`))
	o := object(t, patchedText(t, thing, `metadata: {labels: {e: "5", a: "1", d: "4", b: "2", c: "3"}}`))
	for range 100 {
		members, err := m.Read(o)
		if err != nil {
			t.Fatal(err)
		}
		if s := members[0].Subject; s.Bundle != "a" || s.Region != "1" {
			t.Fatalf("got %q, %q", s.Bundle, s.Region)
		}
	}
}

func TestReadsAtOnce(t *testing.T) {
	m, o := builtin(t, "container"), object(t, podOfThree)
	first, err := m.Read(o)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				got, err := m.Read(o)
				if err != nil {
					t.Error(err)
				}
				equal(t, rendered(m, got), rendered(m, first))
			}
		})
	}
	all.Wait()
}
