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

// However they came, and whoever looks at what there was before.
func TestStretchesSayWhatAllOfThemSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type moment struct {
			kept Stretches
			all  []Stretch
		}
		moments := []moment{{}}
		for range rapid.IntRange(0, 8).Draw(t, "times") {
			last := moments[len(moments)-1]
			var more []Stretch
			for range rapid.IntRange(0, 5).Draw(t, "stretches") {
				start := rapid.Int64Range(-10, 60).Draw(t, "start")
				more = append(more, Stretch{
					Meter:    rapid.SampledFrom([]string{"a", "vm"}).Draw(t, "meter"),
					Window:   Window{Start: start, End: start + rapid.Int64Range(-1, 30).Draw(t, "length")},
					Coverage: Coverage(rapid.IntRange(0, len(coverageNames)-1).Draw(t, "coverage")),
				})
			}
			moments = append(moments, moment{kept: last.kept.With(more...), all: slices.Concat(last.all, more)})
		}
		for _, m := range moments {
			start := rapid.Int64Range(-20, 60).Draw(t, "from")
			w := Window{Start: start, End: start + rapid.Int64Range(-2, 80).Draw(t, "seconds")}
			if got, want := m.kept.Cut(w), CutCoverage(m.all, w); !slices.Equal(got, want) {
				t.Fatalf("got %v, want %v", got, want)
			}
			of := CutCoverage(m.kept.Of("vm", w), w)
			want := CutCoverage(m.all, w)
			want = slices.DeleteFunc(want, func(s Stretch) bool { return s.Meter != "vm" })
			if !slices.Equal(of, want) {
				t.Fatalf("of vm got %v, want %v", of, want)
			}
		}
	})
}

func TestAWindowsStretchesAreFoundWithoutTheOthers(t *testing.T) {
	var s Stretches
	for i := range int64(100_000) {
		s = s.With(Stretch{Meter: "vm", Window: Window{Start: i * 1000, End: i*1000 + 2}, Coverage: CoverageReplayed})
	}
	w := Window{Start: 50_000_000, End: 50_003_600}
	if got := testing.AllocsPerRun(10, func() { s.Of("vm", w) }); len(s.Of("vm", w)) != 4 || got > 4 {
		t.Errorf("%d stretches, %v allocations", len(s.Of("vm", w)), got)
	}
}
