package collector

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// written is a change as the API server wrote it: one a second, with its second as the revision.
type written struct {
	at      int64
	kind    string
	text    string
	removed bool
}

// tenant is a namespace with a deployment, its pods and a claim that they mount.
type tenant struct {
	label   string
	pods    map[string]string // the label of its own, by the pod
	claimed int64             // when the claim was made; 0: not yet
	made    int
	history []written
}

func (n *tenant) deployment() string {
	return fmt.Sprintf("{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop, uid: web, creationTimestamp: %q, labels: {%q: %q}}}",
		stamped(1000), attribution.DeploymentLabel, n.label)
}

const replicaSet = "{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: web-1, namespace: shop, uid: web-1, " +
	"ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: web, controller: true}]}}"

func (n *tenant) pod(name string) string {
	own := ""
	if label := n.pods[name]; label != "" {
		own = fmt.Sprintf(", labels: {%q: %q}", attribution.DeploymentLabel, label)
	}
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: shop, uid: %[1]s%[2]s,
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-1, uid: web-1, controller: true}]}
spec: {nodeName: n1, containers: [{name: app, resources: {requests: {cpu: "1"}}}], volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]}
status: {phase: Running, conditions: [{type: PodScheduled, status: "True"}]}
`, name, own)
}

const boundClaim = "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data, namespace: shop, uid: data}, " +
	"spec: {volumeName: v}, status: {phase: Bound, capacity: {storage: 1Gi}}}"

// happens draws what happens in the second.
func (n *tenant) happens(t *rapid.T, at int64) {
	names := slices.Sorted(maps.Keys(n.pods))
	write := func(kind, text string, removed bool) {
		n.history = append(n.history, written{at: at, kind: kind, text: text, removed: removed})
	}
	labels := rapid.SampledFrom([]string{"desk", "farm", "shop"})
	switch what := rapid.SampledFrom([]string{"relabel", "relabel", "claim", "create", "create", "own", "delete"}).Draw(t, "what"); {
	case what == "relabel":
		n.label = labels.Draw(t, "label")
		write("Deployment", n.deployment(), false)
	case what == "claim" && n.claimed == 0:
		n.claimed = at
		write("PersistentVolumeClaim", boundClaim, false)
	case what == "create":
		n.made++
		name := fmt.Sprintf("pod-%d", n.made)
		n.pods[name] = ""
		write("Pod", n.pod(name), false)
	case what == "own" && len(names) > 0:
		name := rapid.SampledFrom(names).Draw(t, "pod")
		n.pods[name] = labels.Draw(t, "label")
		write("Pod", n.pod(name), false)
	case what == "delete" && len(names) > 0:
		name := rapid.SampledFrom(names).Draw(t, "pod")
		write("Pod", n.pod(name), true)
		delete(n.pods, name)
	}
}

// tenantDesk is a desk that knows the deployment and its ReplicaSet.
func tenantDesk(t *rapid.T, n *tenant) *desk {
	d := newDesk(t, map[string]schema.GroupVersionKind{
		"container": {Version: "v1", Kind: "Pod"}, "volume": {Version: "v1", Kind: "PersistentVolumeClaim"},
	})
	for _, kind := range []string{"Deployment", "ReplicaSet"} {
		gvk := schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: kind}
		f := &feed{
			collector: d.Collector, cancel: func() {}, settled: make(chan struct{}), waited: map[*feed]struct{}{},
			mapping: &meta.RESTMapping{GroupVersionKind: gvk, Scope: meta.RESTScopeNamespace},
			source:  source.New(nil, nil, d.clock, source.Options{}),
		}
		d.feeds[kind], d.Collector.feeds[gvk.GroupKind()] = f, f
		d.turns.enter(f)
	}
	d.settle()
	d.come(t, written{at: 1000, kind: "Deployment", text: n.deployment()}, 1000)
	d.come(t, written{at: 1001, kind: "ReplicaSet", text: replicaSet}, 1001)
	return d
}

// come delivers a change.
func (d *desk) come(t failer, w written, now int64) {
	t.Helper()
	object := parsed(t, w.text)
	d.clock.SetTime(time.Unix(now, 0))
	f := d.feeds[w.kind]
	e := event{
		revision: uint64(w.at), shown: uint64(w.at), resourceVersion: fmt.Sprint(w.at),
		now: now, after: w.at, before: w.at, origin: ledger.Live,
	}
	if w.removed {
		f.drop(object, e, d.readers(f))
	} else {
		f.take(object, e, d.readers(f))
	}
}

// shows delivers an object, as it is known, as a check does.
func (d *desk) shows(t failer, w written, now int64) {
	t.Helper()
	f := d.feeds[w.kind]
	f.take(parsed(t, w.text), event{
		revision: uint64(w.at), shown: uint64(w.at), resourceVersion: fmt.Sprint(w.at),
		now: now, after: w.at, before: now, origin: ledger.Resumed, existed: true, checks: true,
	}, d.readers(f))
}

// held is where each second of each instance is put.
func (d *desk) held() map[string]string {
	const now = 1100
	window := usage.Window{Start: 0, End: now}
	seconds := map[string]string{}
	for _, account := range d.Accounts(window, now) {
		for _, s := range d.Cut(account, window, now) {
			end := s.End.At
			if s.End.IsZero() {
				end = now
			}
			for at := s.Start.At; at < end; at++ {
				seconds[fmt.Sprintf("%d %s %s", at, s.Subject.Instance.Name, s.Dimension.Name)] += fmt.Sprintf("%d of %q;", s.Level, account.Deployment)
			}
		}
	}
	return seconds
}

// settled are the seconds without those in which the claim is put as a whole under the
// deployment that it comes to (ledger.Settle).
func (n *tenant) settled(seconds map[string]string) map[string]string {
	for at := n.claimed; at < n.claimed+ledger.Settle; at++ {
		delete(seconds, fmt.Sprintf("%d data storage", at))
	}
	return seconds
}

// Each kind's changes come in order, and those of the kinds in any, with checks in between
// that show what is known: it is all the same.
func TestTheOrderInWhichKindsComeDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := &tenant{label: "desk", pods: map[string]string{}}
		started := *n
		for at := range rapid.Int64Range(1, 30).Draw(t, "changes") {
			n.happens(t, 1002+at)
		}
		inOrder := tenantDesk(t, &started)
		for _, w := range n.history {
			inOrder.come(t, w, 1090)
		}
		anyhow := tenantDesk(t, &started)
		for waiting := slices.Clone(n.history); len(waiting) > 0; {
			kind := rapid.SampledFrom(waiting).Draw(t, "next").kind
			next := slices.IndexFunc(waiting, func(w written) bool { return w.kind == kind })
			anyhow.come(t, waiting[next], 1090)
			if !waiting[next].removed && rapid.Bool().Draw(t, "checked") {
				anyhow.shows(t, waiting[next], 1090)
			}
			waiting = slices.Delete(waiting, next, next+1)
		}
		want, got := n.settled(inOrder.held()), n.settled(anyhow.held())
		for _, at := range slices.Sorted(maps.Keys(want)) {
			if got[at] != want[at] {
				t.Fatalf("%s: %s, in order %s", at, got[at], want[at])
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d seconds of instances, in order %d", len(got), len(want))
		}
	})
}
