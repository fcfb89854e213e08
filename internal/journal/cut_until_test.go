package journal

import (
	"testing"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Days are read again before they are left out, but for those that were left out of every block
// that there was when the journal said that they are archived.
func TestACutThatWasNotFinishedBeginsAnew(t *testing.T) {
	until := func(end int64, sequence uint64) *Archived {
		return &Archived{Window: usage.Window{End: end}, Sequence: sequence}
	}
	of := func(from, to uint64, leftOut *Archived) *block {
		return &block{Key: Key{From: from, To: to}, leftOut: leftOut}
	}
	for name, c := range map[string]struct {
		chain []*block
		want  int64
	}{
		"nothing was left out":                   {[]*block{of(1, 4, nil), of(5, 5, nil)}, 0},
		"all was":                                {[]*block{of(1, 4, until(100, 6)), of(5, 6, until(100, 6))}, 100},
		"what came after it was said is no part": {[]*block{of(1, 6, until(100, 6)), of(7, 7, nil)}, 100},
		"a writer ended between two pieces":      {[]*block{of(1, 4, until(100, 6)), of(5, 6, nil), of(7, 7, nil)}, 0},
		"a second cut came as far as a half":     {[]*block{of(1, 4, until(200, 9)), of(5, 6, until(100, 6)), of(7, 9, nil)}, 0},
		"a second cut came all the way":          {[]*block{of(1, 4, until(200, 9)), of(5, 9, until(200, 9)), of(10, 10, nil)}, 200},
	} {
		if got := cutUntil(c.chain); got != c.want {
			t.Errorf("%s: cut until %d, want %d", name, got, c.want)
		}
	}
}
