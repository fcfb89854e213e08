package usage

import (
	"cmp"
	"fmt"
	"strings"
)

// Evidence is how a moment is known. One byte in memory, a word in a record.
type Evidence uint8

// The kinds of evidence, the strongest first: up to ReplayBound, the object was seen before and
// after, and internal/timeline compares by this order.
const (
	// NoEvidence is the zero value: there is no such moment (a segment without an end).
	NoEvidence Evidence = iota
	// ObjectTime is a time that the object itself states: a condition's
	// transition, a container's finishedAt.
	ObjectTime
	// CreationTime is the object's creationTimestamp.
	CreationTime
	// ManagedFields is the server's time of the write that made the change.
	ManagedFields
	// Observed is when the watch delivered the change, by the operator's clock.
	Observed
	// ReplayBound is a moment that nobody saw: it lies within the boundary's slack.
	ReplayBound
	// MeteringStarted is when the meter began to watch: what was held before is not known.
	MeteringStarted
	// LastKnown begins a stretch in which the object could not be read: it is
	// taken to hold what it last held.
	LastKnown
	// MeteringStopped is when its meter was deleted, suspended or changed.
	MeteringStopped
	// Late is a moment before the last sealed interval's end that was learnt
	// after it was sealed: the segment is cut there instead.
	Late
	// IntervalCut is where a recording interval cuts a segment that goes on.
	IntervalCut
)

var evidenceNames = [...]string{
	"", "ObjectTime", "CreationTime", "ManagedFields", "Observed", "ReplayBound",
	"MeteringStarted", "LastKnown", "MeteringStopped", "Late", "IntervalCut",
}

var evidenceByName = func() map[string]Evidence {
	byName := map[string]Evidence{}
	for i, name := range evidenceNames {
		byName[name] = Evidence(i)
	}
	return byName
}()

// EvidenceNamed is the kind of evidence with that name, "" for NoEvidence; false: there is none.
func EvidenceNamed(name string) (Evidence, bool) {
	e, known := evidenceByName[name]
	return e, known
}

// String is the word that records use.
func (e Evidence) String() string { return evidenceNames[e] }

// Boundary is a moment at which a segment starts or ends.
type Boundary struct {
	// At counts: seconds since the epoch. Where the moment is not known exactly
	// it is the earliest for an end and the latest for a start, so that whoever
	// pays is favoured.
	At int64
	// Slack is how many seconds after an end's At, or before a start's, the
	// truth may lie. 0: At is exact.
	Slack uint32
	// Evidence is how At is known.
	Evidence Evidence
}

// IsZero tells whether there is no such moment.
func (b Boundary) IsZero() bool { return b.Evidence == NoEvidence }

// StartBounds are the earliest and latest second at which a segment that starts here did start.
func (b Boundary) StartBounds() (earliest, latest int64) { return b.At - int64(b.Slack), b.At }

// EndBounds are the earliest and latest second at which a segment that ends here did end.
func (b Boundary) EndBounds() (earliest, latest int64) { return b.At, b.At + int64(b.Slack) }

// Dimension is one thing that a meter measures.
type Dimension struct {
	Name string // "vcpu"; "extended_resource/nvidia.com/gpu" of what Of tells apart
	Unit Unit   // "core"
}

// ofSeparator is between a meter's dimension and what it is of. A meter's own
// names have none.
const ofSeparator = "/"

// Of is the dimension of one of several unlike things, which no total adds up:
// GPUs and network cards are both counted, and are no sum. "" is the dimension itself.
func (d Dimension) Of(what string) Dimension {
	if what != "" {
		d.Name += ofSeparator + what
	}
	return d
}

// Plain is the dimension as the meter defines it, and what it is of.
func (d Dimension) Plain() (plain Dimension, what string) {
	d.Name, what, _ = strings.Cut(d.Name, ofSeparator)
	return d, what
}

// Segment is a stretch [Start, End) in which a subject held one level of one dimension.
type Segment struct {
	Meter     string // the UsageMeter that measures it
	Subject   *Subject
	Dimension Dimension
	Level     int64 // base units
	Start     Boundary
	End       Boundary // zero while it is open
}

// Within is the amount that the segment adds inside the window; an open
// segment reaches to the window's end.
func (s Segment) Within(w Window) Amount {
	return Held(s.Level, s.Part(w).Seconds())
}

// Part is when the segment lasts within the window; an open segment reaches to
// the window's end.
func (s Segment) Part(w Window) Window { return s.span().Intersect(w) }

// Touches tells whether the segment, or the bounds of its ends, are of a time
// within the window.
func (s Segment) Touches(w Window) bool {
	earliest, _ := s.Start.StartBounds()
	latest := int64(maxTime)
	if !s.End.IsZero() {
		_, latest = s.End.EndBounds()
	}
	return max(earliest, w.Start) < min(latest, w.End)
}

