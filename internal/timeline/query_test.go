package timeline_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

func at(t *testing.T, text string) int64 {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Unix()
}

// held is a VM of the shop that held a core.
func held(name string, start, end int64) usage.Change {
	object := usage.Object{Kind: "VM", Name: name, UID: name}
	c := usage.Change{Segment: usage.Segment{
		Meter: "vm", Dimension: usage.Dimension{Name: "vcpu", Unit: usage.Core}, Level: 1000,
		Subject: &usage.Subject{
			ResourceType: "vm", Resource: object, Instance: object,
			Account: usage.Account{Namespace: "shop", NamespaceUID: "1", Deployment: "web"},
		},
		Start: usage.Boundary{At: start, Evidence: usage.Observed},
	}}
	if end != 0 {
		c.End = usage.Boundary{At: end, Evidence: usage.Observed}
	}
	return c
}

func TestWindowsBeginWhereClocksSaySo(t *testing.T) {
	cases := map[string]struct {
		zone, from, to string
		size           timeline.Size
		starts         []string // after the first
	}{
		"days of 23 hours": {
			"Europe/Berlin", "2026-03-28T00:00:00+01:00", "2026-03-31T00:00:00+02:00", timeline.Day,
			[]string{"2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"},
		},
		"and of 25": {
			"Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z", timeline.Day,
			[]string{"2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"},
		},
		"half hours": {
			"America/St_Johns", "2026-03-07T12:00:00Z", "2026-03-09T12:00:00Z", timeline.Day,
			[]string{"2026-03-08T00:00:00-03:30", "2026-03-09T00:00:00-02:30"},
		},
		"quarters": {
			"Asia/Kathmandu", "2026-03-07T12:00:00Z", "2026-03-09T12:00:00Z", timeline.Day,
			[]string{"2026-03-08T00:00:00+05:45", "2026-03-09T00:00:00+05:45"},
		},
		"hours are those of UTC": {
			"Asia/Kathmandu", "2026-03-07T12:10:00Z", "2026-03-07T14:00:00Z", timeline.Hour,
			[]string{"2026-03-07T13:00:00Z"},
		},
		"clocks that go forward over midnight": {
			"America/Havana", "2026-03-07T00:00:00-05:00", "2026-03-10T00:00:00-04:00", timeline.Day,
			[]string{"2026-03-08T01:00:00-04:00", "2026-03-09T00:00:00-04:00"},
		},
		"clocks that go back over midnight: a minute of the next day, and the evening again": {
			"America/St_Johns", "2006-10-28T12:00:00Z", "2006-10-30T12:00:00Z", timeline.Day,
			[]string{"2006-10-29T00:00:00-02:30", "2006-10-28T23:01:00-03:30", "2006-10-29T00:00:00-03:30", "2006-10-30T00:00:00-03:30"},
		},
		"a day that was none": {
			"Pacific/Apia", "2011-12-29T00:00:00-10:00", "2012-01-01T00:00:00+14:00", timeline.Day,
			[]string{"2011-12-30T00:00:00-10:00", "2012-01-01T00:00:00+14:00"}[:1],
		},
		"weeks begin on Mondays": {
			"Europe/Berlin", "2026-11-18T00:00:00Z", "2026-12-01T00:00:00Z", timeline.Week,
			[]string{"2026-11-23T00:00:00+01:00", "2026-11-30T00:00:00+01:00"},
		},
		"months": {
			"Europe/Berlin", "2026-01-31T12:00:00Z", "2026-04-15T00:00:00Z", timeline.Month,
			[]string{"2026-02-01T00:00:00+01:00", "2026-03-01T00:00:00+01:00", "2026-04-01T00:00:00+02:00"},
		},
		"one window": {"UTC", "2026-01-31T12:00:00Z", "2027-04-15T00:00:00Z", timeline.None, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			zone, err := time.LoadLocation(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			from, to := at(t, c.from), at(t, c.to)
			line := timeline.New()
			load(line, timeline.Commit{Changes: []usage.Change{held("vm", from, 0)}, Sealed: []usage.Window{{Start: from, End: to}}})
			tally, err := timeline.NewTally(timeline.Query{Window: usage.Window{Start: from, End: to}, Size: c.size, Zone: zone})
			if err != nil {
				t.Fatal(err)
			}
			if err := tally.Advance(line.Snapshot(), to); err != nil {
				t.Fatal(err)
			}
			page, err := tally.Page("", 1000)
			if err != nil {
				t.Fatal(err)
			}
			want := []usage.Window{{Start: from}}
			for _, start := range c.starts {
				want[len(want)-1].End = at(t, start)
				want = append(want, usage.Window{Start: at(t, start)})
			}
			want[len(want)-1].End = to
			var got []usage.Window
			for _, row := range page.Rows {
				got = append(got, row.Window)
				if row.Amount != usage.Held(1000, row.Window.Seconds()) {
					t.Errorf("%v: %s", row.Window, row.Amount)
				}
			}
			if difference := differ(got, want); difference != "" {
				t.Error(difference)
			}
		})
	}
}

