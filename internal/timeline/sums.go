package timeline

import (
	"math/bits"
	"slices"
	"sort"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// sums are what a class held before each hour since the epoch, up to the last that is
// sealed, and in which hours that is in doubt. Both are kept where they change: an
// hour in which as much was held as in the one before takes nothing.
type sums struct {
	points []point
	rate   sum // of an hour, from the last point on
	marks  []mark
}

// point is an hour at which the amount held an hour becomes another.
type point struct {
	hour   int64
	before sum // all that was held before it, in base units times seconds
}

// mark is an hour from which on doubts are others.
type mark struct {
	hour   int64
	doubts doubts
}

// doubts are what makes it uncertain what was held in an hour.
type doubts uint8

const (
	// estimated: it is an estimate.
	estimated doubts = 1 << iota
	// partial: metering started or stopped, within the hour.
	partial
	// startsPartial and endsPartial: it started as the hour did, or stopped as the hour
	// did: that is nothing to a window that does the same.
	startsPartial
	endsPartial
)

// divided is s/n, where that leaves nothing.
func (s sum) divided(n uint64) sum {
	high := s.high / n
	low, _ := bits.Div64(s.high%n, s.low, n)
	return sum{high, low}
}

// reader reads sums hour by hour: each is not before the one before.
type reader struct {
	*sums
	next int // point, after the hour that was read last
	rate sum // from the point before that on
}

func (s *sums) reader() reader { return reader{sums: s, next: -1} }

// at is what was held before an hour.
func (r *reader) at(hour int64) sum {
	n := len(r.points)
	switch {
	case r.next < 0 && (n == 0 || hour < r.points[0].hour):
		r.seek(0)
	case r.next < n && r.points[n-1].hour <= hour:
		r.seek(n)
	case r.next < 0:
		r.seek(sort.Search(n, func(i int) bool { return r.points[i].hour > hour }))
	case r.next < n && r.points[r.next].hour <= hour:
		next := r.next + 1
		for next < n && r.points[next].hour <= hour {
			next++
		}
		r.seek(next)
	}
	if r.next == 0 {
		return sum{}
	}
	p := &r.points[r.next-1]
	before := r.rate.times(hour - p.hour)
	before.add(p.before)
	return before
}

func (r *reader) seek(next int) {
	r.next = next
	switch {
	case next == 0:
		r.rate = sum{}
	case next == len(r.points):
		r.rate = r.sums.rate
	default:
		p, q := &r.points[next-1], &r.points[next]
		r.rate = q.before
		r.rate.subtract(p.before)
		if hours := q.hour - p.hour; hours > 1 {
			r.rate = r.rate.divided(uint64(hours))
		}
	}
}

// doubtful calls with the doubts in the hours from one to another, run by run.
func (s *sums) doubtful(from, to int64, call func(from, to int64, d doubts)) {
	if len(s.marks) == 0 {
		return
	}
	i := max(0, sort.Search(len(s.marks), func(i int) bool { return s.marks[i].hour > from })-1)
	for ; i < len(s.marks) && s.marks[i].hour < to; i++ {
		end := to
		if i+1 < len(s.marks) {
			end = min(end, s.marks[i+1].hour)
		}
		if start := max(from, s.marks[i].hour); s.marks[i].doubts != 0 && start < end {
			call(start, end, s.marks[i].doubts)
		}
	}
}

// truncate forgets the sums from an hour on. Readers keep what they have.
func (s *sums) truncate(hour int64) {
	r := s.reader()
	r.at(hour - 1)
	s.rate = r.rate
	n := sort.Search(len(s.points), func(i int) bool { return s.points[i].hour >= hour })
	if n < len(s.points) {
		s.points = s.points[:n:n]
	}
	n = sort.Search(len(s.marks), func(i int) bool { return s.marks[i].hour >= hour })
	if n < len(s.marks) {
		s.marks = s.marks[:n:n]
	}
}

// summedAtOnce is how many hours are summed at once.
const summedAtOnce = 4096

// summer makes sums.
type summer struct {
	from, to int64 // hours
	// held is what is held in an hour more than all through it from the first of changes to here.
	held    []sum
	changes []sum
	doubts  []doubts
}

// extend makes the class's sums of the hours from one to another, after which there
// are none. Those before from are there. Cold calls with what is cold of the class, and may
// matter to a window.
func (c *class) extend(m *summer, from, to int64, cold func(w usage.Window, call func(span))) {
	c.sums.truncate(from)
	many := to-from > 24
	for ; from < to; from = m.to {
		m.begin(from, min(from+summedAtOnce, to))
		w := usage.Window{Start: m.from * secondsOfHour, End: m.to * secondsOfHour}
		c.each(w, func(_ who, x span) { m.add(&x) })
		if c.hasCold(w) {
			cold(w, func(x span) { m.add(&x) })
		}
		m.appendTo(&c.sums)
	}
	if many {
		c.sums.points = slices.Clone(c.sums.points) // it grows by an hour at a time from now on
	}
}

func (m *summer) begin(from, to int64) {
	m.from, m.to = from, to
	n := int(to - from)
	if cap(m.held) < n {
		m.held, m.changes, m.doubts = make([]sum, n), make([]sum, n), make([]doubts, n)
	}
	m.held, m.changes, m.doubts = m.held[:n], m.changes[:n], m.doubts[:n]
	clear(m.held)
	clear(m.changes)
	clear(m.doubts)
}

func (m *summer) add(x *span) {
	window := usage.Window{Start: m.from * secondsOfHour, End: m.to * secondsOfHour}
	if start, end := max(x.start, window.Start), min(x.end, window.End); start < end {
		level := sum{low: uint64(x.level)}
		first, last := floor(start, secondsOfHour)-m.from, floor(end-1, secondsOfHour)-m.from
		if first == last {
			m.held[first].add(level.times(end - start))
		} else {
			m.held[first].add(level.times((m.from+first+1)*secondsOfHour - start))
			m.held[last].add(level.times(end - (m.from+last)*secondsOfHour))
			m.changes[first+1].add(level)
			m.changes[last].subtract(level)
		}
	}
	if x.isDoubtful() {
		m.doubt(x, window)
	}
}

func (m *summer) doubt(x *span, w usage.Window) {
	note := func(from, to int64, d doubts) {
		if from, to = max(from, w.Start), min(to, w.End); from < to {
			for i := floor(from, secondsOfHour) - m.from; i <= floor(to-1, secondsOfHour)-m.from; i++ {
				m.doubts[i] |= d
			}
		}
	}
	note(x.start-int64(x.startSlack), x.start, estimated)
	if x.endSlack > 0 {
		note(x.end, x.end+int64(x.endSlack), estimated)
	}
	if x.startEvidence == usage.LastKnown {
		note(x.start, x.end, estimated)
	}
	at := func(second int64, onTheHour bool, d doubts) {
		if !onTheHour {
			d = partial
		}
		note(second, second+1, d)
	}
	if x.startsPartial() {
		at(x.start, x.start%secondsOfHour == 0, startsPartial)
	}
	if x.endsPartial() {
		at(x.end-1, x.end%secondsOfHour == 0, endsPartial)
	}
}

// appendTo appends what was added up to sums.
func (m *summer) appendTo(s *sums) {
	r := s.reader()
	before := r.at(m.from)
	var level sum
	for i := range m.held {
		hour := m.from + int64(i)
		level.add(m.changes[i])
		rate := level.times(secondsOfHour)
		rate.add(m.held[i])
		if rate != s.rate {
			s.points = append(s.points, point{hour: hour, before: before})
			s.rate = rate
		}
		before.add(rate)
		var now doubts
		if n := len(s.marks); n > 0 {
			now = s.marks[n-1].doubts
		}
		if m.doubts[i] != now {
			s.marks = append(s.marks, mark{hour: hour, doubts: m.doubts[i]})
		}
	}
}

// sum brings the sums of all classes to where they have to be.
func (t *Timeline) sum() {
	s := &t.next
	if through := floor(s.through, secondsOfHour); s.through != 0 && through > s.summed {
		for _, id := range s.awake {
			t.lag(int(id), s.summed)
		}
		s.summed = through
	}
	for id, from := range t.behind {
		c := t.ownClass(id)
		c.extend(&t.summer, max(from, floor(c.first, secondsOfHour)), s.summed, func(w usage.Window, call func(span)) { s.eachCold(id, w, call) })
	}
	clear(t.behind)
}

// lag has a class's sums made anew from an hour on, when something is published.
func (t *Timeline) lag(id int, hour int64) {
	if since, lags := t.behind[id]; !lags || hour < since {
		t.behind[id] = hour
	}
}

// unsum has sums made anew that a segment is in which is another now.
func (t *Timeline) unsum(was, is removed) {
	if was.found && is.found && was.class == is.class && was.begins() == is.begins() {
		t.unsumFrom(was.class, min(was.end, is.end)-1)
		return
	}
	for _, x := range []removed{was, is} {
		if x.found {
			t.unsumFrom(x.class, x.start-int64(x.startSlack))
		}
	}
}

// begins is the span without its end.
func (x *span) begins() span {
	return span{start: x.start, level: x.level, startSlack: x.startSlack, startEvidence: x.startEvidence}
}

func (t *Timeline) unsumFrom(id int, moment int64) {
	if hour := floor(moment, secondsOfHour); hour < t.next.summed {
		t.lag(id, hour)
	}
}
