package timeline

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// ResourceKey tells a resource from every other. What has one UID may be measured
// as several types.
type ResourceKey struct{ Namespace, Type, Name, UID string }

// Compare orders resources as they are listed.
func (k ResourceKey) Compare(other ResourceKey) int {
	return cmp.Or(cmp.Compare(k.Namespace, other.Namespace), cmp.Compare(k.Type, other.Type),
		cmp.Compare(k.Name, other.Name), cmp.Compare(k.UID, other.UID))
}

// History is what a resource held.
type History struct {
	ResourceKey
	// Window is what it was asked for, or a part of that.
	Window usage.Window
	// Segments are in canonical order; each says who held it, and on whose account.
	Segments []usage.Segment
	// Less and More are corrections of sealed intervals, by what was learnt after
	// they were sealed: what is taken off the segments, and added to them.
	Less, More []usage.Segment
}

// Totals are what the resource held within a window, corrections counted, by
// dimension; one that goes on is held to the window's end.
func (h *History) Totals(w usage.Window) []Total {
	sums := map[Measure]*sum{}
	add := func(segments []usage.Segment, less bool) {
		for i := range segments {
			s := &segments[i]
			key := Measure{ResourceType: h.Type, Dimension: s.Dimension}
			if sums[key] == nil {
				sums[key] = &sum{}
			}
			held := sum{low: uint64(s.Level)}.times(s.Part(w).Seconds())
			if less {
				held = held.negative()
			}
			sums[key].add(held)
		}
	}
	add(h.Segments, false)
	add(h.More, false)
	add(h.Less, true)
	return inOrderOfMeasures(sums)
}

var always = usage.Window{Start: math.MinInt64, End: math.MaxInt64}

func inOrder(ctx context.Context, found map[ResourceKey]*History) ([]History, error) {
	list := make([]History, 0, len(found))
	for _, key := range slices.SortedFunc(maps.Keys(found), ResourceKey.Compare) {
		if err := pause(ctx); err != nil {
			return nil, err
		}
		r := found[key]
		for _, segments := range [][]usage.Segment{r.Segments, r.Less, r.More} {
			slices.SortFunc(segments, usage.Segment.Compare)
		}
		list = append(list, *r)
	}
	return list, nil
}

// listed are the classes that the filters let through and that may say something
// later than since, in the order of their resources.
func (s *Snapshot) listed(f *Filters, since int64) []*class {
	var classes []*class
	s.since(since, func(_ int, c *class) {
		if f.matches(&c.words) {
			classes = append(classes, c)
		}
	})
	slices.SortStableFunc(classes, func(a, b *class) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.ResourceType, b.ResourceType))
	})
	return classes
}

// occurrence is a segment, or a correction of some.
type occurrence struct {
	class   *class
	subject *usage.Subject
	kind    usage.ChangeKind
	span
}

func (o *occurrence) key() ResourceKey {
	of := &o.subject.Resource
	return ResourceKey{Namespace: o.class.Namespace, Type: o.class.ResourceType, Name: of.Name, UID: of.UID}
}

// occurrences calls with what some of the class's holders held in a window, and
// sometimes with more, but for what is cold.
func (c *class) occurrences(f *Filters, some func(*class, *object) bool, w usage.Window, call func(occurrence)) {
	c.each(w, c.occurring(f, some, call))
}

// occurring has call called with what some of the class's holders held.
func (c *class) occurring(f *Filters, some func(*class, *object) bool, call func(occurrence)) func(who, span) {
	return c.occurringUpTo(f, some, math.MaxInt, call)
}

// occurringUpTo is occurring that knows no more subjects at a time than most: there may be
// several that are the same.
func (c *class) occurringUpTo(f *Filters, some func(*class, *object) bool, most int, call func(occurrence)) func(who, span) {
	subjects := map[uint64]*usage.Subject{} // by holder; nil: it is none of them
	return func(of who, x span) {
		subject, known := subjects[of.number()]
		if !known {
			if len(subjects) >= most {
				clear(subjects)
			}
			if h := of.holder(); f.holds(h) && some(c, h.resource) {
				subject = c.subject(h)
			}
			subjects[of.number()] = subject
		}
		if subject != nil {
			call(occurrence{class: c, subject: subject, span: x})
		}
	}
}

