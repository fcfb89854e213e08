package report

import (
	"math"
	"strings"
	"time"

	"github.com/netresearch/go-cron"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Schedule is a sequence of periods, each of which begins where the one before ends.
type Schedule struct {
	unit  timeline.Size // "" where there is a crontab
	cron  cron.Schedule
	zone  *time.Location
	first usage.Window
}

var crontab = cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.DowOrDom)

// NewSchedule is the schedule that a spec says, of an object that was created at a
// moment, in seconds since the epoch. The error is a *Problem.
func NewSchedule(t *v1alpha1.ScheduleTiming, created int64) (*Schedule, error) {
	zone, err := location(t.TimeZone)
	if err != nil {
		return nil, err
	}
	s := &Schedule{unit: timeline.Size(t.EveryPeriod), zone: zone}
	from := created
	if t.StartingOn != nil {
		from = t.StartingOn.Unix()
	}
	if s.unit != "" {
		s.first = timeline.Period(from, s.unit, 0, zone)
		if t.StartingOn != nil && s.first.Start < from {
			s.first = s.After(s.first.End)
		}
		return s, nil
	}
	if strings.Contains(t.Schedule, "=") { // the parser would take a time zone here
		return nil, problem(v1alpha1.ReasonInvalidSchedule, "spec.schedule: %q: want five fields, and the time zone in spec.timeZone", t.Schedule)
	}
	if s.cron, err = crontab.Parse(t.Schedule); err != nil {
		return nil, problem(v1alpha1.ReasonInvalidSchedule,
			"spec.schedule: %q: %v: want minute, hour, day of month, month and day of week, such as 0 6 * * 1", t.Schedule, err)
	}
	start := s.next(from - 1)
	if s.first = s.After(start); start == 0 || s.first.End == 0 {
		return nil, problem(v1alpha1.ReasonInvalidSchedule, "spec.schedule: %q: that never comes", t.Schedule)
	}
	return s, nil
}

// next is the first moment after t at which a period begins; 0: a crontab has none
// within years. It depends on t alone, and never goes back when t goes on.
//
// A crontab says what clocks show. A time that they show twice comes twice; one that
// they leave out comes when they would have shown it, had they not gone ahead.
func (s *Schedule) next(t int64) int64 {
	if s.unit != "" {
		return timeline.Period(t, s.unit, 0, s.zone).End
	}
	for {
		same, offset := timeline.Steady(t+1, s.zone)
		at := s.shown(t + offset)
		if at == never {
			return 0
		}
		at -= offset
		if same.Start > math.MinInt64 {
			_, before := timeline.Steady(same.Start-1, s.zone)
			if left := s.shown(t + before); left < same.Start+offset {
				at = min(at, left-before)
			}
		}
		if at < same.End {
			return at
		}
		t = same.End - 1
	}
}

const never = math.MaxInt64

// shown is the first time after another that the crontab names, both as clocks show
// them that never change.
func (s *Schedule) shown(after int64) int64 {
	at := s.cron.Next(time.Unix(after, 0).UTC())
	if at.IsZero() {
		return never
	}
	return at.Unix()
}

// After is the period that begins at the end of another.
func (s *Schedule) After(end int64) usage.Window {
	if s.unit != "" {
		return timeline.Period(end, s.unit, 0, s.zone)
	}
	return usage.Window{Start: end, End: s.next(end)}
}

// Due are the newest periods, at most limit of them and in order, that end after
// last and not after sealed, and the one that comes after these. How many periods
// there were before them does not matter to how long it takes.
func (s *Schedule) Due(last, sealed int64, limit int) (due []usage.Window, next usage.Window) {
	next = s.first
	if last > 0 {
		next = s.After(last)
	}
	if next.End == 0 || next.End > sealed {
		return nil, next
	}
	if start := s.late(next.End, sealed, limit+1); start > next.End {
		next = s.After(start)
	}
	for ; next.End != 0 && next.End <= sealed; next = s.After(next.End) {
		due = append(due, next)
	}
	return due[max(0, len(due)-limit):], next
}

// late is when a period begins, at or after from, which is when one does, so that n
// periods at least and 2n at most begin from then up to until; from itself where it
// is fewer.
func (s *Schedule) late(from, until int64, n int) int64 {
	few, many := until, from-1 // after few begin too few, after many too many
	if s.count(many, until, 2*n+1) <= 2*n {
		return from
	}
	for {
		middle := many + (few-many)/2 // one second more is one beginning less at most: they never meet
		switch count := s.count(middle, until, 2*n+1); {
		case count > 2*n:
			many = middle
		case count < n:
			few = middle
		default:
			return s.next(middle)
		}
	}
}

// count is how many periods begin after a moment and up to another; most is the most
// that it counts to.
func (s *Schedule) count(after, until int64, most int) int {
	for n := range most {
		if after = s.next(after); after == 0 || after > until {
			return n
		}
	}
	return most
}

// Suffix is what the name of a period's report ends in: when it begins. No two
// periods have the same.
func (s *Schedule) Suffix(period usage.Window) string {
	layout := time.DateOnly
	switch s.unit {
	case timeline.Month:
		layout = "2006-01"
	case timeline.Hour, "": // an hour may come twice a day
		return time.Unix(period.Start, 0).UTC().Format(timeOfDay)
	}
	name := time.Unix(period.Start, 0).In(s.zone).Format(layout)
	// Where clocks went back over a midnight that had been, its day comes twice.
	if earlier := timeline.Period(period.Start, s.unit, -2, s.zone); time.Unix(earlier.Start, 0).In(s.zone).Format(layout) == name {
		return time.Unix(period.Start, 0).UTC().Format(timeOfDay)
	}
	return name
}

const timeOfDay = "2006-01-02-1504"
