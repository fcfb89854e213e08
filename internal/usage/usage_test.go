package usage

import (
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestAmountsAddUpLikeIntegersOf128Bits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, got := new(big.Int), Amount{}
		for _, level := range rapid.SliceOfN(rapid.Int64Range(0, math.MaxInt64), 0, 20).Draw(t, "levels") {
			seconds := rapid.Int64Range(0, math.MaxInt64/64).Draw(t, "seconds")
			want.Add(want, new(big.Int).Mul(big.NewInt(level), big.NewInt(seconds)))
			got = got.Plus(Held(level, seconds))
		}
		if got.String() != want.String() {
			t.Fatalf("got %s, want %s", got, want)
		}
		back, err := ParseAmount(got.String())
		if err != nil || back != got {
			t.Fatalf("%s reads back as %s, %v", got, back, err)
		}
	})
}

func TestAnAmountThatOverflowsPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("128 bits overflowed in silence")
		}
	}()
	most := Amount{high: math.MaxUint64, low: math.MaxUint64}
	most.Plus(Held(1, 1))
}

func TestParseAmountRefuses(t *testing.T) {
	for _, text := range []string{"", "-1", "1.5", "x", "340282366920938463463374607431768211456"} {
		if _, err := ParseAmount(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

func TestHours(t *testing.T) {
	cases := map[string]struct {
		unit      Unit
		dimension string
		amount    Amount
		digits    int
		want      string
	}{
		"4 cores for 37m30s":             {Core, "vcpu", Held(4000, 2250), 6, "2.5 core-hour"},
		"16 GiB for an hour":             {Byte, "memory", Held(16<<30, 3600), 6, "16 GiB-hour"},
		"100 TiB for 30 days":            {Byte, "storage", Held(100<<40, 30*86400), 6, "73728000 GiB-hour"},
		"one load balancer for a minute": {Count, "load_balancer", Held(1000, 60), 6, "0.016667 load_balancer-hour"},
		"10 Gbit/s for half an hour":     {BitPerSecond, "bandwidth", Held(10_000_000_000, 1800), 6, "5 Gbit_per_second-hour"},
		"an author's own unit":           {"licence", "seats", Held(2500, 3600), 6, "2.5 licence-hour"},
		"a half rounds away from zero":   {Count, "x", Held(1, 1800), 3, "0.001 x-hour"},
		"what is not zero never reads 0": {Byte, "memory", Held(1, 1), 3, "0.0000000000003 GiB-hour"},
		"zero is zero":                   {Byte, "memory", Amount{}, 3, "0 GiB-hour"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := c.unit.Hours(c.amount, c.digits) + " " + c.unit.HourUnit(c.dimension); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestAttributesComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := rapid.MapOfN(rapid.StringMatching(`[a-z][A-Za-z0-9]{0,5}`), rapid.StringOfN(rapid.RuneFrom([]rune("ab\x00\x01\x02012é")), 1, 8, -1), 0, 8).Draw(t, "facts")
		got := NewAttributes(facts).Map()
		if len(facts) == 0 {
			facts = nil
		}
		if diff := cmp.Diff(facts, got); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
	})
}

func TestIntervalsAreAlignedToUTC(t *testing.T) {
	at := time.Date(2026, 11, 21, 20, 59, 59, 0, time.UTC).Unix()
	for length, want := range map[int64]string{60: "20:59:00-21:00:00", 900: "20:45:00-21:00:00", 3600: "20:00:00-21:00:00"} {
		w := Interval(at, length)
		got := time.Unix(w.Start, 0).UTC().Format(time.TimeOnly) + "-" + time.Unix(w.End, 0).UTC().Format(time.TimeOnly)
		if got != want {
			t.Errorf("%d s: got %s, want %s", length, got, want)
		}
	}
	if w := Interval(at+1, 3600); w.Start != at+1 || w.Next().Start != w.End {
		t.Errorf("the boundary belongs to %v", w)
	}
}

func TestIntervalLengths(t *testing.T) {
	for _, good := range []time.Duration{time.Minute, 5 * time.Minute, time.Hour} {
		if _, err := IntervalLength(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []time.Duration{0, 30 * time.Second, 7 * time.Minute, 90 * time.Minute, 2 * time.Hour, 61*time.Second + time.Nanosecond} {
		if _, err := IntervalLength(bad); err == nil || !strings.Contains(err.Error(), "divides an hour") {
			t.Errorf("%s: %v; want an error that says what would do", bad, err)
		}
	}
}

// Where bounds reach into a window in which nothing surely lasted, that is not nothing.
func TestCutKeepsWhatBoundsReach(t *testing.T) {
	segment := func(start, startSlack, end, endSlack int64) Segment {
		s := Segment{
			Level: 2, Start: Boundary{At: start, Slack: uint32(startSlack), Evidence: ManagedFields},
			End: Boundary{At: end, Slack: uint32(endSlack), Evidence: ReplayBound},
		}
		if end == 0 {
			s.End = Boundary{}
		}
		return s
	}
	w := Window{Start: 100, End: 200}
	cases := map[string]struct {
		segment                          Segment
		start, startSlack, end, endSlack int64
		none                             bool
	}{
		"an end that may lie in the next window":          {segment(20, 0, 90, 30), 100, 0, 100, 20, false},
		"an end that surely lies before":                  {segment(20, 0, 90, 10), 0, 0, 0, 0, true},
		"an end that may lie beyond the window":           {segment(20, 0, 90, 300), 100, 0, 100, 100, false},
		"a start that may lie in the window before":       {segment(230, 50, 0, 0), 200, 20, 200, 0, false},
		"a start that surely lies after":                  {segment(230, 30, 0, 0), 0, 0, 0, 0, true},
		"bounds are those inside the window":              {segment(110, 50, 190, 50), 110, 10, 190, 10, false},
		"one of no length, in the window that it lies in": {segment(150, 10, 150, 70), 150, 10, 150, 50, false},
		"one of no length that surely lies before":        {segment(100, 10, 100, 0), 0, 0, 0, 0, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := c.segment.Cut(w, 1000)
			if ok == c.none {
				t.Fatalf("cut: %v, want %v", ok, !c.none)
			}
			if c.none {
				return
			}
			is := []int64{got.Start.At, int64(got.Start.Slack), got.End.At, int64(got.End.Slack)}
			if want := []int64{c.start, c.startSlack, c.end, c.endSlack}; !slices.Equal(is, want) {
				t.Errorf("got start, slack, end, slack %v, want %v", is, want)
			}
			if whole := got.Within(w); !whole.IsZero() && c.start == c.end {
				t.Errorf("it counts %s, want nothing", whole)
			}
		})
	}
}

func TestADecimalWithoutBigNumbersIsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := AmountOf(0, rapid.Uint64().Draw(t, "amount"))
		if rapid.Bool().Draw(t, "small") {
			amount.low %= 10_000
		}
		divisor := rapid.SampledFrom([]int64{1, 3, 3600, 3_600_000, 3600 << 30, 3_600_000_000_000, math.MaxInt64}).Draw(t, "divisor")
		digits := rapid.IntRange(1, 9).Draw(t, "digits")
		got, done := amount.shortDecimal(divisor, digits)
		want := trimZeros(new(big.Rat).SetFrac(amount.big(), big.NewInt(divisor)).FloatString(digits))
		switch {
		case done && got != want:
			t.Fatalf("%s / %d to %d digits: %s, want %s", amount, divisor, digits, got, want)
		case !done && want != "0":
			t.Fatalf("%s / %d to %d digits is left to big numbers, and is %s", amount, divisor, digits, want)
		}
	})
}