// occurrences calls with what some holders of classes held in a window, and sometimes with
// more: with what is hot, class by class, and then with what is cold. The error is that of
// the context.
func (s *Snapshot) occurrences(ctx context.Context, classes []*class, f *Filters, some func(*class, *object) bool, w usage.Window, call func(occurrence)) error {
	of := map[int]*class{}
	for _, c := range classes {
		c.occurrences(f, some, w, call)
		if c.hasCold(w) {
			of[int(c.id)] = c
		}
	}
	if len(of) == 0 {
		return nil
	}
	return s.cold.eachIn(ctx, w, func(id int) bool { return of[id] != nil }, func(id int, c *chunk) {
		c.each(w, of[id].occurring(f, some, call))
	})
}

// subject is who holds something in the class.
func (c *class) subject(h *holder) *usage.Subject {
	return &usage.Subject{
		ResourceType: c.ResourceType, Resource: h.resource.Object, Instance: h.instance.Object, Container: h.container,
		Account: c.Account, Region: c.Region, Bundle: c.Bundle, Attributes: c.Attributes,
	}
}

// corrected are the corrections of what was held in the window.
func (s *Snapshot) corrected(f *Filters, w usage.Window) []occurrence {
	var found []occurrence
	for i := range s.corrections {
		x := &s.corrections[i]
		if !x.says(w) {
			continue
		}
		if c := s.classes.at(x.class); f.matches(&c.words) && f.holds(x.holder) {
			o := occurrence{class: c, subject: c.subject(x.holder), kind: usage.More, span: x.span}
			if x.less {
				o.kind = usage.Less
			}
			found = append(found, o)
		}
	}
	return found
}

// addTo gives a resource what was held.
func (o *occurrence) addTo(r *History) {
	held := &r.Segments
	switch o.kind {
	case usage.Less:
		held = &r.Less
	case usage.More:
		held = &r.More
	}
	*held = append(*held, o.segment())
}

func (o *occurrence) segment() usage.Segment {
	x := &o.span
	s := usage.Segment{
		Meter: o.class.Meter, Subject: o.subject, Dimension: o.class.Dimension, Level: x.level,
		Start: usage.Boundary{At: x.start, Slack: x.startSlack, Evidence: x.startEvidence},
	}
	if !x.isOpen() {
		s.End = usage.Boundary{At: x.end, Slack: x.endSlack, Evidence: x.endEvidence}
	}
	return s
}

// Metrics are all that is measured, and that anything was ever measured in of what
// the filters let through, in order: what a dimension is of may be its holder's choice.
func (s *Snapshot) Metrics(f *Filters) []Measure {
	known := map[Measure]bool{}
	for i := range s.meters {
		for _, dimension := range s.meters[i].Dimensions {
			known[Measure{ResourceType: s.meters[i].ResourceType, Dimension: dimension}] = true
		}
	}
	s.classes.all(func(_ int, c **class) {
		if f.within(&(*c).words) {
			known[Measure{ResourceType: (*c).ResourceType, Dimension: (*c).Dimension}] = true
		}
	})
	return slices.SortedFunc(maps.Keys(known), Measure.Compare)
}

// Namespaces are all that anything was ever recorded under, in order.
func (s *Snapshot) Namespaces() []NamespaceRef {
	known := map[NamespaceRef]bool{}
	s.classes.all(func(_ int, c **class) {
		known[NamespaceRef{Name: (*c).Namespace, UID: (*c).NamespaceUID}] = true
	})
	return slices.SortedFunc(maps.Keys(known), func(a, b NamespaceRef) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
}

// NamesOf are the names of namespaces, each once, in order.
func NamesOf(refs []NamespaceRef) []string {
	names := make([]string, len(refs))
	for i, ref := range refs {
		names[i] = ref.Name
	}
	slices.Sort(names)
	return slices.Compact(names)
}
