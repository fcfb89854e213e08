package timeline

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"sync/atomic"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Tally adds up what a query asks for. It goes on where it was: what is sealed
// does not change, so that an interval more costs what that interval adds. It is
// not safe for concurrent use.
type Tally struct {
	query Query
	// calendar are the windows that it adds up: all that the query asks for or, of
	// a part, some of them in a row.
	calendar calendar
	grouping
	// reach is what a part looks for groups in: all that the query asks for, so that
	// every part has the same groups. It is nothing for one that is no part.
	reach usage.Window
	// some are the groups that a part has: all, or some in a row.
	some groupRange
	// apart is how many of the first keys are the same for all of a class.
	apart int
	ctx   context.Context // of the caller that waits for it; nil: it is not cancelled

	lineage *int
	// through is up to where it has added up; corrections, how many of them it has
	// looked at, and corrected, how many of these it counts.
	through     int64
	corrections int
	corrected   int
	known       []Meter
	coverage    usage.Stretches

	members  []int32 // by class: its group and 1, or, by holder, what its groups have in common; none if filtered out, 0 if nobody asked
	groups   []*group
	byLabels map[string]int
	byHolder map[holding]int
	byNumber map[numbered]int
	measures []measured
	numbers  map[measured]int // their places
	totals   map[Measure]*sum
	cells    atomic.Int64 // how many there are
	taken    atomic.Int64 // bytes, by groups and cells
	limits   Limits
	full     error    // a TooLargeError: there are more groups than the limit
	sorted   []*group // those that hold something, in order
	unsorted []*group // those that hold something since
	scratch  struct { // for the labels of one class
		labels []label
		key    []byte
	}
}

// none is no group.
const none = -1

// Measure is what adds up: a dimension of a resource type.
type Measure struct {
	ResourceType string
	usage.Dimension
}

// Compare orders measures by resource type, then by dimension.
func (m Measure) Compare(other Measure) int {
	return cmp.Or(cmp.Compare(m.ResourceType, other.ResourceType), cmp.Compare(m.Name, other.Name), cmp.Compare(m.Unit, other.Unit))
}

// group is what has the same labels.
type group struct {
	labels    []label
	dimension usage.Dimension
	classes   []classOf // in it, that are to be added up; not used by holder
	measures  []int     // what that is made of which it held, by number
	mentioned bool
	cells     []sum // what it held, by window; nil where nothing is in it
	// accuracy is how well that is known, by window, for what its segments say; nil
	// where it is all exact.
	accuracy []usage.Accuracy
}

// classOf is a class, and the number of what it is a measure of.
type classOf struct {
	*class
	measure int
}

// holding is a group of those that have the same labels but for who holds it.
type holding struct {
	common int
	identity
}

// numbered is a holder that has been asked for: of what has something in common.
type numbered struct {
	common int
	number uint64
}

// NewTally is a tally of nothing yet. The error says what is wrong with the
// query; a TooLargeError, that it asks for too much.
func NewTally(query Query) (*Tally, error) {
	if err := query.validate(); err != nil {
		return nil, err
	}
	c, err := newCalendar(query.Window, query.Size, query.zone())
	if err != nil {
		return nil, err
	}
	return newTally(query, c), nil
}

func newTally(query Query, c calendar) *Tally {
	t := &Tally{query: query, calendar: c, grouping: newGrouping(query.GroupBy)}
	t.grouping.byHolder = t.grouping.byHolder || query.byHolder()
	for t.apart < len(t.keys) && !t.keys[t.apart].isOfHolder() {
		t.apart++
	}
	return t
}

// newPart is a tally of some of the windows that a query asks for, up to a moment, and
// of some of its groups.
func newPart(query Query, some calendar, until int64, groups groupRange) *Tally {
	t := newTally(query, some)
	t.some = groups
	t.reach = usage.Window{Start: query.Window.Start, End: min(until, query.Window.End)}
	return t
}

// gone is the context's error once the caller that waits for the tally has gone away.
func (t *Tally) gone() error {
	if t.ctx == nil {
		return nil
	}
	return pause(t.ctx)
}

func (t *Tally) isPart() bool { return t.reach.Seconds() > 0 }

// Advance adds up to the moment until, in seconds since the epoch: to the end of
// what is sealed, if the tally is to go on later. What the snapshot holds that
// another lineage of snapshots did not is no reason to add up twice: then the
// tally begins anew. After an error, a TooLargeError, it is of no use.
func (t *Tally) Advance(s *Snapshot, until int64) error {
	if t.lineage != s.lineage || until < t.through || len(s.corrections) < t.corrections {
		t.begin(s)
	}
	t.known, t.coverage = s.meters, s.coverage
	from := t.through
	until = min(until, t.calendar.end())
	if missing := s.classes.size - len(t.members); missing > 0 {
		t.members = append(t.members, make([]int32, missing)...)
	}
	return t.advance(s, from, until, len(s.corrections))
}

// AsOf adds up to a moment in a tally of nothing, and counts so many corrections: it
// says what one said that was advanced to then and had counted so many.
func (t *Tally) AsOf(s *Snapshot, until int64, corrections int) error {
	t.begin(s)
	t.known, t.coverage = s.meters, s.coverage
	t.members = make([]int32, s.classes.size)
	return t.advance(s, t.through, min(until, t.calendar.end()), corrections)
}

