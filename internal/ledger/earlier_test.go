package ledger_test

import (
	"testing"

	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// An object can say that it began a second after the write that says so, by another
// clock. The next write of that second changes what has not begun yet, and is held.
func TestALevelThatBeginsBeforeTheOneThatItReplacesIsHeld(t *testing.T) {
	l := ledger.New()
	m := ledger.NewMeter("machine", 0, []usage.Dimension{{Name: "cpu", Unit: usage.Core}})
	account := usage.Account{Namespace: "red", NamespaceUID: "n", Deployment: "web"}
	observe := func(level, written, now int64) {
		t.Helper()
		err := l.Observe(&ledger.Observation{
			Meter: m, UID: "u", Written: written, After: written - 1, Now: now, Existed: true,
			Members: []usage.Member{{
				Subject: usage.Subject{Account: account, Resource: usage.Object{UID: "u"}, Instance: usage.Object{UID: "u"}},
				Active:  true, Levels: []int64{level}, Start: usage.Boundary{At: 103, Evidence: usage.ObjectTime},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	observe(50, 102, 103) // the object says that it began a second after it was written
	observe(200, 102, 103)
	held := l.Cut(account, usage.Window{Start: 100, End: 110}, 110)
	if len(held) != 1 || held[0].Level != 200 || held[0].End.At != 110 {
		t.Errorf("held is %v: want 200 until 110", held)
	}
}
