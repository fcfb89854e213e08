package report_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

func at(text string) int64 {
	parsed, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return parsed.Unix()
}

func meta(text string) *metav1.Time {
	t := metav1.Unix(at(text), 0)
	return &t
}

func TestAPeriodIsThatOfTheCalendar(t *testing.T) {
	now := at("2026-11-22T08:30:00Z") // a Sunday
	cases := map[string]struct {
		window                 v1alpha1.ReportWindow
		start, end, rollsUntil string
	}{
		"this month": {v1alpha1.ReportWindow{Period: &v1alpha1.Period{Unit: "month"}}, "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z"},
		"the last one, in Berlin": {
			v1alpha1.ReportWindow{Period: &v1alpha1.Period{Unit: "month", Offset: -1}, ReportShape: v1alpha1.ReportShape{TimeZone: "Europe/Berlin"}},
			"2026-10-01T00:00:00+02:00", "2026-11-01T00:00:00+01:00", "2026-12-01T00:00:00+01:00",
		},
		"this week":  {v1alpha1.ReportWindow{Period: &v1alpha1.Period{Unit: "week"}}, "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z"},
		"a year ago": {v1alpha1.ReportWindow{Period: &v1alpha1.Period{Unit: "month", Offset: -12}}, "2025-11-01T00:00:00Z", "2025-12-01T00:00:00Z", "2026-12-01T00:00:00Z"},
		"the day when clocks went back": {
			v1alpha1.ReportWindow{Period: &v1alpha1.Period{Unit: "day", Offset: -28}, ReportShape: v1alpha1.ReportShape{TimeZone: "Europe/Berlin"}},
			"2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00", "2026-11-23T00:00:00+01:00",
		},
		"the last hour": {v1alpha1.ReportWindow{Period: &v1alpha1.Period{Unit: "hour", Offset: -1}}, "2026-11-22T07:00:00Z", "2026-11-22T08:00:00Z", "2026-11-22T09:00:00Z"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := report.Resolve(report.Request{Window: &c.window}, now)
			if err != nil {
				t.Fatal(err)
			}
			if want := (usage.Window{Start: at(c.start), End: at(c.end)}); got.Window != want || got.Rolls != at(c.rollsUntil) {
				t.Errorf("got %v until %d, want %v until %d", got.Window, got.Rolls, want, at(c.rollsUntil))
			}
		})
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	bounds := v1alpha1.ReportWindow{StartingOn: meta("2026-11-01T00:00:00Z"), EndingBefore: meta("2026-12-01T00:00:00Z")}
	for _, zone := range []string{"Europe/Atlantis", "Local", "../etc/passwd"} {
		window := bounds
		window.TimeZone = zone
		_, err := report.Resolve(report.Request{Window: &window}, 0)
		if got := report.Refused(err); got == nil || got.Reason != v1alpha1.ReasonUnknownTimeZone || !strings.Contains(got.Message, fmt.Sprintf("%q", zone)) {
			t.Errorf("%s: %v", zone, err)
		}
	}
	if report.Refused(errors.New("the API server is away")) != nil || report.Refused(nil) != nil {
		t.Error("what passes by itself is no problem of the spec")
	}
}

// held is a volume that held some bytes.
func held(name string, start, end int64, change ...func(*usage.Change)) usage.Change {
	object := usage.Object{Kind: "PersistentVolumeClaim", Name: name, UID: "uid-" + name}
	c := usage.Change{Segment: usage.Segment{
		Meter: "volume", Dimension: usage.Dimension{Name: "storage", Unit: usage.Byte}, Level: 1 << 30,
		Subject: &usage.Subject{
			ResourceType: "volume", Resource: object, Instance: object,
			Account:    usage.Account{Namespace: "shop", NamespaceUID: "1", Deployment: "web"},
			Attributes: usage.NewAttributes(map[string]string{"storageClass": "fast"}),
		},
		Start: usage.Boundary{At: start, Evidence: usage.Observed}, End: usage.Boundary{At: end, Evidence: usage.Observed},
	}}
	for _, do := range change {
		do(&c)
	}
	return c
}

func figures(t *testing.T, window *v1alpha1.ReportWindow, changes ...usage.Change) *v1alpha1.UsageReportStatus {
	t.Helper()
	start := at("2026-11-01T00:00:00Z")
	line := timeline.New()
	line.Take(timeline.Commit{
		Changes: changes,
		Meters:  []timeline.Meter{{Name: "volume", ResourceType: "volume", Since: start + 3600, Dimensions: []usage.Dimension{{Name: "storage", Unit: usage.Byte}}}},
		Coverage: []usage.Stretch{
			{Meter: "volume", Window: usage.Window{Start: start + 7200, End: start + 7200 + 60}, Coverage: usage.CoverageReplayed},
			{Meter: "volume", Window: usage.Window{Start: start + 9000, End: start + 9100}, Coverage: usage.CoverageUnknown},
		},
		Sealed: []usage.Window{{Start: start, End: start + 4*3600}},
	})
	line.Publish()
	resolved, err := report.Resolve(report.Request{Window: window}, start)
	if err != nil {
		t.Fatal(err)
	}
	tally, err := timeline.NewTally(resolved.Query)
	if err == nil {
		err = tally.Advance(line.Snapshot(), line.Snapshot().Sealed())
	}
	if err != nil {
		t.Fatal(err)
	}
	status, err := report.Figures(resolved, tally)
	if err != nil {
		t.Fatal(err)
	}
	return status
}

