package chronology

import (
	"math"
	"testing"
)

func TestBounds(t *testing.T) {
	const now = 1000
	cases := map[string]struct {
		marks            func(c *Clock)
		revision         uint64
		earliest, latest int64
	}{
		"nothing is known": {
			marks: func(*Clock) {}, revision: 5, earliest: 0, latest: now,
		},
		"between two stamps": {
			marks: func(c *Clock) { c.Stamp(10, 100); c.Stamp(20, 110) }, revision: 15, earliest: 100, latest: 110,
		},
		"a stamp is exact": {
			marks: func(c *Clock) { c.Stamp(10, 100); c.Stamp(20, 110); c.Stamp(30, 120) }, revision: 20, earliest: 110, latest: 110,
		},
		"between two stamps of one second": {
			marks: func(c *Clock) { c.Stamp(10, 100); c.Stamp(20, 100) }, revision: 15, earliest: 100, latest: 100,
		},
		"a list says nothing of what it shows": {
			marks: func(c *Clock) { c.After(10, 100) }, revision: 10, earliest: 0, latest: now,
		},
		"a list says when what comes next is": {
			marks: func(c *Clock) { c.After(10, 100) }, revision: 11, earliest: 100, latest: now,
		},
		"delivered": {
			marks: func(c *Clock) { c.After(10, 100); c.Before(20, 103) }, revision: 20, earliest: 100, latest: 103,
		},
		"what is delivered says nothing of what comes next": {
			marks: func(c *Clock) { c.Before(20, 103) }, revision: 21, earliest: 0, latest: now,
		},
		"at least": {
			marks: func(c *Clock) { c.AtLeast(10, 100); c.Stamp(20, 110) }, revision: 10, earliest: 100, latest: 110,
		},
		"what says less changes nothing": {
			marks: func(c *Clock) {
				c.Stamp(10, 100)
				c.Stamp(20, 110)
				c.AtLeast(12, 50)
				c.Before(18, 400)
				c.After(12, 60)
			},
			revision: 15, earliest: 100, latest: 110,
		},
		"what says more is put between": {
			marks: func(c *Clock) {
				c.Stamp(10, 100)
				c.Stamp(30, 130)
				c.AtLeast(15, 110)
				c.Before(25, 120)
			},
			revision: 20, earliest: 110, latest: 120,
		},
		"neither is later than now": {
			marks: func(c *Clock) { c.Stamp(10, now+2); c.Stamp(20, now+4) }, revision: 15, earliest: now, latest: now,
		},
		"clocks that contradict each other are both believed": {
			marks: func(c *Clock) { c.Stamp(10, 102); c.Stamp(20, 100) }, revision: 15, earliest: 100, latest: 102,
		},
		"and so they are a little later": {
			marks: func(c *Clock) { c.Stamp(10, 102); c.Stamp(20, 100); c.Stamp(30, 101) }, revision: 25, earliest: 100, latest: 102,
		},
		"and no longer when time has gone on": {
			marks:    func(c *Clock) { c.Stamp(10, 102); c.Stamp(20, 100); c.Stamp(30, 105); c.Stamp(40, 106) },
			revision: 35, earliest: 105, latest: 106,
		},
		"the operator's clock is late": {
			marks: func(c *Clock) { c.Before(10, 98); c.Stamp(10, 100) }, revision: 10, earliest: 98, latest: 100,
		},
		"a time of a tenant's own, in the future": {
			marks:    func(c *Clock) { c.Stamp(10, 100); c.Before(20, 110); c.Stamp(20, 5000); c.AtLeast(20, 5000) },
			revision: 20, earliest: 100, latest: 110,
		},
		"and before it was known when it came": {
			marks:    func(c *Clock) { c.Stamp(10, 100); c.Stamp(20, 5000); c.AtLeast(22, 5001); c.Before(30, 110) },
			revision: 25, earliest: 100, latest: 110,
		},
		"a time of a tenant's own, in the past": {
			marks:    func(c *Clock) { c.Stamp(10, 100); c.Before(20, 110); c.Stamp(20, 50) },
			revision: 20, earliest: 100, latest: 110,
		},
		"and before it was known when it was not yet": {
			marks:    func(c *Clock) { c.Stamp(20, 50); c.After(10, 100); c.Before(30, 110) },
			revision: 20, earliest: 100, latest: 110,
		},
		"the operator's clock is set back": {
			marks: func(c *Clock) {
				c.After(10, 500)
				c.Before(15, 500)
				c.Before(20, 105)
				c.After(20, 106)
				c.Before(30, 107)
			},
			revision: 25, earliest: 106, latest: 107,
		},
		"no revision": {
			marks: func(c *Clock) {
				c.Stamp(0, 500)
				c.AtLeast(0, 500)
				c.After(0, 500)
				c.Before(0, 500)
				c.Before(10, 600)
			},
			revision: 0, earliest: 0, latest: now,
		},
		"the last of all revisions": {
			marks: func(c *Clock) { c.After(math.MaxUint64, 500); c.Stamp(math.MaxUint64, 400) }, revision: math.MaxUint64, earliest: 400, latest: 400,
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			c := &Clock{}
			test.marks(c)
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
		c.Stamp(uint64(s*10+5), s)
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
		c.Stamp(revision, at)
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
		c.Stamp(revision, at)
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
