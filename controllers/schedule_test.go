package controllers

import (
	"math"
	"testing"

	"github.com/usage-operator/usage-operator/internal/publisher"
)

func sizesOf(bytes map[int64]int64) map[int64]publisher.Size {
	sizes := map[int64]publisher.Size{}
	for start, n := range bytes {
		sizes[start] = publisher.Size{Records: 1, Bytes: n}
	}
	return sizes
}

func TestRecordsFitTheirShare(t *testing.T) {
	const hour = 3600
	// Sealed through 5:00; the interval from 5:00 is under way.
	cases := map[string]struct {
		share int64
		bytes map[int64]int64
		want  int64
	}{
		"any size":                    {share: math.MaxInt64, bytes: map[int64]int64{1 * hour: 1 << 40}},
		"none":                        {share: 10},
		"all fit":                     {share: 10, bytes: map[int64]int64{3 * hour: 3, 4 * hour: 3, 5 * hour: 4}},
		"the oldest is too much":      {share: 10, bytes: map[int64]int64{1 * hour: 1, 3 * hour: 4, 4 * hour: 3, 5 * hour: 4}, want: 4 * hour},
		"older ones go first":         {share: 10, bytes: map[int64]int64{1 * hour: 1, 2 * hour: 1, 3 * hour: 1, 4 * hour: 5, 5 * hour: 4}, want: 3 * hour},
		"the last sealed one is kept": {share: 10, bytes: map[int64]int64{3 * hour: 1, 4 * hour: 11}, want: 4 * hour},
		"the one under way is kept":   {share: 10, bytes: map[int64]int64{3 * hour: 1, 4 * hour: 1, 5 * hour: 11}, want: 4 * hour},
		"an interval without any":     {share: 10, bytes: map[int64]int64{1 * hour: 8, 4 * hour: 8}, want: 2 * hour},
		"just the share is not above": {share: 10, bytes: map[int64]int64{4 * hour: 10}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			schedule := Schedule{Interval: hour}
			if got := schedule.fits(sizesOf(c.bytes), c.share, 5*hour); got != c.want {
				t.Errorf("they fit from %d h on, want %d h", got/hour, c.want/hour)
			}
		})
	}
}

func TestNothingSealedNothingPruned(t *testing.T) {
	schedule := Schedule{Interval: 60}
	if got := schedule.fits(sizesOf(map[int64]int64{600: 100}), 1, 0); got != 0 {
		t.Errorf("kept from %d, want everything kept", got)
	}
}

func TestWithoutABudgetThereIsNoShare(t *testing.T) {
	schedule := Schedule{Interval: 60}
	sizes := map[string]map[int64]publisher.Size{"shop": sizesOf(map[int64]int64{600: 1 << 50})}
	if got := schedule.share(sizes); got != math.MaxInt64 {
		t.Errorf("the share is %d, want any size", got)
	}
}
