package timeline

import (
	"math"
	"slices"
	"sort"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// class is all that reports cannot tell apart, but for who holds it.
type class struct {
	words
	generation uint64
	// open are the segments that go on.
	open pages[open]
	// fresh are those that have ended, and are not sealed: in any order.
	fresh []fresh
	// past are what ended and is sealed, by the days of their ends, and latest those of
	// the last of these days, where it may be added to.
	past   []chunk
	latest chunk
	// reach is the largest slack of a sealed segment, in seconds.
	reach uint32
	id    int32 // its place in the snapshot's list
	// until is when all sealed segments had ended for sure, in seconds since the epoch.
	until int64
	// coldUntil is by when all that is packed had ended for sure.
	coldUntil int64
	// first is a moment before which nothing is of the class.
	first int64
	sums  sums
}

// open is a segment that has not ended.
type open struct {
	in           *stream
	start, level int64
	slack        uint32
	evidence     usage.Evidence
}

// span is the open segment as one that never ends.
func (o *open) span() span {
	return span{start: o.start, end: math.MaxInt64, level: o.level, startSlack: o.slack, startEvidence: o.evidence}
}

// fresh is a segment that has ended and is not sealed.
type fresh struct {
	in *stream
	span
}

// each calls with all segments of the class that may matter to a window, but for those
// that are cold.
func (c *class) each(w usage.Window, call func(who, span)) {
	if c.until >= w.Start {
		from := c.pastFrom(w.Start)
		for i := from; i < len(c.past); i++ {
			c.past[i].each(w, call)
		}
		if c.latest.part != nil {
			c.latest.each(w, call)
		}
	}
	for i := range c.fresh {
		if x := c.fresh[i].span; x.mayMatter(w) {
			call(who{live: c.fresh[i].in.holder}, x)
		}
	}
	for _, page := range c.open.table {
		for i := range page.items {
			if x := page.items[i].span(); x.mayMatter(w) {
				call(who{live: page.items[i].in.holder}, x)
			}
		}
	}
}

// pastFrom is the first of the past days that may say something later than from.
func (c *class) pastFrom(from int64) int {
	if from < math.MinInt64+math.MaxUint32 {
		return 0
	}
	day := floor(from-int64(c.reach), secondsOfDay)
	return sort.Search(len(c.past), func(i int) bool { return c.past[i].part.day >= day })
}

// says tells whether the class says something of a window, but for what is cold.
func (c *class) says(w usage.Window) bool {
	said := false
	c.each(w, func(_ who, x span) { said = said || x.says(w) })
	return said
}

// breadth is how many segments may matter to a window, or somewhat more. What is cold
// is not counted.
func (c *class) breadth(w usage.Window) int {
	n := len(c.fresh) + c.open.size
	for _, day := range c.past[c.pastFrom(w.Start):] {
		n += day.carried
		if day.part.start()-int64(day.maxSlack) < w.End {
			n += len(day.records) - day.carried
		}
	}
	return n + len(c.latest.records)
}

// isQuiet tells that nothing has happened in the class since a moment.
func (c *class) isQuiet(since int64) bool {
	return c.open.size == 0 && len(c.fresh) == 0 && c.until < since
}

// find is the chunk of a day, if there is one.
func (c *class) find(day int64) *chunk {
	if c.latest.part != nil && c.latest.part.day == day {
		return &c.latest
	}
	i := sort.Search(len(c.past), func(i int) bool { return c.past[i].part.day >= day })
	if i < len(c.past) && c.past[i].part.day == day {
		return &c.past[i]
	}
	return nil
}

// day is the chunk of a day, for the writer to change: the class is its own.
func (c *class) day(day int64) *chunk {
	switch {
	case c.latest.part == nil:
		return &c.latest
	case c.latest.part.day < day:
		c.past = append(c.past, c.latest)
		c.latest = chunk{}
		return &c.latest
	case c.latest.part.day == day:
		return &c.latest
	}
	i := sort.Search(len(c.past), func(i int) bool { return c.past[i].part.day >= day })
	if i < len(c.past) && c.past[i].part.day == day {
		c.past = slices.Clone(c.past)
	} else {
		c.past = slices.Concat(c.past[:i], []chunk{{}}, c.past[i:])
	}
	return &c.past[i]
}

// seal moves what has ended by a moment to the days on which it ended. Filling gives
// the part of a day.
func (c *class) seal(id int, through int64, filling func(day int64) *filler) (sealed []fresh) {
	rest := make([]fresh, 0, len(c.fresh))
	for i := range c.fresh {
		if x := &c.fresh[i]; x.end <= through {
			sealed = append(sealed, *x)
			c.until = max(c.until, x.endsBy())
			c.reach = max(c.reach, x.startSlack, x.endSlack)
		} else {
			rest = append(rest, *x)
		}
	}
	if len(sealed) == 0 {
		return nil
	}
	c.fresh = slices.Clip(rest)
	slices.SortFunc(sealed, func(a, b fresh) int { return compareEnds(&a.span, &b.span) })
	for left := sealed; len(left) > 0; {
		into := filling(floor(left[0].end, secondsOfDay))
		into.classes = append(into.classes, int32(id))
		n := sort.Search(len(left), func(i int) bool { return left[i].end >= into.start()+secondsOfDay })
		records := make([]record, n)
		for i := range n {
			records[i] = into.record(left[i].in.holder, &left[i].span)
		}
		day := c.day(into.day)
		*day = day.with(into.part, records)
		left = left[n:]
	}
	return sealed
}

func compareEnds(a, b *span) int {
	switch {
	case a.end < b.end:
		return -1
	case a.end > b.end:
		return 1
	}
	return 0
}

// forgotten is a sealed segment that starts then and lasts, of a holder, and is hot: its day,
// its place there, and whether there is one. The last of the past is followed by latest.
func (c *class) forgotten(start int64, of identity) (day *chunk, i int, found bool) {
	for n := c.pastFrom(start); n <= len(c.past); n++ {
		day = &c.latest
		if n < len(c.past) {
			day = &c.past[n]
		}
		for i := range day.records {
			r := &day.records[i]
			if r.start == start && day.part.start()+int64(r.end) != start && day.part.holder(r.holder).identity() == of {
				return day, i, true
			}
		}
	}
	return nil, 0, false
}
