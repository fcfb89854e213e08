package collector

import (
	"errors"
	"fmt"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/memory"
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
	if err := c.Prepare(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	if held := c.Accounts(interval, now); asked != 2 || len(held) != 2 {
		t.Errorf("asked %d times, and then %v hold something", asked, held)
	}
}

// A ledger that does not fit is not half of one: nothing is metered from it, and the error says how
// much it needs.
func TestALedgerThatDoesNotFitIsNotTakenUp(t *testing.T) {
	c := New(Options{
		Clock: clock.RealClock{}, Mapper: meta.NewDefaultRESTMapper(nil), Log: logr.Discard(), Retention: 3600,
		Memory: memory.Limit{Container: 1 << 20}, // the test itself takes more
	})
	now := c.now().Unix()
	state := &journal.State{Sequence: 1, Time: now, InAll: 1 << 20, Meters: []journal.Meter{{Name: "m", Since: now - 600, Dimensions: []usage.Dimension{{Name: "cpu", Unit: usage.Core}}}}}
	handed := 0
	state.Portions = func(yield func([]usage.Change) bool) {
		for handed < 64 {
			handed++
			o := usage.Object{Kind: "Pod", Name: fmt.Sprint(handed), UID: fmt.Sprint(handed)}
			if !yield([]usage.Change{{Segment: usage.Segment{
				Meter: "m", Subject: &usage.Subject{Resource: o, Instance: o}, Dimension: usage.Dimension{Name: "cpu", Unit: usage.Core},
				Level: 1000, Start: usage.Boundary{At: now - 300, Evidence: usage.ObjectTime},
			}}}) {
				return
			}
		}
	}
	err := c.Prepare(t.Context(), state)
	var small *memory.TooSmallError
	if !errors.As(err, &small) || small.Rows != 1<<20 {
		t.Fatalf("got %v, want an error that says that 1 of %d rows do not fit", err, 1<<20)
	}
	if handed != 1 || len(c.meters) > 0 || c.ctx != nil {
		t.Errorf("%d portions were taken, and the collector goes on: %v", handed, c.ctx != nil)
	}
}
