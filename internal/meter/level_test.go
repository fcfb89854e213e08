package meter

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"k8s.io/apimachinery/pkg/api/resource"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/usage"
)

func quantityValue(text string) ref.Val {
	q := resource.MustParse(text)
	return apiservercel.Quantity{Quantity: &q}
}

func TestLevel(t *testing.T) {
	cases := map[string]struct {
		value ref.Val
		unit  usage.Unit
		want  int64
		err   string
	}{
		"an int is in whole units":                    {value: types.Int(3), unit: usage.Core, want: 3000},
		"a uint too":                                  {value: types.Uint(3), unit: usage.Count, want: 3000},
		"bytes are base units":                        {value: types.Int(3), unit: usage.Byte, want: 3},
		"a unit of one's own has thousandths":         {value: types.Double(0.25), unit: "licence", want: 250},
		"a double is its shortest decimal":            {value: types.Double(0.1), unit: usage.Core, want: 100},
		"0.285 is not 0.28499999999999998":            {value: types.Double(0.2855), unit: usage.Core, want: 286},
		"2^53+1 is exact as an int":                   {value: types.Int(1<<53 + 1), unit: usage.Byte, want: 1<<53 + 1},
		"text of millicores":                          {value: types.String("1500m"), unit: usage.Core, want: 1500},
		"text of gibibytes":                           {value: types.String("1.5Gi"), unit: usage.Byte, want: 3 << 29},
		"text of a plain number":                      {value: types.String("2"), unit: usage.Core, want: 2000},
		"text with an exponent":                       {value: types.String("12e6"), unit: usage.Byte, want: 12_000_000},
		"1E is an exa, not an exponent":               {value: types.String("1E"), unit: usage.Byte, want: 1e18},
		"a quantity":                                  {value: quantityValue("1Gi"), unit: usage.Byte, want: 1 << 30},
		"a quantity finer than an int64 getter gives": {value: quantityValue("100m"), unit: usage.Core, want: 100},
		"a huge quantity, exactly":                    {value: quantityValue("9223372036854775806"), unit: usage.Byte, want: math.MaxInt64 - 1},
		"half a base unit is rounded up":              {value: types.String("500u"), unit: usage.Core, want: 1},
		"less than half is nothing":                   {value: types.String("499u"), unit: usage.Core, want: 0},
		"a fraction of a byte is rounded":             {value: types.String("2500m"), unit: usage.Byte, want: 3},
		"null is nothing held":                        {value: types.NullValue, unit: usage.Core, want: 0},
		"minus zero is zero":                          {value: types.Double(math.Copysign(0, -1)), unit: usage.Core, want: 0},
		"the smallest double is nothing":              {value: types.Double(5e-324), unit: usage.Core, want: 0},
		"the largest level":                           {value: types.String("9223372036854775807"), unit: usage.Byte, want: math.MaxInt64},

		"one more does not fit":                       {value: types.String("9223372036854775808"), unit: usage.Byte, err: "too large"},
		"nor the same in cores":                       {value: types.Int(math.MaxInt64/1000 + 1), unit: usage.Core, err: "too large"},
		"nor a large uint":                            {value: types.Uint(math.MaxUint64), unit: usage.Byte, err: "too large"},
		"a quantity where they clamp is not believed": {value: quantityValue("100Ei"), unit: usage.Byte, err: "too large"},
		"the largest double":                          {value: types.Double(math.MaxFloat64), unit: usage.Byte, err: "too large"},
		"an absurd exponent":                          {value: types.String("1e999999999"), unit: usage.Byte, err: "too large"},
		"a negative int":                              {value: types.Int(-1), unit: usage.Core, err: "negative"},
		"a negative double":                           {value: types.Double(-0.001), unit: usage.Core, err: "negative"},
		"a negative text":                             {value: types.String("-1Gi"), unit: usage.Byte, err: "negative"},
		"a negative quantity":                         {value: quantityValue("-1m"), unit: usage.Core, err: "negative"},
		"not a number":                                {value: types.Double(math.NaN()), unit: usage.Core, err: "want a finite number"},
		"infinity":                                    {value: types.Double(math.Inf(1)), unit: usage.Core, err: "want a finite number"},
		"words":                                       {value: types.String("a lot"), unit: usage.Core, err: `"a lot" is not a quantity`},
		"empty text":                                  {value: types.String(""), unit: usage.Core, err: `"" is not a quantity`},
		"a bool":                                      {value: types.True, unit: usage.Core, err: "it gives bool; want an int"},
		"a map":                                       {value: fields{}, unit: usage.Core, err: "it gives map; want an int"},
		"a very long number":                          {value: types.String(strings.Repeat("1", 1000)), unit: usage.Core, err: "is not a quantity"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := level(c.value, c.unit)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %d, %v; want the error %q", got, err, c.err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Fatalf("got %d, %v; want %d", got, err, c.want)
			}
		})
	}
}

