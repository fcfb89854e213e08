package fairqueue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func (w *waiter) admitted() bool {
	select {
	case <-w.ready:
		return true
	default:
		return false
	}
}

// ask asks for a weight, and does not wait.
func (q *Queue) ask(name string, weight int64) (*flow, *waiter) {
	w := &waiter{weight: weight, least: weight}
	f, err := q.enqueue(name, w)
	if err != nil {
		panic(err) // the tests that ask so have no limit of waiting
	}
	return f, w
}

// asked is one that the test has asked for, and what it knows of it.
type asked struct {
	name   string
	flow   *flow
	waiter *waiter
	share  *Share // nil while it waits
}

// model is what the test knows of a queue.
type model struct {
	*Queue
	all []*asked
}

// waiting are how many wait, and how many of a flow.
func (m *model) waiting(name string) (all, of int) {
	for _, a := range m.all {
		if a.share == nil {
			all++
			if a.name == name {
				of++
			}
		}
	}
	return all, of
}

func (m *model) ask(t *rapid.T) {
	name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name")
	waiting, of := m.waiting(name)
	w := &waiter{weight: rapid.Int64Range(0, 25).Draw(t, "weight"), least: rapid.Int64Range(0, 25).Draw(t, "least"), again: rapid.Bool().Draw(t, "again")}
	f, err := m.enqueue(name, w)
	if full := waiting >= m.limits.Waiting || of >= m.limits.FlowWaiting; full != errors.Is(err, ErrFull) {
		t.Fatalf("with %d waiting, %d of the flow: %v", waiting, of, err)
	}
	if err != nil {
		return
	}
	m.put(&asked{name: name, flow: f, waiter: w})
}

// put adds one that waits: those that go on are before those of their flow that begin.
func (m *model) put(a *asked) {
	at := len(m.all)
	if a.waiter.again {
		first := slices.IndexFunc(m.all, func(b *asked) bool { return b.name == a.name && !b.waiter.admitted() && !b.waiter.again })
		if first >= 0 {
			at = first
		}
	}
	m.all = slices.Insert(m.all, at, a)
}

func (m *model) giveBack(t *rapid.T) {
	if len(m.all) == 0 {
		t.Skip()
	}
	if a := rapid.SampledFrom(m.all).Draw(t, "which"); a.share != nil {
		a.share.Shrink(rapid.Int64Range(-1, 25).Draw(t, "to"))
	}
}

// handOver has one that is admitted yield: what it gives up goes to another flow or to nobody,
// and it is the next of its own.
func (m *model) handOver(t *rapid.T) {
	if len(m.all) == 0 {
		t.Skip()
	}
	i := rapid.IntRange(0, len(m.all)-1).Draw(t, "which")
	a := m.all[i]
	if a.share == nil || a.share.weight == 0 {
		return
	}
	w := m.hand(a.share, false)
	if w == nil {
		return
	}
	m.all = append(m.all[:i:i], m.all[i+1:]...)
	m.put(&asked{name: a.name, flow: a.flow, waiter: w})
}

func (m *model) goAway(t *rapid.T) {
	if len(m.all) == 0 {
		t.Skip()
	}
	i := rapid.IntRange(0, len(m.all)-1).Draw(t, "which")
	if a := m.all[i]; a.share != nil {
		a.share.Release()
	} else if !m.abandon(a.flow, a.waiter) {
		t.Fatal("it waits, and is not there")
	}
	m.all = append(m.all[:i:i], m.all[i+1:]...)
}

// look notes what was admitted, each flow in its order, and gives what is by flow and
// who is the first to wait of each.
func (m *model) look(t *rapid.T) (total int64, each map[string]int64, heads map[string]*asked) {
	each, heads = map[string]int64{}, map[string]*asked{}
	for _, a := range m.all {
		if a.share == nil && a.waiter.admitted() {
			if heads[a.name] != nil {
				t.Fatalf("of %s a later one was admitted before an earlier one", a.name)
			}
			a.share = m.share(a.flow, a.waiter)
		}
		switch {
		case a.share != nil:
			total += a.share.weight
			each[a.name] += a.share.weight
		case heads[a.name] == nil:
			heads[a.name] = a
		}
	}
	return total, each, heads
}

