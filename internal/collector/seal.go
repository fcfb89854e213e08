package collector

import (
	"slices"
	"time"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

const (
	// gatheredAtOnce is how many segments are gathered, and lookedAtOnce how many
	// accounts are looked at, under the lock at a time.
	gatheredAtOnce = 1_000
	lookedAtOnce   = 1_000
	// cutKept is for how long what an interval was sealed as is kept for those who
	// publish it.
	cutKept = 5 * time.Minute
)

// sealedCut is what an interval was sealed as.
type sealedCut struct {
	interval usage.Window
	until    time.Time
	accounts []usage.Account // in order
	segments map[usage.Account][]usage.Segment
}

// seal closes an interval for good. Once it is closed nothing in it changes, so
// that what it holds is gathered bit by bit: events of all kinds go on meanwhile.
func (c *Collector) seal(interval usage.Window) journal.Seal {
	c.mu.Lock()
	c.ledger.Seal(interval)
	coverage := usage.CutCoverage(c.coverage, interval)
	c.mu.Unlock()

	keys := c.accounts(interval) // what is made from now on holds nothing in the interval
	slices.SortFunc(keys, usage.CompareAccounts)
	var all, some []usage.Segment
	var g ledger.Gathering
	over := true                      // the account that is gathered
	ends := make([]int, 0, len(keys)) // where each account's segments end
	for len(ends) < len(keys) {
		some = some[:0]
		c.mu.Lock()
		for looked := 0; len(ends) < len(keys) && looked < lookedAtOnce && len(some) < gatheredAtOnce; looked++ {
			if over {
				c.ledger.Gather(&g, keys[len(ends)], interval, interval.End)
			}
			if some, over = g.Next(some, gatheredAtOnce); over {
				ends = append(ends, len(all)+len(some))
			}
		}
		c.mu.Unlock()
		all = append(all, some...)
	}
	cut := &sealedCut{interval: interval, until: c.now().Add(cutKept), segments: make(map[usage.Account][]usage.Segment, len(keys))}
	from := 0
	for i, end := range ends {
		if held := all[from:end:end]; len(held) > 0 {
			slices.SortFunc(held, usage.Segment.Compare)
			cut.accounts = append(cut.accounts, keys[i])
			cut.segments[keys[i]] = held
		}
		from = end
	}
	digest := ledger.Digest(c.digest, interval, all, coverage)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.digest, c.lastCut = digest, cut
	return journal.Seal{
		Interval: interval, Digest: digest,
		Partial: slices.ContainsFunc(coverage, func(s usage.Stretch) bool { return s.Coverage == usage.CoverageUnknown }),
	}
}

// sealedAs is what the interval was sealed as, while that is kept; nil when it
// is not. Nobody changes it.
func (c *Collector) sealedAs(interval usage.Window) *sealedCut {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lastCut != nil && c.now().After(c.lastCut.until) {
		c.lastCut = nil
	}
	if c.lastCut == nil || c.lastCut.interval != interval {
		return nil
	}
	return c.lastCut
}
