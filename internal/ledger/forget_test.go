package ledger

import (
	"testing"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// What ended is forgotten when it ended so long ago, also where something that ended
// before was learnt after it.
func TestWhatIsLearntInAnotherOrderIsForgottenAsWell(t *testing.T) {
	b := newBench(t)
	const hour = 3600
	main, side := startedAt(vm("web", 2), 3*hour), startedAt(vm("web", 1), 3*hour)
	side.Subject.Container = "side"
	for _, o := range []*Observation{
		b.at(3*hour, []usage.Member{main, side}),
		b.at(7*hour, []usage.Member{stopped(main, 6*hour+1800), side}),
		b.at(7*hour+1, []usage.Member{stopped(main, 6*hour+1800), stopped(side, 4*hour)}),
	} {
		if err := b.Observe(o); err != nil {
			t.Fatal(err)
		}
	}
	b.Remove(b.at(7*hour+2, nil))
	b.Changed()
	all := usage.Window{Start: 0, End: 10 * hour}
	for _, before := range []int64{2 * hour, 3 * hour, 4 * hour, 5 * hour, 6 * hour, 6*hour + 1799} {
		b.Forget(before)
		for _, c := range b.Cut(usage.Account{Namespace: "shop", Deployment: "web"}, all, 10*hour) {
			if c.End.At <= before {
				t.Errorf("forgotten until %d: %v is still there", before, c)
			}
		}
	}
	b.Forget(7 * hour)
	if b.past.count != 0 || len(b.accounts) != 0 || len(b.ends) != 0 {
		t.Errorf("%d objects, %d accounts and %d hours; want none", b.past.count, len(b.accounts), len(b.ends))
	}
}
