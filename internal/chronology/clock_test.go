package chronology

import (
	"math"
	"testing"
)

// stamp tells a clock when a revision was written, exactly.
func stamp(c *Clock, revision uint64, at int64) {
	c.AtLeast(revision, at)
	c.Replaced(revision, at)
}

// told is what a clock is told of a revision.
type told struct {
	by       func(c *Clock, revision uint64, at int64)
	revision uint64
	at       int64
}

func TestBounds(t *testing.T) {
	const now = 1000
	after, before, atLeast, replaced := (*Clock).After, (*Clock).Before, (*Clock).AtLeast, (*Clock).Replaced
	cases := map[string]struct {
		told             []told
		revision         uint64
		earliest, latest int64
	}{
		"nothing is known": {
			revision: 5, earliest: 0, latest: now,
		},
		"between two stamps": {
			told: []told{{stamp, 10, 100}, {stamp, 20, 110}}, revision: 15, earliest: 100, latest: 110,
		},
		"a stamp is exact": {
			told:     []told{{stamp, 10, 100}, {stamp, 20, 110}, {stamp, 30, 120}},
			revision: 20, earliest: 110, latest: 110,
		},
		"between two stamps of one second": {
			told: []told{{stamp, 10, 100}, {stamp, 20, 100}}, revision: 15, earliest: 100, latest: 100,
		},
		"a date is before the write": {
			told: []told{{atLeast, 10, 100}, {atLeast, 20, 110}}, revision: 15, earliest: 100, latest: now,
		},
		"and after the version that the write replaced": {
			told: []told{{atLeast, 10, 100}, {replaced, 10, 110}, {atLeast, 20, 110}}, revision: 10, earliest: 100, latest: 110,
		},
		"a version that was replaced long before it was written": {
			told: []told{{after, 10, 500}, {replaced, 20, 400}}, revision: 15, earliest: 500, latest: now,
		},
		"a list says nothing of what it shows": {
			told: []told{{after, 10, 100}}, revision: 10, earliest: 0, latest: now,
		},
		"a list says when what comes next is": {
			told: []told{{after, 10, 100}}, revision: 11, earliest: 100, latest: now,
		},
		"delivered": {
			told: []told{{after, 10, 100}, {before, 20, 103}}, revision: 20, earliest: 100, latest: 103,
		},
		"what is delivered says nothing of what comes next": {
			told: []told{{before, 20, 103}}, revision: 21, earliest: 0, latest: now,
		},
		"at least": {
			told: []told{{atLeast, 10, 100}, {stamp, 20, 110}}, revision: 10, earliest: 100, latest: 110,
		},
		"what says less changes nothing": {
			told:     []told{{stamp, 10, 100}, {stamp, 20, 110}, {atLeast, 12, 50}, {before, 18, 400}, {after, 12, 60}},
			revision: 15, earliest: 100, latest: 110,
		},
		"what says more is put between": {
			told:     []told{{stamp, 10, 100}, {stamp, 30, 130}, {atLeast, 15, 110}, {before, 25, 120}},
			revision: 20, earliest: 110, latest: 120,
		},
		"neither is later than now": {
			told: []told{{stamp, 10, now + 2}, {stamp, 20, now + 4}}, revision: 15, earliest: now, latest: now,
		},
		"clocks that contradict each other are both believed": {
			told: []told{{stamp, 10, 102}, {stamp, 20, 100}}, revision: 15, earliest: 100, latest: 102,
		},
		"and so they are a little later": {
			told:     []told{{stamp, 10, 102}, {stamp, 20, 100}, {stamp, 30, 101}},
			revision: 25, earliest: 100, latest: 102,
		},
		"and no longer when time has gone on": {
			told:     []told{{stamp, 10, 102}, {stamp, 20, 100}, {stamp, 30, 105}, {stamp, 40, 106}},
			revision: 35, earliest: 105, latest: 106,
		},
		"the operator's clock is late": {
			told: []told{{before, 10, 98}, {stamp, 10, 100}}, revision: 10, earliest: 98, latest: 100,
		},
		"a time of a tenant's own, in the future": {
			told:     []told{{stamp, 10, 100}, {before, 20, 110}, {stamp, 20, 5000}, {atLeast, 20, 5000}},
			revision: 20, earliest: 100, latest: 110,
		},
		"and before it was known when it came": {
			told:     []told{{stamp, 10, 100}, {stamp, 20, 5000}, {atLeast, 22, 5001}, {before, 30, 110}},
			revision: 25, earliest: 100, latest: 110,
		},
		"a time of a tenant's own, in the past": {
			told:     []told{{stamp, 10, 100}, {before, 20, 110}, {stamp, 20, 50}},
			revision: 20, earliest: 100, latest: 110,
		},
		"and before it was known when it was not yet": {
			told:     []told{{stamp, 20, 50}, {after, 10, 100}, {before, 30, 110}},
			revision: 20, earliest: 100, latest: 110,
		},
		"the operator's clock is set back": {
			told:     []told{{after, 10, 500}, {before, 15, 500}, {before, 20, 105}, {after, 20, 106}, {before, 30, 107}},
			revision: 25, earliest: 106, latest: 107,
		},
		"no revision": {
			told:     []told{{stamp, 0, 500}, {atLeast, 0, 500}, {after, 0, 500}, {before, 0, 500}, {before, 10, 600}},
			revision: 0, earliest: 0, latest: now,
		},
		"the last of all revisions": {
			told:     []told{{after, math.MaxUint64, 500}, {stamp, math.MaxUint64, 400}},
			revision: math.MaxUint64, earliest: 400, latest: 400,
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			c := &Clock{}
			for _, told := range test.told {
				told.by(c, told.revision, told.at)
			}
			earliest, latest := c.Bounds(test.revision, now)
			if earliest != test.earliest || latest != test.latest {
				t.Errorf("got [%d, %d], want [%d, %d]", earliest, latest, test.earliest, test.latest)
			}
			if got := min(c.Earliest(test.revision), now); got != test.earliest {
				t.Errorf("earliest %d, want %d", got, test.earliest)
			}
		})
	}
}

