// Package timeline answers what was used: it keeps the segments that the journal
// has committed, and integrates them over windows, by group.
//
// It is pure: no clock is read, and no Kubernetes package is imported. A Timeline
// has one writer. A Snapshot never changes, and is for any number of readers,
// which the writer never waits for.
//
// What holds at any time, and what the tests prove:
//   - the sum over the parts of any window is the sum over the window, exactly;
//   - a Tally that is advanced step by step says what one that is made at once says;
//   - pages, one after the other, say what one page says.
//
// Segments lie where a report looks for them: by class, which is all that a report
// filters by and most of what it groups by (account, resource type, region,
// bundle, attributes, dimension, meter), then by series, which is one holder
// within a class, then by time. A report decides about a class once, and then reads
// the segments of whole classes one after the other. A segment that has ended
// takes 40 bytes; an open one is part of its series, which takes 72. What it takes
// to find a series is kept of those alone that may still change: see forget.
package timeline

import (
	"slices"
	"sync/atomic"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Meter is what is known of a UsageMeter that is applied.
type Meter struct {
	Name string
	// ResourceType is what it meters.
	ResourceType string
	// Since is from when on it sees everything, in seconds since the epoch.
	Since int64
	// Dimensions are what it measures.
	Dimensions []usage.Dimension
	// Measured is what it measured when; nil where the journal does not say: since
	// Since, but for what a meter of its name measured in the commit before, and goes on.
	Measured []usage.Metered
}

// Commit is what the journal has committed.
type Commit struct {
	// Time is when it was committed, in seconds since the epoch; 0: that is not known.
	Time    int64
	Changes []usage.Change
	// Meters are all that are applied; nil: as before.
	Meters []Meter
	// Coverage are the stretches, other than observed, that were learnt of.
	Coverage []usage.Stretch
	// Sealed are the intervals that were sealed, in order.
	Sealed []usage.Window
}

// Timeline takes in what the journal commits. One goroutine writes; Snapshot is
// for all.
type Timeline struct {
	dictionary
	// generation tells what was made since the last snapshot: that is the
	// writer's alone, and everything else is cloned before it is changed.
	generation uint64
	loading    bool // since Begin nothing was published
	lineage    *int // of all snapshots whose classes are numbered alike
	ids        map[words]int
	streams    map[streamKey]*stream
	// forgotten is a moment by which all had ended that was forgotten of streams, and
	// forgetAt how many of them there are when it is looked for more.
	forgotten int64
	forgetAt  int
	next      Snapshot
	shared    atomic.Pointer[Snapshot]
}

// stream is everything of one holder and dimension: mostly one series, and one
// more for each time that it changed hands.
type stream struct {
	in []place
	// since is a moment from which on all that starts is in these places.
	since int64
}

// place is where a series is.
type place struct{ class, series int }

type streamKey struct {
	holder    *holder
	dimension string
}

// New is an empty timeline.
func New() *Timeline {
	t := &Timeline{}
	t.Begin()
	t.Publish()
	return t
}

// Begin forgets everything. Readers see what they saw until something is published.
func (t *Timeline) Begin() {
	t.loading = true
	t.dictionary = newDictionary()
	t.lineage = new(int)
	t.ids, t.streams = map[words]int{}, map[streamKey]*stream{}
	t.forgotten, t.forgetAt = never, forgetLeast
	t.next = Snapshot{lineage: t.lineage}
}

// Snapshot is what has been committed so far.
func (t *Timeline) Snapshot() *Snapshot { return t.shared.Load() }

// Take takes in what was committed. Readers see it once it is published.
func (t *Timeline) Take(c Commit) {
	s := &t.next
	s.time = max(s.time, c.Time)
	t.recall(c.Changes)
	for i := range c.Changes {
		t.change(&c.Changes[i])
	}
	if c.Meters != nil {
		s.meters = withHistory(s.meters, c.Meters)
	}
	s.coverage = s.coverage.With(c.Coverage...)
	for _, interval := range c.Sealed {
		s.through = max(s.through, interval.End)
	}
	s.sealed = append(s.sealed, c.Sealed...)
	if len(c.Sealed) > 0 {
		t.forget()
	}
}

// Publish shows readers what was taken in.
func (t *Timeline) Publish() {
	if t.loading {
		t.settle()
		t.loading = false
	}
	t.generation++
	// Readers see what there is now: appending leaves that as it is, and whatever
	// else changes is cloned.
	t.next.version++
	published := t.next
	published.classes = slices.Clone(t.next.classes)
	t.shared.Store(&published)
}

// Snapshot is the timeline as it was at one moment.
type Snapshot struct {
	lineage     *int
	version     uint64 // within the lineage
	classes     []*class
	meters      []Meter
	coverage    usage.Stretches
	corrections []correction
	sealed      []usage.Window // in order
	through     int64          // the end of the last of them
	time        int64
	segments    int
}

// Sealed is the end of the last interval that is sealed, in seconds since the
// epoch; 0: there is none.
func (s *Snapshot) Sealed() int64 { return s.through }

// Time is when it was as it is here, in seconds since the epoch: never before the
// end of what is sealed. What happened after that end may not all be known yet.
func (s *Snapshot) Time() int64 { return max(s.time, s.through) }

// Corrections is how many corrections of sealed intervals there are.
func (s *Snapshot) Corrections() int { return len(s.corrections) }

// Segments is how many segments there are, corrections included.
func (s *Snapshot) Segments() int { return s.segments }

// Since is when the first of the meters began, in seconds since the epoch; 0 when
// there is none.
func (s *Snapshot) Since() int64 {
	var since int64
	for i := range s.meters {
		m := &s.meters[i]
		began := m.Since
		for j := range m.Measured {
			began = min(began, m.Measured[j].Since)
		}
		if since == 0 || began < since {
			since = began
		}
	}
	return since
}

// correction is what is added to a sealed interval, or taken off it.
type correction struct {
	class  int
	holder *holder
	less   bool
	span
}

// change takes in one change.
func (t *Timeline) change(c *usage.Change) {
	h := t.holder(c.Subject)
	if c.Kind != usage.Void {
		t.next.segments++
	}
	switch c.Kind {
	case usage.Less, usage.More:
		t.next.corrections = append(t.next.corrections, correction{
			class: t.class(&c.Segment), holder: h, less: c.Kind == usage.Less, span: spanOf(&c.Segment),
		})
		return
	case usage.Void:
		t.remove(t.stream(h, c.Dimension.Name), c.Start.At)
		return
	}
	in := t.stream(h, c.Dimension.Name)
	if c.HasKey() {
		t.remove(in, c.Start.At)
	}
	s := t.series(in, t.class(&c.Segment), h)
	if c.End.IsZero() {
		s.open = open{start: c.Start.At, level: c.Level, slack: c.Start.Slack, evidence: c.Start.Evidence}
		return
	}
	s.add(spanOf(&c.Segment))
}

func (t *Timeline) stream(h *holder, dimension string) *stream {
	key := streamKey{holder: h, dimension: dimension}
	in := t.streams[key]
	if in == nil {
		in = &stream{since: t.forgotten}
		t.streams[key] = in
	}
	return in
}

// remove takes out the stream's segment that starts then, if there is one.
func (t *Timeline) remove(in *stream, start int64) {
	for _, at := range in.in {
		s := t.next.classes[at.class].series[at.series]
		if s.open.is(start) {
			t.own(at).open = open{}
			t.next.segments--
			return
		}
		if i, found := s.find(start); found {
			t.own(at).take(i)
			t.next.segments--
			return
		}
	}
}

// series is the stream's in a class, for the writer to change.
func (t *Timeline) series(in *stream, class int, h *holder) *series {
	for _, at := range in.in {
		if at.class == class {
			return t.own(at)
		}
	}
	c := t.ownClass(class)
	in.in = append(in.in, place{class: class, series: len(c.series)})
	made := &series{holder: h, generation: t.generation}
	c.series = append(c.series, made)
	return made
}

// own is the series at a place, for the writer to change.
func (t *Timeline) own(at place) *series {
	c := t.ownClass(at.class)
	s := c.series[at.series]
	if s.generation != t.generation {
		s = new(*s)
		s.generation = t.generation
		c.series[at.series] = s
	}
	return s
}

func (t *Timeline) ownClass(id int) *class {
	c := t.next.classes[id]
	if c.generation != t.generation {
		c = &class{words: c.words, generation: t.generation, series: slices.Clone(c.series)}
		t.next.classes[id] = c
	}
	return c
}

// class is the number of the segment's class.
func (t *Timeline) class(s *usage.Segment) int {
	w := t.words(s)
	id, known := t.ids[w]
	if !known {
		id = len(t.next.classes)
		t.ids[w] = id
		t.next.classes = append(t.next.classes, &class{words: w, generation: t.generation})
	}
	return id
}

// settle puts all segments where they are read: one after the other.
func (t *Timeline) settle() {
	total := 0
	for _, c := range t.next.classes {
		for _, s := range c.series {
			total += len(s.spans)
		}
	}
	spans := make([]span, 0, total)
	for _, c := range t.next.classes {
		moved := make([]series, len(c.series))
		for i, s := range c.series {
			from := len(spans)
			spans = append(spans, s.spans...)
			moved[i] = *s
			moved[i].spans = spans[from:len(spans):len(spans)]
			c.series[i] = &moved[i]
		}
		c.series = slices.Clip(c.series)
	}
}
