package usageapi

import (
	"time"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// parseTime reads a moment with a time zone, in seconds since the epoch.
func parseTime(field, text string) (int64, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err == nil {
		return t.Unix(), nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", time.DateOnly} {
		if local, err := time.Parse(layout, text); err == nil {
			return 0, badRequest("%s: %s has no time zone: write %s for UTC, or %s for a zone that is an hour ahead of it",
				field, text, local.Format(time.RFC3339), local.Format("2006-01-02T15:04:05")+"+01:00")
		}
	}
	return 0, badRequest("%s: %q is no time: want one such as 2026-11-01T00:00:00Z (in a URL, a + is written %%2B)", field, text)
}

// parseWindow reads a window's bounds, each of which has a default for when it is "".
func parseWindow(fromField, from string, fromDefault int64, toField, to string, toDefault int64) (usage.Window, error) {
	w := usage.Window{Start: fromDefault, End: toDefault}
	var err error
	if from != "" {
		if w.Start, err = parseTime(fromField, from); err != nil {
			return w, err
		}
	}
	if to != "" {
		if w.End, err = parseTime(toField, to); err != nil {
			return w, err
		}
	}
	if w.Seconds() == 0 {
		return w, badRequest("%s: %s is not before %s, %s: want a window that begins before it ends", fromField, stamp(w.Start), toField, stamp(w.End))
	}
	return w, nil
}

// month is the month of a moment, in UTC.
func month(t int64) usage.Window { return timeline.Period(t, timeline.Month, 0, time.UTC) }
