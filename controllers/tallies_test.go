package controllers

import (
	"fmt"
	"testing"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

func TestTalliesAreKeptAsFarAsThereIsRoom(t *testing.T) {
	const hours = 9000
	object := usage.Object{Kind: "VM", Name: "a", UID: "a"}
	line := timeline.New()
	line.Take(timeline.Commit{
		Changes: []usage.Change{{Segment: usage.Segment{
			Meter: "vm", Dimension: usage.Dimension{Name: "vm", Unit: usage.Count}, Level: 1000,
			Subject: &usage.Subject{ResourceType: "vm", Resource: object, Instance: object},
			Start:   usage.Boundary{Evidence: usage.Observed},
		}}},
		Sealed: []usage.Window{{End: hours * 3600}},
	})
	line.Publish()
	kept := newTallies()
	query := timeline.Query{Window: usage.Window{End: hours * 3600}, Size: timeline.Hour}
	take := func(n int, query timeline.Query) *timeline.Tally {
		t.Helper()
		tally, err := kept.take(reportKey{Name: fmt.Sprint(n)}, query)
		if err == nil {
			err = tally.Advance(line.Snapshot(), hours*3600)
		}
		if err != nil {
			t.Fatal(err)
		}
		kept.put(reportKey{Name: fmt.Sprint(n)}, query, tally)
		return tally
	}
	const fit = maxKept / hours
	first := take(0, query)
	if take(0, query) != first {
		t.Error("the same question has another tally")
	}
	for n := 1; n < fit; n++ {
		take(n, query)
	}
	if take(0, query) != first {
		t.Error("there was room for the first")
	}
	second := kept.known[reportKey{Name: "1"}]
	take(fit, query)
	if kept.known[reportKey{Name: "1"}] != nil || second == nil || kept.cells > maxKept {
		t.Errorf("%d cells are kept, and the one that was used least recently", kept.cells)
	}
	another := query
	another.Zeros = true
	if take(0, another) == first {
		t.Error("another question has the same tally")
	}
	kept.drop(reportKey{Name: "0"})
	if len(kept.known) != kept.order.Len() || kept.known[reportKey{Name: "0"}] != nil {
		t.Error("it was not dropped")
	}
}
