package collector

import (
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
)

func TestTimesOfWriting(t *testing.T) {
	at := func(second int) string { return time.Unix(int64(second), 0).UTC().Format(time.RFC3339) }
	entry := func(second int, fields ...string) any {
		set := map[string]any{}
		for _, f := range fields {
			set[f] = map[string]any{}
		}
		return map[string]any{"time": at(second), "fieldsV1": set}
	}
	for name, c := range map[string]struct {
		created int
		entries []any
		written int64
		fields  uint32
		added   int64 // as the object of an Added
	}{
		"the newest write counts":                   {100, []any{entry(120, "a"), entry(110, "b", "c")}, 120, 3, 120},
		"a creation later than all writes counts":   {100, []any{entry(90, "a")}, 100, 1, 100},
		"nobody manages it: it does not say":        {100, nil, 0, 0, 100},
		"an entry without a time: it does not say":  {100, []any{map[string]any{"manager": "m"}}, 0, 0, 100},
		"it says nothing at all, not when it began": {0, nil, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			metadata := map[string]any{"managedFields": c.entries}
			if c.created != 0 {
				metadata["creationTimestamp"] = at(c.created)
			}
			object := &unstructured.Unstructured{Object: map[string]any{"metadata": metadata}}
			if written, fields := lastWrite(object); written != c.written || fields != c.fields {
				t.Errorf("written at %d, %d fields; want %d, %d", written, fields, c.written, c.fields)
			}
			if added := writtenBy(source.Change{Type: watch.Added, Object: object}); added != c.added {
				t.Errorf("added at %d, want %d", added, c.added)
			}
		})
	}
}

func TestWhenAChangeHappened(t *testing.T) {
	for name, c := range map[string]struct {
		e      event
		stated bool // the time that its object states counts
	}{
		"it states its time":                    {event{existed: true, written: 105, after: 100, before: 107, now: 107}, true},
		"one that is known to the second":       {event{existed: true, written: 105, after: 105, before: 106, now: 107}, true},
		"what is new states nothing older":      {event{written: 100, after: 100, before: 107, now: 107}, true},
		"the time of a write that was before":   {event{existed: true, written: 90, after: 100, before: 107, now: 107}, false},
		"or may be, where nobody asked between": {event{existed: true, written: 100, after: 100, before: 107, now: 107}, false},
		"what a list shows":                     {event{existed: true, written: 105, after: 100, before: 107, now: 107, origin: ledger.Resumed}, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := c.e.moments()
			if stated := m.Start.Evidence == usage.ManagedFields; stated != c.stated {
				t.Errorf("%+v", m)
			}
			if !c.stated && (m.End.At != c.e.after || m.Start.At != c.e.before) {
				t.Errorf("%+v, want its bounds", m)
			}
		})
	}
}

// An owner's name is whatever a reference says: the records' own word for what has no
// record of its own is not one.
func TestAMadeUpOwnerIsNotTheOtherDeployments(t *testing.T) {
	d := newDesk(t, launchers)
	d.settle()
	pod := launcherPod("made-up", 1010, 1012)
	pod = strings.NewReplacer("kind: VirtualMachineInstance", "kind: ReplicaSet", "apiVersion: kubevirt.io/v1", "apiVersion: apps/v1",
		"name: db", `name: "`+usage.OtherDeployments+`"`).Replace(pod)
	d.vanished["made-up"] = struct{}{}
	d.sees(t, pod, ledger.Live, 1012, 1012)
	accounts := d.Accounts(usage.Window{Start: 0, End: 1100}, 1100)
	if want := []usage.Account{{Namespace: "shop", NamespaceUID: "ns-1"}}; !slices.Equal(accounts, want) {
		t.Errorf("it is under %v, want %v", accounts, want)
	}
}

// While what the journal knew is compared with what there is, others' word on an object is
// not all there yet: what the object itself says is.
func TestWhatAnObjectSaysItselfIsTakenInWhileAllIsCompared(t *testing.T) {
	d := newDesk(t, map[string]schema.GroupVersionKind{
		"node-pool": {Version: "v1", Kind: "Node"}, "vpc-cudn": {Group: "k8s.ovn.org", Version: "v1", Kind: "ClusterUserDefinedNetwork"},
	})
	d.namespaces["lab"] = namespace{uid: "ns-2"}
	d.settle()
	node := func(pool string) string {
		return `{apiVersion: v1, kind: Node, metadata: {name: n1, uid: n1, creationTimestamp: "` + stamped(1005) +
			`", labels: {karpenter.sh/nodepool: ` + pool + `}}, status: {capacity: {cpu: "4"}}}`
	}
	network := func(namespace string) string {
		return `{apiVersion: k8s.ovn.org/v1, kind: ClusterUserDefinedNetwork, metadata: {name: wide, uid: wide, creationTimestamp: "` + stamped(1005) +
			`"}, spec: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ` + namespace + `}}}}`
	}
	held := func(meter, uid string) string {
		t.Helper()
		subject, holds := d.ledger.Held(d.meters[meter].ledger, uid, "")
		if !holds {
			t.Fatalf("%s holds nothing of %s", meter, uid)
		}
		return subject.Namespace + "(" + subject.NamespaceUID + ")/" + subject.Deployment + " " + subject.Resource.UID
	}
	d.sees(t, node("small"), ledger.Live, 1005, 1005)
	d.sees(t, network("shop"), ledger.Live, 1005, 1005)
	if got, want := held("node-pool", "n1"), "metering()/small karpenter.sh/nodepool=small"; got != want {
		t.Errorf("the node is held as %s, want %s", got, want)
	}

	d.restored.checking, d.restored.moved = true, map[string]int64{}
	d.sees(t, node("large"), ledger.Resumed, 1050, 1060)
	d.sees(t, network("lab"), ledger.Resumed, 1050, 1060)
	d.restored.checking = false

	if got, want := held("node-pool", "n1"), "metering()/large karpenter.sh/nodepool=large"; got != want {
		t.Errorf("the node is held as %s, want %s", got, want)
	}
	if got, want := held("vpc-cudn", "wide"), "lab(ns-2)/wide wide"; got != want {
		t.Errorf("the network is held as %s, want %s", got, want)
	}
}
