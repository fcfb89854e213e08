package controllers

import "testing"

func TestRecordsFitTheirBudget(t *testing.T) {
	const hour = 3600
	// Sealed through 5:00; the interval from 5:00 is under way.
	cases := map[string]struct {
		budget int64
		bytes  map[int64]int64
		want   int64
	}{
		"any size":                     {budget: 0, bytes: map[int64]int64{1 * hour: 1 << 40}},
		"none":                         {budget: 10},
		"all fit":                      {budget: 10, bytes: map[int64]int64{3 * hour: 3, 4 * hour: 3, 5 * hour: 4}},
		"the oldest is too much":       {budget: 10, bytes: map[int64]int64{1 * hour: 1, 3 * hour: 4, 4 * hour: 3, 5 * hour: 4}, want: 4 * hour},
		"older ones go first":          {budget: 10, bytes: map[int64]int64{1 * hour: 1, 2 * hour: 1, 3 * hour: 1, 4 * hour: 5, 5 * hour: 4}, want: 3 * hour},
		"the last sealed one is kept":  {budget: 10, bytes: map[int64]int64{3 * hour: 1, 4 * hour: 11}, want: 4 * hour},
		"the one under way is kept":    {budget: 10, bytes: map[int64]int64{3 * hour: 1, 4 * hour: 1, 5 * hour: 11}, want: 4 * hour},
		"an interval without any":      {budget: 10, bytes: map[int64]int64{1 * hour: 8, 4 * hour: 8}, want: 2 * hour},
		"just the budget is not above": {budget: 10, bytes: map[int64]int64{4 * hour: 10}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			schedule := Schedule{Interval: hour, Budget: c.budget}
			if got := schedule.fits(c.bytes, 5*hour); got != c.want {
				t.Errorf("they fit from %d h on, want %d h", got/hour, c.want/hour)
			}
		})
	}
}

func TestNothingSealedNothingPruned(t *testing.T) {
	schedule := Schedule{Interval: 60, Budget: 1}
	if got := schedule.fits(map[int64]int64{600: 100}, 0); got != 0 {
		t.Errorf("kept from %d, want everything kept", got)
	}
}
