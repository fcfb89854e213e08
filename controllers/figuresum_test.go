package controllers

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/report"
)

var (
	writtenAt     = metav1.NewTime(time.Date(2026, 11, 22, 9, 0, 0, 0, time.FixedZone("", 3600)))
	writtenWindow = v1alpha1.TimeWindow{StartTime: writtenAt, EndTime: metav1.NewTime(writtenAt.Add(time.Hour))}
)

// writtenStatus is one with all of its fields but one.
func writtenStatus() *v1alpha1.UsageReportStatus {
	return &v1alpha1.UsageReportStatus{
		ObservedGeneration: 1, Window: &writtenWindow, SealedTime: &writtenAt, LastReportTime: &writtenAt, NextReportTime: &writtenAt,
		Conditions: []metav1.Condition{{Type: "Ready", Status: "True", Reason: "Reported", LastTransitionTime: writtenAt, Message: "<all>"}},
		Totals:     []v1alpha1.Total{{ResourceType: "vm", Dimension: "vcpu", Quantity: "1", Unit: "core-hour", Exact: "3600000", ExactUnit: "millicore-second"}},
		Rows:       []v1alpha1.ReportRow{{TimeWindow: writtenWindow, Group: map[string]v1alpha1.AttributeValue{"resource": "db", "attribute:a": ""}, Unit: "core-hour", ExactUnit: "millicore-second"}},
		Coverage:   &v1alpha1.ReportCoverage{Percent: "99", ObservedSeconds: 3564, UnknownSeconds: 36, Gaps: []v1alpha1.CoverageGap{{TimeWindow: writtenWindow, Coverage: "Unknown"}}}, Digest: "sha256:1234", Summary: "vcpu 1 core-hour", RowCount: new(int64(1)), NextPage: "next",
	}
}

// cachedStatus is what the cache keeps of a status, once it is stored.
func cachedStatus(t *testing.T, status *v1alpha1.UsageReportStatus) *v1alpha1.UsageReportStatus {
	t.Helper()
	text, err := json.Marshal(v1alpha1.UsageReport{Status: *status})
	read := &v1alpha1.UsageReport{}
	if err == nil {
		err = json.Unmarshal(text, read)
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it changes nothing
		if _, err := withoutFigures(read); err != nil {
			t.Fatal(err)
		}
	}
	return &read.Status
}

func TestTheCacheKeepsWhatIsReadOfAStatus(t *testing.T) {
	kept := cachedStatus(t, writtenStatus())
	if len(kept.Rows)+len(kept.Coverage.Gaps) > 0 || kept.NextPage != "" || digestOf(kept) != "sha256:1234" || digestOf(writtenStatus()) != "sha256:1234" {
		t.Errorf("the cache keeps %+v", kept)
	}
	if !kept.SealedTime.Equal(&writtenAt) || !kept.LastReportTime.Equal(&writtenAt) || !kept.Window.EndTime.Equal(&writtenWindow.EndTime) || len(kept.Conditions) != 1 {
		t.Errorf("the cache has lost what is read: %+v", kept)
	}
	if kept.Summary != "vcpu 1 core-hour" || *kept.RowCount != 1 || len(kept.Totals) != 1 || report.Found(kept) != report.Used || kept.Coverage.Percent != "99" {
		t.Errorf("the cache has lost what the list of reports has: %+v", kept)
	}
	many := writtenStatus()
	many.Totals = slices.Repeat(many.Totals, 1024)
	if kept := cachedStatus(t, many); len(kept.Totals) != totalsKept {
		t.Errorf("the cache keeps %d totals, want %d", len(kept.Totals), totalsKept)
	}
}

// The sum of what the cache keeps tells whether a status is what it should be: it is
// the same as it is written and as it is read again, and another whatever field
// somebody else writes.
func TestTheCacheKeepsTheSumOfAStatus(t *testing.T) {
	want, bytes := sumOf(writtenStatus())
	if got, _ := sumOf(cachedStatus(t, writtenStatus())); got != want || bytes == 0 {
		t.Errorf("the sum is %s once it is stored, and was %s", got, want)
	}
	status := reflect.TypeFor[v1alpha1.UsageReportStatus]()
	for n := range status.NumField() {
		forged := writtenStatus()
		field := reflect.ValueOf(forged).Elem().Field(n)
		if field.IsZero() {
			field.SetInt(7) // the corrections
		} else {
			field.SetZero()
		}
		if got, _ := sumOf(cachedStatus(t, forged)); got == want {
			t.Errorf("%s is not in the sum", status.Field(n).Name)
		}
	}
	// A sum that somebody else writes is not one: the API server refuses it as a digest.
	if got, _ := sumOf(&v1alpha1.UsageReportStatus{Digest: "sha256:" + want}); got == want {
		t.Error("a digest is taken for a sum")
	}
}
