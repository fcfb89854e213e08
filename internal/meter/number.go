package meter

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

const (
	// maxNumber is the longest text of a number, in bytes.
	maxNumber = 64
	// maxExponent is beyond what a double's text has, so that what exceeds it is
	// either too large for any unit or nothing at all.
	maxExponent = 420
)

// errLongNumber is why a text is not read as a number.
var errLongNumber = fmt.Errorf("a number has at most %d bytes", maxNumber)

// parseQuantity is resource.ParseQuantity of a text that an object has, which may be as long as
// the object: parsing takes time by the square of its length, a second for 100 kB.
func parseQuantity(text string) (resource.Quantity, error) {
	if len(text) > maxNumber {
		return resource.Quantity{}, errLongNumber
	}
	return resource.ParseQuantity(text)
}

// number is a non-negative number as it was written:
// digits x 10^exponent x 2^shift.
type number struct {
	negative bool
	digits   string
	exponent int
	shift    uint
}

// suffixes are those of Kubernetes' quantities. An exponent (e3, E-3) may stand in their place.
var suffixes = map[string]struct {
	exponent int
	shift    uint
}{
	"":  {},
	"n": {exponent: -9}, "u": {exponent: -6}, "m": {exponent: -3},
	"k": {exponent: 3}, "M": {exponent: 6}, "G": {exponent: 9},
	"T": {exponent: 12}, "P": {exponent: 15}, "E": {exponent: 18},
	"Ki": {shift: 10}, "Mi": {shift: 20}, "Gi": {shift: 30},
	"Ti": {shift: 40}, "Pi": {shift: 50}, "Ei": {shift: 60},
}

// parseNumber reads a number by the grammar of Kubernetes' quantities.
func parseNumber(text string) (number, bool) {
	if len(text) > maxNumber {
		return number{}, false
	}
	var n number
	if text != "" && (text[0] == '+' || text[0] == '-') {
		n.negative = text[0] == '-'
		text = text[1:]
	}
	end := strings.IndexFunc(text, func(char rune) bool { return char != '.' && (char < '0' || char > '9') })
	if end < 0 {
		end = len(text)
	}
	whole, fraction, _ := strings.Cut(text[:end], ".")
	n.digits = whole + fraction
	if n.digits == "" || strings.Contains(fraction, ".") {
		return number{}, false
	}
	suffix, ok := suffixes[text[end:]]
	if !ok {
		exponent, ok := parseExponent(text[end:])
		if !ok {
			return number{}, false
		}
		suffix.exponent = exponent
	}
	n.exponent, n.shift = suffix.exponent-len(fraction), suffix.shift
	return n, true
}

// parseExponent reads e3, E-3 or e+3.
func parseExponent(text string) (int, bool) {
	if len(text) < 2 || (text[0] != 'e' && text[0] != 'E') {
		return 0, false
	}
	exponent, err := strconv.Atoi(text[1:])
	return max(-2*maxExponent, min(2*maxExponent, exponent)), err == nil
}
