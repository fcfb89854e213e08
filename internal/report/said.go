package report

import (
	"fmt"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/timeline"
)

// Finding is why an answer about a window has no totals. Zero, unknown and no such name
// are different answers: a bill that confuses them is wrong.
type Finding string

// The findings.
const (
	// Used: there are totals.
	Used Finding = "Used"
	// Zero: all of the window was seen, and nothing was used.
	Zero Finding = "Zero"
	// PartlyUnknown: nothing was used in the part that was seen.
	PartlyUnknown Finding = "PartlyUnknown"
	// Unknown: no second of the window was seen.
	Unknown Finding = "Unknown"
	// NotBegun: there are no figures of any part of the window yet. It is to begin, or, for what
	// is of sealed intervals alone, none of it is sealed.
	NotBegun Finding = "NotBegun"
)

// Find is the finding of a window with such coverage, in which so many totals are.
func Find(totals int, c *timeline.Coverage) Finding {
	switch known := c.Seconds() - c.Unknown; {
	case totals > 0:
		return Used
	case c.Seconds() == 0:
		return NotBegun
	case known == 0:
		return Unknown
	case c.Unknown > 0:
		return PartlyUnknown
	}
	return Zero
}

// Found is the finding of a report that is made.
func Found(s *v1alpha1.UsageReportStatus) Finding {
	c := timeline.Coverage{}
	if known := s.Coverage; known != nil {
		c.Observed, c.Replayed, c.Estimated, c.Unknown = known.ObservedSeconds, known.ReplayedSeconds, known.EstimatedSeconds, known.UnknownSeconds
	}
	return Find(len(s.Totals), &c)
}

// Say returns a finding in words, for a window with that coverage.
func Say(f Finding, c *timeline.Coverage) string {
	switch f {
	case Zero:
		return "nothing was used"
	case PartlyUnknown:
		return fmt.Sprintf("nothing was used in the %s%% of the window that is known", percent(c.Seconds()-c.Unknown, c.Seconds())) + since(c)
	case Unknown:
		return "it is unknown whether anything was used" + since(c)
	case NotBegun:
		return "no interval of the window is sealed yet" // it may have begun
	}
	return ""
}

// since says when metering began.
func since(c *timeline.Coverage) string {
	if c.Began == 0 {
		return ": nothing meters what is asked for"
	}
	return ": metering began at " + seconds(c.Began).Format("2006-01-02T15:04:05Z07:00")
}

// Percent is how much of a window is known, in percent, rounded down to hundredths: 100 is all
// of it. There is some of the window.
func Percent(c *timeline.Coverage) string { return percent(c.Seconds()-c.Unknown, c.Seconds()) }
