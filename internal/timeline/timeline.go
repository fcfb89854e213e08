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
// bundle, attributes, dimension, meter), and within a class by the day on which they
// ended. What is open, or has ended and is not sealed, is apart: that alone changes,
// and has its names in memory. What is sealed takes 32 bytes a segment, without
// pointers, and its names are the day's. For each class there are running sums at
// the hours, so that what was held from one hour to another is one subtraction.
// Days that are older than the hot ones are packed in blocks; a question that needs
// their segments unpacks them.
package timeline

import (
	"math"
	"reflect"
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
	hot Hot
	// generation tells what was made since the last snapshot: that is the
	// writer's alone, and everything else is cloned before it is changed.
	generation uint64
	lineage    *int // of all snapshots whose classes are numbered alike
	ids        map[words]int
	streams    map[streamKey]*stream
	// recalled are the classes of sealed segments that the commit at hand may change.
	recalled map[wanted]recalled
	// parts are the days of what is sealed, and growing the one that gets more.
	parts   map[int64]*part
	growing int64
	serials uint64 // of parts
	sweeps  uint64
	// awake tells of each class whether it is one of the snapshot's.
	awake  []bool
	behind map[int]int64 // classes whose sums have to be made anew, from which hour on
	summer summer
	next   Snapshot
	shared atomic.Pointer[Snapshot]
}

// never is before any moment.
const never = math.MinInt64

// New is an empty timeline that keeps everything as it is.
func New() *Timeline { return NewHot(Hot{Days: allHot}) }

// Begin forgets everything. Readers see what they saw until something is published.
func (t *Timeline) Begin() {
	t.dictionary = newDictionary()
	t.lineage = new(int)
	t.ids, t.streams, t.parts = map[words]int{}, map[streamKey]*stream{}, map[int64]*part{}
	t.growing, t.awake, t.behind = never, nil, map[int]int64{}
	t.next = Snapshot{lineage: t.lineage, horizon: never, summed: never, relearnt: t.next.relearnt + 1, cold: t.hot.cold()}
}

// Snapshot is what has been committed so far.
func (t *Timeline) Snapshot() *Snapshot { return t.shared.Load() }

// Segments is how many segments were taken in, corrections included; the writer's.
func (t *Timeline) Segments() int { return t.next.segments }

// Take takes in what was committed. Readers see it once it is published.
func (t *Timeline) Take(c Commit) {
	s := &t.next
	s.time = max(s.time, c.Time)
	t.recall(c.Changes)
	for i := range c.Changes {
		t.change(&c.Changes[i])
	}
	if c.Meters != nil {
		meters := withHistory(s.meters, c.Meters)
		if !reflect.DeepEqual(meters, s.meters) {
			s.relearnt++
		}
		s.meters = meters
	}
	if len(c.Coverage) > 0 {
		s.relearnt++
	}
	s.coverage = s.coverage.With(c.Coverage...)
	for _, interval := range c.Sealed {
		s.through = max(s.through, interval.End)
	}
	s.sealed = append(s.sealed, c.Sealed...)
	if len(c.Sealed) > 0 {
		t.seal()
	}
}

// Publish shows readers what was taken in. It costs what was taken in.
func (t *Timeline) Publish() {
	t.sum()
	t.generation++
	// Readers see what there is now: appending leaves that as it is, and whatever
	// else changes is cloned.
	t.next.version++
	published := t.next
	t.next.classes.table = slices.Clone(t.next.classes.table)
	t.shared.Store(&published)
}

// Snapshot is the timeline as it was at one moment.
type Snapshot struct {
	lineage *int
	version uint64 // within the lineage
	classes pages[*class]
	// awake are the classes that may say something later than horizon, by number.
	awake   []int32
	horizon int64
	cold    cold
	// summed is the hour since the epoch before which all sums are made.
	summed      int64
	meters      []Meter
	coverage    usage.Stretches
	corrections []correction
	sealed      []usage.Window // in order
	through     int64          // the end of the last of them
	time        int64
	segments    int
	relearnt    uint64
}

// Sealed is the end of the last interval that is sealed, in seconds since the
// epoch; 0: there is none.
func (s *Snapshot) Sealed() int64 { return s.through }

// Time is when it was as it is here, in seconds since the epoch: never before the
// end of what is sealed. What happened after that end may not all be known yet.
func (s *Snapshot) Time() int64 { return max(s.time, s.through) }

// Corrections is how many corrections of sealed intervals there are.
func (s *Snapshot) Corrections() int { return len(s.corrections) }

// Relearnt is a version of what is known of sealed time: another number than in an earlier snapshot
// if something of what was sealed then may have changed since, by a correction, by coverage, or as
// another meter is there.
func (s *Snapshot) Relearnt() uint64 { return s.relearnt + uint64(len(s.corrections)) }

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
	h, dimension := t.holder(c.Subject), c.Dimension.Name
	switch c.Kind {
	case usage.Less, usage.More:
		t.next.segments++
		t.next.corrections = append(t.next.corrections, correction{
			class: t.class(&c.Segment), holder: h, less: c.Kind == usage.Less, span: spanOf(&c.Segment),
		})
		return
	case usage.Void:
		in := t.stream(h, dimension)
		t.unsum(t.remove(in, dimension, c.Start.At), removed{})
		t.drop(in, dimension)
		return
	}
	in := t.stream(h, dimension)
	var was removed
	if c.HasKey() {
		was = t.remove(in, dimension, c.Start.At)
	}
	is := removed{span: spanOf(&c.Segment), class: t.class(&c.Segment), found: true}
	if c.End.IsZero() {
		is.span = (&open{start: c.Start.At, level: c.Level, slack: c.Start.Slack, evidence: c.Start.Evidence}).span()
	}
	t.put(in, &is, c.HasKey())
	t.unsum(was, is)
}

// put adds a segment to a stream.
func (t *Timeline) put(in *stream, is *removed, hasKey bool) {
	t.next.segments++
	t.wake(is.class)
	c, x := t.ownClass(is.class), &is.span
	c.first = min(c.first, x.start-int64(x.startSlack))
	at := ref{start: x.start, class: int32(is.class), open: isFresh}
	if x.isOpen() {
		at.open = int32(c.open.size)
		c.open.push(open{in: in, start: x.start, level: x.level, slack: x.startSlack, evidence: x.startEvidence}, t.generation)
	} else {
		c.fresh = append(c.fresh, fresh{in: in, span: *x})
	}
	if hasKey {
		in.note(at)
	}
}

// ownClass is a class for the writer to change.
func (t *Timeline) ownClass(id int) *class {
	c := t.next.classes.at(id)
	if c.generation != t.generation {
		c = new(*c)
		c.generation = t.generation
		c.open.table = slices.Clone(c.open.table)
		*t.next.classes.own(id, t.generation) = c
	}
	return c
}

// class is the number of the segment's class.
func (t *Timeline) class(s *usage.Segment) int {
	w := t.words(s)
	id, known := t.ids[w]
	if !known {
		id = t.next.classes.size
		t.ids[w] = id
		t.next.classes.push(&class{words: w, id: int32(id), generation: t.generation, first: math.MaxInt64, coldUntil: never}, t.generation)
		t.awake = append(t.awake, false)
	}
	return id
}

// wake makes a class one that may say something of what is new.
func (t *Timeline) wake(id int) {
	if !t.awake[id] {
		t.awake[id] = true
		t.next.awake = append(t.next.awake, int32(id))
	}
}
