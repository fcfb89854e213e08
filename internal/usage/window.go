package usage

import (
	"fmt"
	"math"
	"time"
)

const maxTime = math.MaxInt64

// Window is a half-open stretch of time, [Start, End), in seconds since the epoch.
type Window struct {
	Start, End int64
}

// Seconds is the window's length; 0 when it is empty or reversed.
func (w Window) Seconds() int64 { return max(0, w.End-w.Start) }

// Intersect is what both windows cover.
func (w Window) Intersect(other Window) Window {
	return Window{Start: max(w.Start, other.Start), End: min(w.End, other.End)}
}

// Contains tells whether the second that starts at t lies inside.
func (w Window) Contains(t int64) bool { return w.Start <= t && t < w.End }

// Next is the window of the same length that begins where this one ends.
func (w Window) Next() Window { return Window{Start: w.End, End: w.End + w.Seconds()} }

// Interval is the recording window of the given length that contains t,
// aligned to UTC. length is in seconds and divides an hour.
func Interval(t, length int64) Window {
	start := t - ((t%length)+length)%length
	return Window{Start: start, End: start + length}
}

// IntervalLength is d in seconds, or why no recording interval can be that long.
func IntervalLength(d time.Duration) (int64, error) {
	if d < time.Minute || d > time.Hour || time.Hour%d != 0 || d%time.Second != 0 {
		return 0, fmt.Errorf("interval %s: want one that divides an hour and is at least a minute, such as 1m, 5m, 15m, 30m or 1h", d)
	}
	return int64(d / time.Second), nil
}
