package fairqueue

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// Flows that have one request at a time, and ask for the next as soon as that is done, leave their
// turn to a flow with two: its second is admitted within a round of theirs.
func TestFlowsThatComeAgainAtOnceDoNotOvertakeWhatWaits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int64Range(1, 8).Draw(t, "total")
		q := New(Limits{Total: total, Flow: max(1, total/2), Spare: rapid.Int64Range(0, total/2).Draw(t, "spare")})
		loops := rapid.IntRange(int(total)+1, 40).Draw(t, "loops")
		var all []*asked
		ask := func(name string) *asked {
			f, w := q.ask(name, 1)
			a := &asked{name: name, flow: f, waiter: w}
			all = append(all, a)
			return a
		}
		for i := range loops {
			ask(fmt.Sprint(i))
		}
		ask("two")
		second := ask("two")
		for steps := 0; !second.waiter.admitted(); steps++ {
			if steps > 2*(loops+2)+int(total) {
				t.Fatalf("after %d were done, of %d that come again at once, it still waits", steps, loops)
			}
			for i, a := range all { // the first that is admitted is done first
				if a.waiter.admitted() {
					all = append(all[:i:i], all[i+1:]...)
					q.share(a.flow, a.waiter).Release()
					if a.name != "two" {
						ask(a.name)
					}
					break
				}
			}
		}
	})
}

// However many flows come once, few of them are remembered; and none, once nothing is admitted.
func TestIdleFlowsAreForgotten(t *testing.T) {
	q := New(Limits{Total: 2, Flow: 1})
	f, w := q.ask("stays", 1)
	for i := range 10*mostIdle + 7 {
		f, w := q.ask(fmt.Sprint(i), 1)
		if !w.admitted() {
			t.Fatal("there is room for it")
		}
		q.share(f, w).Release()
		if len(q.idle) > mostIdle {
			t.Fatalf("%d idle flows are remembered", len(q.idle))
		}
	}
	if load := q.Load(); load.Flows != 1 || len(q.idle) == 0 {
		t.Errorf("%+v, and %d idle flows are remembered", load, len(q.idle))
	}
	q.share(f, w).Release()
	if load := q.Load(); load != (Load{}) || len(q.idle) != 0 {
		t.Errorf("in the end there is %+v, and %d idle flows are remembered", load, len(q.idle))
	}
}
