package report_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/report"
)

func TestSchedules(t *testing.T) {
	created := at("2026-11-22T08:30:00Z") // a Sunday
	cases := map[string]struct {
		timing v1alpha1.ScheduleTiming
		sealed string
		names  []string
		next   string // when the period after them ends
	}{
		"every month": {v1alpha1.ScheduleTiming{EveryPeriod: "month", TimeZone: "Europe/Berlin"}, "2027-02-15T00:00:00Z",
			[]string{"2026-11", "2026-12", "2027-01"}, "2027-03-01T00:00:00+01:00"},
		"not before it is sealed": {v1alpha1.ScheduleTiming{EveryPeriod: "month"}, "2026-11-30T23:00:00Z", nil, "2026-12-01T00:00:00Z"},
		"every week": {v1alpha1.ScheduleTiming{EveryPeriod: "week"}, "2026-11-30T00:00:00Z",
			[]string{"2026-11-16", "2026-11-23"}, "2026-12-07T00:00:00Z"},
		"from some day on": {v1alpha1.ScheduleTiming{EveryPeriod: "day", StartingOn: meta("2026-11-19T12:00:00Z")}, "2026-11-22T00:00:00Z",
			[]string{"2026-11-20", "2026-11-21"}, "2026-11-23T00:00:00Z"},
		"the hour that comes twice": {v1alpha1.ScheduleTiming{EveryPeriod: "hour", TimeZone: "Europe/Berlin", StartingOn: meta("2026-10-25T00:00:00Z")}, "2026-10-25T02:00:00Z",
			[]string{"2026-10-25-0000", "2026-10-25-0100"}, "2026-10-25T03:00:00Z"},
		"a crontab": {v1alpha1.ScheduleTiming{Schedule: "0 6 * * MON", TimeZone: "Europe/Berlin"}, "2026-12-08T00:00:00Z",
			[]string{"2026-11-23-0500", "2026-11-30-0500"}, "2026-12-14T06:00:00+01:00"},
		"on a day of the month or of the week": {v1alpha1.ScheduleTiming{Schedule: "0 0 24 * 4"}, "2026-12-04T00:00:00Z",
			[]string{"2026-11-24-0000", "2026-11-26-0000"}, "2026-12-10T00:00:00Z"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			schedule, err := report.NewSchedule(&c.timing, created)
			if err != nil {
				t.Fatal(err)
			}
			due, next := schedule.Due(0, at(c.sealed), 10)
			var names []string
			for i, period := range due {
				names = append(names, schedule.Suffix(period))
				if i > 0 && due[i-1].End != period.Start {
					t.Errorf("%v, and then %v", due[i-1], period)
				}
			}
			if !slices.Equal(names, c.names) || next.End != at(c.next) {
				t.Errorf("got %v and then until %d, want %v until %d", names, next.End, c.names, at(c.next))
			}
		})
	}
}

func TestMissedPeriodsAreMadeUpToTheLimit(t *testing.T) {
	schedule, err := report.NewSchedule(&v1alpha1.ScheduleTiming{EveryPeriod: "hour"}, at("2026-01-01T00:00:00Z"))
	if err != nil {
		t.Fatal(err)
	}
	sealed := at("2026-11-22T08:00:00Z")
	due, _ := schedule.Due(0, sealed, 3)
	if len(due) != 3 || due[2].End != sealed {
		t.Errorf("got %v", due)
	}
	if due, next := schedule.Due(sealed-3600, sealed, 3); len(due) != 1 || due[0].End != sealed || next.Start != sealed {
		t.Errorf("got %v, and then %v", due, next)
	}
	if due, _ := schedule.Due(sealed, sealed, 3); len(due) != 0 {
		t.Errorf("got %v", due)
	}
}

func TestASchedulesMistakesAreNamed(t *testing.T) {
	for schedule, says := range map[string]string{
		"every day":           "want minute, hour, day of month, month and day of week",
		"0 6 * *":             "want minute, hour",
		"0 25 * * *":          "want minute, hour",
		"TZ=UTC 0 6 * * *":    "the time zone in spec.timeZone",
		"0 0 31 2 *":          "that never comes",
		"CRON_TZ=X 0 0 1 1 *": "the time zone in spec.timeZone",
		"@daily":              "want minute, hour",
		"* * * * * *":         "want minute, hour",
	} {
		_, err := report.NewSchedule(&v1alpha1.ScheduleTiming{Schedule: schedule}, 0)
		if got := report.Refused(err); got == nil || got.Reason != v1alpha1.ReasonInvalidSchedule || !strings.Contains(got.Message, says) {
			t.Errorf("%s: got %v, want %s", schedule, err, says)
		}
	}
}