// advance adds up from one moment to another, and counts at most so many corrections.
func (t *Tally) advance(s *Snapshot, from, until int64, corrections int) error {
	defer t.forgetNumbers()
	if until > from {
		if err := t.integrate(s, from, until); err != nil {
			return err
		}
		t.through = until
	}
	return t.correct(s, corrections)
}

// AdvanceFor is Advance with a context: it fails with the context's error soon after
// that is done, and the tally cannot be used then.
func (t *Tally) AdvanceFor(ctx context.Context, s *Snapshot, until int64) error {
	t.ctx = ctx
	err := t.Advance(s, until)
	t.ctx = nil
	return err
}

func (t *Tally) begin(s *Snapshot) {
	t.lineage, t.through, t.corrections = s.lineage, t.calendar.start(), 0
	t.corrected = 0
	t.members, t.groups, t.measures, t.sorted, t.unsorted = nil, nil, nil, nil, nil
	t.cells.Store(0)
	t.taken.Store(0)
	t.full = nil
	t.numbers = map[measured]int{}
	t.byLabels, t.byHolder, t.totals = map[string]int{}, map[holding]int{}, map[Measure]*sum{}
	t.byNumber = map[numbered]int{}
}

// member is the number of a class's group, or none. By holder, what its groups have
// in common is numbered by itself.
func (t *Tally) member(id int, c *class) int {
	switch n := t.members[id]; {
	case n > 0:
		return int(n - 1)
	case n == none:
		return none
	}
	if !t.query.matches(&c.words) {
		t.members[id] = none
		return none
	}
	t.scratch.labels = t.appendLabels(t.scratch.labels[:0], &c.words, &anybody)
	if !t.mayHave(t.scratch.labels) {
		t.members[id] = none
		return none
	}
	member := t.group(&c.words)
	if member == none {
		return none
	}
	t.members[id] = int32(member + 1)
	t.take(classBytes)
	return member
}

// mayHave tells whether the tally has groups of a class, by the labels of any of its holders.
func (t *Tally) mayHave(labels []label) bool {
	if !t.grouping.byHolder {
		return t.some.has(labels)
	}
	return t.some.mayHave(labels[:t.apart])
}

// anybody holds something.
var anybody = holder{resource: &object{}, instance: &object{}}

// group is the number of the group that the class's words are in, by the labels that
// were made; none if that would be one too many.
func (t *Tally) group(w *words) int {
	t.scratch.key = appendJoined(t.scratch.key[:0], t.scratch.labels)
	id, known := t.byLabels[string(t.scratch.key)]
	if !known {
		if id = t.newGroup(slices.Clone(t.scratch.labels), w); id == none {
			return none
		}
		t.byLabels[string(t.scratch.key)] = id
		t.take(joinedBytes + int64(len(t.scratch.key)))
	}
	return id
}

// appendJoined appends labels as they would be as one string, and no others.
func appendJoined(b []byte, labels []label) []byte {
	for i := range labels {
		for _, s := range [...]string{labels[i].value, labels[i].uid} {
			b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
		}
	}
	return b
}

// newGroup is none, and the tally full, if it would be one too many.
func (t *Tally) newGroup(labels []label, w *words) int {
	if t.full = t.tooManyGroups(); t.full != nil {
		return none
	}
	t.take(groupBytes + int64(len(labels))*labelBytes)
	t.groups = append(t.groups, &group{labels: labels, dimension: w.Dimension})
	return len(t.groups) - 1
}

// held is the group of what a holder has in a class; none if it is filtered out.
func (t *Tally) held(common int, of *who, w *words) int {
	n := numbered{common: common, number: of.number()}
	id, known := t.byNumber[n]
	if !known {
		if len(t.byNumber) >= numbersKept {
			t.forgetNumbers()
		}
		id = none
		if h := of.holder(); t.query.holds(h) {
			id = t.heldBy(common, h, w)
		}
		t.byNumber[n] = id
	}
	return id
}

func (t *Tally) heldBy(common int, h *holder, w *words) int {
	key := holding{common: common, identity: t.identity(h)}
	id, known := t.byHolder[key]
	if known {
		return id
	}
	if t.scratch.labels = t.appendLabels(t.scratch.labels[:0], w, h); !t.some.has(t.scratch.labels) {
		return none
	}
	// A copy: the names of what has ended are parts of a text that would be kept as a whole.
	copied := h.clone()
	if id = t.newGroup(t.appendLabels(nil, w, copied), w); id == none {
		return none
	}
	key.identity = t.identity(copied)
	t.byHolder[key] = id
	t.take(heldBytes + copied.bytes())
	return id
}

// identity is what of a holder tells groups apart.
func (t *Tally) identity(h *holder) (id identity) {
	for _, k := range t.keys {
		switch k {
		case Resource:
			id.resource = idOf(&h.resource.Object)
		case Instance:
			id.instance = idOf(&h.instance.Object)
		case Container:
			id.container = h.container
		}
	}
	return id
}

func (g *group) isMadeOf(measure int) {
	if !slices.Contains(g.measures, measure) {
		g.measures = append(g.measures, measure)
	}
}

// measured is what a meter measures in one dimension.
type measured struct {
	meter     string
	dimension usage.Dimension
}

// measured is the number of what a class is of.
func (t *Tally) measured(w *words) int {
	of := measured{meter: w.Meter, dimension: w.Dimension}
	i, known := t.numbers[of]
	if !known {
		i = len(t.measures)
		t.measures = append(t.measures, of)
		t.numbers[of] = i
	}
	return i
}

// Cells is how many groups times windows the tally has added up.
func (t *Tally) Cells() int { return int(t.cells.Load()) }
