package report_test

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// However few reports can be made at a time, and however much is sealed meanwhile:
// of those that are missing the newest is made next, what lasts is that all of the
// newest are made, and nothing is missing that was made just before.
func TestWhatIsMissingIsMadeNewestFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		timing := drawTiming(t)
		start := rapid.Int64Range(at("2005-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z")).Draw(t, "start")
		timing.StartingOn = &metav1.Time{Time: time.Unix(start, 0)}
		s, err := report.NewSchedule(timing, start)
		if err != nil {
			t.Fatal(err)
		}
		limit := rapid.IntRange(1, 20).Draw(t, "limit")
		made, sealed := map[usage.Window]bool{}, start
		var p report.Progress
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			sealed += rapid.SampledFrom([]int64{0, 60, 3600, 86400, 40 * 86400}).Draw(t, "passed")
			if valid := s.Valid(p, sealed); p != (report.Progress{}) && valid != p {
				t.Fatalf("%+v is not taken for what it is: %+v", p, valid)
			}
			missing, next := s.Missing(p, sealed, limit)
			due, wantNext := s.Due(0, sealed, limit)
			if next != wantNext {
				t.Fatalf("then comes %v, want %v", next, wantNext)
			}
			expectMissing(t, missing, due, made)
			n := rapid.IntRange(0, len(missing)).Draw(t, "made")
			for _, period := range missing[:n] {
				made[period] = true
			}
			p = p.After(missing, n)
			again, _ := s.Missing(p, sealed, limit)
			expectLeft(t, again, missing[n:], made, p)
		}
	})
}

// expectMissing expects the newest that are due and were not made, the newest first;
// some of those that were made may be among them.
func expectMissing(t *rapid.T, missing, due []usage.Window, made map[usage.Window]bool) {
	if !slices.IsSortedFunc(missing, func(a, b usage.Window) int { return int(b.Start - a.Start) }) {
		t.Fatalf("not the newest first: %v", missing)
	}
	for _, period := range due {
		if !made[period] && !slices.Contains(missing, period) {
			t.Fatalf("%v was not made, and is not missing: %v", period, missing)
		}
	}
	for _, period := range missing {
		if !slices.Contains(due, period) {
			t.Fatalf("%v is missing, and is not one of the newest: %v", period, due)
		}
	}
}

// expectLeft expects what was left to be missing still, and beside that only what
// lies between two of it: that is looked for once more, and found.
func expectLeft(t *rapid.T, missing, left []usage.Window, made map[usage.Window]bool, p report.Progress) {
	for _, period := range missing {
		if !slices.Contains(left, period) && (!made[period] || p.Backlog.Intersect(period) != period) {
			t.Fatalf("%v were left, and %v is missing: %+v", left, period, p)
		}
	}
	for _, period := range left {
		if !slices.Contains(missing, period) {
			t.Fatalf("%v were left, and %v is not missing: %+v", left, period, p)
		}
	}
	if len(left) == 0 && len(missing) > 0 {
		t.Fatalf("all were made, and %v are missing: %+v", missing, p)
	}
}

// A progress that somebody made up counts for nothing, unless the schedule can have come to it.
func TestAProgressThatCannotBe(t *testing.T) {
	s, err := report.NewSchedule(&v1alpha1.ScheduleTiming{EveryPeriod: "day", StartingOn: meta("2026-11-01T00:00:00Z")}, 0)
	if err != nil {
		t.Fatal(err)
	}
	sealed, day := at("2026-11-20T06:00:00Z"), func(d string) int64 { return at("2026-11-" + d + "T00:00:00Z") }
	for name, p := range map[string]report.Progress{
		"in the future":           {Last: day("21")},
		"before the first":        {Last: at("2026-10-30T00:00:00Z")},
		"a backlog of the future": {Last: day("15"), Backlog: usage.Window{Start: day("10"), End: day("25")}},
	} {
		if got := s.Valid(p, sealed); got != (report.Progress{}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	back := report.Progress{Last: day("15"), Backlog: usage.Window{Start: day("12"), End: day("10")}}
	if got := s.Valid(back, sealed); got != (report.Progress{Last: day("15")}) {
		t.Errorf("a backlog that goes back: %+v", got)
	}
	good := report.Progress{Last: day("20"), Backlog: usage.Window{Start: day("02"), End: day("12")}}
	if got := s.Valid(good, sealed); got != good {
		t.Errorf("got %+v", got)
	}
}
