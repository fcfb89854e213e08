package memory

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

const (
	mebi  = 1 << 20
	noon  = int64(1_795_284_000)
	limit = 900 * mebi
)

// sampled is a trend of what was held over some hours.
func sampled(hours float64, held func(hours float64) float64) *Trend {
	t := &Trend{}
	for at := int64(0); float64(at) <= hours*3600; at += SampleEvery {
		t.Add(noon+at, int64(held(float64(at)/3600)))
	}
	return t
}

func TestForecast(t *testing.T) {
	for name, c := range map[string]struct {
		hours   float64
		held    func(hours float64) float64 // MiB
		reached float64                     // hours after the last sample; 0: it is not foreseen
	}{
		"nothing was looked at for long enough": {0.9, func(h float64) float64 { return 100 + 400*h }, 0},
		"it grows":                              {4, func(h float64) float64 { return 500 + 20*h }, 16},
		"it grows slowly":                       {24, func(h float64) float64 { return 500 + 2*h }, 176},
		"too slowly to be foreseen yet":         {1, func(h float64) float64 { return 500 + 2*h }, 0},
		"it stays":                              {24, func(float64) float64 { return 850 }, 0},
		"it shrinks":                            {24, func(h float64) float64 { return 850 - 5*h }, 0},
		"it is over the limit, and grows":       {4, func(h float64) float64 { return 880 + 10*h }, -1},
		"a load at the beginning":               {6, func(h float64) float64 { return 300 + 500*step(0.3-h) }, 0},
		"a report now and then":                 {6, func(h float64) float64 { return 300 + 400*step(math.Mod(h, 2)-1.7) }, 0},
		"growth, with a load and a report":      {10, func(h float64) float64 { return 500 + 10*h + 300*step(0.3-h) + 200*step(h-4)*step(4.2-h) }, 30},
		"it grew, and stays":                    {48, func(h float64) float64 { return 500 + 20*math.Min(h, 10) }, 0},
		"it grew, and shrinks":                  {24, func(h float64) float64 { return 500 + 20*math.Min(h, 6) - 10*math.Max(0, h-6) }, 0},
		"by day and by night":                   {72, func(h float64) float64 { return 500 + 100*math.Sin(h*math.Pi/12) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			trend := sampled(c.hours, func(h float64) float64 { return mebi * c.held(h) })
			f := trend.Forecast(limit)
			last := trend.samples[len(trend.samples)-1].at
			switch want := last + int64(c.reached*3600); {
			case c.reached == 0 && f.Reached != 0:
				t.Errorf("it cries wolf: %+v, in %d h", f, (f.Reached-last)/3600)
			case c.reached < 0 && f.Reached != last:
				t.Errorf("the limit is reached, and it says %+v", f)
			case c.reached > 0 && math.Abs(float64(f.Reached-want)) > 0.03*c.reached*3600:
				t.Errorf("it is reached in %g h, and it says in %g h", c.reached, float64(f.Reached-last)/3600)
			}
			if f := trend.Forecast(0); f.Reached != 0 {
				t.Errorf("without a limit it is reached: %+v", f)
			}
		})
	}
}

func step(x float64) float64 {
	if x > 0 {
		return 1
	}
	return 0
}

// Growth is found within some per cent, with noise of a fifth of it, and none is
// found in noise alone; outliers, which are up to one in six, change neither.
func TestForecastOfNoise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hours := rapid.Float64Range(2, 30).Draw(t, "hours")
		start := rapid.Float64Range(50, 400).Draw(t, "start")
		growth := rapid.SampledFrom([]float64{0, 0, 200, 400}).Draw(t, "growth") / math.Min(hours, 24) // MiB an hour
		noise := rapid.Float64Range(0, 20).Draw(t, "noise")
		seed := rapid.Uint64().Draw(t, "seed")
		random := func() float64 { // -1 to 1
			seed = seed*6364136223846793005 + 1442695040888963407
			return float64(seed>>11)/(1<<52) - 1
		}
		trend := sampled(hours, func(h float64) float64 {
			held := start + growth*h + noise*random()
			if random() > 0.67 {
				held += 300
			}
			return mebi * held
		})
		f := trend.Forecast(limit)
		if growth == 0 {
			if f.Reached != 0 {
				t.Fatalf("noise is taken for growth: %+v", f)
			}
			return
		}
		if got := f.Growth * 3600 / mebi; math.Abs(got-growth) > 0.25*growth {
			t.Fatalf("it grows by %g MiB an hour, and it says by %g", growth, got)
		}
	})
}

func TestSamplesAreKeptForADay(t *testing.T) {
	trend := sampled(100, func(float64) float64 { return 1 })
	if n := len(trend.samples); n != window/SampleEvery+1 {
		t.Errorf("%d samples are kept", n)
	}
	trend.Add(noon, 1)
	trend.Add(noon+100*3600+1, 1)
	if n := len(trend.samples); n != window/SampleEvery+1 {
		t.Errorf("a sample too soon was taken: %d", n)
	}
}
