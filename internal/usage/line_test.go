package usage

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A line has no more than a table has room for, but for a single thing that is longer; and it says
// or counts all things.
func TestALineIsShortAndCountsAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,30} [0-9]`), 0, 12).Draw(t, "words")
		most := rapid.SampledFrom([]int{RecordLine, ReportLine}).Draw(t, "most")
		verb := rapid.SampledFrom([]string{"", "holds "}).Draw(t, "verb")
		types := rapid.IntRange(1, 3).Draw(t, "types")
		line := Line(verb, most, len(words), func(i int) (string, string) {
			return fmt.Sprint("type", i*types/max(1, len(words))), words[i]
		})
		said := 0
		for said < len(words) && strings.Contains(line, words[said]) {
			said++
		}
		counted := 0
		if found := regexp.MustCompile(`; (\d+) more$`).FindStringSubmatch(line); found != nil {
			counted, _ = strconv.Atoi(found[1])
		}
		if said+counted < len(words) {
			t.Fatalf("%q has %d of %q and counts %d", line, said, words, counted)
		}
		if !strings.HasPrefix(line, verb) || said > 1 && len(line) > most {
			t.Fatalf("%q has %d bytes", line, len(line))
		}
	})
}
