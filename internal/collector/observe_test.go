package collector

import (
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"

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
