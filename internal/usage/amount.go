package usage

import (
	"fmt"
	"math/big"
	"math/bits"
	"strconv"
	"strings"
)

// Amount is an exact, unsigned 128-bit quantity of usage: the sum of
// level x seconds, in base units (millicore-seconds, byte-seconds).
//
// 64 bits do not do: 3.2 TiB held over 30 days overflow them. The zero value
// is zero.
type Amount struct {
	high, low uint64
}

// AmountOf is high x 2^64 + low.
func AmountOf(high, low uint64) Amount { return Amount{high: high, low: low} }

// Held is what level base units amount to over seconds. Both must be
// zero or more; a segment guarantees that.
func Held(level, seconds int64) Amount {
	if level < 0 || seconds < 0 {
		panic(fmt.Sprintf("usage: held level %d over %d s: neither can be negative", level, seconds))
	}
	high, low := bits.Mul64(uint64(level), uint64(seconds))
	return Amount{high: high, low: low}
}

// Plus is the sum of a and b. 128 bits hold the largest level for longer than
// the age of the universe in 2^60 resources, so a carry out is a bug: it panics.
func (a Amount) Plus(b Amount) Amount {
	low, carry := bits.Add64(a.low, b.low, 0)
	high, carry := bits.Add64(a.high, b.high, carry)
	if carry != 0 {
		panic("usage: an amount overflowed 128 bits")
	}
	return Amount{high: high, low: low}
}

// Minus is a less b; false where b is more than a, since there is no negative amount.
func (a Amount) Minus(b Amount) (rest Amount, ok bool) {
	low, borrow := bits.Sub64(a.low, b.low, 0)
	high, borrow := bits.Sub64(a.high, b.high, borrow)
	if borrow != 0 {
		return Amount{}, false
	}
	return Amount{high: high, low: low}, true
}

// IsZero tells whether nothing was used.
func (a Amount) IsZero() bool { return a == Amount{} }

// Compare is -1, 0 or +1 as a is less than, equal to or more than b.
func (a Amount) Compare(b Amount) int {
	switch {
	case a == b:
		return 0
	case a.high < b.high, a.high == b.high && a.low < b.low:
		return -1
	}
	return +1
}

// String is the exact integer in decimal.
func (a Amount) String() string { return a.big().String() }

// ParseAmount reads what String wrote.
func ParseAmount(text string) (Amount, error) {
	n, ok := new(big.Int).SetString(text, 10)
	if !ok || n.Sign() < 0 || n.BitLen() > 128 {
		return Amount{}, fmt.Errorf("amount %q: want a decimal integer from 0 to 2^128-1", text)
	}
	low := new(big.Int).And(n, new(big.Int).SetUint64(^uint64(0)))
	return Amount{high: new(big.Int).Rsh(n, 64).Uint64(), low: low.Uint64()}, nil
}

// Float is the amount as a floating-point number of 53 bits. Do not bill by it.
func (a Amount) Float() float64 { return float64(a.high)*(1<<64) + float64(a.low) }

func (a Amount) big() *big.Int {
	n := new(big.Int).SetUint64(a.high)
	return n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(a.low))
}

// Decimal is the amount divided by divisor, rounded once, half away from zero,
// to at most digits decimals, without trailing zeros. An amount that is not
// zero never reads as zero: it is then given to its first digit instead.
func (a Amount) Decimal(divisor int64, digits int) string {
	if text, done := a.shortDecimal(divisor, digits); done {
		return text
	}
	ratio := new(big.Rat).SetFrac(a.big(), big.NewInt(divisor))
	text := trimZeros(ratio.FloatString(digits))
	for text == "0" && !a.IsZero() {
		digits++
		text = trimZeros(ratio.FloatString(digits))
	}
	return text
}

// shortDecimal is Decimal of what 64 bits hold, as nearly everything is, without
// big numbers; false where that does not do.
func (a Amount) shortDecimal(divisor int64, digits int) (text string, done bool) {
	if a.high != 0 || divisor <= 0 || digits < 1 || digits >= len(powersOfTen) {
		return "", false
	}
	by := uint64(divisor)
	whole, rest := a.low/by, a.low%by
	high, low := bits.Mul64(rest, powersOfTen[digits])
	fraction, rest := bits.Div64(high, low, by)
	if rest >= by-rest { // half of it, or more
		fraction++
	}
	if fraction == powersOfTen[digits] {
		whole, fraction = whole+1, 0
	}
	if whole == 0 && fraction == 0 && a.low != 0 {
		return "", false
	}
	out := make([]byte, 0, 20+1+digits)
	out = strconv.AppendUint(out, whole, 10)
	if fraction == 0 {
		return string(out), true
	}
	point := len(out)
	// With a 1 in front it has all its digits.
	out = strconv.AppendUint(out, powersOfTen[digits]+fraction, 10)
	out[point] = '.'
	return strings.TrimRight(string(out), "0"), true
}

var powersOfTen = [...]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

func trimZeros(text string) string {
	if !strings.Contains(text, ".") {
		return text
	}
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
