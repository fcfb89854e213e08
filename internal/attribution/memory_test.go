package attribution_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/usage"
)

type graph struct {
	*attribution.Graph
	t *testing.T
}

func newGraph(t *testing.T, nodes ...attribution.Node) graph {
	t.Helper()
	return graph{graphOf(nodes...), t}
}

func (g graph) upsert(n attribution.Node, changed ...string) {
	g.t.Helper()
	g.compare("upsert of "+n.Object.UID, changed, g.Upsert(n))
}

func (g graph) remove(uid string, changed ...string) {
	g.t.Helper()
	g.compare("removal of "+uid, changed, g.Remove(uid))
}

func (g graph) compare(what string, want, got []string) {
	g.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		g.t.Errorf("changed by the %s (-want +got):\n%s", what, diff)
	}
}

func (g graph) places(uid, want string) {
	g.t.Helper()
	if got := g.Place(uid).Deployment; got != want {
		g.t.Errorf("%s is placed under %q, want %q", uid, got, want)
	}
}

func TestAClaimKeepsItsLastWorkload(t *testing.T) {
	const data = "persistentvolumeclaim/data"
	g := newGraph(t, made("PersistentVolumeClaim", "data", instance("i")))
	g.places(data, "i")
	g.upsert(podOf("db", "db-0", mounting("data")), data, "pod/db-0")
	g.places(data, "db")

	g.remove("pod/db-0") // nothing else changes: the rollout goes on
	g.places(data, "db")
	g.upsert(podOf("db", "db-1", mounting("data")), "pod/db-1")

	g.upsert(podOf("backup", "b", mounting("data")), data, "pod/b")
	g.places(data, "i") // two at once
	g.remove("pod/db-1", data)
	g.places(data, "backup")
	g.remove("pod/b")
	g.places(data, "backup")

	g.remove(data)
	g.upsert(made("PersistentVolumeClaim", "data", uid("data-again"), instance("i")), "data-again")
	g.places("data-again", "i") // another claim under the old name
}

func TestAServiceAndItsGatewayKeepTheirLastWorkload(t *testing.T) {
	g := newGraph(t,
		made("Service", "web", selecting("app=web")),
		made("HTTPRoute", "r", at("shop/edge"), to("shop/web")),
		made("Gateway", "edge"),
	)
	g.upsert(podOf("web", "p", labelled("app=web")), "gateway/edge", "pod/p", "service/web")
	g.remove("pod/p")
	g.places("service/web", "web")
	g.places("gateway/edge", "web")

	g.remove("service/web")
	g.places("gateway/edge", "web")
	g.remove("httproute/r")
	g.places("gateway/edge", "web")
}

// What holds nothing is placed by what there is, so that a run that begins then places
// it alike.
func TestWhatHoldsNothingKeepsNothing(t *testing.T) {
	for _, kind := range []string{"PersistentVolumeClaim", "ResourceClaim", "Service", "Gateway"} {
		g := newGraph(t, made("HTTPRoute", "r", at("shop/data"), to("shop/web")), made("Service", "web", selecting("app=web"), idle))
		it := made(kind, "data", selecting("app=web"), idle)
		uid := it.Object.UID
		g.Upsert(it)
		pod := podOf("web", "p", labelled("app=web"), mounting("data", attribution.DeviceClaim("data")))
		g.Upsert(pod)
		g.places(uid, "web")
		g.Remove("pod/p")
		g.places(uid, "")

		it.Holds = true
		g.upsert(it)
		g.places(uid, "")
		g.Upsert(pod)
		g.Remove("pod/p")
		g.places(uid, "web") // it holds something now
		if kind == "Gateway" {
			g.places("service/web", "")
		}
		g.compare("release", []string{uid}, g.Hold(uid, false))
		g.places(uid, "")
	}
}

func TestPodsOfOneTemplateReachServicesOnce(t *testing.T) {
	g := newGraph(t, made("Service", "web", selecting("app=web")), podOf("web", "p", labelled("app=web")))
	g.upsert(podOf("web", "q", labelled("app=web")), "pod/q")
	g.remove("pod/p")
	g.upsert(podOf("web", "q", labelled("app=other")))
	g.upsert(podOf("api", "r", labelled("app=web")), "pod/r", "service/web")
	g.places("service/web", "api")
}

