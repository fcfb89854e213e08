package report_test

import (
	"math"
	"slices"
	"testing"
	"time"
	_ "time/tzdata"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/usage"
)

var (
	crontabs = []string{
		"* * * * *", "*/30 * * * *", "30 2 * * *", "0 0 * * *", "15 0,23 * * *", "0 6 * * 1", "59 23 31 * *", "0 0 29 2 *",
		"* * * 1 *", "*/7 1-3 24-31 3,10 *", "0 0 24 * 4", "0 12 1 1 *",
	}
	zonesOfNote = []string{
		"", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu", "America/Sao_Paulo",
		"Africa/Casablanca", "America/St_Johns", "Antarctica/Troll",
	}
)

func drawTiming(t *rapid.T) *v1alpha1.ScheduleTiming {
	timing := &v1alpha1.ScheduleTiming{TimeZone: rapid.SampledFrom(zonesOfNote).Draw(t, "zone")}
	if rapid.Bool().Draw(t, "crontab") {
		timing.Schedule = rapid.SampledFrom(crontabs).Draw(t, "schedule")
	} else {
		timing.EveryPeriod = rapid.SampledFrom([]v1alpha1.PeriodUnit{"hour", "day", "week", "month"}).Draw(t, "unit")
	}
	return timing
}

// walk is what Due says, by going through all periods from the first.
func walk(s *report.Schedule, last, sealed int64, limit int) (due []usage.Window, next usage.Window) {
	if next = s.After(last); last == 0 {
		_, next = s.Due(0, math.MinInt64, 0) // the first
	}
	for ; next.End != 0 && next.End <= sealed; next = s.After(next.End) {
		due = append(due, next)
	}
	return due[max(0, len(due)-limit):], next
}

func TestDueIsWhatAWalkFromTheFirstPeriodFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		timing := drawTiming(t)
		start := rapid.Int64Range(at("2005-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z")).Draw(t, "start")
		if rapid.Bool().Draw(t, "starting on") {
			timing.StartingOn = &metav1.Time{Time: time.Unix(start, 0)}
		}
		s, err := report.NewSchedule(timing, start)
		if err != nil {
			t.Fatal(err)
		}
		span := rapid.SampledFrom([]int64{3600, 86400, 14 * 86400, 400 * 86400, 2000 * 86400}).Draw(t, "span")
		if timing.Schedule == "* * * * *" || timing.Schedule == "* * * 1 *" {
			span = min(span, 14*86400)
		}
		sealed := start + rapid.Int64Range(0, span).Draw(t, "sealed")
		last := int64(0)
		if rapid.Bool().Draw(t, "gone on") {
			last = start + rapid.Int64Range(0, span).Draw(t, "last")
		}
		limit := rapid.SampledFrom([]int{0, 1, 2, 3, 12, 1000}).Draw(t, "limit")
		due, next := s.Due(last, sealed, limit)
		wantDue, wantNext := walk(s, last, sealed, limit)
		if !slices.Equal(due, wantDue) || next != wantNext {
			t.Fatalf("after %d up to %d: %v and then %v, want %v and then %v", last, sealed, due, next, wantDue, wantNext)
		}
		names := map[string]bool{}
		for _, period := range due {
			if name := s.Suffix(period); names[name] {
				t.Fatalf("two periods of the name %s", name)
			} else {
				names[name] = true
			}
		}
	})
}

