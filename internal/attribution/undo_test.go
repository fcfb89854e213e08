package attribution_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/attribution"
)

// done is a change that can be taken back.
type done struct {
	node   attribution.Node // what it puts; of a removal the UID alone
	take   bool
	undo   *attribution.Undo
	before *oracle
}

func (d *done) tell(o *oracle) {
	if d.take {
		o.remove(d.node.Object.UID)
	} else {
		o.upsert(d.node)
	}
}

func (d *done) do(g *attribution.Graph) {
	if d.take {
		_, d.undo = g.Take(d.node.Object.UID)
	} else {
		_, d.undo = g.Put(d.node)
	}
}

func drawDone(t *rapid.T, o *oracle) *done {
	if rapid.IntRange(0, 2).Draw(t, "take") == 0 {
		d := &done{take: true}
		d.node.Object.UID = uids.Draw(t, "uid")
		return d
	}
	if len(o.nodes) > 0 && rapid.Bool().Draw(t, "relabel") {
		n := o.nodes[rapid.SampledFrom(slices.Sorted(maps.Keys(o.nodes))).Draw(t, "of")]
		n.Deployment = someLabel.Draw(t, "deployment")
		return &done{node: n}
	}
	return &done{node: drawNode(t)}
}

func (o *oracle) clone() *oracle {
	return &oracle{nodes: maps.Clone(o.nodes), buried: maps.Clone(o.buried), last: maps.Clone(o.last), placed: maps.Clone(o.placed)}
}

func agree(t *rapid.T, g *attribution.Graph, o *oracle) {
	t.Helper()
	if diff := cmp.Diff(o.placed, placements(g, o.placed), cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("placements (-oracle +graph):\n%s", diff)
	}
}

// Changes are taken back, an earlier one is made, and they are made again: that comes to what it would have
// come to in the right order.
func TestWhatComesLateIsAsIfItHadComeInTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, o := attribution.New(), newOracle()
		var past []*done
		for range rapid.IntRange(1, 30).Draw(t, "changes") {
			d := drawDone(t, o)
			late := min(len(past), rapid.SampledFrom([]int{0, 0, 1, 2, 5}).Draw(t, "late"))
			again := past[len(past)-late:]
			past = past[:len(past)-late]
			for _, a := range slices.Backward(again) {
				if a.undo != nil {
					moved, _ := g.Undo(a.undo)
					if changed := differing(o.placed, a.before.placed); !subset(changed, moved) {
						t.Fatalf("taken back moved %v, told of %v", changed, moved)
					}
				}
				o = a.before
				agree(t, g, o)
			}
			for _, a := range append([]*done{d}, again...) {
				a.before = o.clone()
				a.tell(o)
				a.do(g)
				agree(t, g, o)
				past = append(past, a)
			}
		}
		for uid := range o.nodes {
			g.Remove(uid)
		}
		if !g.Empty() {
			t.Fatal("something is left of an empty graph")
		}
	})
}

func subset(some, all []string) bool {
	return !slices.ContainsFunc(some, func(uid string) bool { return !slices.Contains(all, uid) })
}
