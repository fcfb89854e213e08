package controllers

import (
	"testing"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

func TestTalliesThatAreKept(t *testing.T) {
	const day = 24 * 3600
	line := timeline.New()
	object := usage.Object{UID: "a"}
	line.Take(timeline.Commit{
		Meters: []timeline.Meter{{Name: "vm", ResourceType: "vm"}},
		Sealed: []usage.Window{{Start: 0, End: day}},
		Changes: []usage.Change{{Segment: usage.Segment{
			Meter: "vm", Subject: &usage.Subject{ResourceType: "vm", Resource: object, Instance: object},
			Dimension: usage.Dimension{Name: "vcpu", Unit: usage.Core}, Level: 1,
		}}},
	})
	line.Publish()
	const one = 6 << 10 // bytes, of a tally of a day and somewhat more
	kept := newTallies(2 * one)
	query := func(hours int64) timeline.Query {
		return timeline.Query{Window: usage.Window{Start: 0, End: hours * 3600}, Size: timeline.Hour}
	}
	last := map[string]*timeline.Tally{}
	use := func(report string, hours int64) (again bool) {
		t.Helper()
		err := kept.use(reportKey{Name: report}, query(hours), line.Snapshot(), day, func(tally *timeline.Tally) error {
			again = tally == last[report]
			last[report] = tally
			if bytes := tally.Bytes(); bytes < one/2 || bytes > one {
				t.Fatalf("it takes %d bytes: want some %d", bytes, one)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return again
	}
	steps := []struct {
		report string
		hours  int64
		again  bool
	}{
		{"a", 24, false}, {"b", 24, false}, {"a", 24, true}, // both have room
		{"a", 23, false},                   // another question
		{"b", 24, true},                    // which drives nobody out
		{"c", 24, false}, {"a", 23, false}, // the one used least recently goes
		{"c", 24, true},
	}
	for i, step := range steps {
		if again := use(step.report, step.hours); again != step.again {
			t.Errorf("step %d: %s of %d hours went on: %t, want %t", i, step.report, step.hours, again, step.again)
		}
	}
	kept.drop(reportKey{Name: "c"})
	if use("c", 24) {
		t.Error("a tally went on that was dropped")
	}
}
