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

func TestWhatAFormerRunKnewOfAnOwnerThatIsGone(t *testing.T) {
	web := object("Deployment", "web")
	g := newGraph(t, made("Pod", "a", ownedBy("ReplicaSet", "web-1")), made("Pod", "b", ownedBy("ReplicaSet", "web-1")),
		made("Pod", "elsewhere", in("bank"), ownedBy("ReplicaSet", "web-1")), made("PersistentVolumeClaim", "data"))
	g.upsert(made("Pod", "a", ownedBy("ReplicaSet", "web-1"), mounting("data")), "persistentvolumeclaim/data")
	g.places("pod/a", "web-1")
	g.compare("recalling it", []string{"persistentvolumeclaim/data", "pod/a", "pod/b", "pod/elsewhere"}, g.Recall("pod/a", web, "shop"))
	g.places("pod/a", "shop")
	g.places("pod/b", "shop")
	g.places("pod/elsewhere", "") // a UID can be copied
	g.places("persistentvolumeclaim/data", "shop")
	if top := g.Place("pod/b").Workload; top != web {
		t.Errorf("the workload is %v, want %v", top, web)
	}
	g.compare("recalling it again", nil, g.Recall("pod/a", web, "other"))
	g.Upsert(made("ReplicaSet", "web-1", deployment("told"))) // which counts instead
	g.places("pod/a", "told")
	own := newGraph(t, made("Pod", "a", ownedBy("ReplicaSet", "web-1"), deployment("mine")), made("Pod", "b", ownedBy("ReplicaSet", "web-1")))
	own.Recall("pod/a", web, "mine") // its own label
	own.places("pod/b", "web")
}
