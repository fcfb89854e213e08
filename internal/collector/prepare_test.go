package collector

import (
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// A ledger of many objects takes long to restore: the kubelet, which asks meanwhile whether the
// collector is alive, gets an answer before the next portion, and what is restored is seen as a whole.
func TestTheLockCanBeHadWhileTheLedgerIsRestored(t *testing.T) {
	c := New(Options{Clock: clock.RealClock{}, Mapper: meta.NewDefaultRESTMapper(nil), Log: logr.Discard(), Retention: 3600})
	now := c.now().Unix()
	interval := usage.Window{Start: now - 600, End: now}
	asked := 0
	state := &journal.State{Sequence: 1, Time: now, Meters: []journal.Meter{{Name: "m", Since: now - 600, Dimensions: []usage.Dimension{{Name: "cpu", Unit: usage.Core}}}}}
	state.Portions = func(yield func([]usage.Change) bool) {
		for _, uid := range []string{"a", "b"} {
			c.Alive()
			if held := c.Accounts(interval, now); len(held) != 0 {
				t.Errorf("before %s is restored, %v hold something", uid, held)
			}
			asked++
			o := usage.Object{Kind: "Pod", Name: uid, UID: uid}
			if !yield([]usage.Change{{Segment: usage.Segment{
				Meter: "m", Subject: &usage.Subject{Resource: o, Instance: o, Account: usage.Account{Deployment: uid}}, Dimension: usage.Dimension{Name: "cpu", Unit: usage.Core},
				Level: 1000, Start: usage.Boundary{At: now - 300, Evidence: usage.ObjectTime},
			}}}) {
				return
			}
		}
	}
	c.Prepare(t.Context(), state)
	if held := c.Accounts(interval, now); asked != 2 || len(held) != 2 {
		t.Errorf("asked %d times, and then %v hold something", asked, held)
	}
}
