package ledger

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// twins are two ledgers that are told the same. The second packs what is gone whenever it can,
// sealed or not, and the first never does.
type twins struct {
	*rapid.T
	sides  [2]twin
	now    int64
	told   []usage.Change
	sealed []usage.Window
}

type twin struct {
	ledger *Ledger
	meters []*Meter
}

// packAll packs all that is gone, sealed or not.
func packAll(l *Ledger) {
	for l.Pack(math.MaxInt64) {
	}
}

// twinUIDs are UIDs in the form of Kubernetes' own, and others.
var twinUIDs = []string{"one", "one", "one", "5f6e2a1c-93d4-4b7e-8f00-1a2b3c4d5e6f", "5F6E2A1C-93D4-4B7E-8F00-1A2B3C4D5E6F", "00000000-0000-4000-8000-000000000001"}

const twinInterval = 900

func newTwins(t *rapid.T) *twins {
	x := &twins{T: t, now: 2 * anHour}
	for i := range x.sides {
		x.sides[i] = twin{ledger: New(), meters: []*Meter{NewMeter("m", x.now, measured[:2]), NewMeter("n", x.now, measured[1:])}}
	}
	return x
}

func draw[V any](x *twins, what string, values ...V) V {
	return rapid.SampledFrom(values).Draw(x.T, what)
}

func (x *twins) ago() int64 {
	return x.now - rapid.Int64Range(0, draw[int64](x, "about", 5, 200, 5000)).Draw(x.T, "ago")
}

// uid is mostly the same: much is to be learnt of one object.
func (x *twins) uid() string {
	return rapid.SampledFrom(twinUIDs).Draw(x.T, "uid")
}

func (x *twins) account() usage.Account {
	return usage.Account{Namespace: draw(x, "namespace", "shop", "shop", "bank"), NamespaceUID: draw(x, "namespace UID", "", "u", "v"), Deployment: draw(x, "deployment", "", "a", "b")}
}

func (x *twins) members(meter int, uid string) []usage.Member {
	var members []usage.Member
	for _, container := range []string{"", "side"} {
		if rapid.Bool().Draw(x.T, "no member") {
			continue
		}
		m := usage.Member{Active: draw(x, "active", true, true, false), Subject: usage.Subject{
			Resource:  usage.Object{Kind: "Workload", Name: draw(x, "resource name", "w", "pod"), UID: draw(x, "resource", "r", "s", uid)},
			Instance:  usage.Object{Kind: "Pod", Name: "pod", UID: uid},
			Container: container, Account: x.account(), Of: draw(x, "of", "", "", "x"), Bundle: draw(x, "bundle", "", "large"),
		}}
		if m.Active {
			for range x.sides[0].meters[meter].Dimensions() {
				m.Levels = append(m.Levels, draw[int64](x, "level", 0, 1, 1<<40))
			}
		}
		if stated := (usage.Boundary{At: x.ago(), Evidence: usage.ObjectTime}); rapid.Bool().Draw(x.T, "stated") && m.Active {
			m.Start = stated
		} else if !m.Active {
			m.End = stated
		}
		members = append(members, m)
	}
	return members
}

// observation is made for each side.
func (x *twins) observation() func(twin) *Observation {
	meter, uid := draw(x, "meter", 0, 0, 1), x.uid()
	o := Observation{
		UID: uid, Members: x.members(meter, uid), Now: x.now, After: x.ago(), Written: x.ago(), Fields: draw[uint32](x, "fields", 0, 3),
		Created: draw(x, "created", 0, x.ago()), Origin: Origin(draw(x, "origin", 0, 1, 2, 3)), Existed: draw(x, "existed", true, false),
	}
	o.Before = min(x.now, o.After+rapid.Int64Range(0, 200).Draw(x.T, "bounds"))
	return func(side twin) *Observation {
		o := o
		o.Meter, o.Members = side.meters[meter], slices.Clone(o.Members)
		return &o
	}
}

// both does the same to both sides, and compares what they say to it; the second packs then.
func (x *twins) both(do func(side twin) any) {
	var said [2]string
	for i, side := range x.sides {
		said[i] = fmt.Sprint(do(side))
	}
	if said[0] != said[1] {
		x.Fatalf("what is packed says otherwise:\n%s\nwhat is not:\n%s", said[1], said[0])
	}
}

func (x *twins) pack() {
	for range draw(x, "steps of packing", 0, 1, 1000, 1000) {
		if !x.sides[1].ledger.Pack(math.MaxInt64) {
			break
		}
	}
}

func (x *twins) moments() Moments {
	return Between(Origin(draw(x, "origin", 0, 1, 2, 3)), x.ago(), x.now)
}

