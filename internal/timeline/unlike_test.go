package timeline_test

import (
	"slices"
	"testing"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// A filter names a dimension of one thing, or by the dimension alone those of all.
func TestFiltersOfUnlikeThings(t *testing.T) {
	device := usage.Dimension{Name: "device", Unit: usage.Count}
	held := func(what string) usage.Change {
		o := usage.Object{Kind: "Pod", Name: "p", UID: "uid-p"}
		return usage.Change{Kind: usage.Put, Segment: usage.Segment{
			Meter: "pods", Dimension: device.Of(what), Level: 1000, Start: usage.Boundary{At: 0, Evidence: usage.ObjectTime},
			Subject: &usage.Subject{ResourceType: "container", Resource: o, Instance: o, Container: what, Account: usage.Account{Namespace: "shop"}},
		}}
	}
	line := timeline.New()
	line.Take(timeline.Commit{
		Time: 7200, Sealed: []usage.Window{usage.Interval(0, 3600)},
		Meters:  []timeline.Meter{{Name: "pods", ResourceType: "container", Dimensions: []usage.Dimension{device}}},
		Changes: []usage.Change{held("a.example/gpu"), held("b.example/nic")},
	})
	line.Publish()
	for name, c := range map[string]struct {
		filters timeline.Filters
		want    []string
		known   int64 // seconds
	}{
		"none":                  {timeline.Filters{}, []string{"device/a.example/gpu", "device/b.example/nic"}, 3600},
		"a dimension":           {timeline.Filters{Dimensions: []string{"device"}}, []string{"device/a.example/gpu", "device/b.example/nic"}, 3600},
		"a dimension of a kind": {timeline.Filters{Dimensions: []string{"device/b.example/nic"}}, []string{"device/b.example/nic"}, 3600},
		"a metric of a kind":    {timeline.Filters{Metrics: []timeline.Metric{{ResourceType: "container", Dimension: "device/a.example/gpu"}}}, []string{"device/a.example/gpu"}, 3600},
		"another dimension":     {timeline.Filters{Dimensions: []string{"memory"}}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			q := timeline.Query{Window: usage.Interval(0, 3600), Size: timeline.None, Filters: c.filters}
			tally, err := timeline.NewTally(q)
			if err != nil {
				t.Fatal(err)
			}
			if err := tally.Advance(line.Snapshot(), q.Window.End); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, total := range tally.Totals() {
				got = append(got, total.Name)
			}
			if coverage := tally.Coverage(); !slices.Equal(got, c.want) || coverage.Observed != c.known {
				t.Errorf("got %v, known for %d s; want %v, %d s", got, coverage.Observed, c.want, c.known)
			}
		})
	}
}
