package timeline

import (
	_ "embed"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/usage"
)

//go:embed testdata/zones.txt
var zonesOfTheWorld string

func zones(t *testing.T) []*time.Location {
	t.Helper()
	var zones []*time.Location
	for line := range strings.Lines(zonesOfTheWorld) {
		if name := strings.TrimSpace(line); !strings.HasPrefix(name, "#") {
			zone, err := time.LoadLocation(name)
			if err != nil {
				t.Fatal(err)
			}
			zones = append(zones, zone)
		}
	}
	return zones
}

// transitions are when a zone's clocks change, and more, up to 2045: its table ends
// in 2037, and a rule goes on.
func transitions(zone *time.Location) []int64 {
	var all []int64
	end := time.Date(2045, 1, 1, 0, 0, 0, 0, time.UTC)
	for at := time.Date(1840, 1, 1, 0, 0, 0, 0, zone); at.Before(end); {
		_, next := at.ZoneBounds()
		if next.IsZero() {
			break
		}
		if next.After(at) {
			all = append(all, next.Unix())
		}
		if at = at.Add(12 * time.Hour); next.After(at) {
			at = next
		}
	}
	return all
}

// named is the day, week or month that the clocks of a zone name at t.
func named(t int64, size Size, zone *time.Location) int {
	at := time.Unix(t, 0).In(zone)
	year, month, day := at.Date()
	switch size {
	case Week:
		year, week := at.ISOWeek()
		return 100*year + week
	case Month:
		return 100*year + int(month)
	}
	return 10000*year + 100*int(month) + day
}

// beginnings are the moments after the first, up to the last, at which another name
// holds than a second before. Between two of the moments, which are in order, no
// more than one name may begin.
func beginnings(moments []int64, size Size, zone *time.Location) []int64 {
	var found []int64
	for i, high := range moments[1:] {
		low := moments[i]
		of := named(low, size, zone)
		if named(high, size, zone) == of {
			continue
		}
		for high-low > 1 {
			if middle := low + (high-low)/2; named(middle, size, zone) == of {
				low = middle
			} else {
				high = middle
			}
		}
		found = append(found, high)
	}
	return found
}

// tiles tells what is wrong with the periods between the first and the last of some
// moments; "": nothing.
func tiles(moments []int64, size Size, zone *time.Location) string {
	first, last := moments[0], moments[len(moments)-1]
	starts := beginnings(moments, size, zone)
	for i, start := range starts {
		before, from := Period(start-1, size, 0, zone), Period(start, size, 0, zone)
		switch {
		case before.End != start || from.Start != start:
			return "a period begins where no other name does"
		case i > 0 && (before.Start != starts[i-1] || Period(before.Start+before.Seconds()/2, size, 0, zone) != before):
			return "a period is another one at its end than at its beginning"
		case Period(start-1, size, +1, zone) != from || Period(start, size, -1, zone) != before:
			return "the next period's previous one is another"
		case i > 0 && Period(starts[i-1]-1, size, +2, zone) != from:
			return "the next but one is not the next one's next"
		}
	}
	if len(starts) == 0 && Period(first, size, 0, zone) != Period(last, size, 0, zone) {
		return "two periods of one name"
	}
	return cutAs(first, last, starts, size, zone)
}

// cutAs tells what is wrong with how a window is cut; "": nothing.
func cutAs(first, last int64, starts []int64, size Size, zone *time.Location) string {
	cuts := slices.Concat([]int64{first}, starts, []int64{last})
	// A boundary of the window's that is one of a period's makes no empty part.
	if last == cuts[len(cuts)-2] {
		cuts = cuts[:len(cuts)-1]
	}
	if c, err := newCalendar(usage.Window{Start: first, End: last}, size, zone); err != nil || !slices.Equal(c, cuts) {
		return "windows are cut elsewhere than periods"
	}
	return ""
}

