package collector

import (
	"slices"

	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Cut is what the account held inside the window, for the caller to read.
func (c *Collector) Cut(account usage.Account, w usage.Window, now int64) []usage.Segment {
	if sealed := c.sealedAs(w); sealed != nil {
		return sealed.segments[account]
	}
	var g ledger.Gathering
	var segments []usage.Segment
	c.mu.Lock()
	c.ledger.Gather(&g, account, w, now)
	c.mu.Unlock()
	var some []usage.Segment
	for over := false; !over; {
		c.mu.Lock()
		some, over = g.Next(some[:0], gatheredAtOnce)
		c.mu.Unlock()
		segments = append(segments, some...)
	}
	slices.SortFunc(segments, usage.Segment.Compare)
	return segments
}

// Accounts are those with usage inside the window, in order, for the caller to read.
func (c *Collector) Accounts(w usage.Window, now int64) []usage.Account {
	if sealed := c.sealedAs(w); sealed != nil {
		return sealed.accounts
	}
	keys := c.accounts(w)
	touched := keys[:0]
	for some := range slices.Chunk(keys, lookedAtOnce) {
		c.mu.Lock()
		some = c.ledger.Touched(some, w, now)
		c.mu.Unlock()
		touched = append(touched, some...)
	}
	slices.SortFunc(touched, usage.CompareAccounts)
	return touched
}

// accounts are all that the ledger may have something of in the window, in no particular order.
func (c *Collector) accounts(w usage.Window) []usage.Account {
	c.mu.Lock()
	size := c.ledger.Size()
	c.mu.Unlock()
	keys := make([]usage.Account, size+size/16)
	clear(keys) // so that the lock is not held while the kernel finds the memory
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ledger.KeysIn(keys[:0], w)
}

// Changed are the accounts whose segments changed since it was last called.
func (c *Collector) Changed() []usage.Account {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ledger.Changed()
}

// Sealed is the end of the last sealed interval.
func (c *Collector) Sealed() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ledger.Sealed()
}

// Late is how many boundaries were learnt after their interval was sealed.
func (c *Collector) Late() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ledger.Late()
}

// Forget drops what ended at or before the moment.
func (c *Collector) Forget(before int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ledger.Forget(before)
	c.coverage = slices.DeleteFunc(c.coverage, func(s usage.Stretch) bool { return s.End <= before })
}

// Coverage is how the window is known, where it is not observed, in order.
func (c *Collector) Coverage(w usage.Window) []usage.Stretch {
	c.mu.Lock()
	defer c.mu.Unlock()
	return usage.CutCoverage(c.coverage, w)
}

// Since is when the ledger began; 0 before Prepare.
func (c *Collector) Since() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.since
}