func (x *twins) step() {
	x.now += draw[int64](x, "later", 0, 0, 1, 3, 40, 700, 4000)
	switch draw(x, "step", "observe", "observe", "observe", "remove", "remove", "missing", "unreadable", "move", "move", "amend", "redefine", "stop", "seal", "seal", "forget", "restart", "unwritten", "changed") {
	case "observe":
		o := x.observation()
		x.both(func(s twin) any { return s.ledger.Observe(o(s)) })
	case "remove":
		o := x.observation()
		x.both(func(s twin) any { s.ledger.Remove(o(s)); return nil })
	case "missing":
		meter, uid, earliest := draw(x, "meter", 0, 1), x.uid(), x.ago()
		x.both(func(s twin) any { s.ledger.Missing(s.meters[meter], uid, earliest, x.now); return nil })
	case "unreadable":
		o := x.observation()
		x.both(func(s twin) any { s.ledger.Unreadable(o(s)); return nil })
	case "move":
		x.move()
	case "amend":
		uid, moment, to := x.uid(), usage.Boundary{At: x.ago(), Evidence: usage.CreationTime}, draw(x, "to", "u", "v")
		x.both(func(s twin) any {
			s.ledger.Amend(uid, moment, func(_ *Meter, s *usage.Subject) { s.NamespaceUID = to })
			return nil
		})
	case "redefine":
		meter, to := draw(x, "meter", 0, 1), draw(x, "dimensions", measured, measured[:1], measured[1:], []usage.Dimension{measured[2], measured[0]})
		x.both(func(s twin) any { s.ledger.Redefine(s.meters[meter], to, x.now); return nil })
	case "stop":
		meter, earliest := draw(x, "meter", 0, 1), x.ago()
		x.both(func(s twin) any {
			m := s.meters[meter]
			s.ledger.Stop(m, earliest, x.now)
			s.meters[meter] = NewMeter(m.Name, x.now, m.Dimensions())
			return nil
		})
	case "seal":
		x.seal()
	case "forget":
		before := min(x.ago(), x.sides[0].ledger.Sealed())
		x.both(func(s twin) any { s.ledger.Forget(before); return nil })
	case "restart":
		x.restart()
	case "unwritten":
		x.flush()
	case "changed":
		x.both(func(s twin) any { return slices.SortedFunc(slices.Values(s.ledger.Changed()), usage.CompareAccounts) })
	}
}

func (x *twins) move() {
	uid, moments, to := x.uid(), x.moments(), x.account()
	resource := draw(x, "resource", "", "", "r", "s")
	retrace := rapid.Bool().Draw(x.T, "retrace")
	x.both(func(s twin) any {
		move := s.ledger.Reattribute
		if retrace {
			move = s.ledger.Retrace
		}
		return move(uid, moments, func(_ *Meter, s *usage.Subject) {
			if s.Account = to; resource != "" {
				s.Resource.UID = resource
			}
		})
	})
}

// seal seals what is over, while another interval that is sealed is gathered.
func (x *twins) seal() {
	next := usage.Window{Start: anHour, End: anHour + twinInterval}
	if n := len(x.sealed); n > 0 {
		next = x.sealed[n-1].Next()
	}
	for ; next.End <= x.now; next = next.Next() {
		x.sealed = append(x.sealed, next)
		x.both(func(s twin) any { s.ledger.Seal(next); return s.ledger.Late() })
		if rapid.Bool().Draw(x.T, "enough") {
			return
		}
	}
}

// flush compares what the journal is told: of one object, what has ended is in order.
func (x *twins) flush() {
	var told []usage.Change
	x.both(func(s twin) any {
		told = s.ledger.Unwritten()
		rank := func(c usage.Change) int {
			switch {
			case c.Kind == usage.Less || c.Kind == usage.More:
				return 2
			case c.Kind == usage.Put && c.End.IsZero():
				return 1
			}
			return 0
		}
		slices.SortStableFunc(told, func(a, b usage.Change) int { // objects come in any order
			order := cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Subject.Instance.UID, b.Subject.Instance.UID), cmp.Compare(a.Meter, b.Meter))
			if order == 0 && rank(a) == 1 {
				order = cmp.Or(usage.CompareAccounts(a.Subject.Account, b.Subject.Account), a.Compare(b.Segment))
			}
			return order
		})
		return inWords(told)
	})
	x.told = append(x.told, told...)
}

func inWords(changes []usage.Change) (all []string) {
	for _, c := range changes {
		all = append(all, fmt.Sprintf("\n%s of %d: %s %v %s %d %v %v", c.Kind, c.Corrects, c.Meter, *c.Subject, c.Dimension.Name, c.Level, c.Start, c.End))
	}
	return all
}

// portionsOf are changes one object at a time.
func portionsOf(changes []usage.Change) iter.Seq[[]usage.Change] {
	of := map[string][]usage.Change{}
	for _, c := range changes {
		of[c.Subject.Instance.UID] = append(of[c.Subject.Instance.UID], c)
	}
	return maps.Values(of)
}

