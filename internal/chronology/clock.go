package chronology

import (
	"math"
	"sync"
)

// apart is how many seconds two clocks may be apart. A time that an object
// states and that contradicts more than this is not one that a server gave.
const apart = 5

// Clock knows some pairs of a revision and a moment, and bounds the moment of
// any revision. Moments are whole seconds since the epoch, cut off, not rounded.
// Revision 0 is none: marks of it are ignored.
//
// Its zero value knows nothing. It may be used concurrently.
type Clock struct {
	mu sync.Mutex
	// lower: what is at the revision or later happened at the moment or later.
	lower stairs
	// upper: what is at the revision or earlier happened at the moment or earlier.
	upper stairs
}

// After tells that everything with a later revision happened at or after the
// moment: a consistent list that was asked for at that moment was answered with
// this revision.
func (c *Clock) After(revision uint64, at int64) {
	if revision == 0 || revision == math.MaxUint64 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.upper = c.upper.without(c.upper.ceiling(revision+1), c.upper.since(at-apart))
	c.lower = c.lower.raised(mark{revision + 1, at})
}

// Before tells that everything up to the revision had happened by the moment:
// it was delivered then.
func (c *Clock) Before(revision uint64, at int64) {
	if revision == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lower = c.lower.without(c.lower.since(at+apart+1), c.lower.ceiling(revision+1))
	c.upper = c.upper.lowered(mark{revision, at})
}

// Replaced tells that the version of an object with this revision was replaced by a
// write that a server dated so: it had read the version by then, so that everything
// up to the revision had happened.
func (c *Clock) Replaced(revision uint64, at int64) {
	if revision == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if at >= c.lower.upTo(revision)-apart {
		c.upper = c.upper.lowered(mark{revision, at})
	}
}

// AtLeast tells that the write with this revision was dated so by a server, or one
// before it of the same object: it happened at or after the moment. A write is dated
// before it is committed, by milliseconds or, where webhooks or etcd are slow, by
// many seconds, and one that only takes fields away has no date of its own.
func (c *Clock) AtLeast(revision uint64, at int64) {
	if revision == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if at <= plus(c.upper.from(revision), apart) {
		c.lower = c.lower.raised(mark{revision, at})
	}
}

// Bounds are the earliest and the latest second in which the revision can have
// been written, as of now: neither is later. Earliest is 0 when nothing is known.
func (c *Clock) Bounds(revision uint64, now int64) (earliest, latest int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return min(c.earliest(revision), now), min(c.latest(revision), now)
}

// Earliest is the earliest second in which the revision can have been written;
// 0 when nothing is known.
func (c *Clock) Earliest(revision uint64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.earliest(revision)
}

// earliest is the lower mark next below the revision, or the upper mark that
// contradicts it. Marks below say no more: they are earlier, and so is what
// contradicts them.
func (c *Clock) earliest(revision uint64) int64 {
	at := c.lower.floor(revision)
	if at < 0 {
		return 0
	}
	return min(c.lower[at].at, c.upper.from(c.lower[at].revision))
}

// latest is the upper mark next above the revision, or the lower mark that
// contradicts it.
func (c *Clock) latest(revision uint64) int64 {
	at := c.upper.ceiling(revision)
	if revision == 0 || at == len(c.upper) {
		return math.MaxInt64
	}
	return max(c.upper[at].at, c.lower.upTo(c.upper[at].revision))
}

// plus is a+b, which may be as much as there is.
func plus(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
