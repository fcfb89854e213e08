package fairshare

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestLevel(t *testing.T) {
	cases := map[string]struct {
		wants  []int64
		budget int64
		want   int64
	}{
		"nobody":                         {budget: 10, want: math.MaxInt64},
		"all fit":                        {wants: []int64{5, 3, 2}, budget: 10, want: math.MaxInt64},
		"one wants more than all":        {wants: []int64{1, 100, 2}, budget: 10, want: 7},
		"two share what the others left": {wants: []int64{1, 100, 6, 2}, budget: 11, want: 4},
		"all want the same":              {wants: []int64{5, 5, 5}, budget: 10, want: 3},
		"there is nothing":               {wants: []int64{0, 1}, budget: 0, want: 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Level(c.wants, c.budget); got != c.want {
				t.Errorf("the share is %d, want %d", got, c.want)
			}
		})
	}
}

// The oracle tries every level.
func TestTheLevelIsTheHighestThatFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wants := rapid.SliceOfN(rapid.Int64Range(0, 40), 0, 8).Draw(t, "wants")
		budget := rapid.Int64Range(0, 200).Draw(t, "budget")
		want, most := int64(math.MaxInt64), int64(0)
		for _, w := range wants {
			most = max(most, w)
		}
		fits := func(level int64) bool {
			var sum int64
			for _, w := range wants {
				sum += min(w, level)
			}
			return sum <= budget
		}
		if !fits(most) {
			want = 0
			for fits(want + 1) {
				want++
			}
		}
		if got := Level(wants, budget); got != want {
			t.Fatalf("the share of %v in %d is %d, want %d", wants, budget, got, want)
		}
	})
}
