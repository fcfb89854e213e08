package report

import (
	"slices"
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

// next is the first moment of the crontab after t; 0: there is none within years.
func (s *Schedule) next(t int64) int64 {
	at := s.cron.Next(time.Unix(t, 0).In(s.zone))
	if at.IsZero() {
		return 0
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
// last and not after sealed, and the one that comes after these.
func (s *Schedule) Due(last, sealed int64, limit int) (due []usage.Window, next usage.Window) {
	next = s.first
	if last > 0 {
		next = s.After(last)
	}
	for ; next.End != 0 && next.End <= sealed; next = s.After(next.End) {
		if due = append(due, next); len(due) > 2*limit {
			due = slices.Delete(due, 0, len(due)-limit)
		}
	}
	return due[max(0, len(due)-limit):], next
}

// Suffix is what the name of a period's report ends in: when it begins.
func (s *Schedule) Suffix(period usage.Window) string {
	local := time.Unix(period.Start, 0).In(s.zone)
	switch s.unit {
	case timeline.Month:
		return local.Format("2006-01")
	case timeline.Day, timeline.Week:
		return local.Format(time.DateOnly)
	}
	return local.UTC().Format("2006-01-02-1504") // an hour may come twice a day
}