// What a tenant writes decides neither for how long Due walks, nor how much it keeps.
func TestASchedulesAgeDoesNotMatter(t *testing.T) {
	sealed := at("2026-11-22T08:30:00Z")
	for schedule, want := range map[string]string{
		"* * * * *":     "2026-11-22T08:30:00Z",
		"* * * 1-10 *":  "2026-10-31T23:59:00Z",
		"* * 29 2 *":    "2024-02-29T23:59:00Z",
		"*/59 * * * *":  "2026-11-22T08:00:00Z",
		"0 0 31 1-12 0": "2026-11-22T00:00:00Z",
	} {
		s, err := report.NewSchedule(&v1alpha1.ScheduleTiming{Schedule: schedule, StartingOn: meta("0001-01-02T00:00:00Z")}, sealed)
		if err != nil {
			t.Fatal(err)
		}
		for _, limit := range []int{1, 1000} {
			due, next := s.Due(0, sealed, limit)
			if len(due) != limit || due[limit-1].End != at(want) || next.Start != at(want) {
				t.Errorf("%s: %d periods, and then %v", schedule, len(due), next)
			}
		}
	}
}

// shownAt are the moments, of each minute between two, at which clocks show half
// past one of some hours: those that they skip, as they went before.
func shownAt(location *time.Location, from, until int64, hours []int) map[int64]bool {
	const minute = 60
	named := map[int64]bool{}
	shown := func(t int64) time.Time { return time.Unix(t, 0).In(location) }
	for second := from; second < until; second += minute {
		now, ago := shown(second), shown(second-minute)
		_, offset := now.Zone()
		_, before := ago.Zone()
		for left := range (offset - before) / minute {
			skipped := ago.Add(time.Duration(left+1) * time.Minute)
			as := skipped.In(time.FixedZone("", before))
			named[skipped.Unix()] = named[skipped.Unix()] || as.Minute() == 30 && slices.Contains(hours, as.Hour())
		}
		named[second] = named[second] || now.Minute() == 30 && slices.Contains(hours, now.Hour())
	}
	return named
}

// Minute by minute around changes of the clocks, by what they show.
func TestACrontabSaysWhatClocksShow(t *testing.T) {
	const minutes = 60
	hours := map[string][]int{"30 2 * * *": {2}, "30 0,23 * * *": {0, 23}, "30 1-3 * * *": {1, 2, 3}}
	for zone, around := range map[string][]string{
		"Europe/Berlin":       {"2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"},
		"America/Havana":      {"2026-03-08T05:00:00Z", "2026-11-01T05:00:00Z"},
		"Australia/Lord_Howe": {"2026-04-04T15:00:00Z", "2026-10-03T15:30:00Z"},
		"Pacific/Apia":        {"2011-12-30T10:00:00Z"},
		"America/St_Johns":    {"2006-10-29T02:31:00Z", "2006-04-02T03:31:00Z"},
		"Asia/Kathmandu":      {"2026-03-29T01:00:00Z"},
	} {
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for schedule, of := range hours {
			for _, change := range around {
				// The clocks are read minute by minute; what they skip is read as they went before.
				from, until := at(change)-50*3600, at(change)+50*3600
				named := shownAt(location, from, until, of)
				s, err := report.NewSchedule(&v1alpha1.ScheduleTiming{Schedule: schedule, TimeZone: zone, StartingOn: &metav1.Time{Time: time.Unix(from, 0)}}, from)
				if err != nil {
					t.Fatal(err)
				}
				var want []int64
				for second := from; second < until; second += minutes {
					if named[second] {
						want = append(want, second)
					}
				}
				var got []int64
				due, next := s.Due(0, until-1, 1_000_000)
				for _, period := range append(due, next) {
					got = append(got, period.Start)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s in %s around %s: %v, want %v", schedule, zone, change, got, want)
				}
			}
		}
	}
}

func TestADayThatComesTwiceHasTwoReports(t *testing.T) {
	s, err := report.NewSchedule(&v1alpha1.ScheduleTiming{EveryPeriod: "day", TimeZone: "America/St_Johns", StartingOn: meta("2006-10-28T02:30:00Z")}, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	due, _ := s.Due(0, at("2006-10-31T12:00:00Z"), 10)
	for _, period := range due {
		names = append(names, s.Suffix(period))
	}
	want := []string{"2006-10-28", "2006-10-29", "2006-10-29-0231", "2006-10-29-0330", "2006-10-30"}
	if !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}