func TestAnOwnerThatIsDeletedFirstGoesOnNaming(t *testing.T) {
	g := newGraph(t,
		made("Deployment", "web", deployment("front")),
		made("ReplicaSet", "web-5d", ownedBy("Deployment", "web")),
		made("Pod", "p", ownedBy("ReplicaSet", "web-5d")),
	)
	before := g.Place("pod/p")
	g.remove("deployment/web")
	g.remove("replicaset/web-5d")
	if diff := cmp.Diff(before, g.Place("pod/p")); diff != "" {
		t.Errorf("the pod outlives its owners (-before +after):\n%s", diff)
	}
	if _, _, unknown := g.Unknown("pod/p"); unknown {
		t.Error("the removed owners are asked for")
	}
	if g.Contains("replicaset/web-5d") {
		t.Error("the graph contains what was removed")
	}
	g.remove("pod/p")
	if !g.Empty() {
		t.Error("something is left")
	}
}

func TestCirclesAreForgotten(t *testing.T) {
	g := newGraph(t, made("Kafka", "a", ownedBy("Kafka", "b")), made("Kafka", "b", ownedBy("Kafka", "a")), made("Kafka", "c", ownedBy("Kafka", "c")))
	for _, name := range []string{"a", "b", "c"} {
		g.Remove("kafka/" + name)
	}
	if !g.Empty() {
		t.Error("something is left")
	}
}

func TestUnknownOwners(t *testing.T) {
	g := newGraph(t, made("Pod", "p", ownedBy("ReplicaSet", "web-5d")), made("PersistentVolumeClaim", "p-scratch", ownedBy("Pod", "p")))
	unknown := func(want usage.Object) {
		t.Helper()
		owner, namespace, unknown := g.Unknown("persistentvolumeclaim/p-scratch")
		if owner != want || unknown != (want != usage.Object{}) || unknown && namespace != "shop" {
			t.Errorf("unknown is %v in %q (%v), want %v", owner, namespace, unknown, want)
		}
	}
	unknown(object("ReplicaSet", "web-5d"))
	g.upsert(made("ReplicaSet", "web-5d", ownedBy("Deployment", "web")), "persistentvolumeclaim/p-scratch", "pod/p", "replicaset/web-5d")
	g.places("pod/p", "web")
	unknown(object("Deployment", "web"))
	g.upsert(made("Deployment", "web"), "deployment/web") // as the reference said
	unknown(usage.Object{})
}

func TestSeed(t *testing.T) {
	const data = "persistentvolumeclaim/data"
	t.Run("before the claim is known", func(t *testing.T) {
		g := newGraph(t)
		g.compare("seed", nil, g.Seed(data, "db"))
		g.upsert(made("PersistentVolumeClaim", "data", instance("i")), data)
		g.places(data, "db")
	})
	t.Run("after", func(t *testing.T) {
		g := newGraph(t, made("PersistentVolumeClaim", "data", instance("i")))
		g.compare("seed", []string{data}, g.Seed(data, "db"))
		g.places(data, "db")
	})
	t.Run("what was seen since wins", func(t *testing.T) {
		g := newGraph(t, made("PersistentVolumeClaim", "data"), podOf("web", "p", mounting("data")))
		g.compare("seed", nil, g.Seed(data, "db"))
		g.remove("pod/p")
		g.places(data, "web")
	})
	t.Run("a gateway follows its seeded service", func(t *testing.T) {
		g := newGraph(t, made("Gateway", "edge"), made("HTTPRoute", "r", at("shop/edge"), to("shop/web")), made("Service", "web"))
		g.compare("seed", []string{"gateway/edge", "service/web"}, g.Seed("service/web", "web"))
	})
	t.Run("of what does not follow", func(t *testing.T) {
		g := newGraph(t, made("Pod", "p"))
		g.Seed("pod/p", "db")
		g.Seed("pod/q", "db")
		g.upsert(made("Pod", "q"), "pod/q")
		g.places("pod/p", "")
		g.places("pod/q", "")
	})
	t.Run("of what never comes is forgotten", func(t *testing.T) {
		g := newGraph(t)
		g.Seed(data, "db")
		g.remove(data)
		if !g.Empty() {
			t.Error("the seed is left")
		}
	})
}
