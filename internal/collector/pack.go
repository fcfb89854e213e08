package collector

import (
	"math"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// packedAfter is for how many seconds at most what is sealed stays as it is: what is learnt
// of it late is mostly learnt within these.
const packedAfter = 3600

// packedUntil is when the last that is packed of what is gone has ended: before the interval
// that was sealed last, or an hour before its end, for records of that one are still to be cut.
func (c *Collector) packedUntil(sealed usage.Window) int64 {
	if c.PackAtOnce {
		return math.MaxInt64
	}
	return max(sealed.Start, sealed.End-packedAfter)
}

// pack packs what is gone. It takes the lock for some hundred objects at a time.
func (c *Collector) pack(sealed usage.Window) {
	before := c.packedUntil(sealed)
	for left := true; left; {
		c.mu.Lock()
		left = c.ledger.Pack(before)
		c.mu.Unlock()
	}
}
