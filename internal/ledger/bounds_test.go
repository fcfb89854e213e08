package ledger

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// within is a moment that is known to lie between two others.
type within struct{ earliest, at, latest int64 }

// drawWithin gives moments, that are in order, bounds that are in order, too: so
// are those of revisions.
func drawWithin(t *rapid.T, moments []int64) []within {
	out := make([]within, len(moments))
	for i, at := range moments {
		width := rapid.SampledFrom([]int64{0, 1, 5, 40, 150}).Draw(t, "width")
		out[i] = within{
			earliest: at - rapid.Int64Range(0, width).Draw(t, "earlier"), at: at,
			latest: at + rapid.Int64Range(0, width).Draw(t, "later"),
		}
		if i > 0 {
			out[i].earliest = max(out[i].earliest, out[i-1].earliest)
		}
	}
	for i := len(out) - 2; i >= 0; i-- {
		out[i].latest = min(out[i].latest, out[i+1].latest)
	}
	return out
}

// bounded lets a past arrive of which no moment is known but by its bounds.
type bounded struct {
	*arrival
	own, moves []within // of levels and, at last, the end; of places
}

func (b *bounded) observe(f fact, w within) {
	m := b.member(f.level)
	m.Start = usage.Boundary{}
	if f.level == 0 {
		m.Active, m.Levels = false, nil
	}
	b.level = f.level
	err := b.ledger.Observe(&Observation{
		Meter: b.meter, UID: "uid", Members: []usage.Member{m}, After: w.earliest, Before: w.latest, Now: b.now, Origin: Replayed,
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bounded) move(f fact, w within) {
	b.place = f.place
	err := b.ledger.Reattribute("uid", Between(Replayed, w.earliest, w.latest), func(_ *Meter, s *usage.Subject) { s.Deployment = f.place })
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bounded) arrive() {
	b.arrival.observe(fact{at: b.past.began, written: b.past.began, level: 1})
	levels, places, own, moves := b.past.levels, b.past.places, b.own, b.moves
	for len(own)+len(places) > 0 {
		next := rapid.SampledFrom([]string{"own", "own", "move", "seal", "restart"}).Draw(b.t, "next")
		switch {
		case next == "own" && len(levels) > 0:
			b.observe(levels[0], own[0])
			levels, own = levels[1:], own[1:]
		case next == "own" && len(own) > 0:
			b.level = 0
			b.ledger.Remove(&Observation{Meter: b.meter, UID: "uid", After: own[0].earliest, Before: own[0].latest, Now: b.now, Origin: Replayed})
			own = nil
		case next == "move" && len(places) > 0 && !begins(b.level, levels):
			b.move(places[0], moves[0])
			places, moves = places[1:], moves[1:]
		case next == "seal":
			b.seal()
		case next == "restart":
			b.restart()
		}
		b.packAll()
	}
	b.flush()
}

// doubtful are the seconds of which the journal says itself that it may be otherwise.
func doubtful(changes []usage.Change) func(second int64) bool {
	var windows []usage.Window
	for _, c := range foldedChanges(changes) {
		if c.Kind == usage.Less {
			continue
		}
		earliest, _ := c.Start.StartBounds()
		windows = append(windows, usage.Window{Start: earliest, End: c.Start.At})
		if !c.End.IsZero() {
			_, latest := c.End.EndBounds()
			windows = append(windows, usage.Window{Start: c.End.At, End: latest})
		}
	}
	return func(second int64) bool {
		return slices.ContainsFunc(windows, func(w usage.Window) bool { return w.Contains(second) })
	}
}

// near tells whether it was so at most a second from then. What is held and where it
// is put are each known by themselves.
func (p *past) near(second int64, place string, level int64) bool {
	var levels, places bool
	for at := second - aSecond; at <= second+aSecond; at++ {
		held := int64(0)
		if p.holds(at) {
			held = p.levelAt(at)
		}
		levels = levels || held == level
		places = places || level == 0 || p.placeAt(at) == place
	}
	return levels && places
}

func (p *past) holds(at int64) bool {
	return at >= p.began && (p.gone == 0 || at < p.gone) && p.levelAt(at) != 0
}

func (p *past) levelAt(at int64) int64 {
	level := int64(1)
	for _, f := range p.levels {
		if f.at <= at {
			level = f.level
		}
	}
	return level
}

func (p *past) placeAt(at int64) string {
	place := "a"
	for _, f := range p.places {
		if f.at <= at {
			place = f.place
		}
	}
	return place
}

// Whatever the order in which bounded moments are learnt, and whatever was sealed
// before: what segments and corrections say of a second was so, to a second, or they
// say themselves that it may have been otherwise.
func TestTheTruthLiesWithinTheBoundsWhateverWasSealed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &bounded{arrival: &arrival{
			t: t, ledger: New(), past: drawPast(t), now: 2 * horizon, place: "a",
			meter: NewMeter("vm", 0, []usage.Dimension{{Name: "vcpu", Unit: usage.Core}}),
		}}
		b.packs = rapid.Bool().Draw(t, "packs")
		p := &b.past
		var own, moves []int64
		for i := range p.levels {
			p.levels[i].at = p.levels[i].written // nothing is stated
			own = append(own, p.levels[i].at)
		}
		if p.gone != 0 {
			own = append(own, p.gone)
		}
		for _, f := range p.places {
			moves = append(moves, f.at)
		}
		b.own, b.moves = drawWithin(t, own), drawWithin(t, moves)
		b.arrive()

		b.isWithin()
		for i, w := range b.sealed {
			if b.digest(w) != b.as[i] {
				t.Fatalf("what was sealed of [%d, %d) has changed", w.Start, w.End)
			}
		}
	})
}

