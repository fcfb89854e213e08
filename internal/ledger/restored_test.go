package ledger

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"testing"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// history is what the journal has of pods for some hours, and the intervals that were sealed.
func history(t *testing.T, perHour, hours int64) (p *pods, told []usage.Change, sealed []usage.Window) {
	t.Helper()
	p = newPods(perHour)
	for n := range perHour * hours {
		if err := p.Observe(p.pod(n, p.start(n))); err != nil {
			t.Fatal(err)
		}
		p.Remove(p.pod(n, p.start(n)+180))
	}
	for hour := range hours {
		sealed = append(sealed, usage.Window{Start: p.began + hour*anHour, End: p.began + (hour+1)*anHour})
	}
	return p, p.Unwritten(), sealed
}

// portioned are changes in so many portions, with all that is of one object in one of them. Before
// each of them it calls.
func portioned(changes []usage.Change, count uint32, before func()) func(yield func([]usage.Change) bool) {
	portions := make([][]usage.Change, count)
	for _, c := range changes {
		h := fnv.New32()
		h.Write([]byte(c.Subject.Instance.UID))
		portions[h.Sum32()%count] = append(portions[h.Sum32()%count], c)
	}
	return func(yield func([]usage.Change) bool) {
		for _, portion := range portions {
			if before(); !yield(portion) {
				return
			}
		}
	}
}

// What is restored portion by portion is packed portion by portion, and lies in as few blocks as if
// it had been packed at once. It says what it would say if it were not packed.
func TestWhatIsRestoredIsPackedAtOnce(t *testing.T) {
	const perHour, hours, portions = 2_000, 4, 23
	p, told, sealed := history(t, perHour, hours)
	whole := New()
	whole.Restore([]*Meter{NewMeter("container", p.began, p.meter.Dimensions())}, told, sealed, 0)

	packed, most := New(), 0
	until := sealed[hours-1].Start
	restore := portioned(told, portions, func() {
		for at := packed.past.first; at != nil; at = at.after {
			if ended, is := packed.packable(at, math.MaxInt64); is && ended <= until {
				t.Fatalf("%s ended at %d, and is not packed", at.uid, ended)
			}
		}
		most = max(most, packed.past.count)
	})
	packed.RestorePacked([]*Meter{NewMeter("container", p.began, p.meter.Dimensions())}, restore, sealed, 0, until)
	if most > perHour*11/10 {
		t.Errorf("%d objects were as they are at a time: only those of the last hour of %d are to be", most, hours)
	}
	if n := packed.packed.objects; n < perHour*(hours-1)*9/10 || packed.past.count+n != perHour*hours {
		t.Errorf("%d objects are packed, and %d are not", n, packed.past.count)
	}
	full := (packed.packed.objects + blockObjects - 1) / blockObjects
	if n := len(packed.packed.blocks); n > full+hours {
		t.Errorf("%d blocks, where %d would do", n, full)
	}
	for _, w := range append(slices.Clone(sealed), usage.Window{End: math.MaxInt64 / 2}) {
		accounts := whole.Accounts(w, w.End)
		if got := packed.Accounts(w, w.End); !slices.Equal(accounts, got) {
			t.Fatalf("%v: accounts %v, want %v", w, got, accounts)
		}
		for _, account := range accounts {
			want, got := fmt.Sprint(inOrder(whole.Cut(account, w, w.End))), fmt.Sprint(inOrder(packed.Cut(account, w, w.End)))
			if want != got {
				t.Fatalf("%v of %v: got %s, want %s", w, account, got, want)
			}
		}
	}
}

// inOrder are segments in words, in order.
func inOrder(segments []usage.Segment) (all []string) {
	for i := range segments {
		all = append(all, segments[i].String())
	}
	slices.Sort(all)
	return all
}

// A dimension that only a later portion has widens the streams of those before.
func TestAPortionHasADimensionThatOthersHaveNot(t *testing.T) {
	put := func(uid string, d usage.Dimension) usage.Change {
		o := usage.Object{Kind: "Pod", Name: uid, UID: uid}
		return usage.Change{Segment: usage.Segment{
			Meter: "m", Subject: &usage.Subject{Resource: o, Instance: o}, Dimension: d, Level: 1, Start: usage.Boundary{At: 100, Evidence: usage.ObjectTime},
		}}
	}
	l := New()
	known := l.RestorePacked(nil, slices.Values([][]usage.Change{{put("a", measured[0])}, {put("b", measured[1])}}), nil, 0, math.MaxInt64)
	o := &Observation{Meter: known["m"], UID: "a", Written: 200, After: 199, Now: 200, Members: []usage.Member{{
		Active: true, Levels: []int64{1, 5}, Subject: usage.Subject{Resource: usage.Object{Kind: "Pod", Name: "a", UID: "a"}, Instance: usage.Object{Kind: "Pod", Name: "a", UID: "a"}},
	}}}
	if err := l.Observe(o); err != nil {
		t.Fatal(err)
	}
	if got := l.Cut(usage.Account{}, usage.Window{Start: 0, End: 300}, 300); len(got) != 3 {
		t.Errorf("got %v", got)
	}
}
