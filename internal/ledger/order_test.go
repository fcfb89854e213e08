package ledger

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// past is what happened to one machine: what it says of itself, and where it was
// put by what surrounds it. Each list is in order; how one arrives beside the
// other is chance.
type past struct {
	began  int64
	levels []fact // 0: it stopped
	places []fact
	gone   int64 // 0: it is still there
}

type fact struct {
	at    int64
	level int64
	place string
	// stated tells that the object says itself when it stopped: the write came later.
	written int64
}

// horizon is where a past ends, in seconds; all is before.
const horizon = 600

func drawPast(t *rapid.T) past {
	p := past{began: rapid.Int64Range(1, 60).Draw(t, "began")}
	at := p.began
	running := true
	for range rapid.IntRange(0, 5).Draw(t, "levels") {
		at += rapid.Int64Range(1, 90).Draw(t, "level after")
		f := fact{at: at, written: at, level: rapid.Int64Range(1, 3).Draw(t, "level")}
		if running && rapid.IntRange(0, 2).Draw(t, "stops") == 0 {
			f.level, f.written = 0, at+rapid.SampledFrom([]int64{0, 0, 7}).Draw(t, "said after")
		}
		at, running = f.written, f.level != 0
		p.levels = append(p.levels, f)
	}
	if rapid.Bool().Draw(t, "goes") {
		p.gone = at + rapid.Int64Range(1, 60).Draw(t, "gone after")
	}
	at = p.began
	for i := range rapid.IntRange(0, 4).Draw(t, "places") {
		at += rapid.Int64Range(1, 120).Draw(t, "place after")
		p.places = append(p.places, fact{at: at, place: string(rune('b' + i%3))})
	}
	return p
}

// held is the level and the place in each second.
func (p *past) held() map[string]int64 {
	held := map[string]int64{}
	for at := p.began; at < horizon; at++ {
		level, place := int64(1), "a"
		for _, f := range p.levels {
			if f.at <= at {
				level = f.level
			}
		}
		for _, f := range p.places {
			if f.at <= at {
				place = f.place
			}
		}
		if level != 0 && (p.gone == 0 || at < p.gone) {
			held[fmt.Sprintf("%d %s", at, place)] = level
		}
	}
	return held
}

// arrival is a ledger that is told of a past.
type arrival struct {
	t      *rapid.T
	ledger *Ledger
	meter  *Meter
	past   past
	now    int64
	place  string // by what has arrived
	level  int64
	told   []usage.Change
	sealed []usage.Window
	as     [][32]byte
	packs  bool // what is gone, after each step
}

// packAll packs what is gone, where the test draws that.
func (a *arrival) packAll() {
	if a.packs {
		packAll(a.ledger)
	}
}

func (a *arrival) member(level int64) usage.Member {
	m := vm(a.place, level)
	m.Start = usage.Boundary{At: a.past.began, Evidence: usage.CreationTime}
	return m
}

func (a *arrival) observe(f fact) {
	m := a.member(f.level)
	if f.level == 0 {
		m.Active, m.Levels = false, nil
		m.Start = usage.Boundary{}
		if f.written != f.at {
			m.End = usage.Boundary{At: f.at, Evidence: usage.ObjectTime}
		}
	}
	a.level = f.level
	o := &Observation{
		Meter: a.meter, UID: "uid", Members: []usage.Member{m},
		Written: f.written, After: f.written, Before: f.written, Now: a.now, Origin: Replayed,
	}
	if err := a.ledger.Observe(o); err != nil {
		a.t.Fatal(err)
	}
}

func (a *arrival) move(f fact) {
	a.place = f.place
	moment := usage.Boundary{At: f.at, Evidence: usage.ManagedFields}
	if err := a.ledger.Reattribute("uid", Moments{End: moment, Start: moment}, func(_ *Meter, s *usage.Subject) { s.Deployment = f.place }); err != nil {
		a.t.Fatal(err)
	}
}

func (a *arrival) remove() {
	moment := a.past.gone
	a.level = 0
	a.ledger.Remove(&Observation{Meter: a.meter, UID: "uid", After: moment, Before: moment, Now: a.now, Origin: Replayed})
}

// seal closes the next interval, whatever has not arrived.
func (a *arrival) seal() {
	next := usage.Window{Start: 0, End: 60}
	if n := len(a.sealed); n > 0 {
		next = a.sealed[n-1].Next()
	}
	if next.End > horizon {
		return
	}
	a.sealed = append(a.sealed, next)
	a.as = append(a.as, a.digest(next))
	a.ledger.Seal(next)
}

