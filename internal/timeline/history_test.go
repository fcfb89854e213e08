package timeline_test

import (
	"testing"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// What edits of a meter leave known, by dimension and hour of three.
func TestAnEditLeavesThePastAsItWasKnown(t *testing.T) {
	const hour = 3600
	vcpu, memory := usage.Dimension{Name: "vcpu", Unit: usage.Core}, usage.Dimension{Name: "memory", Unit: usage.Byte}
	meters := func(since int64, measured []usage.Metered, of ...usage.Dimension) []timeline.Meter {
		return []timeline.Meter{{Name: "vm", ResourceType: "vm", Since: since, Dimensions: of, Measured: measured}}
	}
	first := usage.Redefined(nil, []usage.Dimension{vcpu}, 0)
	cases := map[string]struct {
		commits [][]timeline.Meter
		known   map[string]string // by dimension, hour by hour: y, or n
		unknown int64             // seconds of all three hours in which nothing was measured
	}{
		"an attribute": {[][]timeline.Meter{meters(0, first, vcpu), meters(0, first, vcpu)}, map[string]string{"vcpu": "yyy"}, 0},
		"a dimension that is new": {[][]timeline.Meter{
			meters(0, first, vcpu), meters(0, usage.Redefined(first, []usage.Dimension{vcpu, memory}, hour), vcpu, memory),
		}, map[string]string{"vcpu": "yyy", "memory": "nyy"}, 0},
		"a dimension that is gone": {[][]timeline.Meter{
			meters(0, usage.Redefined(nil, []usage.Dimension{vcpu, memory}, 0), vcpu, memory),
			meters(0, usage.Redefined(usage.Redefined(nil, []usage.Dimension{vcpu, memory}, 0), []usage.Dimension{vcpu}, 2*hour), vcpu),
		}, map[string]string{"vcpu": "yyy", "memory": "yyn"}, 0},
		"one for the other": {[][]timeline.Meter{
			meters(0, usage.Redefined(first, []usage.Dimension{memory}, hour), memory),
		}, map[string]string{"vcpu": "ynn", "memory": "nyy"}, 0},
		"a meter that began later": {[][]timeline.Meter{meters(hour, nil, vcpu, memory)}, map[string]string{"vcpu": "nyy", "memory": "nyy"}, hour},
		"what an older version wrote": {[][]timeline.Meter{meters(0, nil, vcpu), meters(hour, nil, vcpu), meters(2*hour, nil, vcpu, memory)},
			map[string]string{"vcpu": "yyy", "memory": "nny"}, 0},
		"a meter that was gone for a while": {[][]timeline.Meter{meters(0, nil, vcpu), {}, meters(2*hour, nil, vcpu)}, map[string]string{"vcpu": "nny"}, 2 * hour},
		"and what it measures instead":      {[][]timeline.Meter{meters(0, nil, vcpu), meters(hour, nil, memory)}, map[string]string{"vcpu": "ynn", "memory": "nyy"}, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			line := timeline.New()
			for i, commit := range c.commits {
				apply(line, timeline.Commit{Time: int64(i), Meters: commit})
			}
			var changes []usage.Change
			for _, d := range []usage.Dimension{vcpu, memory} {
				if c.known[d.Name] == "" {
					continue
				}
				for i := range int64(3) { // briefly, so that there is a row where nothing is known
					change := held("db", i*hour, i*hour+1)
					change.Dimension = d
					changes = append(changes, change)
				}
			}
			apply(line, timeline.Commit{Changes: changes, Sealed: []usage.Window{{Start: 0, End: 3 * hour}}})
			tally, err := timeline.NewTally(timeline.Query{Window: usage.Window{Start: 0, End: 3 * hour}, Size: timeline.Hour})
			if err == nil {
				err = tally.Advance(line.Snapshot(), 3*hour)
			}
			if err != nil {
				t.Fatal(err)
			}
			page, err := tally.Page("", 100)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, row := range page.Rows {
				known := "y"
				if row.Accuracy == usage.Partial {
					known = "n"
				}
				got[row.Name] += known
			}
			for dimension, want := range c.known {
				if got[dimension] != want {
					t.Errorf("%s is known %s, want %s", dimension, got[dimension], want)
				}
			}
			if unknown := tally.Coverage().Unknown; unknown != c.unknown {
				t.Errorf("%d s are unknown, want %d", unknown, c.unknown)
			}
		})
	}
}
