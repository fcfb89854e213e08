package usagecli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// momentHelp is what a moment may be written as.
const momentHelp = "2026-11-01, 2026-11-01T10:00, today, yesterday, now, 7d (ago), or with a zone: 2026-11-01T10:00:00Z"

// localLayouts are times without a zone: they are of --time-zone.
var localLayouts = []string{time.DateOnly, "2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04", time.DateTime, "2006-01"}

// moment reads a moment as people write it; what has no zone is of the one given.
func moment(text string, now time.Time, zone *time.Location) (time.Time, error) {
	if t, err := wire.ParseTime(text); err == nil {
		return t, nil
	}
	dayOf := func(offset int) time.Time {
		return time.Unix(timeline.Period(now.Unix(), timeline.Day, offset, zone).Start, 0)
	}
	switch strings.ToLower(text) {
	case "now":
		return now, nil
	case "today":
		return dayOf(0), nil
	case "yesterday":
		return dayOf(-1), nil
	}
	for _, layout := range localLayouts {
		t, err := time.ParseInLocation(layout, text, zone)
		if err != nil {
			continue
		}
		if shown := t.In(zone).Format(layout); shown != text { // the clocks went forward over it
			return t, fmt.Errorf("there was no %s in %s: the clocks went forward; write it with its zone, such as %s", text, zone, t.UTC().Format(time.RFC3339))
		}
		return t, nil
	}
	if ago, err := duration(text); err == nil {
		return now.Add(-ago), nil
	}
	return now, fmt.Errorf("%q is no time: want %s", text, momentHelp)
}

// longest is the longest duration that is taken: a century.
const longest = 36525 * 24 * time.Hour

// duration reads 1w, 7d, 24h, 30m.
func duration(text string) (time.Duration, error) {
	for unit, long := range map[string]time.Duration{"w": 7 * 24 * time.Hour, "d": 24 * time.Hour} {
		number, is := strings.CutSuffix(text, unit)
		if !is {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || !(n > 0) || n*float64(long) > float64(longest) || math.IsInf(n, 0) {
			return 0, errDuration
		}
		return time.Duration(n * float64(long)).Truncate(time.Second), nil
	}
	long, err := time.ParseDuration(text)
	if err != nil || long < time.Second || long > longest {
		return 0, errDuration
	}
	return long.Truncate(time.Second), nil
}

var errDuration = misused("want weeks, days, hours or minutes: 1w, 7d, 24h, 30m")

// location is the zone of --time-zone.
func (w *when) location() (*time.Location, error) {
	zone, err := time.LoadLocation(w.zone)
	if err != nil || w.zone == "Local" {
		return nil, misused("--time-zone=%s: there is no time zone of that name: want a name of the IANA time zone database, such as Europe/Berlin", w.zone)
	}
	return zone, nil
}
