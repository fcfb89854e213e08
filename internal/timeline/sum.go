package timeline

import (
	"math/bits"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// sum is a number of 128 bits. What is taken off comes later than what it is
// taken off from, or earlier: it wraps around, and is right in the end.
type sum struct{ high, low uint64 }

func (s *sum) add(other sum) {
	var carry uint64
	s.low, carry = bits.Add64(s.low, other.low, 0)
	s.high, _ = bits.Add64(s.high, other.high, carry)
}

func (s *sum) subtract(other sum) {
	var borrow uint64
	s.low, borrow = bits.Sub64(s.low, other.low, 0)
	s.high, _ = bits.Sub64(s.high, other.high, borrow)
}

// times is s for so many seconds.
func (s sum) times(seconds int64) sum {
	high, low := bits.Mul64(s.low, uint64(seconds))
	return sum{high + s.high*uint64(seconds), low}
}

// negative is what has to be added to take s off.
func (s sum) negative() sum {
	var n sum
	n.subtract(s)
	return n
}

func (s sum) isZero() bool { return s == sum{} }

func (s sum) amount() usage.Amount { return usage.AmountOf(s.high, s.low) }
