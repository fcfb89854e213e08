package attribution_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Rapid's own 100 checks find too little; the command line still counts.
func init() {
	if err := flag.Set("rapid.checks", "1000"); err != nil {
		panic(err)
	}
}

// few values, so that objects meet
var (
	kinds = []string{
		"Pod", "Pod", "Pod", "PersistentVolumeClaim", "Service", "Gateway", "HTTPRoute", "ResourceClaim",
		"Deployment", "ReplicaSet", "VirtualMachine", "DataVolume", "Kafka", "Node",
	}
	names      = rapid.SampledFrom([]string{"a", "b"})
	namespaces = rapid.SampledFrom([]string{"shop", "shop", "shop", "bank", ""})
	uids       = rapid.Map(rapid.IntRange(0, 15), func(i int) string { return fmt.Sprintf("uid-%02d", i) })
	someLabel  = rapid.SampledFrom([]string{"", "", "", "", "x", "y"})
	labelSets  = rapid.MapOfN(rapid.SampledFrom([]string{"app", "tier", "track"}), rapid.SampledFrom([]string{"1", "2"}), 0, 3)
	fewRefs    = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) attribution.Reference {
		return attribution.Reference{Namespace: namespaces.Draw(t, "namespace"), Name: names.Draw(t, "name")}
	}), 0, 3)
)

// drawNode makes any object. What a UID stands for mostly stays, and hardly
// ever changes, as hostile or broken input might.
func drawNode(t *rapid.T) attribution.Node {
	id := uids.Draw(t, "uid")
	n := attribution.Node{Object: drawObject(t, id), Namespace: "shop"}
	if rapid.IntRange(0, 4).Draw(t, "elsewhere") == 0 {
		n.Namespace = namespaces.Draw(t, "namespace")
	}
	if rapid.Bool().Draw(t, "owned") {
		n.Owner = drawObject(t, uids.Draw(t, "owner"))
	}
	n.Deployment, n.Instance, n.Name = someLabel.Draw(t, "deployment"), someLabel.Draw(t, "instance"), someLabel.Draw(t, "name")
	n.Holds = follows(n) && rapid.IntRange(0, 3).Draw(t, "holds") > 0
	switch n.Object.Kind {
	case "Pod":
		n.Labels = labelSets.Draw(t, "labels")
		n.Claims = rapid.SliceOfN(rapid.OneOf(names, rapid.Map(names, attribution.DeviceClaim)), 0, 2).Draw(t, "claims")
	case "Service":
		n.Selector = labelSets.Draw(t, "selector")
	case "HTTPRoute":
		n.Parents, n.Backends = fewRefs.Draw(t, "parents"), fewRefs.Draw(t, "backends")
	}
	return n
}

func drawObject(t *rapid.T, id string) usage.Object {
	number, err := strconv.Atoi(strings.TrimPrefix(id, "uid-"))
	if err != nil {
		t.Fatal(err)
	}
	kind, name := kinds[number%len(kinds)], string(rune('a'+number%2))
	if rapid.IntRange(0, 9).Draw(t, "other identity") == 0 {
		kind, name = rapid.SampledFrom(kinds).Draw(t, "kind"), names.Draw(t, "name")
	}
	return usage.Object{APIVersion: apiVersions[kind], Kind: kind, Name: name, UID: id}
}

func placements(g *attribution.Graph, like map[string]attribution.Placement) map[string]attribution.Placement {
	placed := map[string]attribution.Placement{}
	for uid := range like {
		placed[uid] = g.Place(uid)
	}
	return placed
}

// differing is the UIDs in after whose placement is not that in before.
func differing(before, after map[string]attribution.Placement) (changed []string) {
	for uid, placement := range after {
		if old, known := before[uid]; !known || old != placement {
			changed = append(changed, uid)
		}
	}
	slices.Sort(changed)
	return changed
}

func TestGraphAgreesWithTheOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, o := attribution.New(), newOracle()
		t.Repeat(map[string]func(*rapid.T){
			"upsert": func(t *rapid.T) {
				n := drawNode(t)
				change(t, g, o, func() []string { o.upsert(n); return g.Upsert(n) })
				if again := g.Upsert(n); again != nil {
					t.Fatalf("the same once more changed %v", again)
				}
			},
			"relabel": func(t *rapid.T) {
				if len(o.nodes) == 0 {
					t.Skip()
				}
				n := o.nodes[rapid.SampledFrom(slices.Sorted(maps.Keys(o.nodes))).Draw(t, "of")]
				n.Deployment = someLabel.Draw(t, "deployment")
				change(t, g, o, func() []string { o.upsert(n); return g.Upsert(n) })
			},
			"remove": func(t *rapid.T) {
				id := uids.Draw(t, "uid")
				change(t, g, o, func() []string { o.remove(id); return g.Remove(id) })
			},
			"release": func(t *rapid.T) {
				id := uids.Draw(t, "uid")
				change(t, g, o, func() []string { o.release(id); return g.Hold(id, false) })
			},
			"seed": func(t *rapid.T) {
				id := uids.Draw(t, "uid")
				if !g.Contains(id) {
					t.Skip("seeds before objects are for the tables")
				}
				change(t, g, o, func() []string { o.seed(id, "seeded"); return g.Seed(id, "seeded") })
			},
		})
		for uid := range o.nodes {
			g.Remove(uid)
		}
		if !g.Empty() {
			t.Fatal("something is left of an empty graph")
		}
	})
}

func change(t *rapid.T, g *attribution.Graph, o *oracle, do func() []string) {
	before := o.placed
	changed := do()
	if diff := cmp.Diff(o.placed, placements(g, o.placed)); diff != "" {
		t.Fatalf("placements (-oracle +graph):\n%s", diff)
	}
	if diff := cmp.Diff(differing(before, o.placed), changed); diff != "" {
		t.Fatalf("changed (-oracle +graph):\n%s", diff)
	}
	for uid := range o.nodes {
		if diff := cmp.Diff(o.followers(uid), g.Followers(uid)); diff != "" {
			t.Fatalf("what follows %s (-oracle +graph):\n%s", uid, diff)
		}
	}
	for uid := range before {
		if _, stays := o.placed[uid]; g.Contains(uid) != stays {
			t.Fatalf("contains %s: %v", uid, g.Contains(uid))
		}
	}
}

// What followers remember depends on the order; what they follow does not.
func TestArrivalOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := map[string]attribution.Node{}
		for _, n := range rapid.SliceOfN(rapid.Custom(drawNode), 1, 20).Draw(t, "nodes") {
			nodes[n.Object.UID] = n
		}
		o := newOracle()
		order := slices.Sorted(maps.Keys(nodes))
		for _, uid := range order {
			o.upsert(nodes[uid])
		}
		want := maps.Clone(o.placed)
		maps.DeleteFunc(want, func(uid string, _ attribution.Placement) bool { return o.remembers(uid) })

		rand.New(rand.NewSource(rapid.Int64().Draw(t, "order"))).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		g := attribution.New()
		for _, uid := range order {
			g.Upsert(nodes[uid])
		}
		if diff := cmp.Diff(want, placements(g, want)); diff != "" {
			t.Fatalf("in the order %v (-want +got):\n%s", order, diff)
		}
	})
}

// remembers tells whether uid may be placed by what it, or a service behind it, followed before.
func (o *oracle) remembers(uid string) bool {
	n := o.nodes[uid]
	if n.Object.Kind == "Gateway" {
		for service, member := range o.nodes {
			if o.isMember(n, member) && o.remembers(service) {
				return true
			}
		}
	}
	return n.Holds && len(o.counted(n)) == 0
}
