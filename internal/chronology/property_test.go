package chronology

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// oracle believes every mark, and looks at all of them.
type oracle struct{ lower, upper []mark }

func (o *oracle) earliest(revision uint64) int64 {
	at := int64(0)
	for _, m := range o.lower {
		if m.revision <= revision {
			at = max(at, m.at)
		}
	}
	return at
}

func (o *oracle) latest(revision uint64) int64 {
	at := int64(math.MaxInt64)
	for _, m := range o.upper {
		if m.revision >= revision {
			at = min(at, m.at)
		}
	}
	return at
}

// past is when each revision was committed; revision 0 is none.
type past []int64

func drawPast(t *rapid.T) past {
	gaps := rapid.SliceOfN(rapid.SampledFrom([]int64{0, 0, 0, 1, 1, 2, 7, 100}), 1, 60).Draw(t, "gaps")
	times, at := past{0}, int64(1000)
	for _, gap := range gaps {
		at += gap
		times = append(times, at)
	}
	return times
}

// tell gives the clock and the oracle one mark that is true of the past, by a
// clock that is off seconds ahead.
func (p past) tell(t *rapid.T, c *Clock, o *oracle, off func(label string) int64) {
	revision := rapid.IntRange(1, len(p)-1).Draw(t, "revision")
	at, r := p[revision], uint64(revision)
	late := rapid.Int64Range(0, 20).Draw(t, "late")
	switch rapid.IntRange(0, 3).Draw(t, "mark") {
	case 0:
		// Another version replaces this one. Its write was dated once it had read this,
		// and committed some time later.
		replacedBy := rapid.IntRange(revision, len(p)-1).Draw(t, "replaced by")
		at = rapid.Int64Range(at, p[replacedBy]).Draw(t, "dated") + off("dated by")
		c.AtLeast(uint64(replacedBy), at)
		c.Replaced(r, at)
		o.lower, o.upper = append(o.lower, mark{uint64(replacedBy), at}), append(o.upper, mark{r, at})
	case 1: // dated, and committed late
		at += off("at least") - late
		c.AtLeast(r, at)
		o.lower = append(o.lower, mark{r, at})
	case 2:
		at += off("before") + late
		c.Before(r, at)
		o.upper = append(o.upper, mark{r, at})
	case 3:
		if revision+1 < len(p) { // asked for between this write and the next
			at = p[revision+1] + off("after") - late
		}
		c.After(r, at)
		o.lower = append(o.lower, mark{r + 1, at})
	}
}

func TestTheTruthIsWithinBoundsThatAreAsTightAsTheMarksAllow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times, c, o := drawPast(t), &Clock{}, &oracle{}
		together := func(string) int64 { return 0 }
		now := times[len(times)-1] + rapid.Int64Range(0, 30).Draw(t, "now")
		for range rapid.IntRange(0, 40).Draw(t, "marks") {
			times.tell(t, c, o, together)
		}
		for revision := 1; revision < len(times); revision++ {
			r := uint64(revision)
			earliest, latest := c.Bounds(r, now)
			if earliest > times[r] || latest < times[r] {
				t.Fatalf("revision %d is of %d, outside [%d, %d]", r, times[r], earliest, latest)
			}
			if want := o.earliest(r); earliest != want {
				t.Fatalf("revision %d: earliest %d, the marks say %d", r, earliest, want)
			}
			if want := min(now, o.latest(r)); latest != want {
				t.Fatalf("revision %d: latest %d, the marks say %d", r, latest, want)
			}
		}
	})
}

func TestClocksThatAreApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times, c, o := drawPast(t), &Clock{}, &oracle{}
		spread := rapid.Int64Range(0, apart).Draw(t, "spread")
		off := func(label string) int64 { return rapid.Int64Range(0, spread).Draw(t, label) }
		for range rapid.IntRange(0, 40).Draw(t, "marks") {
			times.tell(t, c, o, off)
		}
		for revision := 1; revision < len(times); revision++ {
			r := uint64(revision)
			earliest, latest := c.Bounds(r, math.MaxInt64)
			// By every clock: the slowest, and the fastest.
			if earliest > times[r]+spread || latest < times[r] {
				t.Fatalf("revision %d is of %d, outside [%d, %d] by more than %d", r, times[r], earliest, latest, spread)
			}
			lower, upper := o.earliest(r), o.latest(r)
			if earliest > min(lower, upper) || latest < max(lower, upper) {
				t.Fatalf("revision %d: [%d, %d] leaves out one of %d and %d", r, earliest, latest, lower, upper)
			}
			if lower <= upper && (earliest < lower-spread || latest > upper+spread && upper < math.MaxInt64) {
				t.Fatalf("revision %d: [%d, %d], where the marks say [%d, %d]", r, earliest, latest, lower, upper)
			}
		}
	})
}

// A tenant may write any time into what it owns; the operator's own marks hold.
func TestForgedTimesMoveNothingFar(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times, c, o := drawPast(t), &Clock{}, &oracle{}
		for revision := 1; revision < len(times); revision++ {
			r, at := uint64(revision+1), times[revision]
			c.After(r-1, at) // a pulse just before
			c.Before(r, at+1)
			o.lower, o.upper = append(o.lower, mark{r, at}), append(o.upper, mark{r, at + 1})
			forged := rapid.Int64Range(0, 5000).Draw(t, "forged")
			c.AtLeast(r, forged)
		}
		for revision := 1; revision < len(times); revision++ {
			r := uint64(revision + 1)
			earliest, latest := c.Bounds(r, math.MaxInt64)
			if earliest < o.earliest(r)-apart || latest > o.latest(r)+apart {
				t.Fatalf("revision %d: [%d, %d], where it was delivered within [%d, %d]",
					r, earliest, latest, o.earliest(r), o.latest(r))
			}
			if earliest > times[revision]+1+apart || latest < times[revision]-apart {
				t.Fatalf("revision %d is of %d, far outside [%d, %d]", r, times[revision], earliest, latest)
			}
		}
	})
}