func TestAQueryThatMakesNoSenseIsRefused(t *testing.T) {
	hour := usage.Window{Start: 0, End: 3600}
	cases := map[string]struct {
		query timeline.Query
		says  string
	}{
		"no window":        {timeline.Query{Size: timeline.None}, "want an end after the beginning"},
		"a reversed one":   {timeline.Query{Size: timeline.None, Window: usage.Window{Start: 5, End: 3}}, "ends at 1970-01-01T00:00:03Z"},
		"no size":          {timeline.Query{Window: hour, Size: "year"}, `window size "year": want none, hour`},
		"no key":           {timeline.Query{Window: hour, Size: timeline.None, GroupBy: []timeline.Key{"colour"}}, `key "colour": want one of namespace,`},
		"no attribute":     {timeline.Query{Window: hour, Size: timeline.None, GroupBy: []timeline.Key{"attribute:"}}, `key "attribute:"`},
		"too many windows": {timeline.Query{Window: usage.Window{Start: 0, End: 10 * 365 * 86400}, Size: timeline.Hour}, "87600 windows, and at most 10000"},
		"far too many":     {timeline.Query{Window: usage.Window{Start: 0, End: 1 << 55}, Size: timeline.Month}, "at most 10000"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := timeline.NewTally(c.query); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %s", err, c.says)
			}
		})
	}
}

func TestTooManyGroupsAreRefused(t *testing.T) {
	line := timeline.New()
	var changes []usage.Change
	for i := range 1000 {
		changes = append(changes, held(fmt.Sprint("vm-", i), 0, 0))
	}
	const end = 5000 * 3600
	load(line, timeline.Commit{Changes: changes, Sealed: []usage.Window{{Start: 0, End: end}}})
	tally, err := timeline.NewTally(timeline.Query{
		Window: usage.Window{Start: 0, End: end}, Size: timeline.Hour, GroupBy: []timeline.Key{timeline.Resource},
	})
	if err != nil {
		t.Fatal(err)
	}
	var tooLarge *timeline.TooLargeError
	if err := tally.Advance(line.Snapshot(), end); !errors.As(err, &tooLarge) || !strings.Contains(err.Error(), "larger windows") {
		t.Errorf("got %v", err)
	}
}

func TestACursorOfSomethingElseIsRefused(t *testing.T) {
	line := timeline.New()
	load(line, timeline.Commit{Changes: []usage.Change{held("a", 0, 0), held("b", 0, 0)}, Sealed: []usage.Window{{Start: 0, End: 7200}}})
	query := timeline.Query{Window: usage.Window{Start: 0, End: 7200}, Size: timeline.Hour, GroupBy: []timeline.Key{timeline.Resource}}
	tally := func(q timeline.Query) *timeline.Tally {
		t.Helper()
		tally, err := timeline.NewTally(q)
		if err == nil {
			err = tally.Advance(line.Snapshot(), 7200)
		}
		if err != nil {
			t.Fatal(err)
		}
		return tally
	}
	page, err := tally(query).Page("", 1)
	if err != nil {
		t.Fatal(err)
	}
	another := query
	another.Zeros = true
	for name, c := range map[string]struct {
		query        timeline.Query
		cursor, says string
	}{
		"of another query":  {another, page.Next, "is of another report"},
		"made up":           {query, "aGVsbG8", "cannot be read"},
		"not even that":     {query, "%%%", "cannot be read"},
		"cut off":           {query, page.Next[:len(page.Next)-8], "cannot be read"},
		"with other things": {query, page.Next + "AAAA", "cannot be read"},
	} {
		_, err := tally(c.query).Page(c.cursor, 1)
		var bad *timeline.CursorError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %s", name, err, c.says)
		}
	}
}

// What there is while pages are read: rows that come in between move nothing.
func TestAPageGoesOnAfterTheLastRowThoughOthersCame(t *testing.T) {
	line := timeline.New()
	changes := []usage.Change{held("b", 0, 0), held("d", 0, 0)}
	load(line, timeline.Commit{Changes: changes, Sealed: []usage.Window{{Start: 0, End: 3600}}})
	query := timeline.Query{Window: usage.Window{Start: 0, End: 7200}, Size: timeline.None, GroupBy: []timeline.Key{timeline.Resource}}
	tally, err := timeline.NewTally(query)
	if err == nil {
		err = tally.Advance(line.Snapshot(), 3600)
	}
	if err != nil {
		t.Fatal(err)
	}
	first, err := tally.Page("", 1)
	if err != nil {
		t.Fatal(err)
	}
	apply(line, timeline.Commit{Changes: []usage.Change{held("a", 3600, 0), held("c", 3600, 0)}, Sealed: []usage.Window{{Start: 3600, End: 7200}}})
	if err := tally.Advance(line.Snapshot(), 7200); err != nil {
		t.Fatal(err)
	}
	rest, err := tally.Page(first.Next, 10)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, row := range rest.Rows {
		names = append(names, row.Group[0].Value)
	}
	if got := strings.Join(names, ""); got != "cd" {
		t.Errorf("after b came %s", got)
	}
}

func TestReadersAndTheWriterDoNotMeet(t *testing.T) {
	line := timeline.New()
	query := timeline.Query{Window: usage.Window{Start: 0, End: 1000}, Size: timeline.None}
	var readers sync.WaitGroup
	done := make(chan struct{})
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				s := line.Snapshot()
				tally, err := timeline.NewTally(query)
				if err == nil {
					err = tally.Advance(s, s.Sealed())
				}
				if err != nil {
					t.Error(err)
					return
				}
				// Each VM holds a core for half of the time until then.
				var want usage.Amount
				for i := range s.Sealed() / 10 {
					want = want.Plus(usage.Held(1000, 5)).Plus(usage.Held(1000*i, 0))
				}
				if totals := tally.Totals(); len(totals) == 1 && totals[0].Amount != want {
					t.Errorf("at %d: %s, want %s", s.Sealed(), totals[0].Amount, want)
					return
				}
			}
		})
	}
	for start := int64(0); start < 1000; start += 10 {
		apply(line, timeline.Commit{Changes: []usage.Change{held("vm", start, 0)}})
		apply(line, timeline.Commit{Changes: []usage.Change{held("vm", start, start+5)}, Sealed: []usage.Window{{Start: start, End: start + 10}}})
	}
	close(done)
	readers.Wait()
}