func (m *model) check(t *rapid.T) {
	total, each, heads := m.look(t)
	if got := m.Load().Admitted; total > m.limits.Total || total != got {
		t.Fatalf("%d are admitted, the queue says %d, and %d may be", total, got, m.limits.Total)
	}
	for name, n := range each {
		if n > m.limits.Flow {
			t.Fatalf("%d of %s are admitted, and %d may be", n, name, m.limits.Flow)
		}
	}
	spare := m.inSpare()
	if spare > m.limits.Spare || total-spare > m.limits.Total-m.limits.Spare {
		t.Fatalf("%d are admitted, %d of them into the spare part: the limits are %+v", total, spare, m.limits)
	}
	m.checkRoom(t, total-spare, each, heads)
}

// checkRoom: of those that are below their flow's limit, one waits for room, and the others for
// that one; but those that begin wait for one that begins.
func (m *model) checkRoom(t *rapid.T, main int64, each map[string]int64, heads map[string]*asked) {
	eligible, stuck, begin, beginStuck := 0, 0, 0, 0
	for name, a := range heads {
		weight, begins := a.waiter.weight, each[name] == 0 && !a.waiter.again
		if each[name]+weight > m.limits.Flow {
			continue
		}
		full, noSpare := main+weight > m.limits.Total-m.limits.Spare, m.inSpare()+a.waiter.least > m.limits.Spare
		eligible++
		if full && (!begins || noSpare) {
			stuck++
		}
		if begins {
			begin++
		}
		if begins && noSpare {
			beginStuck++
		}
	}
	if eligible > 0 && stuck == 0 || begin > 0 && beginStuck == 0 {
		t.Fatalf("%d wait that there is room for, %d of which begin", eligible, begin)
	}
}

// inSpare is what is admitted in the spare part.
func (m *model) inSpare() (spare int64) {
	for _, a := range m.all {
		if a.share != nil && a.share.spare {
			spare += a.share.weight
		}
	}
	return spare
}

// Whatever comes, goes away and is given back: no limit is passed, each flow is
// served in its order, and nothing waits that there is room for.
func TestTheLimitsHoldAndNothingWaitsThatThereIsRoomFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int64Range(1, 20).Draw(t, "total")
		m := &model{Queue: New(Limits{
			Total: total, Flow: rapid.Int64Range(1, 20).Draw(t, "flow"), Spare: rapid.Int64Range(0, total-1).Draw(t, "spare"), Waiting: 30, FlowWaiting: 10,
		})}
		t.Repeat(map[string]func(*rapid.T){"ask": m.ask, "give back": m.giveBack, "hand over": m.handOver, "go away": m.goAway, "": m.check})
	})
}

// Flows that always have something waiting get as much as each other, whatever
// their requests weigh, and however many they are.
func TestFlowsGetTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := New(Limits{Total: 10, Flow: 10})
		weights := rapid.SliceOfN(rapid.Int64Range(1, 10), 2, 6).Draw(t, "weights")
		got := make([]int64, len(weights))
		var held []*asked
		ask := func(i int) {
			f, w := q.ask(fmt.Sprint(i), weights[i])
			held = append(held, &asked{name: fmt.Sprint(i), flow: f, waiter: w, share: &Share{queue: q, flow: f, weight: w.weight}})
		}
		for i := range weights {
			for range 12 + i*i { // always some wait, of some flows many more
				ask(i)
			}
		}
		for range 400 {
			for n, a := range held {
				if a.waiter.admitted() {
					held = append(held[:n:n], held[n+1:]...)
					var i int
					_, _ = fmt.Sscan(a.name, &i)
					got[i] += a.share.weight
					ask(i)
					a.share.Release()
					break
				}
			}
		}
		for i := range got {
			for j := range got {
				if got[i]-got[j] > 30 {
					t.Fatalf("with weights %v they got %v", weights, got)
				}
			}
		}
	})
}

