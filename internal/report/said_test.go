package report

import (
	"testing"

	"github.com/usage-operator/usage-operator/internal/timeline"
)

// A report is of sealed intervals: in the first of its window there are no figures, though the
// window has begun.
func TestAWindowWithoutASealIsNotSaidToBeInTheFuture(t *testing.T) {
	unsealed := &timeline.Coverage{}
	if got := Say(Find(0, unsealed), unsealed); got != "no interval of the window is sealed yet" {
		t.Errorf("it says %q", got)
	}
}
