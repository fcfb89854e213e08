package usage

import (
	"slices"
	"testing"
)

func TestCutCoverage(t *testing.T) {
	stretch := func(meter string, start, end int64, coverage Coverage) Stretch {
		return Stretch{Meter: meter, Window: Window{Start: start, End: end}, Coverage: coverage}
	}
	w := Window{Start: 100, End: 200}
	cases := map[string]struct{ stretches, want []Stretch }{
		"nothing is said": {nil, nil},
		"what is outside is left out, what reaches over is cut": {
			[]Stretch{stretch("vm", 50, 120, CoverageReplayed), stretch("vm", 200, 300, CoverageUnknown)},
			[]Stretch{stretch("vm", 100, 120, CoverageReplayed)},
		},
		"the same said in other pieces is the same": {
			[]Stretch{stretch("vm", 150, 160, CoverageReplayed), stretch("vm", 110, 155, CoverageReplayed)},
			[]Stretch{stretch("vm", 110, 160, CoverageReplayed)},
		},
		"the worst counts": {
			[]Stretch{stretch("vm", 110, 160, CoverageReplayed), stretch("vm", 120, 130, CoverageUnknown), stretch("a", 110, 111, CoverageEstimated)},
			[]Stretch{
				stretch("a", 110, 111, CoverageEstimated),
				stretch("vm", 110, 120, CoverageReplayed), stretch("vm", 120, 130, CoverageUnknown), stretch("vm", 130, 160, CoverageReplayed),
			},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := CutCoverage(c.stretches, w); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
