package timeline

import (
	"fmt"
	"slices"
	"time"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Size is how long the windows of a report are.
type Size string

// The sizes of windows. Hours begin as they do in UTC, everywhere; days, weeks
// and months where a time zone has midnight. Weeks begin on Mondays.
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

// TooLargeError says that a report would take more than an operator can give.
type TooLargeError struct {
	What        string // "windows"
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
	return &TooLargeError{What: "windows", Wanted: wanted, Max: MaxWindows, Remedy: "take larger windows, or less time at once"}
}

// longest is how long the longest window of a size is, and more, in seconds.
var longest = map[Size]int64{Hour: 3600, Day: 2 * 86400, Week: 8 * 86400, Month: 32 * 86400}

// next is the first moment after t at which a window of the size begins.
func next(t int64, size Size, zone *time.Location) int64 {
	if size == Hour {
		return usage.Interval(t, 3600).End
	}
	local := time.Unix(t, 0).In(zone)
	year, month, day := local.Date()
	for {
		switch size {
		case Day:
			day++
		case Week:
			day += 7 - (int(time.Date(year, month, day, 12, 0, 0, 0, zone).Weekday())+6)%7
		case Month:
			month, day = month+1, 1
		}
		// A day that a zone leaves out is none.
		if begins := midnight(year, month, day, zone); begins > t {
			return begins
		}
	}
}

// midnight is when a day begins: where clocks go forward over midnight, then;
// where they go back over it, the second time that it is midnight.
func midnight(year int, month time.Month, day int, zone *time.Location) int64 {
	const half = 12 * 3600
	noon := time.Date(year, month, day, 12, 0, 0, 0, zone)
	_, offset := noon.Zone()
	begins := noon.Unix() - half
	changed, _ := noon.ZoneBounds()
	if changed.IsZero() || changed.Unix() <= begins {
		return begins
	}
	// Since midnight the clocks have changed.
	_, before := changed.Add(-time.Second).Zone()
	return min(begins+int64(offset-before), changed.Unix())
}

// Period is the window of a size that contains t, or, with an offset, the one so
// many later or earlier. The size is not None.
func Period(t int64, size Size, offset int, zone *time.Location) usage.Window {
	if size == Hour {
		hour := usage.Interval(t, 3600)
		shift := int64(offset) * 3600
		return usage.Window{Start: hour.Start + shift, End: hour.End + shift}
	}
	year, month, day := time.Unix(t, 0).In(zone).Date()
	if midnight(year, month, day, zone) > t { // the clocks go back over this midnight yet
		day--
	}
	begins := func(offset int) int64 {
		switch size {
		case Week:
			weekday := (int(time.Date(year, month, day, 12, 0, 0, 0, zone).Weekday()) + 6) % 7
			return midnight(year, month, day-weekday+7*offset, zone)
		case Month:
			return midnight(year, month+time.Month(offset), 1, zone)
		}
		return midnight(year, month, day+offset, zone)
	}
	return usage.Window{Start: begins(offset), End: begins(offset + 1)}
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
