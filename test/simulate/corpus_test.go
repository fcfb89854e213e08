package simulate

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// String is the scenario as corpus.txt has it.
func (c scenario) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d", c.seed)
	if c.known != "" {
		fmt.Fprintf(&b, " known: %s", c.known)
	}
	b.WriteString("\n")
	for _, s := range c.script {
		fmt.Fprintf(&b, "  %s\n", s)
	}
	return b.String()
}

var (
	seedLine = regexp.MustCompile(`^seed (\d+)(?: known: (.+))?$`)
	stepLine = regexp.MustCompile(`^\s+([0-9.]+s) (.+) \(([0-9a-f]+)\)$`)
)

// readCorpus reads corpus.txt: scenarios, and lines that begin with #. They are
// scripts, not seeds alone: those draw others when what is drawn changes.
func readCorpus(t *testing.T) []scenario {
	t.Helper()
	text, err := os.ReadFile("corpus.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []scenario
	for n, line := range strings.Split(string(text), "\n") {
		seed, one := seedLine.FindStringSubmatch(line), stepLine.FindStringSubmatch(line)
		switch {
		case seed != nil:
			number, err := strconv.ParseUint(seed[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, scenario{seed: number, full: true, known: seed[2]})
		case one != nil && len(all) > 0:
			at, err := time.ParseDuration(one[1])
			if err != nil {
				t.Fatal(err)
			}
			number, err := strconv.ParseUint(one[3], 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			if changes[one[2]].do == nil && fault(one[2]).do == nil {
				t.Fatalf("corpus.txt:%d: there is no step %q", n+1, one[2])
			}
			script := &all[len(all)-1].script
			*script = append(*script, step{at: at, what: one[2], seed: number})
		case line != "" && !strings.HasPrefix(line, "#"):
			t.Fatalf("corpus.txt:%d: neither a scenario nor a step: %s", n+1, line)
		}
	}
	return all
}
