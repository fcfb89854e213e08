package attribution_test

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/attribution"
)

// A next run knows where usage is put, and what there is now: it places everything alike, then and later.
func TestANextRunPlacesEverythingAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := newOracle()
		g := attribution.New()
		t.Repeat(map[string]func(*rapid.T){
			"upsert": func(t *rapid.T) {
				n := drawNode(t)
				o.upsert(n)
				g.Upsert(n)
			},
			"relabel": func(t *rapid.T) {
				if len(o.nodes) == 0 {
					t.Skip()
				}
				n := o.nodes[rapid.SampledFrom(slices.Sorted(maps.Keys(o.nodes))).Draw(t, "of")]
				n.Deployment, n.Instance = someLabel.Draw(t, "deployment"), someLabel.Draw(t, "instance")
				o.upsert(n)
				g.Upsert(n)
			},
			"remove": func(t *rapid.T) {
				id := uids.Draw(t, "uid")
				for _, n := range o.nodes {
					if n.Owner.UID == id {
						t.Skip("the journal has the chains of what is held, for owners that are gone")
					}
				}
				o.remove(id)
				delete(o.buried, id)
				g.Remove(id)
			},
			"end the run": func(t *rapid.T) {
				for _, n := range o.nodes {
					if follows(o.nodes[n.Owner.UID]) {
						t.Skip("what owns others comes before them, and what follows them after")
					}
				}
				next := attribution.New()
				for uid, n := range o.nodes {
					if n.Holds {
						next.Seed(uid, o.placed[uid].Deployment)
					}
				}
				strata := map[string]int{"PersistentVolumeClaim": 1, "ResourceClaim": 1, "Service": 1, "Gateway": 2}
				for _, n := range slices.SortedFunc(maps.Values(o.nodes), func(a, b attribution.Node) int {
					return cmp.Or(cmp.Compare(strata[a.Object.Kind], strata[b.Object.Kind]), cmp.Compare(a.Object.UID, b.Object.UID))
				}) {
					next.Upsert(n)
				}
				next.UnseedAll()
				g = next
			},
			"": func(t *rapid.T) {
				if diff := gocmp.Diff(o.placed, placements(g, o.placed), cmpopts.EquateEmpty()); diff != "" {
					t.Fatalf("placements (-as it was +next run's):\n%s", diff)
				}
			},
		})
	})
}
