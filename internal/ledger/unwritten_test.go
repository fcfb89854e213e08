package ledger

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// What was taken says the same whenever it is put into words: the ledger goes on
// meanwhile.
func TestWhatWasTakenIsOfItsMoment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := &anything{T: t, ledger: New(), now: 1000, meters: []*Meter{NewMeter("m", 1000, measured[:2]), NewMeter("n", 1000, measured[1:])}}
		a.packs = rapid.Bool().Draw(t, "packs")
		type said struct {
			taken *Taken
			then  []usage.Change
		}
		var all []said
		for range rapid.IntRange(1, 6).Draw(t, "flushes") {
			for range rapid.IntRange(1, 6).Draw(t, "steps") {
				a.step()
			}
			taken := NewTaken(rapid.IntRange(0, 3).Draw(t, "room"))
			a.ledger.Take(taken)
			if a.ledger.HasUnwritten() {
				t.Fatal("something is unwritten still")
			}
			all = append(all, said{taken, taken.Changes()})
			a.told = append(a.told, all[len(all)-1].then...)
		}
		for i, s := range all {
			if now := s.taken.Changes(); !reflect.DeepEqual(now, s.then) {
				t.Fatalf("of flush %d: %v\nwas: %v", i, now, s.then)
			}
		}
	})
}