func (a *arrival) digest(w usage.Window) [32]byte {
	var all []usage.Segment
	for _, account := range a.ledger.Accounts(w, w.End) {
		all = append(all, a.ledger.Cut(account, w, w.End)...)
	}
	return Digest([32]byte{}, w, all, nil)
}

// restart goes on with a ledger made from what the journal was told.
func (a *arrival) restart() {
	a.flush()
	a.meter = NewMeter(a.meter.Name, a.meter.Since, a.meter.Dimensions())
	a.ledger = New()
	a.ledger.Restore([]*Meter{a.meter}, foldedChanges(a.told), a.sealed, 0)
	if a.ledger.HasUnwritten() {
		a.t.Fatalf("a restart changed something: %v", a.ledger.Unwritten())
	}
}

func (a *arrival) flush() { a.told = append(a.told, a.ledger.Unwritten()...) }

// foldedChanges are the newest of each key, and all that have none.
func foldedChanges(changes []usage.Change) []usage.Change {
	byKey := map[usage.SegmentKey]usage.Change{}
	var rest []usage.Change
	for _, c := range changes {
		switch {
		case c.Kind == usage.Void:
			delete(byKey, c.Key())
		case c.HasKey():
			byKey[c.Key()] = c
		default:
			rest = append(rest, c)
		}
	}
	return slices.AppendSeq(rest, maps.Values(byKey))
}

// perSecond is what the journal says of each second and place: segments, and corrections.
func perSecond(t *rapid.T, changes []usage.Change) map[string]int64 {
	sums := map[string]int64{}
	for _, c := range foldedChanges(changes) {
		sign := int64(1)
		if c.Kind == usage.Less {
			sign = -1
		}
		end := c.End.At
		if c.End.IsZero() {
			end = horizon
		}
		if c.Corrects > c.Start.At || c.Kind != usage.Put && end > c.Corrects+60 {
			t.Fatalf("%s of [%d, %d): it corrects the interval from %d on", c.Kind, c.Start.At, end, c.Corrects)
		}
		for at := c.Start.At; at < min(end, horizon); at++ {
			sums[fmt.Sprintf("%d %s", at, c.Subject.Deployment)] += sign * c.Level
		}
	}
	maps.DeleteFunc(sums, func(_ string, sum int64) bool { return sum == 0 })
	return sums
}

// begins tells whether something is still to be learnt of an activity that begins.
func begins(level int64, levels []fact) bool {
	for _, f := range levels {
		if level == 0 && f.level != 0 {
			return true
		}
		level = f.level
	}
	return false
}

// arrive lets all of the past arrive, with seals and restarts in between.
func (a *arrival) arrive() {
	a.observe(fact{at: a.past.began, written: a.past.began, level: 1})
	levels, places, goes := a.past.levels, a.past.places, a.past.gone != 0
	for len(levels)+len(places) > 0 || goes {
		next := rapid.SampledFrom([]string{"own", "own", "move", "seal", "restart"}).Draw(a.t, "next")
		switch {
		case next == "own" && len(levels) > 0:
			a.observe(levels[0])
			levels = levels[1:]
		case next == "own" && goes:
			a.remove()
			goes = false
		case next == "move" && len(places) > 0 && !begins(a.level, levels):
			// Of what begins after a move that is known already, only the graph
			// knows where it was put when it began.
			a.move(places[0])
			places = places[1:]
		case next == "seal":
			a.seal()
		case next == "restart":
			a.restart()
		}
		a.packAll()
	}
	a.flush()
}

// Whatever the order in which things are learnt, whatever was sealed before, and
// however often the operator was restarted in between: segments and corrections
// add up to what happened, and what is sealed stays as it was.
func TestTheOrderOfArrivalDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := &arrival{
			t: t, ledger: New(), past: drawPast(t), now: 2 * horizon, place: "a",
			meter: NewMeter("vm", 0, []usage.Dimension{{Name: "vcpu", Unit: usage.Core}}),
		}
		a.packs = rapid.Bool().Draw(t, "packs")
		if rapid.Bool().Draw(t, "sealed before") {
			a.seal()
		}
		a.arrive()
		want, got := a.past.held(), perSecond(t, a.told)
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if want[key] != got[key] {
				t.Fatalf("second and place %q: held %d, said %d\n%v", key, want[key], got[key], foldedChanges(a.told))
			}
			delete(got, key)
		}
		if len(got) > 0 {
			t.Fatalf("said, and not held: %v\n%v", got, foldedChanges(a.told))
		}
		for i, w := range a.sealed {
			if a.digest(w) != a.as[i] {
				t.Fatalf("what was sealed of [%d, %d) has changed", w.Start, w.End)
			}
		}
	})
}
