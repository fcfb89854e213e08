package timeline_test

import (
	"context"
	"fmt"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// seriesWorld is what series are compared with: the rows of one tally, window by window.
type seriesWorld struct {
	rows  map[string]string // by group and window
	total map[string]*big.Int
}

func seriesKey(group []timeline.Value, d usage.Dimension, start int64) string {
	return fmt.Sprint(group, d, start)
}

// Series have the groups of a ranking, and in each window what a tally says of them;
// with the others, they are what all groups of the measure hold.
func TestSeriesSayWhatATallySaysAndAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, q := drawWorld(t), drawQuery(t)
		q.Zeros = false
		s := w.timeline().Snapshot()
		until := min(s.Sealed(), q.Window.End)
		most := rapid.IntRange(1, 3).Draw(t, "most")
		pager := timeline.NewPager(rapid.SampledFrom([]int{8, 100, 10_000}).Draw(t, "cells"))
		got, err := pager.Series(context.Background(), s, q, until, most)
		if err != nil {
			t.Fatal(err)
		}
		all := page(t, talliedUntil(t, s, q, until), "", 1<<30).Rows
		want := seriesWorld{rows: map[string]string{}, total: map[string]*big.Int{}}
		for i := range all {
			row := &all[i]
			if row.Unit == "" {
				continue
			}
			want.rows[seriesKey(row.Group, row.Dimension, row.Window.Start)] = fmt.Sprint(row.Amount, row.Known, row.Accuracy)
			of := fmt.Sprint(measureOf(row), row.Window.Start)
			if want.total[of] == nil {
				want.total[of] = new(big.Int)
			}
			want.total[of].Add(want.total[of], exactly(t, row.Amount))
		}
		want.compare(t, got)
	})
}

func (want *seriesWorld) compare(t *rapid.T, got *timeline.Series) {
	sums := map[string]*big.Int{}
	for _, lines := range [][]timeline.Line{got.Lines, got.Others} {
		for i := range lines {
			for w := range got.Windows {
				of := lineKey(got, &lines[i], w)
				if sums[of] == nil {
					sums[of] = new(big.Int)
				}
				sums[of].Add(sums[of], exactly(t, lines[i].Points[w].Amount))
			}
		}
	}
	want.compareLines(t, got)
	for i := range got.Totals {
		for w := range got.Windows {
			l := &got.Totals[i]
			of := lineKey(got, l, w)
			whole := want.total[of]
			if whole == nil {
				whole = new(big.Int)
			}
			if exactly(t, l.Points[w].Amount).Cmp(whole) != 0 || sums[of] == nil || sums[of].Cmp(whole) != 0 {
				t.Fatalf("%s in %v: the total is %s, and the lines add up to %s: want %s", of, got.Windows[w], l.Points[w].Amount, sums[of], whole)
			}
		}
	}
}

func lineKey(s *timeline.Series, l *timeline.Line, window int) string {
	return fmt.Sprint(l.ResourceType+fmt.Sprint(l.Dimension), s.Windows[window].Start)
}

// compareLines compares each line with the rows of its group.
func (want *seriesWorld) compareLines(t *rapid.T, got *timeline.Series) {
	for i := range got.Lines {
		l := &got.Lines[i]
		for w := range got.Windows {
			p := &l.Points[w]
			row, there := want.rows[seriesKey(l.Group, l.Dimension, got.Windows[w].Start)]
			if there && fmt.Sprint(p.Amount, p.Known, p.Accuracy) != row || !there && !p.Amount.IsZero() {
				t.Fatalf("%v in %v is %v, want %q", l.Group, got.Windows[w], p, row)
			}
			if known := got.Coverage[w].Unknown < got.Windows[w].Seconds(); !there && p.Known != known {
				t.Fatalf("%v in %v: known is %v, of which the meters know %v", l.Group, got.Windows[w], p.Known, known)
			}
		}
	}
}
