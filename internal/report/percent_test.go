package report

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/timeline"
)

// How much is known is 100 only if all of it is, and 0 only if nothing is: a minute of a year is
// known, though that is less than a hundredth of a percent.
func TestPercentIsZeroOfNothingAndAHundredOfAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		known, unknown := rapid.Int64Range(0, 1<<40).Draw(t, "known"), rapid.Int64Range(0, 1<<40).Draw(t, "unknown")
		if known+unknown == 0 {
			return
		}
		got := Percent(&timeline.Coverage{Observed: known, Unknown: unknown})
		if (got == "0") != (known == 0) || (got == "100") != (unknown == 0) {
			t.Errorf("%d s of %d s: %s%%", known, known+unknown, got)
		}
	})
	if got := Percent(&timeline.Coverage{Observed: 60, Unknown: 365*86400 - 60}); got != "0.01" {
		t.Errorf("a minute of a year: %s%%", got)
	}
}