func (x *twins) restart() {
	x.flush()
	told := foldedChanges(x.told)
	for i := range x.sides {
		l := New()
		var meters []*Meter
		for _, m := range x.sides[i].meters {
			meters = append(meters, NewMeter(m.Name, m.Since, m.Dimensions()))
		}
		var known map[string]*Meter
		if i == 0 {
			known = l.Restore(meters, told, x.sealed, math.MinInt64)
		} else {
			until := draw(x, "packed as it is restored", int64(math.MinInt64), x.now-anHour, math.MaxInt64)
			known = l.RestorePacked(meters, portionsOf(told), x.sealed, math.MinInt64, until)
		}
		for j, m := range meters {
			x.sides[i].meters[j] = known[m.Name]
		}
		x.sides[i].ledger = l
	}
}

// compare compares what can be asked.
func (x *twins) compare() {
	windows := append(slices.Clone(x.sealed), usage.Window{Start: 0, End: x.now + 1}, usage.Window{Start: x.now - 100, End: x.now + 100})
	for _, w := range windows {
		x.both(func(s twin) any {
			var all []string
			for _, account := range s.ledger.Accounts(w, x.now) {
				for _, segment := range s.ledger.Cut(account, w, x.now) {
					all = append(all, fmt.Sprintf("\n%v %s %s %d %v %v", *segment.Subject, segment.Meter, segment.Dimension.Name, segment.Level, segment.Start, segment.End))
				}
			}
			return all
		})
	}
	if rapid.Bool().Draw(x.T, "ask of objects") {
		x.ask()
	}
}

// ask compares what can be asked of objects.
func (x *twins) ask() {
	created := x.ago()
	x.both(func(s twin) any { return s.ledger.Within("shop", "v", created) })
	uid := x.uid()
	x.both(func(s twin) any { return s.ledger.Knows(uid) })
	x.both(func(s twin) any { end, known := s.ledger.LastEnd(uid); return fmt.Sprint(end, known) })
	x.both(func(s twin) any { since, holds := s.ledger.Holding(uid); return fmt.Sprint(since, holds) })
	x.both(func(s twin) any { since, held := s.ledger.Placed(uid, "r"); return fmt.Sprint(since, held) })
	x.both(func(s twin) any {
		var all []string
		for _, m := range s.meters {
			held, holds := s.ledger.Held(m, uid, "side")
			all = append(all, fmt.Sprint(m.Active(), held != nil, holds, s.ledger.HoldsBy(m, uid), s.ledger.HeldMembers(m, uid)))
		}
		return all
	})
}

// gathering compares what is gathered while the ledgers go on, of an interval that is sealed.
func (x *twins) gathering() func() {
	if len(x.sealed) == 0 {
		return func() {}
	}
	w := rapid.SampledFrom(x.sealed).Draw(x.T, "interval")
	var gathered [2]map[usage.Account]*Gathering
	for i, s := range x.sides {
		gathered[i] = map[usage.Account]*Gathering{}
		for _, account := range s.ledger.Accounts(w, w.End) {
			gathered[i][account] = &Gathering{}
			s.ledger.Gather(gathered[i][account], account, w, w.End)
		}
	}
	return func() {
		i := -1
		x.both(func(twin) any {
			i++
			var all []string
			for _, account := range slices.SortedFunc(maps.Keys(gathered[i]), usage.CompareAccounts) {
				var segments []usage.Segment
				for over := false; !over; {
					segments, over = gathered[i][account].Next(segments, 1)
				}
				slices.SortFunc(segments, usage.Segment.Compare)
				for _, s := range segments {
					all = append(all, fmt.Sprintf("\n%v %s %s %d %v %v", *s.Subject, s.Meter, s.Dimension.Name, s.Level, s.Start, s.End))
				}
			}
			return all
		})
	}
}

// Whatever comes, in whatever order: what is packed says what it would say if it were not.
func TestWhatIsPackedIsAsIfItWereNot(t *testing.T) {
	packed := 0
	rapid.Check(t, func(t *rapid.T) {
		x := newTwins(t)
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			x.step()
			x.pack()
			packed += x.sides[1].ledger.packed.objects
			if rapid.IntRange(0, 3).Draw(t, "compares") == 0 {
				x.compare()
				x.pack()
			}
		}
		x.flush()
		x.compare()
	})
	if packed == 0 {
		t.Error("nothing was packed")
	}
}

// What is gathered of a sealed interval is what it was, whatever is packed, or learnt, meanwhile.
func TestWhatIsPackedWhileItIsGathered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := newTwins(t)
		for range rapid.IntRange(1, 6).Draw(t, "intervals") {
			for range rapid.IntRange(1, 6).Draw(t, "steps") {
				x.step()
			}
			x.pack()
			next := x.gathering()
			o := x.observation()
			x.both(func(s twin) any { return s.ledger.Observe(o(s)) })
			x.move()
			x.pack()
			next()
		}
	})
}
