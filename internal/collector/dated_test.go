package collector

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// A tenant that takes ports of its Service away, or adds some, can write into the same
// object's managedFields when that was: the change is where the operator's clock has it.
func TestADateInManagedFieldsMovesNoChangeByMoreThanASecond(t *testing.T) {
	const made, changed = 1010, 1050 // the API server was asked a second before the change
	for _, c := range []struct{ ports, then int }{{3, 1}, {1, 3}} {
		for _, dated := range []int64{changed - 30, changed - 6, changed - 5, changed - 2, changed, changed + 1, changed + 5, changed + 6} {
			t.Run(fmt.Sprintf("%d to %d ports, dated %+d s", c.ports, c.then, dated-changed), func(t *testing.T) {
				d := newDesk(t, map[string]schema.GroupVersionKind{"load-balancer": {Version: "v1", Kind: "Service"}})
				d.settle()
				f := d.feeds["Service"]
				f.meters[0].from = 1
				delivers := func(what watch.EventType, revision, at int64, ports int, dated int64) {
					d.clock.SetTime(time.Unix(at, 0))
					d.chronology.After(uint64(revision-1), at-1)
					object := parsed(t, `{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: web, uid: web, resourceVersion: "`+
						strconv.FormatInt(revision, 10)+`", creationTimestamp: "`+stamped(made)+`", managedFields: [{time: "`+stamped(dated)+`"}]},
						spec: {type: LoadBalancer, ports: [`+strings.TrimSuffix(strings.Repeat("{port: 80}, ", ports), ", ")+`]},
						status: {loadBalancer: {ingress: [{ip: 203.0.113.9}]}}}`)
					f.Changed(source.Change{Type: what, Object: object}, d.clock.Now())
				}
				delivers(watch.Added, made, made, c.ports, made)
				delivers(watch.Modified, changed, changed, c.then, dated)

				window, found := usage.Window{Start: 0, End: 1100}, 0
				for _, account := range d.Accounts(window, window.End) {
					for _, s := range d.Cut(account, window, window.End) {
						if s.Dimension.Name != "listener" {
							continue
						}
						found++
						at := s.Start.At
						if s.Level == int64(1000*c.ports) {
							at = s.End.At
						}
						if at < changed-2 || at > changed+1 { // it was asked for in the second before
							t.Errorf("%d listeners: [%d, %d)", s.Level/1000, s.Start.At, s.End.At)
						}
					}
				}
				if found != 2 {
					t.Errorf("%d segments, want 2", found)
				}
			})
		}
	}
}

// What a tenant writes into its own object's managedFields while no operator runs moves no
// bound of what others wrote after it. The creation is the API server's word, and so are the
// dates of what has no namespace, which tenants cannot write.
func TestADateInManagedFieldsBoundsNothingElse(t *testing.T) {
	const day = 24 * 60 * 60
	for name, c := range map[string]struct {
		namespaced       bool
		what             watch.EventType
		created, written int64 // after the last run ended
		earliest         int64
	}{
		"a tenant's date":               {true, watch.Modified, -day, 3500, 0},
		"of the operator's own second":  {true, watch.Modified, -day, 3600, 0},
		"of a new object":               {true, watch.Added, 20, 3500, 20},
		"a creation without a date":     {true, watch.Added, 20, 0, 20},
		"of an object of the cluster's": {false, watch.Modified, -day, 20, 20},
	} {
		t.Run(name, func(t *testing.T) {
			collector, f := driven(t, journalHolding())
			if !c.namespaced {
				f.mapping.Scope = meta.RESTScopeRoot
			}
			object := claimObject("data", 110)
			metadata := object.Object["metadata"].(map[string]any)
			metadata["creationTimestamp"] = stamped(second0 + c.created)
			if c.written != 0 {
				metadata["managedFields"] = []any{map[string]any{"time": stamped(second0 + c.written)}}
			}
			change := source.Change{Type: c.what, Object: object, Replayed: true}
			f.Coming([]source.Change{change})
			f.Changed(change, collector.now())
			earliest, latest := collector.chronology.Bounds(120, collector.now().Unix())
			if want := second0 + c.earliest; earliest != want || latest != second0+3600 {
				t.Errorf("what came next is in [%d, %d], want [%d, %d]", earliest-second0, latest-second0, c.earliest, 3600)
			}
		})
	}
}

// A change that only takes fields away has the date of the change before it, and came later: it is not dated by that,
// though the object's own dates bound no other object's changes.
func TestTheSameDateAgainDatesNothing(t *testing.T) {
	_, f := driven(t, journalHolding())
	dated := func(uid string, written, after, before int64) ledger.Moments {
		e := event{written: written, after: after, before: before, now: before, existed: true, origin: ledger.Replayed}
		f.datedBefore(&e, uid, watch.Modified)
		return e.moments()
	}
	exactly := usage.Boundary{At: 1013, Evidence: usage.ManagedFields}
	if got := dated("web", 1013, 1010, 1030); got.Start != exactly {
		t.Errorf("the first change is dated %v, want %v", got.Start, exactly)
	}
	want := ledger.Between(ledger.Replayed, 1013, 1030)
	if got := dated("web", 1013, 1010, 1030); got != want {
		t.Errorf("the second change is dated %v, want %v", got, want)
	}
	if got := dated("api", 1013, 1010, 1030); got.Start != exactly {
		t.Errorf("another object's change is dated %v, want %v", got.Start, exactly)
	}
	if dated("web", 1041, 1040, 1041); len(f.dated) != 0 {
		t.Errorf("%d dates are kept, of what is known better by now", len(f.dated))
	}

	// One that is made up bounds the object's next change no more than the operator's clock does, and keeps nothing for ever.
	dated("web", 1<<32, 1050, 1070)
	if got, want := dated("web", 1<<32, 1060, 1090), ledger.Between(ledger.Replayed, 1070, 1090); got != want {
		t.Errorf("after a date that is made up, a change is dated %v, want %v", got, want)
	}
	if dated("api", 0, 1095, 1096); len(f.dated) != 0 {
		t.Errorf("%d dates are kept after one that was made up", len(f.dated))
	}
}
