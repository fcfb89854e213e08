package simulate

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
)

var huntFlag = flag.Int("simulate.hunt", 0, "how many seeds look for a rule that was broken on purpose: see hack/mutants")

// TestHunt tells in which scenario of the corpus, or else at which seed, something that is
// broken on purpose is found, and by what: as make test would. It shrinks nothing.
func TestHunt(t *testing.T) {
	if *huntFlag == 0 {
		return
	}
	known := map[uint64]bool{}
	for _, c := range readCorpus(t) {
		known[c.seed] = known[c.seed] || c.known != ""
		if c.known == "" && hunted(t, c, fmt.Sprintf("%d (corpus)", c.seed)) {
			return
		}
	}
	for seed := uint64(1); seed <= uint64(*huntFlag); seed++ {
		if !known[seed] && hunted(t, scenario{seed: seed, script: draw(seed)}, fmt.Sprint(seed)) {
			return
		}
	}
}

// hunted tells whether the scenario, of that name, finds it.
func hunted(t *testing.T, c scenario, name string) bool {
	fmt.Println("trying", name) // if it panics, this tells where
	out := simulate(t, c, false)
	if len(out.problems) == 0 {
		return false
	}
	var checks []string
	for _, p := range out.problems {
		if c := checkOf(p); !slices.Contains(checks, c) {
			checks = append(checks, c)
		}
	}
	fmt.Printf("found by %s at %s\n", strings.Join(checks, ", "), name)
	return true
}

// checkOf is which check a problem is of.
func checkOf(problem string) string {
	for _, check := range [][2]string{
		{"is taken off, and was not there", "taken off what was not there"},
		{"things are held at once", "held twice"},
		{"known better than that", "bounds"},
		{"was sealed as nothing", "seals"},
		{"; the journal says", "second by second"},
		{"digest", "digests"},
		{"seals, and there were", "digests"},
		{"timeline", "timelines"},
		{"verif", "verify"},
		{"before it is over", "sealed too early"},
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
