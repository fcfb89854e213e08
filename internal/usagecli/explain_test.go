package usagecli

import (
	"testing"

	"github.com/usage-operator/usage-operator/internal/usage"
)

func TestEveryEvidenceHasWords(t *testing.T) {
	for evidence := usage.ObjectTime; evidence <= usage.IntervalCut; evidence++ {
		if known[evidence] == "" {
			t.Errorf("%s has no words", evidence)
		}
	}
}
