package ledger

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// anything drives a ledger with what may never happen: two meters of the same
// dimensions, moments in any order, objects that return under their UID.
type anything struct {
	*rapid.T
	ledger *Ledger
	meters []*Meter
	now    int64
	told   []usage.Change
	sealed []usage.Window
	as     [][32]byte
	packs  bool // what is gone, after each step
}

var measured = []usage.Dimension{{Name: "cpu", Unit: usage.Core}, {Name: "memory", Unit: usage.Byte}, {Name: "gpu", Unit: usage.Count}}

// ago is a moment up to so many seconds before now.
func (a *anything) ago(most int64) int64 { return a.now - rapid.Int64Range(0, most).Draw(a.T, "ago") }

func (a *anything) uid() string { return rapid.SampledFrom([]string{"one", "two"}).Draw(a.T, "uid") }

func (a *anything) meter() *Meter { return rapid.SampledFrom(a.meters).Draw(a.T, "meter") }

func (a *anything) members(m *Meter, uid string) []usage.Member {
	var members []usage.Member
	for _, container := range []string{"", "side"} {
		if rapid.Bool().Draw(a.T, "no member") {
			continue
		}
		resource := usage.Object{Kind: "Workload", UID: rapid.SampledFrom([]string{"r", "s"}).Draw(a.T, "resource")}
		member := usage.Member{Active: rapid.IntRange(0, 3).Draw(a.T, "active") > 0, Subject: usage.Subject{
			Resource: resource, Instance: usage.Object{Kind: "Pod", UID: uid}, Container: container,
			Account: usage.Account{Namespace: "shop", Deployment: rapid.SampledFrom([]string{"", "a", "b"}).Draw(a.T, "deployment")},
		}}
		if member.Active {
			for range m.Dimensions() {
				member.Levels = append(member.Levels, rapid.Int64Range(0, 2).Draw(a.T, "level"))
			}
		}
		if rapid.Bool().Draw(a.T, "stated") {
			stated := usage.Boundary{At: a.ago(200), Evidence: usage.ObjectTime}
			if member.Active {
				member.Start = stated
			} else {
				member.End = stated
			}
		}
		members = append(members, member)
	}
	return members
}

func (a *anything) observation() *Observation {
	m, uid := a.meter(), a.uid()
	o := &Observation{
		Meter: m, UID: uid, Members: a.members(m, uid), Now: a.now, After: a.ago(200), Written: a.ago(200),
		Origin: Origin(rapid.IntRange(0, 3).Draw(a.T, "origin")), Existed: rapid.Bool().Draw(a.T, "existed"),
	}
	o.Before = min(a.now, o.After+rapid.Int64Range(0, 200).Draw(a.T, "bounds"))
	return o
}

func (a *anything) step() {
	a.now += rapid.SampledFrom([]int64{0, 0, 1, 3, 40, 70}).Draw(a.T, "later")
	switch rapid.SampledFrom([]string{
		"observe", "observe", "observe", "remove", "missing", "unreadable", "move", "redefine", "stop", "seal", "restart",
	}).Draw(a.T, "step") {
	case "observe":
		_ = a.ledger.Observe(a.observation()) // what conflicts is refused
	case "remove":
		a.ledger.Remove(a.observation())
	case "missing":
		a.ledger.Missing(a.meter(), a.uid(), a.ago(200), a.now)
	case "unreadable":
		a.ledger.Unreadable(a.observation())
	case "move":
		to := rapid.SampledFrom([]string{"", "a", "b"}).Draw(a.T, "to")
		moments := Between(Origin(rapid.IntRange(0, 3).Draw(a.T, "origin")), a.ago(100), a.now)
		_ = a.ledger.Reattribute(a.uid(), moments, func(_ *Meter, s *usage.Subject) { s.Deployment = to })
	case "redefine":
		a.ledger.Redefine(a.meter(), rapid.SampledFrom([][]usage.Dimension{measured, measured[:1], measured[1:], {measured[2], measured[0]}}).Draw(a.T, "dimensions"), a.now)
	case "stop":
		i := rapid.IntRange(0, 1).Draw(a.T, "stops")
		a.ledger.Stop(a.meters[i], a.ago(100), a.now)
		a.meters[i] = NewMeter(a.meters[i].Name, a.now, a.meters[i].Dimensions())
	case "seal":
		next := usage.Window{Start: 960, End: 1020}
		if n := len(a.sealed); n > 0 {
			next = a.sealed[n-1].Next()
		}
		if next.End <= a.now {
			a.sealed, a.as = append(a.sealed, next), append(a.as, a.digest(a.ledger, next))
			a.ledger.Seal(next)
		}
	case "restart":
		a.told = append(a.told, a.ledger.Unwritten()...)
		a.ledger = a.loaded()
	}
	if a.packs {
		packAll(a.ledger)
	}
}

