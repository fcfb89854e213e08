package simulate

import (
	"slices"
	"time"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// aside is how many seconds around one that was sealed as nothing something must have been
// held, if that is to be told: boundaries are where seconds and bounds are.
const aside = 2

// compareSeals finds what was sealed as nothing, though something was held, where nothing is
// said to be unknown or Estimated: what is corrected later was wrong in the records until then.
func (s *simulation) compareSeals(accounts map[stream]*account, state *journal.State) {
	for _, seal := range state.Seals {
		for _, key := range s.truth.streams() {
			for second := max(seal.Interval.Start, s.first.Unix()+2) + aside; second < seal.Interval.End-aside; second++ {
				if s.silent(key, accounts[key], state.Coverage, second) {
					s.problem("%s %s %s at %s was sealed as nothing, and not as unknown; the journal says %v", s.truth.names[key.uid], key.container, key.dimension,
						clockTime(second), accounts[key].said)
					break
				}
			}
		}
	}
}

// silent tells whether a second was sealed as nothing without a word, though something was held.
func (s *simulation) silent(key stream, a *account, coverage []usage.Stretch, second int64) bool {
	if slices.ContainsFunc(a.said, func(p said) bool { return p.change.Kind == usage.Put && p.from <= second && second < p.to }) {
		return false
	}
	known := func(w usage.Window) bool { return w.Start-aside <= second && second < w.End+aside }
	if slices.ContainsFunc(slices.Concat(a.doubts, s.truth.stated[key]), known) || slices.ContainsFunc(coverage, func(c usage.Stretch) bool {
		return c.Meter == meterOf[key.dimension] && c.Coverage >= usage.CoverageEstimated && known(c.Window)
	}) {
		return false
	}
	at := time.Unix(second, 0)
	return !slices.ContainsFunc(s.truth.within(key, at.Add(-aside*time.Second), at.Add((aside+1)*time.Second)), func(h held) bool { return h.level == 0 })
}
