// Package steadyclock is a clock that never goes back: where the machine's clock
// does, time stands still until that has caught up. What would otherwise end
// before it began lasts no time instead.
package steadyclock

import (
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	// tolerance is how far back a clock may be set without anybody being told:
	// clocks are corrected all the time.
	tolerance = 2 * time.Second
	// leap is how far ahead a clock has to be set for somebody to be told.
	leap = time.Minute
	// doubt is how long a leap has to last until it is believed: a clock that was set
	// wrong is set right within minutes, one of a machine that slept stays where it is.
	doubt = 2 * time.Minute
)

// Jump is a clock that was set, or time that has caught up with one that was.
type Jump struct {
	// From is what the time was, To what the machine's clock says instead.
	From, To time.Time
	// Over tells that the clock, set back before, has come to From again.
	Over bool
}

// By is how far ahead the clock was set; less than 0: back.
func (j Jump) By() time.Duration { return j.To.Sub(j.From) }

// Clock is a clock that never goes back. It is safe for concurrent use.
type Clock struct {
	clock.WithTicker
	tell  func(Jump)
	began time.Time

	mu      sync.Mutex
	latest  time.Time // that was given out
	read    time.Time // what the machine's clock said last
	elapsed time.Duration
	behind  bool // the clock was set back, and somebody was told
	forward int64
	back    int64

	doubted time.Duration // until that much has elapsed, the last leap is not believed
	before  time.Time     // what the time would have been at New, had there been no such leap
}

// New wraps a clock whose Since goes by a stopwatch, as the real one's does.
// tell, when not nil, is told of each jump. It may not block, nor ask the clock.
func New(machine clock.WithTicker, tell func(Jump)) *Clock {
	if tell == nil {
		tell = func(Jump) {}
	}
	began := machine.Now()
	return &Clock{WithTicker: machine, tell: tell, began: began, latest: began, read: began}
}

// Now is the machine's time; where that was set back, the latest that was known.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	now, jumps := c.now()
	c.mu.Unlock()
	for _, jump := range jumps {
		c.tell(jump)
	}
	return now
}

// AtLeast tells that it is the moment or later: somebody has written that down.
func (c *Clock) AtLeast(moment time.Time) {
	c.mu.Lock()
	if moment.After(wall(c.latest)) {
		c.latest = moment
	}
	c.mu.Unlock()
	c.Now()
}

// Since is how much later than t it is.
func (c *Clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// Elapsed is how much time has passed since New, whatever clocks say.
func (c *Clock) Elapsed() time.Duration { return c.WithTicker.Since(c.began) }

// Certain is a moment that has surely come. What cannot be undone waits for it: it
// is never later than Now, nor than what the machine's clock says, and, until a
// leap ahead has lasted for two minutes, goes on by a stopwatch from before it. It
// goes back where the machine's clock does.
func (c *Clock) Certain() time.Time {
	now := c.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	certain := earlier(wall(now), wall(c.read))
	if c.elapsed < c.doubted {
		certain = earlier(certain, c.before.Add(c.elapsed))
	}
	return certain
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// Behind is how far the machine's clock is behind the time; 0: it is not.
func (c *Clock) Behind() time.Duration {
	now := c.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(0, wall(now).Sub(wall(c.read)))
}

// Jumps are how often the clock was found to be set ahead, and back.
func (c *Clock) Jumps() (forward, back int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.forward, c.back
}

// now reads the machine's clock. Called under the lock.
func (c *Clock) now() (time.Time, []Jump) {
	read, elapsed := c.WithTicker.Now(), c.Elapsed()
	expected := wall(c.read).Add(elapsed - c.elapsed)
	c.read, c.elapsed = read, elapsed
	var jumps []Jump
	if wall(read).Sub(expected) > leap {
		c.forward++
		if elapsed >= c.doubted {
			c.before = expected.Add(-elapsed)
		}
		c.doubted = elapsed + doubt
		jumps = append(jumps, Jump{From: expected, To: wall(read)})
	}
	if by := wall(c.latest).Sub(wall(read)); by > 0 {
		if by > tolerance && !c.behind {
			c.behind = true
			c.back++
			jumps = append(jumps, Jump{From: wall(c.latest), To: wall(read)})
		}
		return c.latest, jumps
	}
	if c.behind {
		c.behind = false
		jumps = append(jumps, Jump{From: wall(c.latest), To: wall(read), Over: true})
	}
	c.latest = read
	return read, jumps
}

// wall is the time that clocks on walls show: a difference of two times goes by
// the stopwatch otherwise, which no jump is seen by.
func wall(t time.Time) time.Time { return t.Round(0) }