// A day, week or month is a longest run of moments that the clocks give one name,
// around every change of the clocks of every zone.
func TestPeriodsAreRunsOfOneName(t *testing.T) {
	const before, after, step = 60 * 3600, 60 * 3600, 3600
	checked := 0
	for _, zone := range zones(t) {
		for _, change := range transitions(zone) {
			moments := []int64{change - 1}
			for s := int64(step); s < before; s += step {
				moments = append(moments, change-1-s)
			}
			for s := int64(0); s < after; s += step {
				moments = append(moments, change+s)
			}
			slices.Sort(moments)
			for _, size := range []Size{Day, Week, Month} {
				if wrong := tiles(moments, size, zone); wrong != "" {
					t.Errorf("%s, %s, around %s: %s", zone, size, time.Unix(change, 0).In(zone), wrong)
				}
			}
			checked++
		}
	}
	t.Logf("%d changes of clocks", checked)
}

// At any time of any zone, second by second.
func TestPeriodsAreRunsOfOneNameSecondBySecond(t *testing.T) {
	all := zones(t)
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom(all).Draw(t, "zone")
		at := rapid.Int64Range(-4_000_000_000, 6_000_000_000).Draw(t, "at")
		if changes := transitions(zone); len(changes) > 0 && rapid.Bool().Draw(t, "near a change") {
			at = rapid.SampledFrom(changes).Draw(t, "change") + rapid.Int64Range(-3600, 3600).Draw(t, "off")
		}
		var moments []int64
		for s := at; s < at+7200; s++ {
			moments = append(moments, s)
		}
		for _, size := range []Size{Day, Week, Month} {
			if wrong := tiles(moments, size, zone); wrong != "" {
				t.Fatalf("%s in %s: %s", size, zone, wrong)
			}
		}
	})
}

// What somebody meant: where periods of some zones begin.
func TestPeriodsOfZonesWithNightsOfTheirOwn(t *testing.T) {
	cases := map[string]struct {
		zone, at string
		size     Size
		offset   int
		from, to string
	}{
		"an hour of midnight that comes twice is of its day": {
			"America/Havana", "2026-11-01T00:59:59-04:00", Month, 0, "2026-11-01T00:00:00-04:00", "2026-12-01T00:00:00-05:00"},
		"and of no other":                   {"America/Havana", "2026-11-01T00:00:00-05:00", Day, -1, "2026-10-31T00:00:00-04:00", "2026-11-01T00:00:00-04:00"},
		"a day that was left out":           {"Pacific/Apia", "2011-12-31T00:00:00+14:00", Day, -1, "2011-12-29T00:00:00-10:00", "2011-12-30T00:00:00-10:00"},
		"a midnight that was left out":      {"America/Havana", "2026-03-08T12:00:00-04:00", Day, 0, "2026-03-08T01:00:00-04:00", "2026-03-09T00:00:00-04:00"},
		"an evening that comes twice":       {"America/Sao_Paulo", "2018-02-17T23:30:00-03:00", Day, 0, "2018-02-17T00:00:00-02:00", "2018-02-18T00:00:00-03:00"},
		"a minute of tomorrow":              {"America/St_Johns", "2006-10-29T00:00:30-02:30", Day, 0, "2006-10-29T00:00:00-02:30", "2006-10-28T23:01:00-03:30"},
		"and then yesterday again":          {"America/St_Johns", "2006-10-29T00:00:30-02:30", Day, 1, "2006-10-28T23:01:00-03:30", "2006-10-29T00:00:00-03:30"},
		"the last day of a leap year to be": {"Europe/Berlin", "2048-12-31T12:00:00+01:00", Month, 0, "2048-12-01T00:00:00+01:00", "2049-01-01T00:00:00+01:00"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			zone, err := time.LoadLocation(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			second := func(text string) int64 {
				at, err := time.Parse(time.RFC3339, text)
				if err != nil {
					t.Fatal(err)
				}
				return at.Unix()
			}
			want := usage.Window{Start: second(c.from), End: second(c.to)}
			if got := Period(second(c.at), c.size, c.offset, zone); got != want {
				t.Errorf("from %s to %s", time.Unix(got.Start, 0).In(zone), time.Unix(got.End, 0).In(zone))
			}
		})
	}
}
