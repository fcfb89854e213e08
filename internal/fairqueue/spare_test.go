package fairqueue

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// Flows that take all that they can get, and give up nothing, leave room in the spare part to
// one that begins and can do with less.
func TestOneThatBeginsFindsTheSparePart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := New(Limits{Total: 1024, Flow: 256, Spare: 256})
		greedy := rapid.IntRange(4, 15).Draw(t, "greedy")
		elastic := func(name string) (*flow, *waiter) {
			w := &waiter{weight: 96, least: 4}
			f, err := q.enqueue(name, w)
			if err != nil {
				t.Fatal(err)
			}
			return f, w
		}
		for i := range greedy {
			for range rapid.IntRange(20, 40).Draw(t, "asks") {
				if f, w := elastic(fmt.Sprint(i)); w.admitted() && rapid.Bool().Draw(t, "shrinks") {
					q.share(f, w).Shrink(16) // it keeps that for long
				}
			}
		}
		if load := q.Load(); load.Waiting == 0 {
			t.Fatalf("they have all that they want: %+v", load)
		}
		if _, w := elastic("one that begins"); !w.admitted() || w.weight < 4 {
			t.Fatalf("beside %d that hold %+v it waits for %d", greedy, q.Load(), w.weight)
		}
	})
}

// Flows that compute without end have no more than the rest at the end of their intervals,
// however many they are, and all of them come to have it.
func TestWhatYieldsLeavesTheSparePart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int64Range(2, 6).Draw(t, "total")
		q := New(Limits{Total: total, Flow: total - 1, Spare: 1})
		flows := rapid.IntRange(1, 6).Draw(t, "flows")
		var jobs []*asked
		for i := range flows {
			for range rapid.IntRange(1, 4).Draw(t, "jobs") {
				f, w := q.ask(fmt.Sprint(i), 1)
				jobs = append(jobs, &asked{name: fmt.Sprint(i), flow: f, waiter: w})
			}
		}
		turns := map[*asked]int{}
		for range 40 * len(jobs) {
			for _, a := range jobs {
				if a.share == nil && a.waiter.admitted() {
					a.share = q.share(a.flow, a.waiter)
				}
				if a.share == nil {
					continue
				}
				turns[a]++
				if w := q.hand(a.share, false); w != nil {
					a.waiter, a.share = w, nil
				}
			}
			if len(turns) == len(jobs) && q.spare != 0 {
				t.Fatalf("all have begun, and %d of the spare part are taken", q.spare)
			}
		}
		each := map[string]int{}
		for _, a := range jobs {
			each[a.name] += turns[a]
		}
		for i := range flows {
			if each[fmt.Sprint(i)] == 0 {
				t.Fatalf("flow %d had no turn: %v", i, each)
			}
		}
	})
}

// What goes on after a pause does not begin: it waits in front of its flow, for the rest.
func TestWhatGoesOnDoesNotBegin(t *testing.T) {
	q := New(Limits{Total: 2, Flow: 1, Spare: 1})
	q.ask("a", 1)
	f, w := q.ask("b", 1) // of the two parts each has one
	if !w.admitted() {
		t.Fatal("there is room for both")
	}
	q.share(f, w).Release()
	_, later := q.ask("b", 1)
	q.ask("c", 1)
	again := &waiter{weight: 1, least: 1, again: true}
	if _, err := q.enqueue("d", again); err != nil {
		t.Fatal(err)
	}
	if later.admitted() == again.admitted() {
		t.Fatalf("one that begins is admitted: %t, and one that goes on: %t", later.admitted(), again.admitted())
	}
}

// In the spare part one may stay for a while, unless another begins.
func TestOneMayStayInTheSparePart(t *testing.T) {
	q := New(Limits{Total: 2, Flow: 1, Spare: 1})
	q.ask("flood", 1)
	f, w := q.ask("a", 1)
	share := q.share(f, w)
	if err := q.resumes("another flood"); err != nil {
		t.Fatal(err)
	}
	if q.hand(share, true) != nil {
		t.Fatal("it gave up what only one that begins could have")
	}
	_, begins := q.ask("b", 1)
	if q.hand(share, true) == nil || !begins.admitted() {
		t.Fatalf("one that begins is admitted: %t", begins.admitted())
	}
}

func (q *Queue) resumes(name string) error {
	_, err := q.enqueue(name, &waiter{weight: 1, least: 1, again: true})
	return err
}
