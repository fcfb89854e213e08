package ledger

import (
	"cmp"
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Restore makes an empty ledger what the changes say: those of the journal, the
// newest of each segment. Sealed are the intervals that were sealed, in order;
// what ended at or before keptFrom is left out. It returns the meters by name:
// each goes on when it is used in an Observation again.
func (l *Ledger) Restore(meters []*Meter, changes []usage.Change, sealed []usage.Window, keptFrom int64) map[string]*Meter {
	return l.RestorePacked(meters, slices.Values([][]usage.Change{changes}), sealed, keptFrom, math.MinInt64)
}

// RestorePacked is Restore of portions, with all that is of one object in one of them. What is
// gone of a portion, and ended at or before a moment, is packed before the next one is asked
// for: memory is needed for a portion as it is, and for what is packed.
func (l *Ledger) RestorePacked(
	meters []*Meter, portions iter.Seq[[]usage.Change], sealed []usage.Window, keptFrom, packedUntil int64,
) map[string]*Meter {
	for _, interval := range sealed {
		l.Seal(interval)
	}
	byName := make(map[string]*Meter, len(meters))
	for _, m := range meters {
		byName[m.Name] = m
	}
	r := restoring{Ledger: l, meters: byName}
	for changes := range portions {
		r.portion(changes, keptFrom)
		r.pack(packedUntil)
		r.streams, r.objects = nil, nil // before the next portion is read
	}
	for _, x := range []index{l.objects, l.past.index} {
		for _, at := range x {
			for ; at != nil; at = at.next {
				at.widen()
			}
		}
	}
	l.unwritten = unwritten{}
	l.regroup(packedUntil)
	return byName
}

type restoring struct {
	*Ledger
	meters map[string]*Meter
	// streams and objects are the portion's.
	streams map[streamKey]*stream
	objects []*object
}

// portion takes in changes, and all that there is of their objects.
func (r *restoring) portion(changes []usage.Change, keptFrom int64) {
	r.streams, r.objects = map[streamKey]*stream{}, nil
	for i := range changes {
		if c := &changes[i]; c.Kind == usage.Put && c.End.IsZero() {
			r.open(&c.Segment)
		}
	}
	for i := range changes {
		r.ended(&changes[i], keptFrom)
	}
	for _, at := range r.objects {
		r.settle(at)
	}
}

// pack packs what is gone of a portion.
func (r *restoring) pack(until int64) {
	if until == math.MinInt64 {
		return
	}
	p := &r.packed.pass
	*p = pass{found: map[int64]map[*account][]*object{}}
	for _, at := range r.objects {
		if ended, is := r.packable(at, until); is {
			p.add(at, hourOf(ended))
		}
	}
	r.packAll(until)
}

// packAll packs what a pass has found.
func (l *Ledger) packAll(until int64) {
	for p := &l.packed.pass; len(p.ready) > 0 || p.next(); {
		l.packSome(until)
	}
	l.packed.pass = pass{}
}

// regroupedAtOnce is how many objects are put together anew at a time, as they are in memory
// when they are not packed.
const regroupedAtOnce = 16 * blockObjects

// regroup packs anew what was packed portion by portion, so that objects of one account lie
// together: fewer blocks are looked into for one of them, and they take less.
func (l *Ledger) regroup(until int64) {
	hours := map[int64][]*block{}
	for _, b := range l.packed.blocks {
		hours[hourOf(b.high)] = append(hours[hourOf(b.high)], b)
	}
	for _, hour := range slices.Sorted(maps.Keys(hours)) { // in order, so that a restore has one result
		blocks := hours[hour]
		delete(hours, hour) // what was packed anew needs no memory twice
		if len(blocks) == 1 {
			continue
		}
		slices.SortFunc(blocks, func(a, b *block) int { return cmp.Compare(a.number, b.number) })
		for from := 0; from < len(blocks); {
			to, objects := from, 0
			for to < len(blocks) && (to == from || objects+blocks[to].objects <= regroupedAtOnce) {
				objects += blocks[to].objects
				to++
			}
			l.packAgain(blocks[from:to], until)
			clear(blocks[from:to])
			from = to
		}
	}
}

// packAgain packs what some blocks have together.
func (l *Ledger) packAgain(blocks []*block, until int64) {
	p := &l.packed.pass
	*p = pass{found: map[int64]map[*account][]*object{}}
	for _, b := range blocks {
		o := l.packed.unpack(b)
		l.packed.drop(b)
		for i := range b.objects {
			if b.isGone(i) {
				continue
			}
			at := l.raise(o.object(i), b.forgotten)
			if ended, is := l.packable(at, until); is {
				p.add(at, hourOf(ended))
			}
		}
	}
	l.packAll(until)
}

type streamKey struct {
	meter   *Meter
	subject usage.Subject
}

// ended takes in what has ended, and what was corrected, after keptFrom.
func (r *restoring) ended(c *usage.Change, keptFrom int64) {
	if _, latest := c.End.EndBounds(); c.End.IsZero() || latest <= keptFrom {
		return
	}
	switch c.Kind {
	case usage.Put:
		r.close(&c.Segment)
	case usage.Less, usage.More:
		r.correct(c)
	}
}

// stream is that of a segment, and the segment's dimension. A meter that is
// applied no more is only remembered.
func (r *restoring) stream(segment *usage.Segment) (s *stream, dimension uint32) {
	m := r.meters[segment.Meter]
	if m == nil {
		m = NewMeter(segment.Meter, 0, nil)
		r.meters[segment.Meter] = m
	}
	plain, what := segment.Dimension.Plain()
	dimension = m.numbers([]usage.Dimension{plain})[0]
	key := streamKey{meter: m, subject: *segment.Subject}
	key.subject.Of = what
	s = r.streams[key]
	if s == nil {
		uid := segment.Subject.Instance.UID
		at := r.find(m, uid)
		if at == nil {
			at = r.add(m, uid)
			at.known, at.absent, at.gone = true, true, true
			r.Ledger.objects.remove(at)
			r.past.add(at)
			r.objects = append(r.objects, at)
		}
		s = r.newStream(at, &key.subject)
		r.streams[key] = s
	}
	return s, dimension
}

func (r *restoring) open(segment *usage.Segment) {
	s, dimension := r.stream(segment)
	at := s.object
	i := slices.Index(at.meter.dimensions, dimension)
	if i < 0 {
		at.meter.dimensions = append(at.meter.dimensions, dimension)
		i = len(at.meter.dimensions) - 1
	}
	if !slices.Contains(at.streams, s) {
		at.streams = append(at.streams, s)
	}
	for len(s.open) <= i {
		s.open = append(s.open, open{})
	}
	s.open[i] = open{level: segment.Level, start: segment.Start}
	if at.gone {
		r.past.remove(at)
		r.Ledger.objects.add(at)
	}
	at.absent, at.gone = false, false
	at.unreadable = at.unreadable || segment.Start.Evidence == usage.LastKnown
}

func (r *restoring) close(segment *usage.Segment) {
	s, dimension := r.stream(segment)
	c := closedOf(segment.Level, segment.Start, segment.End, dimension)
	s.ended = append(s.ended, c)
	s.account.latest = max(s.account.latest, c.latest())
	r.ends.note(s.object, c.latest())
}

func (r *restoring) correct(c *usage.Change) {
	s, dimension := r.stream(&c.Segment)
	r.ends.note(s.object, c.End.At)
	r.corrected[s.object] = append(r.corrected[s.object], correction{
		piece: piece{of: s, level: c.Level, start: c.Start, end: c.End}, less: c.Kind == usage.Less, dimension: dimension,
	})
}

// settle makes of an object's segments what is remembered beside them.
func (r *restoring) settle(at *object) {
	slices.SortFunc(at.streams, func(a, b *stream) int { return cmp.Compare(a.container(), b.container()) })
	at.widen()
	for m := at.members; m != nil; m = m.next {
		m.began = math.MaxInt64
		for _, k := range r.lines(m, at, math.MinInt64) {
			r.remember(at, m, k.line)
		}
	}
	at.count(false)
}

// widen gives streams room for the dimensions that others of the meter have.
func (at *object) widen() {
	at.eachStream(func(s *stream) {
		for len(s.open) < len(at.meter.dimensions) {
			s.open = append(s.open, open{})
		}
	})
}

// remember is what one line tells of its object: when it said something of
// itself, and since when its member is active.
func (r *restoring) remember(at *object, m *member, x line) {
	began := int64(math.MaxInt64)
	for i := range x {
		p := &x[i]
		m.latest = max(m.latest, p.start.At, p.end.At)
		follows := i > 0 && x[i-1].end.At+int64(x[i-1].end.Slack) >= p.start.At-int64(p.start.Slack)
		elsewhere := i > 0 && x[i-1].level == p.level && (follows && !x[i-1].of.placedAs(p.of) || r.wasAway(m, at, &x[i-1], p))
		if !follows && !elsewhere {
			began = p.start.At
		}
		if elsewhere {
			continue // it was put there, which it does not say itself
		}
		earliest, _ := p.start.StartBounds()
		at.seen = max(at.seen, earliest)
		if i > 0 {
			at.seen, at.began = max(at.seen, x[i-1].end.At), max(at.began, x[i-1].start.At)
		}
	}
	if n := len(x); n > 0 && !x[n-1].end.IsZero() {
		at.seen, at.began = max(at.seen, x[n-1].end.At), max(at.began, x[n-1].start.At)
	}
	if n := len(x); n > 0 && x[n-1].end.IsZero() {
		m.began = min(m.began, began)
	}
}

// wasAway tells whether something was said of the member elsewhere between two pieces, for no
// time that is known to have passed: their bounds tell that it may have.
func (l *Ledger) wasAway(m *member, at *object, before, after *piece) bool {
	if before.end.Slack == 0 && after.start.Slack == 0 {
		return false
	}
	from, to := before.end.At, after.start.At
	for s := m.newest; s != nil; s = s.older {
		if !s.placedAs(after.of) && slices.ContainsFunc(s.ended, func(c closed) bool { return c.start <= to && from <= c.end }) {
			return true
		}
	}
	return slices.ContainsFunc(l.corrected[at], func(c correction) bool {
		return c.of.member == m && !c.of.placedAs(after.of) && c.start.At <= to && from <= c.end.At
	})
}

// Knows tells whether the ledger has, or had, a segment of the object.
func (l *Ledger) Knows(uid string) bool {
	if l.objects[uid] != nil {
		return true
	}
	l.recall(uid)
	return l.past.index[uid] != nil
}

// Placed is from when on the object has been under the resource, as far back as
// that goes without a pause; false when it is not.
func (l *Ledger) Placed(uid, resourceUID string) (since usage.Boundary, held bool) {
	for at := l.objects[uid]; at != nil; at = at.next {
		for _, s := range at.streams {
			if s.resource.uid != resourceUID {
				continue
			}
			for _, k := range l.lines(s.member, at, math.MinInt64) {
				for i := len(k.line) - 1; i >= 0 && k.line[i].of.placedAs(s); i-- {
					if start := k.line[i].start; !held || start.At < since.At {
						since, held = start, true
					}
				}
			}
		}
	}
	return since, held
}

// Held is the subject of what the meter's member of the object holds, and false
// when it holds nothing.
func (l *Ledger) Held(m *Meter, uid, container string) (*usage.Subject, bool) {
	at := l.objects.find(m, uid)
	if at == nil {
		return nil, false
	}
	for _, s := range at.streams {
		if s.container() == container {
			return s.subject(), true
		}
	}
	return nil, false
}

// HeldBy is the subject of something that the object holds by the meter; nil: it
// holds nothing.
func (l *Ledger) HeldBy(m *Meter, uid string) *usage.Subject {
	if at := l.objects.find(m, uid); at != nil && len(at.streams) > 0 {
		return at.streams[0].subject()
	}
	return nil
}
