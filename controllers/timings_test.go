package controllers

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// Each duration is counted under its own name, what failed apart from what did not; both are there
// from the beginning, so that a rate begins at 0.
func TestTimingsCountWhatFailedApart(t *testing.T) {
	timings, registry := NewTimings(), prometheus.NewPedanticRegistry()
	registry.MustRegister(timings)
	counts := func() map[string]uint64 {
		t.Helper()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]uint64{}
		for _, family := range families {
			for _, metric := range family.Metric {
				name := family.GetName()
				for _, label := range metric.Label {
					name += " " + label.GetValue()
				}
				found[name] = metric.Histogram.GetSampleCount()
			}
		}
		return found
	}
	const prefix = "usage_operator_"
	want := map[string]uint64{
		prefix + "journal_append_duration_seconds committed": 0, prefix + "journal_append_duration_seconds failed": 0,
		prefix + "journal_compaction_duration_seconds committed": 0, prefix + "journal_compaction_duration_seconds failed": 0,
		prefix + "seal_duration_seconds": 0, prefix + "report_duration_seconds": 0,
	}
	if diff := cmp.Diff(want, counts()); diff != "" {
		t.Errorf("at first: -want, +got\n%s", diff)
	}
	timings.appended(time.Second, nil)
	timings.compacted(time.Second, errors.New("timed out"))
	timings.compacted(time.Second, errors.New("timed out"))
	timings.compacted(time.Second, nil)
	timings.sealed(time.Second)
	want[prefix+"journal_append_duration_seconds committed"] = 1
	want[prefix+"journal_compaction_duration_seconds failed"] = 2
	want[prefix+"journal_compaction_duration_seconds committed"] = 1
	want[prefix+"seal_duration_seconds"] = 1
	if diff := cmp.Diff(want, counts()); diff != "" {
		t.Errorf("then: -want, +got\n%s", diff)
	}
	var none *Timings
	none.appended(time.Second, nil)
	none.compacted(time.Second, nil)
}