// The oracle is a rational number: exact, slow and simple.
func oracle(value *big.Rat, unit usage.Unit) (int64, bool) {
	scaled := new(big.Rat).Mul(value, new(big.Rat).SetInt64(unit.Scale()))
	scaled.Add(scaled, big.NewRat(1, 2))
	rounded := new(big.Int).Div(scaled.Num(), scaled.Denom()) // the floor: half away from zero, above it
	return rounded.Int64(), rounded.IsInt64()
}

var suffixFactors = map[string]string{
	"": "1", "n": "1/1000000000", "u": "1/1000000", "m": "1/1000", "k": "1000", "M": "1000000", "G": "1000000000",
	"T": "1000000000000", "P": "1000000000000000", "E": "1000000000000000000",
	"Ki": "1024", "Mi": "1048576", "Gi": "1073741824", "Ti": "1099511627776",
	"Pi": "1125899906842624", "Ei": "1152921504606846976",
	"e3": "1000", "E-2": "1/100", "e+4": "10000", "e-30": "1/1000000000000000000000000000000",
}

func TestLevelIsExact(t *testing.T) {
	units := rapid.SampledFrom([]usage.Unit{usage.Core, usage.Byte, usage.Count, usage.BitPerSecond, "licence"})
	check := func(t *rapid.T, text string, got int64, err error, value *big.Rat, unit usage.Unit) {
		want, fits := oracle(value, unit)
		if fits != (err == nil) || (fits && got != want) {
			t.Fatalf("%s in %s: got %d, %v; want %d, fits %v", text, unit, got, err, want, fits)
		}
	}
	t.Run("text", rapid.MakeCheck(func(t *rapid.T) {
		number := rapid.StringMatching(`[0-9]{1,20}(\.[0-9]{0,15})?|\.[0-9]{1,15}`).Draw(t, "number")
		suffix := rapid.SampledFrom(keys(suffixFactors)).Draw(t, "suffix")
		unit := units.Draw(t, "unit")
		value, _ := new(big.Rat).SetString(strings.TrimSuffix("0"+number, "."))
		factor, _ := new(big.Rat).SetString(suffixFactors[suffix])
		got, err := level(types.String(number+suffix), unit)
		check(t, number+suffix, got, err, value.Mul(value, factor), unit)
	}))
	t.Run("double", rapid.MakeCheck(func(t *rapid.T) {
		double := rapid.Float64Min(0).Draw(t, "double")
		unit := units.Draw(t, "unit")
		text := strconv.FormatFloat(double, 'g', -1, 64)
		value, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Skip("infinite")
		}
		got, err := level(types.Double(double), unit)
		check(t, text, got, err, value, unit)
	}))
	t.Run("int", rapid.MakeCheck(func(t *rapid.T) {
		whole := rapid.Int64Min(0).Draw(t, "int")
		unit := units.Draw(t, "unit")
		got, err := level(types.Int(whole), unit)
		check(t, fmt.Sprint(whole), got, err, new(big.Rat).SetInt64(whole), unit)
	}))
}

// Whatever has a digit and Kubernetes takes for a quantity is one here, and
// nothing else. (It takes a lone sign for 0.)
func TestNumbersAreKubernetesQuantities(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[+-]?([0-9]{1,3}\.?[0-9]{0,3}|\.[0-9]{1,3}|[0-9]\.[0-9]\.)(n|u|m|k|K|M|Mi|mi|E|Ei|e|e2|E-2|e\+1|x| )?`).Draw(t, "text")
		_, err := resource.ParseQuantity(text)
		if _, ok := parseNumber(text); ok != (err == nil) {
			t.Fatalf("%q: a number: %v; Kubernetes: %v", text, ok, err)
		}
	})
}

func keys(m map[string]string) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	return names
}