func TestWhatIsOldIsKeptCoarsely(t *testing.T) {
	c := &Clock{}
	const day = 24 * 60 * 60
	for s := int64(0); s < day; s += 3 { // 10 writes a second; one of them is dated every 3 seconds
		stamp(c, uint64(s*10+5), s)
	}
	if len(c.lower) > most || len(c.upper) > most {
		t.Errorf("%d and %d marks are kept", len(c.lower), len(c.upper))
	}
	for s := int64(10); s < day-10; s++ {
		earliest, latest := c.Bounds(uint64(s*10), day)
		width, age := latest-earliest, day-s
		switch {
		case s < earliest || s > latest:
			t.Fatalf("%d is outside [%d, %d]", s, earliest, latest)
		case age < recent && width > 3:
			t.Fatalf("%d s ago: %d s apart", age, width)
		case width > 6+4*age/coarse:
			t.Fatalf("%d s ago: %d s apart", age, width)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	c, revision, at := &Clock{}, uint64(0), int64(0)
	event := func() {
		revision += 3
		at += int64(revision % 2)
		c.After(revision-2, at)
		c.Before(revision, at+1)
		stamp(c, revision, at)
		c.AtLeast(revision+1, at)
		c.Bounds(revision-1, at)
	}
	for range 2 * most { // its memory grows to its bound
		event()
	}
	if n := testing.AllocsPerRun(1000, event); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAnEvent(b *testing.B) {
	c, revision := &Clock{}, uint64(0)
	for b.Loop() {
		revision++
		at := int64(revision / 20_000)
		c.Before(revision, at+1)
		stamp(c, revision, at)
	}
}

// A list is by name: its times are in no order.
func BenchmarkAnItemOfAList(b *testing.B) {
	c, revision := &Clock{}, uint64(0)
	for b.Loop() {
		revision = (revision + 7_777_777) % 100_000_000
		c.AtLeast(revision, int64(revision/1000))
	}
}