// isBrief tells that it is not known whether the segment lasted any time: it has
// no length, and lies somewhere between its start's earliest moment and its
// end's latest.
func (s Segment) isBrief() bool {
	return s.Start.At == s.End.At && !s.End.IsZero() && s.Start.Slack+s.End.Slack > 0
}

func (s Segment) span() Window {
	if s.End.IsZero() {
		return Window{Start: s.Start.At, End: maxTime}
	}
	return Window{Start: s.Start.At, End: s.End.At}
}

// Cut is the part of the segment inside the window, and false when there is
// none. Where the window cuts it, the evidence says so; an open segment stays
// open when the window reaches past until, the moment up to which is known.
func (s Segment) Cut(w Window, until int64) (Segment, bool) {
	if s.span().Intersect(w).Seconds() == 0 {
		return s.trace(w)
	}
	if s.Start.At < w.Start {
		s.Start = Boundary{At: w.Start, Evidence: IntervalCut}
	}
	earliest, _ := s.Start.StartBounds()
	s.Start.Slack = uint32(s.Start.At - max(earliest, w.Start))
	switch {
	case s.End.IsZero() && w.End > until:
		if s.Start.At > until {
			return Segment{}, false
		}
	case s.End.IsZero() || s.End.At >= w.End: // what happens at the very end is the next window's
		s.End = Boundary{At: w.End, Evidence: IntervalCut}
	}
	if !s.End.IsZero() {
		_, latest := s.End.EndBounds()
		s.End.Slack = uint32(min(latest, w.End) - s.End.At)
	}
	return s, true
}

// trace is what is left of a segment in a window in which it surely lasted no
// time: where its bounds reach into the window, it may have lasted some. That is
// not nothing: it is a segment of no length, with bounds.
func (s Segment) trace(w Window) (Segment, bool) {
	earliest, _ := s.Start.StartBounds()
	_, latest := s.End.EndBounds()
	switch {
	case s.isBrief() && w.Contains(s.Start.At):
		s.Start.Slack = uint32(s.Start.At - max(earliest, w.Start))
		s.End.Slack = uint32(min(latest, w.End) - s.End.At)
		return s, s.isBrief() // unless it lies before the window
	case !s.End.IsZero() && s.End.At <= w.Start && latest > w.Start:
		s.Start = Boundary{At: w.Start, Evidence: IntervalCut}
		s.End = Boundary{At: w.Start, Slack: uint32(min(latest, w.End) - w.Start), Evidence: s.End.Evidence}
	case s.Start.At >= w.End && earliest < w.End:
		s.Start = Boundary{At: w.End, Slack: uint32(w.End - max(earliest, w.Start)), Evidence: s.Start.Evidence}
		s.End = Boundary{At: w.End, Evidence: IntervalCut}
	default:
		return Segment{}, false
	}
	return s, true
}

// Compare orders segments canonically: by subject, dimension and start. Only
// those that say the same are equal.
func (s Segment) Compare(other Segment) int {
	a, b := s.Subject, other.Subject
	if a != b {
		if order := cmp.Or(
			cmp.Compare(a.ResourceType, b.ResourceType),
			cmp.Compare(a.Resource.Kind, b.Resource.Kind),
			cmp.Compare(a.Resource.Name, b.Resource.Name),
			cmp.Compare(a.Resource.UID, b.Resource.UID),
			cmp.Compare(a.Instance.Name, b.Instance.Name),
			cmp.Compare(a.Instance.UID, b.Instance.UID),
			cmp.Compare(a.Container, b.Container),
			cmp.Compare(a.Region, b.Region),
			cmp.Compare(a.Bundle, b.Bundle),
			cmp.Compare(a.Attributes, b.Attributes),
		); order != 0 {
			return order
		}
	}
	return cmp.Or(
		cmp.Compare(s.Dimension.Name, other.Dimension.Name),
		cmp.Compare(s.Start.At, other.Start.At),
		cmp.Compare(s.End.At, other.End.At),
		cmp.Compare(s.Level, other.Level),
		cmp.Compare(s.Start.Slack, other.Start.Slack),
		cmp.Compare(s.End.Slack, other.End.Slack),
		cmp.Compare(s.Start.Evidence, other.Start.Evidence),
		cmp.Compare(s.End.Evidence, other.End.Evidence),
		cmp.Compare(s.Meter, other.Meter),
	)
}

// String is for test failures and logs.
func (s Segment) String() string {
	return fmt.Sprintf("%s/%s %s/%s %s=%d [%d,%d) %s", s.Subject.Namespace, s.Subject.Deployment,
		s.Subject.Resource.Name, s.Subject.Instance.Name, s.Dimension.Name, s.Level, s.Start.At, s.End.At, s.Start.Evidence)
}