// One who asks for the first time is next, however many of another wait.
func TestAFloodDelaysOthersByWhatIsAdmittedAlone(t *testing.T) {
	q := New(Limits{Total: 4, Flow: 3})
	var flood []*Share
	for range 100 {
		f, w := q.ask("flood", 1)
		if w.admitted() {
			flood = append(flood, &Share{queue: q, flow: f, weight: 1})
		}
	}
	if len(flood) != 3 {
		t.Fatalf("%d of the flood are admitted, want 3", len(flood))
	}
	for i := range 2 {
		if _, w := q.ask("victim", 1); w.admitted() != (i == 0) {
			t.Fatalf("the victim's request %d is admitted: %t", i, w.admitted())
		}
	}
	flood[0].Release()
	if load := q.Load(); load.Waiting != 97 || load.Admitted != 4 {
		t.Errorf("after one of the flood is done: %+v: want the victim's to be admitted", load)
	}
}

// Flows that yield at equal intervals get as many of them as each other, whatever they
// have waiting; and one alone is never interrupted.
func TestFlowsThatYieldTakeTurns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int64Range(1, 4).Draw(t, "total")
		q := New(Limits{Total: total, Flow: max(1, total-1)})
		flows := rapid.SliceOfN(rapid.IntRange(1, 40), 1, 6).Draw(t, "jobs")
		var jobs []*asked
		for i, n := range flows {
			for range n {
				f, w := q.ask(fmt.Sprint(i), 1)
				jobs = append(jobs, &asked{name: fmt.Sprint(i), flow: f, waiter: w})
			}
		}
		used := map[string]int{}
		var running []*asked // whose interval ends first is first
		for used["0"] < 200 {
			running = append(running, admittedOf(q, jobs)...)
			a := running[0]
			running = running[1:]
			used[a.name]++
			if w := q.hand(a.share, false); w != nil {
				a.waiter, a.share = w, nil
			} else if running = append(running, a); len(flows) > int(total) {
				t.Fatal("it goes on, and others wait")
			}
		}
		for i := range flows {
			for j := range flows {
				few := min(flows[i], flows[j]) < int(total) // not always some of both wait
				if a, b := used[fmt.Sprint(i)], used[fmt.Sprint(j)]; !few && a-b > 2*int(total) {
					t.Fatalf("they got %v", used)
				}
			}
		}
	})
}

// admittedOf are those of some jobs that are admitted by now.
func admittedOf(q *Queue, jobs []*asked) (admitted []*asked) {
	for _, a := range jobs {
		if a.share == nil && a.waiter.admitted() {
			a.share = &Share{queue: q, flow: a.flow, weight: 1}
			admitted = append(admitted, a)
		}
	}
	return admitted
}

// One that waits to go on, and whose context ends, has given everything back.
func TestWhoYieldsAndGoesAwayHoldsNothing(t *testing.T) {
	q := New(Limits{Total: 1, Flow: 1})
	first, err := q.Acquire(t.Context(), "a", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Yield(t.Context(), false); err != nil || first.Weight() != 1 {
		t.Fatalf("alone: %v, %d", err, first.Weight())
	}
	f, w := q.ask("b", 1)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() { failed <- first.Yield(ctx, false) }()
	<-w.ready
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("it says %v", err)
	}
	if load := q.Load(); load.Admitted != 1 || load.Waiting != 0 {
		t.Errorf("while the other is admitted: %+v", load)
	}
	first.Release()
	(&Share{queue: q, flow: f, weight: 1}).Release()
	if load := q.Load(); load != (Load{}) {
		t.Errorf("in the end there is %+v", load)
	}
}

func TestWhoGoesAwayWaitsNoLonger(t *testing.T) {
	q := New(Limits{Total: 1, Flow: 1})
	held, err := q.Acquire(t.Context(), "a", 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := q.Acquire(ctx, "b", 1)
		failed <- err
	}()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("it says %v", err)
	}
	held.Release()
	held.Release()
	if load := q.Load(); load != (Load{}) {
		t.Errorf("in the end there is %+v", load)
	}
}
