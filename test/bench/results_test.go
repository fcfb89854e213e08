package main

import "testing"

func TestMedian(t *testing.T) {
	cases := map[string]struct {
		values []float64
		want   float64
	}{
		"of none":       {nil, 0},
		"of one":        {[]float64{3}, 3},
		"of an odd lot": {[]float64{9, 1, 5}, 5},
		"of an even":    {[]float64{9, 1, 5, 6}, 5.5},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := median(c.values); got != c.want {
				t.Errorf("median(%v) = %g, want %g", c.values, got, c.want)
			}
		})
	}
}

func TestQuantity(t *testing.T) {
	for value, want := range map[float64]string{0: "0", 1.2345: "1.23", 99: "99", 100: "100", 1234: "1,234", 10_000_000: "10,000,000"} {
		if got := quantity(value); got != want {
			t.Errorf("quantity(%g) = %s, want %s", value, got, want)
		}
	}
}
