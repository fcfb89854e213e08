package attribution

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// sharing is what the oracle knows: it looks through everything.
type sharing map[Holder]struct {
	created int64
	things  []usage.Thing
}

func (w sharing) counts(h Holder, t usage.Thing) bool {
	mine, has := w[h]
	if !has || !slices.Contains(mine.things, t) {
		return false
	}
	for other, its := range w {
		older := its.created < mine.created || its.created == mine.created && strings.Compare(other.UID, h.UID) < 0
		if slices.Contains(its.things, t) && older {
			return false
		}
	}
	return true
}

func (w sharing) counted(h Holder) (counted []usage.Thing) {
	for _, t := range w[h].things {
		if w.counts(h, t) {
			counted = append(counted, t)
		}
	}
	return counted
}

// Whatever comes in whatever order, each thing counts once, for the oldest that has
// it, and who is told of a change is who it concerns.
func TestSharedThingsCountOnce(t *testing.T) {
	keys := rapid.SliceOfN(rapid.Map(rapid.SampledFrom([]string{"a", "b", "c"}), func(key string) usage.Thing {
		return usage.Thing{ResourceType: "load_balancer", Dimension: "public_ip", Key: key}
	}), 0, 4)
	rapid.Check(t, func(t *rapid.T) {
		s, w := NewShares(), sharing{}
		holders := make([]Holder, 5)
		for i := range holders {
			holders[i] = Holder{Meter: "m", UID: fmt.Sprintf("uid-%d", i)}
		}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			i := rapid.IntRange(0, 4).Draw(t, "holder")
			before := map[Holder][]usage.Thing{}
			for _, h := range holders {
				before[h] = w.counted(h)
			}
			things := keys.Draw(t, "things")
			w[holders[i]] = struct {
				created int64
				things  []usage.Thing
			}{int64(i % 3), things}
			changed := s.Have(holders[i], int64(i%3), things)
			var want []Holder
			for k, h := range holders {
				if k != i && !slices.Equal(before[h], w.counted(h)) {
					want = append(want, h)
				}
				for _, thing := range w[h].things {
					if s.Counts(h, thing) != w.counts(h, thing) {
						t.Fatalf("%v counts for %v: %v, want %v", thing, h, s.Counts(h, thing), w.counts(h, thing))
					}
				}
			}
			if !slices.Equal(changed, want) {
				t.Fatalf("changed %v, want %v", changed, want)
			}
		}
		for _, h := range holders {
			s.Have(h, 0, nil)
		}
		if len(s.holders)+len(s.things) > 0 {
			t.Fatalf("remembers %d holders and %d things of nothing", len(s.holders), len(s.things))
		}
	})
}
