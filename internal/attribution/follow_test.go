package attribution_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// followers are what is placed where the object is, or where services are that follow it.
func (o *oracle) followers(uid string) []string {
	var found []string
	for follower, n := range o.nodes {
		if !follows(n) || !o.isMember(n, o.nodes[uid]) {
			continue
		}
		found = append(found, follower)
		if n.Object.Kind == "Service" {
			found = append(found, o.followers(follower)...)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func TestClaimsThatNobodyKnows(t *testing.T) {
	unclaimed := func(g graph, uid string, want map[string]string) {
		t.Helper()
		got := map[string]string{}
		for claim, deployment := range g.Unclaimed(uid) {
			got[claim.Namespace+"/"+claim.Name] = deployment
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("unclaimed of %s (-want +got):\n%s", uid, diff)
		}
	}
	g := newGraph(t, podOf("db", "db-0", mounting("data", "logs")))
	unclaimed(g, "pod/db-0", map[string]string{"shop/data": "db", "shop/logs": "db"})
	unclaimed(g, "pod/none", map[string]string{})
	g.Upsert(made("PersistentVolumeClaim", "data"))
	unclaimed(g, "pod/db-0", map[string]string{"shop/logs": "db"})
	g.Upsert(podOf("backup", "b", mounting("logs")))
	unclaimed(g, "pod/db-0", map[string]string{}) // two at once
	g.Remove("pod/db-0")
	unclaimed(g, "pod/b", map[string]string{"shop/logs": "backup"})
	g.Upsert(made("Pod", "own", mounting("tmp")))
	unclaimed(g, "pod/own", map[string]string{}) // in nobody's deployment
}

func TestWhatWasFollowedUnderAProvisionalName(t *testing.T) {
	const data = "persistentvolumeclaim/data"
	g := newGraph(t, made("PersistentVolumeClaim", "data"), podOf("db-5d9f", "db-0", mounting("data")))
	g.Remove("pod/db-0")
	g.places(data, "db-5d9f")
	g.compare("mending of another name", nil, g.Mend(data, "web-1234", "web"))
	g.compare("mending", []string{data}, g.Mend(data, "db-5d9f", "db"))
	g.places(data, "db")
	g.compare("mending of nothing", nil, g.Mend("nothing", "db", "x"))
	g.upsert(podOf("web", "web-0", mounting("data")), data, "pod/web-0")
	g.compare("mending of what it follows no more", nil, g.Mend(data, "db", "x"))
}
