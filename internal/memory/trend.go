package memory

import (
	"math"
	"slices"
)

// Trend foresees when memory will not do any more, from samples of what is held.
//
// What is held is the live heap after garbage collection, and what is not on the
// heap. What is used would not do: it goes up and down between once and twice of
// that. Nor would the number of segments times what one takes: the owners'
// graph, the ledger and answers that are kept grow too, each at its own rate.
//
// Its growth is the median of the slopes between any two samples (Theil-Sen): a
// load, a large report, or a cache that is emptied, which touch less than three in
// ten samples, change nothing. Growth counts only where it is more, over the time
// that was looked at, than samples differ from the line by; and nothing is
// foreseen further ahead than some times as long as was looked at.
//
// It is for one goroutine.
type Trend struct {
	samples []sample
}

type sample struct {
	at   int64   // seconds since the epoch
	held float64 // bytes
}

const (
	// SampleEvery is how far samples are apart at least, in seconds.
	SampleEvery = 10 * 60
	// window is how far back samples count, in seconds: a day, as what a cluster does
	// by day and by night differs.
	window = 24 * 3600
	// leastSpan is how long has to be looked at before anything is foreseen, in seconds.
	leastSpan = 3600
	// reach is how many times as long as was looked at is foreseen.
	reach = 12
	// significance is how many times the median distance of samples from the line
	// growth has to be.
	significance = 4
)

// Forecast is what is foreseen.
type Forecast struct {
	// Growth is in bytes a second; 0: there is none that could be told from noise.
	Growth float64
	// Reached is when the limit is reached if it goes on like this, in seconds since
	// the epoch; 0: that cannot be foreseen.
	Reached int64
}

// Add takes in what is held at a moment, and tells whether it did: a sample too
// soon after the one before is left out.
func (t *Trend) Add(at, held int64) bool {
	if n := len(t.samples); n > 0 && at < t.samples[n-1].at+SampleEvery {
		return false
	}
	t.samples = append(t.samples, sample{at, float64(held)})
	first := 0
	for t.samples[first].at < at-window {
		first++
	}
	t.samples = slices.Delete(t.samples, 0, first)
	return true
}

// Forecast is what is foreseen of a limit, in bytes; 0: there is none.
func (t *Trend) Forecast(limit int64) Forecast {
	var f Forecast
	n := len(t.samples)
	if n == 0 {
		return f
	}
	first, last := t.samples[0], t.samples[n-1]
	span := float64(last.at - first.at)
	if span < leastSpan {
		return f
	}
	slope := t.slope()
	// The line's height at the last sample, and how far samples are from it.
	heights, distances := make([]float64, n), make([]float64, n)
	for i, s := range t.samples {
		heights[i] = s.held + slope*float64(last.at-s.at)
	}
	height := median(heights)
	for i := range heights {
		distances[i] = math.Abs(heights[i] - height)
	}
	if slope <= 0 || slope*span <= significance*median(distances) {
		return f
	}
	f.Growth = slope
	if left := (float64(limit) - height) / slope; limit > 0 && left <= reach*span {
		f.Reached = last.at + int64(max(left, 0))
	}
	return f
}

// slope is the median of those between any two samples.
func (t *Trend) slope() float64 {
	slopes := make([]float64, 0, len(t.samples)*(len(t.samples)-1)/2)
	for i, a := range t.samples {
		for _, b := range t.samples[i+1:] {
			slopes = append(slopes, (b.held-a.held)/float64(b.at-a.at))
		}
	}
	return median(slopes)
}

// median is the middle one, or the mean of both. It puts the values into order.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
