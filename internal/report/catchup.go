package report

import (
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Progress is for which periods a schedule has made a report: those up to Last, but
// for those in Backlog. The zero value is none.
type Progress struct {
	Last    int64 // the end of the newest, in seconds since the epoch
	Backlog usage.Window
}

// Valid is as much of a progress as the schedule can have come to when it is sealed
// up to a moment: its spec may have changed, or another client may have written its
// status. If it is less than was created, reports that exist are not created again.
func (s *Schedule) Valid(p Progress, sealed int64) Progress {
	if p.Last > sealed || p.Last != 0 && p.Last < s.first.Start {
		return Progress{}
	}
	if p.Backlog.Start = max(p.Backlog.Start, s.first.Start); p.Backlog.Seconds() <= 0 {
		p.Backlog = usage.Window{}
	}
	if p.Backlog.End > sealed {
		return Progress{}
	}
	return p
}

// Missing are the newest periods, at most limit of them, that are over and sealed
// and for which there is no report yet, the newest first; and the period after them.
func (s *Schedule) Missing(p Progress, sealed int64, limit int) (missing []usage.Window, next usage.Window) {
	from := p.Last
	if p.Backlog.Seconds() > 0 {
		from = p.Backlog.Start
	}
	due, next := s.Due(from, sealed, limit)
	missing = slices.DeleteFunc(due, func(period usage.Window) bool {
		return p.Backlog.Seconds() > 0 && p.Backlog.End <= period.Start && period.End <= p.Last
	})
	slices.Reverse(missing)
	return missing, next
}

// After is the progress once so many of what is missing have been made, in order.
func (p Progress) After(missing []usage.Window, made int) Progress {
	if made > 0 {
		p.Last = max(p.Last, missing[0].End)
	}
	p.Backlog = usage.Window{}
	if left := missing[made:]; len(left) > 0 {
		p.Backlog = usage.Window{Start: left[len(left)-1].Start, End: left[0].End}
	}
	return p
}
