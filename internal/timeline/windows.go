package timeline

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Size is how long the windows of a report are.
type Size string

// The sizes of windows. Hours begin as they do in UTC, everywhere; days, weeks
// and months where the local date of a time zone becomes another one's (see
// Period). Weeks begin on Mondays.
const (
	None  Size = "none" // one window
	Hour  Size = "hour"
	Day   Size = "day"
	Week  Size = "week"
	Month Size = "month"
)

// Sizes are all of them.
var Sizes = []Size{None, Hour, Day, Week, Month}

// MaxWindows is how many windows a report may have: more than the hours of a year.
const MaxWindows = 10_000

// What a TooLargeError may be of.
const (
	Windows = "windows"
	Groups  = "groups"
	Cells   = "groups times windows"
)

// TooLargeError says that a report would take more than an operator can give.
type TooLargeError struct {
	What        string // Windows, Groups or Cells
	Wanted, Max int
	Remedy      string
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%d %s, and at most %d can be: %s", e.Wanted, e.What, e.Max, e.Remedy)
}

// calendar is a window, cut into windows: where they begin, and where the last one
// ends. The first and the last may be shorter than the others.
type calendar []int64

// newCalendar cuts w. The error is a TooLargeError.
func newCalendar(w usage.Window, size Size, zone *time.Location) (calendar, error) {
	if size == None {
		return calendar{w.Start, w.End}, nil
	}
	if least := w.Seconds() / longest[size]; least > MaxWindows {
		return nil, tooManyWindows(int(least))
	}
	c := calendar{w.Start}
	for at := next(w.Start, size, zone); at < w.End; at = next(at, size, zone) {
		c = append(c, at)
	}
	c = append(c, w.End)
	if c.windows() > MaxWindows {
		return nil, tooManyWindows(c.windows())
	}
	return c, nil
}

func tooManyWindows(wanted int) error {
	return &TooLargeError{What: Windows, Wanted: wanted, Max: MaxWindows, Remedy: "take larger windows, or less time at once"}
}

// longest is how long the longest window of a size is, and more, in seconds.
var longest = map[Size]int64{Hour: 3600, Day: 2 * 86400, Week: 8 * 86400, Month: 32 * 86400}

// next is the first moment after t at which a window of the size begins.
func next(t int64, size Size, zone *time.Location) int64 {
	if size == Hour {
		return usage.Interval(t, 3600).End
	}
	return runEnd(t, size, zone)
}

// Period is the window of a size that contains t, or, with an offset, the one so
// many later or earlier. The size is not None. It takes time by the offset.
//
// A day, week or month is a longest run of moments whose local date is in one: a
// day that the zone leaves out is none, and where clocks go back over a midnight
// that has been, the day before it comes again, as a window of its own.
func Period(t int64, size Size, offset int, zone *time.Location) usage.Window {
	if size == Hour {
		hour := usage.Interval(t, 3600)
		shift := int64(offset) * 3600
		return usage.Window{Start: hour.Start + shift, End: hour.End + shift}
	}
	for ; offset > 0; offset-- {
		t = runEnd(t, size, zone)
	}
	for ; offset < 0; offset++ {
		t = runStart(t, size, zone) - 1
	}
	return usage.Window{Start: runStart(t, size, zone), End: runEnd(t, size, zone)}
}

// runEnd is the first moment after t whose local date is in another day, week or
// month. Between two transitions of the zone dates follow each other as they do in
// UTC; at a transition the date may go on, go ahead or go back.
func runEnd(t int64, size Size, zone *time.Location) int64 {
	of := civil(t, size, zone)
	for {
		same, offset := Steady(t, zone)
		if end := of.End - offset; end < same.End {
			return end
		}
		if t = same.End; civil(t, size, zone) != of {
			return t
		}
	}
}

// runStart is the first moment of those up to t whose local dates are all in one
// day, week or month.
func runStart(t int64, size Size, zone *time.Location) int64 {
	of := civil(t, size, zone)
	for {
		same, offset := Steady(t, zone)
		if start := of.Start - offset; start > same.Start {
			return start
		}
		if t = same.Start - 1; civil(t, size, zone) != of {
			return same.Start
		}
	}
}

// Steady is a time around t in which the clocks of a zone do not change, and how many
// seconds they are ahead of UTC in it. It may be shorter than it could be; math.MinInt64
// and math.MaxInt64 are its bounds where they never did, or never will.
func Steady(t int64, zone *time.Location) (w usage.Window, offset int64) {
	at := time.Unix(t, 0).In(zone)
	first, last := at.ZoneBounds()
	w = usage.Window{Start: math.MinInt64, End: math.MaxInt64}
	if !first.IsZero() {
		w.Start = first.Unix()
	}
	if !last.IsZero() {
		w.End = last.Unix()
	}
	if w.End <= t {
		// Beyond a zone's table ZoneBounds ends each year after 365 days, and gives a
		// moment before t on the last day of a leap year.
		w.End = time.Date(at.UTC().Year()+1, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	}
	_, ahead := at.Zone()
	return w, int64(ahead)
}

// civil is the day, week or month that t is in by the clocks of a zone, from
// midnight to midnight, in what they show: seconds since they would have shown the
// beginning of 1970.
func civil(t int64, size Size, zone *time.Location) usage.Window {
	const day, monday = 86400, 4 * 86400 // 1970-01-05 was a Monday
	_, offset := time.Unix(t, 0).In(zone).Zone()
	shown := t + int64(offset)
	switch size {
	case Week:
		w := usage.Interval(shown-monday, 7*day)
		return usage.Window{Start: w.Start + monday, End: w.End + monday}
	case Month:
		year, month, _ := time.Unix(shown, 0).UTC().Date()
		first := func(month time.Month) int64 { return time.Date(year, month, 1, 0, 0, 0, 0, time.UTC).Unix() }
		return usage.Window{Start: first(month), End: first(month + 1)}
	}
	return usage.Interval(shown, day)
}

func (c calendar) windows() int { return len(c) - 1 }

func (c calendar) start() int64 { return c[0] }

func (c calendar) end() int64 { return c[len(c)-1] }

func (c calendar) window(i int) usage.Window { return usage.Window{Start: c[i], End: c[i+1]} }

// at is the window in which t lies, which is one inside.
func (c calendar) at(t int64) int {
	n := len(c) - 1
	if n == 1 {
		return 0
	}
	// They are nearly all of one length: this is nearly it.
	i := int(float64(t-c[0]) / float64(c[n]-c[0]) * float64(n))
	i = min(max(i, 0), n-1)
	for c[i] > t {
		i--
	}
	for c[i+1] <= t {
		i++
	}
	return i
}

// indexOf is the window that begins then.
func (c calendar) indexOf(start int64) (int, bool) {
	i, found := slices.BinarySearch(c, start)
	return i, found && i < c.windows()
}
