package collector

import (
	"math"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// packedAfter is for how many seconds at most what is sealed stays as it is: what is learnt
// of it late is mostly learnt within these.
const packedAfter = 3600

// pack packs what is gone, and ended before the interval that was sealed last, or an hour before
// its end: records of that one are still to be cut. It takes the lock for some hundred objects
// at a time.
func (c *Collector) pack(sealed usage.Window) {
	before := max(sealed.Start, sealed.End-packedAfter)
	if c.PackAtOnce {
		before = math.MaxInt64
	}
	for left := true; left; {
		c.mu.Lock()
		left = c.ledger.Pack(before)
		c.mu.Unlock()
	}
}
