package collector

import (
	"strconv"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// comesAndGoes lets a pod that mounts the claim "data" go at revision 10, in second 100.
func comesAndGoes(c *Collector, pod attribution.Node) {
	pod.Object = usage.Object{APIVersion: "v1", Kind: "Pod", Name: "pod", UID: "pod"}
	pod.Namespace, pod.Claims = "red", []string{"data"}
	c.graph.Upsert(pod)
	c.await("pod", event{revision: 8, shown: 8, after: 98, before: 98, now: 98})
	c.leave("pod", event{revision: 10, before: 100})
	if !c.linger(pod, event{now: 100}) {
		c.forget("pod", ledger.Between(ledger.Live, 100, 100))
	}
}

// comes is a bound claim that a list shows after that; claims are metered since the second.
func comes(c *Collector, name string, revision uint64, created, since int64) {
	f := &feed{collector: c, mapping: &meta.RESTMapping{GroupVersionKind: schema.GroupVersionKind{Version: "v1", Kind: "PersistentVolumeClaim"}}}
	f.meters = []*metering{{ledger: ledger.NewMeter("volume", since, nil)}}
	claim := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "PersistentVolumeClaim"}}
	claim.SetName(name)
	claim.SetNamespace("red")
	claim.SetUID("claim")
	claim.SetResourceVersion(strconv.FormatUint(revision, 10))
	claim.SetCreationTimestamp(metav1.NewTime(time.Unix(created, 0)))
	f.seed(claim, event{revision: revision, origin: ledger.Resumed})
	node := attribution.NodeOf(claim)
	node.Holds = true
	c.graph.Upsert(node)
}

func TestWhatAPodLeavesToAClaimThatComesLater(t *testing.T) {
	for name, c := range map[string]struct {
		claim    string
		revision uint64
		created  int64
		since    int64
		want     string
	}{
		"it was there when the pod went":              {"data", 7, 97, 0, "shop"},
		"it has changed since":                        {"data", 12, 97, 0, "shop"},
		"it was created after the pod went":           {"data", 12, 101, 0, ""},
		"or in that very second":                      {"data", 12, 100, 0, ""},
		"it is another one":                           {"logs", 7, 97, 0, ""},
		"it is of before, whatever its creation says": {"data", 9, 103, 0, "shop"},
		"claims were not metered yet":                 {"data", 7, 97, 101, ""},
	} {
		t.Run(name, func(t *testing.T) {
			collector := New(Options{})
			comesAndGoes(collector, attribution.Node{Deployment: "shop"})
			comes(collector, c.claim, c.revision, c.created, c.since)
			if got := collector.graph.Place("claim").Deployment; got != c.want {
				t.Errorf("placed under %q, want %q", got, c.want)
			}
		})
	}
}

// The owner of a pod that is gone is found at last: what followed the pod under the
// reference's name is put right, whether it came before the owner or after it.
func TestWhatFollowedAProvisionalPlacementIsPutRightWithIt(t *testing.T) {
	set := usage.Object{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-5d9f", UID: "set"}
	web := usage.Object{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: "web"}
	for _, first := range []string{"claim", "owner"} {
		c := New(Options{})
		comesAndGoes(c, attribution.Node{Owner: set})
		owner := func() {
			c.reattribute(c.graph.Upsert(attribution.Node{Object: set, Namespace: "red", Owner: web}), "", ledger.Moments{})
			c.reattribute(c.graph.Upsert(attribution.Node{Object: web, Namespace: "red", Deployment: "shop"}), "", ledger.Moments{})
		}
		if first == "owner" {
			owner()
		}
		comes(c, "data", 7, 97, 0)
		if first == "claim" {
			owner()
		}
		if got := c.graph.Place("claim").Deployment; got != "shop" {
			t.Errorf("the %s first: the claim is placed under %q, want %q", first, got, "shop")
		}
		if c.graph.Contains("pod") || len(c.provisional) > 0 {
			t.Errorf("the %s first: the pod that is gone stays in the graph", first)
		}
	}
}