func TestAReportSaysWhatWasUsedAndHowThatIsKnown(t *testing.T) {
	start := at("2026-11-01T00:00:00Z")
	window := &v1alpha1.ReportWindow{
		ReportShape: v1alpha1.ReportShape{WindowSize: "hour", GroupBy: []v1alpha1.GroupKey{"resource", "attribute:storageClass"}},
		StartingOn:  meta("2026-11-01T00:00:00Z"), EndingBefore: meta("2026-11-01T05:00:00Z"),
	}
	got := figures(t, window, held("data", start+3600, start+5400))
	row := func(hour int, quantity, exact string, accuracy v1alpha1.Accuracy) v1alpha1.ReportRow {
		return v1alpha1.ReportRow{
			TimeWindow: v1alpha1.TimeWindow{StartTime: metav1.NewTime(time.Unix(start+int64(hour)*3600, 0).UTC()), EndTime: metav1.NewTime(time.Unix(start+int64(hour+1)*3600, 0).UTC())},
			Group:      map[string]v1alpha1.AttributeValue{"resource": "data", "resourceUID": "uid-data", "attribute:storageClass": "fast", "dimension": "storage"},
			Quantity:   quantity, Unit: "GiB-hour", Exact: exact, ExactUnit: "byte-second", Accuracy: accuracy,
		}
	}
	// Before the ledger began nobody knows; where nothing was used there is no row.
	want := []v1alpha1.ReportRow{row(0, "", "", v1alpha1.AccuracyPartial), row(1, "0.5", "1932735283200", v1alpha1.AccuracyExact)}
	if difference := cmp.Diff(want, got.Rows); difference != "" {
		t.Error(difference)
	}
	if *got.RowCount != 2 || got.Summary != "storage 0.5 GiB-hour" {
		t.Errorf("%d rows: %s", *got.RowCount, got.Summary)
	}
	coverage := got.Coverage
	if coverage.Percent != "74.30" || coverage.UnknownSeconds != 3700 || coverage.ReplayedSeconds != 60 || coverage.ObservedSeconds != 4*3600-3760 {
		t.Errorf("coverage: %+v", coverage)
	}
	if len(coverage.Gaps) != 2 || coverage.Gaps[1].Meter != "volume" || coverage.Gaps[1].Coverage != "Unknown" {
		t.Errorf("gaps: %+v", coverage.Gaps)
	}
}

// Whatever names are made of: what is stored is JSON, in which "<" takes six bytes.
func TestNamesDoNotMakeAReportLargerThanAnObjectMayBe(t *testing.T) {
	const (
		maxStatus = 700 << 10 // of 1.5 MiB that etcd takes
		maxCursor = 16384     // in spec.startFrom
	)
	for _, letter := range []string{"b", "<", "\"", "é"} {
		t.Run(letter, func(t *testing.T) {
			start := at("2026-11-01T02:00:00Z")
			long := strings.Repeat(letter, 253/len(letter))
			var changes []usage.Change
			for i := range 900 {
				changes = append(changes, held(fmt.Sprintf("%s-%d", strings.Repeat("v", 240), i), start, start+60, func(c *usage.Change) {
					c.Subject.Region, c.Subject.Bundle = long, long
					attributes := map[string]string{}
					for n := range 13 {
						attributes[fmt.Sprint("a", n)] = long
					}
					c.Subject.Attributes = usage.NewAttributes(attributes)
				}))
			}
			window := &v1alpha1.ReportWindow{
				ReportShape: v1alpha1.ReportShape{GroupBy: []v1alpha1.GroupKey{"resource", "region", "bundle"}, Limit: 1000},
				StartingOn:  meta("2026-11-01T00:00:00Z"), EndingBefore: meta("2026-11-01T04:00:00Z"),
			}
			for n := range 13 {
				window.GroupBy = append(window.GroupBy, v1alpha1.GroupKey(fmt.Sprint("attribute:a", n)))
			}
			names := map[v1alpha1.AttributeValue]bool{}
			for pages := 1; ; pages++ {
				status := figures(t, window, changes...)
				if size := report.Size(status); size > maxStatus || len(status.NextPage) > maxCursor {
					t.Fatalf("page %d takes %d bytes, its cursor %d", pages, size, len(status.NextPage))
				}
				for _, row := range status.Rows {
					names[row.Group["resource"]] = true
				}
				if window.StartFrom = status.NextPage; status.NextPage == "" {
					if pages < 2 || len(names) != 900 || *status.RowCount != 900 {
						t.Errorf("%d names on %d pages", len(names), pages)
					}
					return
				}
			}
		})
	}
}

func TestTheDigestIsOfWhatTheReportSays(t *testing.T) {
	start := at("2026-11-01T02:00:00Z")
	window := func() *v1alpha1.ReportWindow {
		return &v1alpha1.ReportWindow{StartingOn: meta("2026-11-01T00:00:00Z"), EndingBefore: meta("2026-11-01T04:00:00Z")}
	}
	one := figures(t, window(), held("a", start, start+60), held("b", start, start+60))
	if again := figures(t, window(), held("b", start, start+60), held("a", start, start+60)); again.Digest != one.Digest {
		t.Error("the same has another digest")
	}
	if other := figures(t, window(), held("a", start, start+61), held("b", start, start+60)); other.Digest == one.Digest {
		t.Error("a second more has the same digest")
	}
}