// loaded is a ledger from what the journal was told.
func (a *anything) loaded() *Ledger {
	l := New()
	var meters []*Meter
	for _, m := range a.meters {
		meters = append(meters, NewMeter(m.Name, m.Since, m.Dimensions()))
	}
	known := l.Restore(meters, foldedChanges(a.told), a.sealed, 0)
	for i, m := range a.meters {
		a.meters[i] = known[m.Name]
	}
	return l
}

func (a *anything) digest(l *Ledger, w usage.Window) [32]byte {
	var all []usage.Segment
	for _, account := range l.Accounts(w, w.End) {
		all = append(all, l.Cut(account, w, w.End)...)
	}
	return Digest([32]byte{}, w, all, nil)
}

// tile fails where two segments that hold the same of the same overlap.
func (a *anything) tile(changes []usage.Change) {
	byLine := map[usage.SegmentKey][]usage.Change{}
	for _, c := range changes {
		if c.Kind == usage.Put && c.HasKey() {
			key := c.Key()
			key.Start = 0
			byLine[key] = append(byLine[key], c)
		}
	}
	for _, x := range byLine {
		slices.SortFunc(x, func(a, b usage.Change) int { return cmp.Compare(a.Start.At, b.Start.At) })
		for i := range x {
			if !x[i].End.IsZero() && x[i].End.At < x[i].Start.At {
				a.Fatalf("ends before it starts: %v", x[i].Segment)
			}
			if i > 0 && (x[i-1].End.IsZero() || x[i-1].End.At > x[i].Start.At) {
				a.Fatalf("overlap: %v of %s and %v of %s", x[i-1].Segment, x[i-1].Meter, x[i].Segment, x[i].Meter)
			}
		}
	}
}

// amounts fails where what is said of any second comes to less than nothing.
func (a *anything) amounts(changes []usage.Change) {
	sums := map[string]int64{}
	for _, c := range changes {
		end := c.End.At
		if c.End.IsZero() {
			end = a.now
		}
		for at := c.Start.At; at < end; at++ {
			key := fmt.Sprintf("%s/%s/%s second %d", c.Subject.Instance.UID, c.Subject.Container, c.Dimension.Name, at)
			if c.Kind == usage.Less {
				sums[key] -= c.Level
			} else {
				sums[key] += c.Level
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(sums)) {
		if sums[key] < 0 {
			a.Fatalf("%s: %d is held\n%v", key, sums[key], changes)
		}
	}
}

// Whatever comes, in whatever order: nothing is held twice, or for less than no
// time, what is sealed stays as it was, here and for whoever loads the journal,
// and no correction takes off more than was said.
func TestWhateverComes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := &anything{T: t, ledger: New(), now: 1000, meters: []*Meter{NewMeter("m", 1000, measured[:2]), NewMeter("n", 1000, measured[1:])}}
		a.packs = rapid.Bool().Draw(t, "packs")
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			a.step()
		}
		a.told = append(a.told, a.ledger.Unwritten()...)
		changes := foldedChanges(a.told)
		a.tile(changes)
		a.amounts(changes)
		loaded := a.loaded()
		for i, w := range a.sealed {
			if a.digest(a.ledger, w) != a.as[i] {
				t.Fatalf("what was sealed of [%d, %d) has changed", w.Start, w.End)
			}
			if a.digest(loaded, w) != a.as[i] {
				t.Fatalf("what was sealed of [%d, %d) is loaded otherwise", w.Start, w.End)
			}
		}
	})
}
