package collector

import (
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// What a change is dated by is all that other kinds have before it, whichever of them is faster.
func TestAChangeIsDatedByAllThatCameBeforeIt(t *testing.T) {
	cut := func(podFirst bool) []usage.Segment {
		state := journalHolding()
		state.Positions = append(state.Positions, journal.Position{Kind: podKind.Kind, ResourceVersion: "100", Time: second0})
		c, claims := driven(t, state)
		pods := follow(t, c, podKind, "pods")
		at := newMetering(compiled(t), "", c.restored.ledger["volume"])
		at.feed, at.from = claims, 100
		c.meters["volume"], claims.meters = at, []*metering{at}

		dated := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Pod",
			"metadata": map[string]any{
				"namespace": "shop", "name": "web", "uid": "web", "resourceVersion": "105", "creationTimestamp": stamped(second0 + 50),
			},
		}}
		resized := claimObject("data", 110)
		resized.Object["status"] = map[string]any{"capacity": map[string]any{"storage": "2"}}
		pod := func() {
			pods.Changed(source.Change{Type: watch.Added, Object: dated, Replayed: true}, c.now())
			pods.Progress("200", c.now())
		}
		claim := func() {
			claims.Changed(source.Change{Type: watch.Modified, Object: resized, Replayed: true}, c.now())
		}
		done := make(chan struct{})
		if podFirst {
			claims.Progress("106", c.now()) // its change at 110 has not come yet
			pod()
			claim()
		} else {
			go func() {
				defer close(done)
				claim()
			}()
			for waits := false; !waits; runtime.Gosched() {
				c.turns.mu.Lock()
				waits = c.turns.lanes[claims].next == 110
				c.turns.mu.Unlock()
			}
			pod()
			<-done
		}
		return c.Cut(usage.Account{Namespace: "shop", Deployment: "db"}, usage.Window{Start: second0 - 60, End: second0 + 3600}, c.now().Unix())
	}
	first, second := cut(true), cut(false)
	if len(first) != 2 {
		t.Fatalf("the claim's segments: %v", first)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("with the claim's change first (-pod's first +claim's first):\n%s", diff)
	}
}
