package usage

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// second by second: what the worst of a meter's stretches says of each.
func secondBySecond(stretches []Stretch, meter string, w Window) []Stretch {
	var out []Stretch
	for second := w.Start; second < w.End; second++ {
		worst := CoverageObserved
		for _, s := range stretches {
			if s.Meter == meter && s.Contains(second) {
				worst = max(worst, s.Coverage)
			}
		}
		last := len(out) - 1
		switch {
		case worst == CoverageObserved:
		case last >= 0 && out[last].End == second && out[last].Coverage == worst:
			out[last].End++
		default:
			out = append(out, Stretch{Meter: meter, Window: Window{Start: second, End: second + 1}, Coverage: worst})
		}
	}
	return out
}

func TestCutCoverageIsTheWorstOfEachSecond(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stretches []Stretch
		for range rapid.IntRange(0, 20).Draw(t, "stretches") {
			start := rapid.Int64Range(-10, 60).Draw(t, "start")
			stretches = append(stretches, Stretch{
				Meter:    rapid.SampledFrom([]string{"", "a", "vm"}).Draw(t, "meter"),
				Window:   Window{Start: start, End: start + rapid.Int64Range(-2, 30).Draw(t, "length")},
				Coverage: Coverage(rapid.IntRange(0, len(coverageNames)-1).Draw(t, "coverage")),
			})
		}
		start := rapid.Int64Range(-20, 60).Draw(t, "from")
		w := Window{Start: start, End: start + rapid.Int64Range(-2, 80).Draw(t, "seconds")}
		var want []Stretch
		for _, meter := range []string{"", "a", "vm"} {
			want = append(want, secondBySecond(stretches, meter, w)...)
		}
		if got := CutCoverage(stretches, w); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func BenchmarkCutCoverage(b *testing.B) {
	for _, n := range []int{1_000, 32_000} {
		var stretches []Stretch
		for i := range n {
			start := int64(i) * 1000
			stretches = append(stretches, Stretch{Meter: "vm", Window: Window{Start: start, End: start + 1500}, Coverage: Coverage(1 + i%3)})
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				CutCoverage(stretches, Window{Start: 0, End: 1 << 40})
			}
		})
	}
}
