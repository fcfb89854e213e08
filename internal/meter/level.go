package meter

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/usage-operator/usage-operator/internal/usage"
)

var (
	errNegative = errors.New("the quantity is negative; want 0 or more")
	errTooLarge = errors.New("the quantity is too large: it does not fit 63 bits in the base unit")
)

// level is a quantity in the unit's base units, exactly. Only what is finer
// than a base unit is rounded, half away from zero. Null, the value of a field
// that is not there, is 0: nothing held.
func level(value ref.Val, unit usage.Unit) (int64, error) {
	switch value := value.(type) {
	case types.Null:
		return 0, nil
	case types.Int:
		return scaled(int64(value), unit)
	case types.Uint:
		if value > math.MaxInt64 {
			return 0, errTooLarge
		}
		return scaled(int64(value), unit)
	case types.Double:
		if math.IsNaN(float64(value)) || math.IsInf(float64(value), 0) {
			return 0, fmt.Errorf("the quantity is %v; want a finite number", float64(value))
		}
		// The shortest decimal that is this double is the number that was written.
		return decimalLevel(strconv.FormatFloat(float64(value), 'e', -1, 64), unit)
	case types.String:
		return decimalLevel(string(value), unit)
	}
	if quantity, ok := value.Value().(*resource.Quantity); ok {
		return quantityLevel(quantity, unit)
	}
	return 0, unexpected(value, wantQuantity)
}

// clamped is what Kubernetes makes of every larger quantity, without a word.
var clamped = resource.NewQuantity(math.MaxInt64, resource.DecimalSI)

// quantityLevel reads a Kubernetes quantity by its text: its arithmetic getters
// round up, and clamp.
func quantityLevel(quantity *resource.Quantity, unit usage.Unit) (int64, error) {
	if whole, ok := quantity.AsInt64(); ok && whole < math.MaxInt64 {
		return scaled(whole, unit)
	}
	if quantity.Cmp(*clamped) == 0 {
		return 0, errTooLarge
	}
	return decimalLevel(quantity.String(), unit)
}

// scaled is whole units in base units.
func scaled(whole int64, unit usage.Unit) (int64, error) {
	scale := unit.Scale()
	switch {
	case whole < 0:
		return 0, errNegative
	case whole > math.MaxInt64/scale:
		return 0, errTooLarge
	}
	return whole * scale, nil
}

// ParseLevel is the level that a quantity's text states, in the unit's base units.
func ParseLevel(text string, unit usage.Unit) (int64, error) { return decimalLevel(text, unit) }

// decimalLevel is the level that a number's text states: a quantity (250m,
// 1.5Gi, 1e3) or a plain decimal.
func decimalLevel(text string, unit usage.Unit) (int64, error) {
	n, ok := parseNumber(text)
	switch {
	case !ok:
		return 0, fmt.Errorf("%q is not a quantity; want a number such as 2, 0.5, 250m or 16Gi", printable(text, 64))
	case strings.Trim(n.digits, "0") == "":
		return 0, nil
	case n.negative:
		return 0, errNegative
	case n.exponent > maxExponent:
		return 0, errTooLarge
	case n.exponent < -maxExponent:
		return 0, nil // 64 digits cannot make up for it
	}
	return n.level(unit.Scale())
}

// level is the number in base units, of which scale make one.
func (n number) level(scale int64) (int64, error) {
	value, ok := new(big.Int).SetString(n.digits, 10)
	if !ok {
		return 0, fmt.Errorf("%q is not a number", n.digits)
	}
	value.Lsh(value.Mul(value, big.NewInt(scale)), n.shift)
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(n.exponent, -n.exponent))), nil)
	if n.exponent >= 0 {
		value.Mul(value, power)
	} else {
		// Adding half of the divisor rounds half away from zero: nothing is negative here.
		value.Add(value.Lsh(value, 1), power)
		value.Quo(value, power.Lsh(power, 1))
	}
	if !value.IsInt64() {
		return 0, errTooLarge
	}
	return value.Int64(), nil
}
