package simulate

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
)

var huntFlag = flag.Int("simulate.hunt", 0, "how many seeds look for a rule that was broken on purpose: see hack/mutants")

// TestHunt tells at which seed something that is broken on purpose is found, and by
// what. It shrinks nothing.
func TestHunt(t *testing.T) {
	for seed := uint64(1); seed <= uint64(*huntFlag); seed++ {
		fmt.Println("trying", seed) // if it panics, this tells where
		out := simulate(t, scenario{seed: seed, script: draw(seed, false)}, false)
		if len(out.problems) == 0 {
			continue
		}
		var checks []string
		for _, p := range out.problems {
			if c := checkOf(p); !slices.Contains(checks, c) {
				checks = append(checks, c)
			}
		}
		fmt.Printf("found by %s at %d\n", strings.Join(checks, ", "), seed)
		return
	}
}

// checkOf is which check a problem is of.
func checkOf(problem string) string {
	for _, check := range [][2]string{
		{"is taken off, and was not there", "taken off what was not there"},
		{"things are held at once", "held twice"},
		{"; the journal says", "second by second"},
		{"digest", "digests"},
		{"seals, and there were", "digests"},
		{"timeline", "timelines"},
		{"verif", "verify"},
		{"sealed until", "sealing goes on"},
		{"the keeper ended", "the keeper goes on"},
		{"the standby ended", "the standby goes on"},
	} {
		if strings.Contains(problem, check[0]) {
			return check[1]
		}
	}
	return "the journal loads"
}
