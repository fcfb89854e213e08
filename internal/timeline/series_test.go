package timeline

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Spans that hold one another, come in any order and are taken out: what may say
// something later than a moment is all found.
func TestASeriesFindsAllThatMayBeLater(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s series
		var all []span
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			if n := len(s.spans); n > 0 && rapid.IntRange(0, 5).Draw(t, "take") == 0 {
				i := rapid.IntRange(0, n-1).Draw(t, "which")
				gone := s.spans[i]
				gone.over = 0
				all = slices.Delete(all, slices.Index(all, gone), slices.Index(all, gone)+1)
				s.take(i)
				continue
			}
			start := rapid.Int64Range(0, 60).Draw(t, "start")
			x := span{start: start, end: start + rapid.SampledFrom([]int64{0, 0, 1, 5, 50}).Draw(t, "length")}
			x.startSlack, x.endSlack = rapid.Uint32Range(0, 4).Draw(t, "before"), rapid.Uint32Range(0, 4).Draw(t, "after")
			s.add(x)
			all = append(all, x)
		}
		from := rapid.Int64Range(-5, 120).Draw(t, "from")
		count := func(spans []span) map[span]int {
			found := map[span]int{}
			for _, x := range spans {
				x.over = 0
				if x.start-int64(x.startSlack) >= from || x.end+int64(x.endSlack) > from {
					found[x]++
				}
			}
			return found
		}
		got, want := count(s.after(from)), count(all)
		for x, n := range want {
			if got[x] != n {
				t.Fatalf("after %d: %v comes %d times, want %d, in %v", from, x, got[x], n, s.spans)
			}
		}
		if later := s.after(from); len(later) > 0 && later[0].end < from-int64(s.maxSlack) {
			t.Fatalf("after %d there is %v", from, later[0])
		}
	})
}