// isWithin fails if of some second something is said that was not so, to a second, and that cannot be doubted.
func (b *bounded) isWithin() {
	p := &b.past
	said, open := perSecond(b.t, b.told), doubtful(b.told)
	for second := p.began - 1; second < horizon; second++ {
		if open(second) {
			continue
		}
		level, place := int64(0), ""
		for _, where := range []string{"a", "b", "c", "d"} {
			if held := said[fmt.Sprintf("%d %s", second, where)]; held != 0 {
				level, place = level+held, where
			}
		}
		if !p.near(second, place, level) {
			b.t.Fatalf("second %d: said %d in %q, and that cannot be doubted; it was %v %d in %q\nlevels %v within %v, gone %d, places %v within %v, sealed until %d\n%v",
				second, level, place, p.holds(second), p.levelAt(second), p.placeAt(second), p.levels, b.own, p.gone, p.places, b.moves, b.ledger.Sealed(), changesIn(b.told))
		}
	}
}

// A machine that was put elsewhere and came back, within bounds, has said nothing of itself: a restart
// does not take it for a change of its own, after which what it says comes.
func TestARestartTakesNoMoveForAChangeOfTheObjectsOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &bounded{arrival: &arrival{
			t: t, ledger: New(), now: 2 * horizon, place: "a",
			meter: NewMeter("vm", 0, []usage.Dimension{{Name: "vcpu", Unit: usage.Core}}),
			past: past{
				began: 1, levels: []fact{{at: 5, written: 5, level: 2}},
				places: []fact{{at: 2, place: "b"}, {at: 6, place: "c"}, {at: 7, place: "d"}, {at: 8, place: "b"}},
			},
		}}
		b.arrival.observe(fact{at: 1, written: 1, level: 1})
		for i, w := range []within{{2, 2, 2}, {6, 6, 7}, {7, 7, 7}, {7, 8, 9}} {
			b.move(b.past.places[i], w)
		}
		b.restart()
		b.observe(b.past.levels[0], within{5, 5, 7})
		b.flush()
		b.isWithin()
	})
}

// changesIn are changes for people.
func changesIn(told []usage.Change) (lines []string) {
	for _, c := range foldedChanges(told) {
		end := c.End.At
		if c.End.IsZero() {
			end = math.MaxInt64
		}
		lines = append(lines, fmt.Sprintf("\n%s %q %d [%d-%d, %d+%d) %s %s", c.Kind, c.Subject.Deployment, c.Level, c.Start.At, c.Start.Slack, end, c.End.Slack, c.Start.Evidence, c.End.Evidence))
	}
	slices.Sort(lines)
	return lines
}

// What settles was never where it was put first, also where its start has bounds.
func TestWhatSettlesLeavesNoTraceWhereItWas(t *testing.T) {
	b := &bench{Ledger: New(), t: t, meter: NewMeter("volume", 0, []usage.Dimension{{Name: "storage", Unit: usage.Byte}})}
	claim := vm("", 4)
	claim.Start = usage.Boundary{At: 700, Evidence: usage.CreationTime}
	if err := b.Observe(&Observation{Meter: b.meter, UID: "uid", Members: []usage.Member{claim}, Written: 1000, After: 600, Now: 1000, Origin: Resumed}); err != nil {
		t.Fatal(err)
	}
	seen := usage.Boundary{At: 1005, Evidence: usage.Observed}
	if err := b.Reattribute("uid", Moments{End: seen, Start: seen}, func(_ *Meter, s *usage.Subject) { s.Deployment = "web" }); err != nil {
		t.Fatal(err)
	}
	for _, c := range b.Unwritten() {
		if c.Subject.Deployment == "" {
			t.Errorf("unattributed still has %v %v", c.Kind, c.Segment)
		}
	}
}
