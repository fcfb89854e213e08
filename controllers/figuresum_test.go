package controllers

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// What the cache keeps of a status has no rows, and tells whether all of it is what
// it should be: as it is written, and as it is read again.
func TestTheCacheKeepsTheSumOfAStatus(t *testing.T) {
	moment := metav1.NewTime(time.Date(2026, 11, 22, 9, 0, 0, 0, time.FixedZone("", 3600)))
	window := v1alpha1.TimeWindow{StartTime: moment, EndTime: metav1.NewTime(moment.Add(time.Hour))}
	written := func() *v1alpha1.UsageReportStatus {
		return &v1alpha1.UsageReportStatus{
			ObservedGeneration: 1, Window: &window, SealedTime: &moment, LastReportTime: &moment, NextReportTime: &moment, RowCount: 1, NextPage: "next",
			Conditions: []metav1.Condition{{Type: "Ready", Status: "True", Reason: "Reported", LastTransitionTime: moment, Message: "<all>"}},
			Totals:     []v1alpha1.Total{{ResourceType: "vm", Dimension: "vcpu", Quantity: "1", Unit: "core-hour", Exact: "3600000", ExactUnit: "millicore-second"}},
			Rows:       []v1alpha1.ReportRow{{TimeWindow: window, Group: map[string]v1alpha1.AttributeValue{"resource": "db", "attribute:a": ""}, Unit: "core-hour", ExactUnit: "millicore-second"}},
			Coverage:   &v1alpha1.ReportCoverage{Percent: "100", ObservedSeconds: 3600}, Digest: "sha256:1234", Summary: "vcpu 1 core-hour",
		}
	}
	cached := func(status *v1alpha1.UsageReportStatus) *v1alpha1.UsageReportStatus {
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
	want, bytes := sumOf(written())
	kept := cached(written())
	if got, _ := sumOf(kept); got != want || bytes == 0 {
		t.Errorf("the sum is %s once it is stored, and was %s", got, want)
	}
	if len(kept.Rows)+len(kept.Totals) > 0 || kept.Coverage != nil || digestOf(kept) != "sha256:1234" || digestOf(written()) != "sha256:1234" {
		t.Errorf("the cache keeps %+v", kept)
	}
	if !kept.SealedTime.Equal(&moment) || !kept.LastReportTime.Equal(&moment) || !kept.Window.EndTime.Equal(&window.EndTime) || len(kept.Conditions) != 1 {
		t.Errorf("the cache has lost what is read: %+v", kept)
	}
	// Whatever field somebody else writes.
	for n := range reflect.TypeFor[v1alpha1.UsageReportStatus]().NumField() {
		forged := written()
		field := reflect.ValueOf(forged).Elem().Field(n)
		if field.IsZero() {
			field.SetInt(7) // the corrections
		} else {
			field.SetZero()
		}
		if got, _ := sumOf(cached(forged)); got == want {
			t.Errorf("%s is not in the sum", reflect.TypeFor[v1alpha1.UsageReportStatus]().Field(n).Name)
		}
	}
	// A sum that somebody else writes is not one: the API server refuses it as a digest.
	if got, _ := sumOf(&v1alpha1.UsageReportStatus{Digest: "sha256:" + want}); got == want {
		t.Error("a digest is taken for a sum")
	}
}
