package timeline_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// measureOf is what a row is of, where the query is grouped by resource type or not.
func measureOf(r *timeline.Row) string {
	text := fmt.Sprint(r.Dimension)
	for _, v := range r.Group {
		if v.Key == string(timeline.ResourceType) {
			text = v.Value + text
		}
	}
	return text
}

func exactly(t *rapid.T, a usage.Amount) *big.Int {
	n, ok := new(big.Int).SetString(a.String(), 10)
	if !ok {
		t.Fatalf("%s is no number", a)
	}
	return n
}

// A ranking has the rows of one tally that hold the most of their measure; and what they
// and the others say is what all of them say.
func TestARankingHasTheRowsWithTheMost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, q := drawWorld(t), drawQuery(t)
		q.Size = timeline.None
		s := w.timeline().Snapshot()
		until := min(s.Sealed(), q.Window.End)
		all := page(t, talliedUntil(t, s, q, until), "", 1<<30).Rows
		most := rapid.IntRange(1, 3).Draw(t, "most")
		got, err := timeline.NewPager(rapid.SampledFrom([]int{8, 100, 10_000}).Draw(t, "cells")).Top(context.Background(), s, q, until, most)
		if err != nil {
			t.Fatal(err)
		}
		by := map[string][]timeline.Row{}
		for i := range all {
			by[measureOf(&all[i])] = append(by[measureOf(&all[i])], all[i])
		}
		var want []timeline.Row
		others := map[string]string{}
		for _, measure := range slices.Sorted(maps.Keys(by)) {
			rows := by[measure]
			slices.SortStableFunc(rows, func(a, b timeline.Row) int { return exactly(t, b.Amount).Cmp(exactly(t, a.Amount)) })
			want = append(want, rows[:min(most, len(rows))]...)
			others[measure] = restOf(t, rows[min(most, len(rows)):])
		}
		slices.SortStableFunc(got.Rows, func(a, b timeline.Row) int { return cmp.Compare(measureOf(&a), measureOf(&b)) })
		if fmt.Sprint(got.Rows) != fmt.Sprint(want) {
			t.Fatalf("of %d rows got\n%v\nwant\n%v", len(all), got.Rows, want)
		}
		for _, o := range got.Others {
			measure := o.ResourceType + fmt.Sprint(o.Dimension)
			if text := fmt.Sprint(o.Count, o.Amount, o.Known, o.Accuracy); text != others[measure] {
				t.Fatalf("the others of %s are %s, want %s", measure, text, others[measure])
			}
			delete(others, measure)
		}
		for measure, text := range others {
			if text != "" {
				t.Fatalf("the others of %s are not told: %s", measure, text)
			}
		}
	})
}

// restOf is what rows add up to; "" of none.
func restOf(t *rapid.T, rows []timeline.Row) string {
	if len(rows) == 0 {
		return ""
	}
	whole, known, accuracy := new(big.Int), true, usage.Exact
	for i := range rows {
		whole.Add(whole, exactly(t, rows[i].Amount))
		known, accuracy = known && rows[i].Known, max(accuracy, rows[i].Accuracy)
	}
	return fmt.Sprint(len(rows), whole, known, accuracy)
}
