package usagecli

import (
	"net/url"
	"time"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// when is the window that a command line asks for.
type when struct {
	from, to, last       string
	thisMonth, lastMonth bool
	zone                 string
	at, interval         string // of commands that have them
}

func (w *when) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&w.from, "from", "", "The first second: "+momentHelp+".")
	flags.StringVar(&w.to, "to", "", "The first second after it, written the same way. Now, if there is --from alone.")
	flags.StringVar(&w.last, "last", "", "The last so many weeks, days or hours, up to now: 1w, 7d, 24h, 30m")
	flags.BoolVar(&w.thisMonth, "this-month", false, "This month, up to now. It is what is shown where nothing else is asked for.")
	flags.BoolVar(&w.lastMonth, "last-month", false, "The month before this one.")
	flags.StringVar(&w.zone, "time-zone", "UTC", "Where days and months begin, and what times without a zone are of: Europe/Berlin")
}

func (w *when) addIntervalFlag(flags *pflag.FlagSet) {
	flags.StringVar(&w.interval, "interval", "", "The sealed interval that this moment lies in: 2026-11-21T10:00:00Z, or as records are labelled, 20261121T1000Z")
}

func (w *when) addMomentFlags(flags *pflag.FlagSet) {
	flags.StringVar(&w.at, "at", "", "Only what was held at this moment.")
	w.addIntervalFlag(flags)
}

// asked is how many windows are asked for.
func (w *when) asked() (n int) {
	for _, is := range []bool{w.from != "" || w.to != "", w.last != "", w.thisMonth, w.lastMonth, w.at != "", w.interval != ""} {
		if is {
			n++
		}
	}
	return n
}

// window is the report's.
func (w *when) window(now time.Time) (*v1alpha1.ReportWindow, error) {
	if w.asked() > 1 {
		return nil, misused("want one of --from and --to, --last, --this-month, --last-month")
	}
	out := &v1alpha1.ReportWindow{}
	out.TimeZone = w.zone
	now = now.UTC().Truncate(time.Second)
	between := func(start, end time.Time) *v1alpha1.ReportWindow {
		out.StartingOn, out.EndingBefore = &metav1.Time{Time: start}, &metav1.Time{Time: end}
		return out
	}
	switch {
	case w.last != "":
		long, err := duration(w.last)
		if err != nil {
			return nil, misused("--last=%s: %v", w.last, err)
		}
		return between(now.Add(-long), now), nil
	case w.from != "" || w.to != "":
		return w.bounds(now, between)
	case w.lastMonth:
		out.Period = &v1alpha1.Period{Unit: v1alpha1.PeriodMonth, Offset: -1}
	default:
		out.Period = &v1alpha1.Period{Unit: v1alpha1.PeriodMonth}
	}
	return out, nil
}

// query is what the usage API is asked: bounds, or an interval. Where nothing is
// asked for and everything is meant, it has none.
func (w *when) query(now time.Time, everything bool) (url.Values, error) {
	query := url.Values{}
	bounds := func(start, end time.Time) {
		query.Set("from", start.UTC().Format(time.RFC3339))
		query.Set("to", end.UTC().Format(time.RFC3339))
	}
	switch asked := w.asked(); {
	case asked > 1:
		return nil, misused("want one of --interval, --at, --from and --to, --last, --this-month, --last-month")
	case asked == 0 && everything:
		return query, nil
	case w.interval != "":
		within, err := w.momentOf(w.interval, now, parseInterval)
		if err != nil {
			return nil, misused("--interval: %v; or an interval's label: 20261101T1000Z", err)
		}
		query.Set("interval", within.UTC().Format(time.RFC3339))
		return query, nil
	case w.at != "":
		at, err := w.momentOf(w.at, now, wire.ParseTime)
		if err != nil {
			return nil, misused("--at: %v", err)
		}
		bounds(at, at.Add(time.Second))
		return query, nil
	}
	start, end, err := w.moments(now)
	if err == nil {
		bounds(start, end)
	}
	return query, err
}

// momentOf reads a moment in a way of its own, or else as people write it.
func (w *when) momentOf(text string, now time.Time, parse func(string) (time.Time, error)) (time.Time, error) {
	if t, err := parse(text); err == nil {
		return t, nil
	}
	zone, err := w.location()
	if err != nil {
		return now, err
	}
	return moment(text, now, zone)
}

// parseInterval reads a moment, or the label of an interval.
func parseInterval(text string) (time.Time, error) {
	if start, err := record.ParseIntervalLabel(text); err == nil {
		return time.Unix(start, 0), nil
	}
	return wire.ParseTime(text)
}

// moments are the bounds of the window.
func (w *when) moments(now time.Time) (start, end time.Time, err error) {
	window, err := w.window(now)
	if err != nil {
		return start, end, err
	}
	if window.Period == nil {
		return window.StartingOn.Time, window.EndingBefore.Time, nil
	}
	zone, err := w.location()
	if err != nil {
		return start, end, err
	}
	month := timeline.Period(now.Unix(), timeline.Month, int(window.Period.Offset), zone)
	return time.Unix(month.Start, 0), time.Unix(month.End, 0), nil
}

func (w *when) bounds(now time.Time, between func(start, end time.Time) *v1alpha1.ReportWindow) (*v1alpha1.ReportWindow, error) {
	if w.from == "" {
		return nil, misused("there is --to without --from: say where the window begins")
	}
	zone, err := w.location()
	if err != nil {
		return nil, err
	}
	start, err := moment(w.from, now, zone)
	if err != nil {
		return nil, misused("--from: %v", err)
	}
	end := now
	if w.to != "" {
		if end, err = moment(w.to, now, zone); err != nil {
			return nil, misused("--to: %v", err)
		}
	}
	if !start.Before(end) {
		return nil, misused("--from: %s is not before %s", start.Format(time.RFC3339), end.Format(time.RFC3339))
	}
	return between(start, end), nil
}
