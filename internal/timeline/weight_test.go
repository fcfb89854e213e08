package timeline_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// tallyOf adds up all that is sealed.
func tallyOf(s *timeline.Snapshot, q timeline.Query, limits timeline.Limits) (*timeline.Tally, error) {
	tally, err := timeline.NewTally(q)
	if err != nil {
		return nil, err
	}
	tally.Limit(limits)
	return tally, tally.Advance(s, s.Sealed())
}

// What a tally says that it holds is what the heap has of it: whether that is cells,
// groups, the keys of groups, or classes that are not in any report.
func TestATallysWeightIsThatOfAllItHolds(t *testing.T) {
	const pods = 20_000
	line := timeline.New()
	runJobs(line, pods, 2, false)
	s := line.Snapshot()
	whole := usage.Window{Start: second0, End: s.Sealed()}
	for name, q := range map[string]timeline.Query{
		"groups by holder":     {Window: whole, Size: timeline.None, GroupBy: []timeline.Key{timeline.Instance, timeline.Container, timeline.Resource, timeline.Deployment}},
		"groups of containers": {Window: whole, Size: timeline.None, GroupBy: []timeline.Key{timeline.Container}},
		"cells":                {Window: whole, Size: timeline.Hour, GroupBy: []timeline.Key{timeline.Resource}},
		"classes":              {Window: whole, Size: timeline.None, GroupBy: []timeline.Key{timeline.Namespace, timeline.Deployment}},
		"filtered":             {Window: whole, Size: timeline.None, Filters: timeline.Filters{Deployments: []string{"job-3"}}},
	} {
		t.Run(name, func(t *testing.T) {
			before := live()
			tally, err := tallyOf(s, q, timeline.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tally.Page("", 1); err != nil { // which puts the groups in order
				t.Fatal(err)
			}
			held, says := live()-before, float64(tally.Bytes())
			runtime.KeepAlive(tally)
			runtime.KeepAlive(line)
			t.Logf("%.0f bytes, and says %.0f", held, says)
			const noise = 256 << 10
			if says < 0.8*held-noise || says > 1.6*held+noise {
				t.Errorf("it holds %.0f bytes, and says %.0f", held, says)
			}
		})
	}
}

// A tally has as many groups as its limit, and not one more, whatever they are told
// apart by; what it says is the same each time.
func TestALimitOfGroups(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		s := w.timeline().Snapshot()
		keys := []timeline.Key{timeline.Namespace, timeline.Deployment, timeline.Resource, timeline.Instance, timeline.Container}
		q := timeline.Query{
			Window: usage.Window{Start: second0, End: second0 + length}, Size: timeline.Day,
			GroupBy: rapid.SliceOfDistinct(rapid.SampledFrom(keys), rapid.ID).Draw(t, "by"),
		}
		free, err := tallyOf(s, q, timeline.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		groups := free.Groups()
		if groups == 0 {
			return
		}
		exact, err := tallyOf(s, q, timeline.Limits{Groups: groups})
		if err != nil {
			t.Fatalf("%d groups are as many as there may be: %v", groups, err)
		}
		want, _ := free.Page("", timeline.MaxCells)
		got, _ := exact.Page("", timeline.MaxCells)
		if fmt.Sprint(want) != fmt.Sprint(got) {
			t.Fatalf("with a limit: %v, want %v", got, want)
		}
		if groups == 1 {
			return
		}
		_, err = tallyOf(s, q, timeline.Limits{Groups: groups - 1})
		tooLarge, is := errors.AsType[*timeline.TooLargeError](err)
		if !is || tooLarge.What != timeline.Groups || tooLarge.Max != groups-1 {
			t.Fatalf("%d groups, and one less may be: %v", groups, err)
		}
	})
}

func TestALimitOfCells(t *testing.T) {
	line := timeline.New()
	load(line, fleet(100))
	q := timeline.Query{Window: usage.Window{Start: second0, End: second0 + month}, Size: timeline.Hour, GroupBy: []timeline.Key{timeline.Resource}}
	const cells = 300 * month / 3600
	if _, err := tallyOf(line.Snapshot(), q, timeline.Limits{Cells: cells}); err != nil {
		t.Error(err)
	}
	_, err := tallyOf(line.Snapshot(), q, timeline.Limits{Cells: cells - 1})
	if tooLarge, is := errors.AsType[*timeline.TooLargeError](err); !is || tooLarge.What != timeline.Cells || tooLarge.Max != cells-1 {
		t.Error(err)
	}
}
