package usageapi

import (
	"time"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// parseTime reads a moment with a time zone, in seconds since the epoch.
func parseTime(field, text string) (int64, error) {
	t, err := wire.ParseTime(text)
	if err != nil {
		return 0, badRequest("%s: %v (in a URL, a + is written %%2B)", field, err)
	}
	return t.Unix(), nil
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
