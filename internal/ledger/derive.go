package ledger

import (
	"cmp"
	"math"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// What changes in order is written down at once. Everything else, what happened
// before something that is known already, or in an interval that is sealed, is
// derived: the member's lines are made what they would be, had it been known in
// time, and what was said of them is compared with that. Of what is not sealed,
// the segments are replaced; of what is, the difference is a correction. So the
// same facts come to the same sums, whatever the order in which they arrive.

// derive makes the member of a stream hold levels under that stream from the
// moment on; nil: it holds nothing. Of its dimensions those change that concerned
// tells. Where the member was put under others later, that stays so.
func (l *Ledger) derive(s *stream, levels []int64, m Moments, concerned func(i int) bool) {
	from := m.earliest()
	lines := l.lines(s.member, s.object, from)
	under, later := stays(lines, m.Start.At)
	measured := s.object.meter.dimensions
	for i := range lines {
		k := &lines[i]
		if levels != nil && (i >= len(measured) || !concerned(i)) {
			continue
		}
		now := k.line.before(m.End)
		if levels != nil && levels[i] != 0 {
			now = append(now, l.spread(s, i, levels[i], m.Start, under, later)...)
		}
		l.rewrite(s.member, k, from, now, m.End)
	}
}

// spread is a level of dimension i that is held from the start on: under the
// placements that the member had then and later, and at last under the stream.
func (l *Ledger) spread(s *stream, i int, level int64, start usage.Boundary, under *stream, later []stay) line {
	var held line
	hold := func(p piece) {
		if p.start = l.free(p.of, s.object.meter.dimension(i).Name, p.start); p.until() > p.start.At {
			held = append(held, p)
		}
	}
	now := piece{of: s, level: level, start: start}
	if len(later) > 0 && under != nil {
		now.of = l.under(s, under)
	}
	for n, next := range later {
		now.end = next.left
		hold(now)
		now = piece{of: s, level: level, start: next.start}
		if n < len(later)-1 {
			now.of = l.under(s, next.of)
		}
	}
	hold(now)
	return held
}

// under is the stream that says of the member what s says, put where placed is.
func (l *Ledger) under(s, placed *stream) *stream {
	if s.placedAs(placed) {
		return s
	}
	subject, where := s.subject(), placed.subject()
	subject.Account, subject.Resource = where.Account, where.Resource
	return l.streamOf(s.member, s.object, subject)
}

// streamOf is the member's stream of the subject, made where there is none.
func (l *Ledger) streamOf(m *member, at *object, subject *usage.Subject) *stream {
	for s := m.newest; s != nil; s = s.older {
		if s.is(subject) {
			if len(s.open) != len(at.meter.dimensions) { // it is of before the meter was changed
				s.open = make([]open, len(at.meter.dimensions))
			}
			return s
		}
	}
	return l.newStream(at, subject)
}

// move puts what a stream's member holds where the subject says, from the moment
// on, or, where it has not settled yet, from its start. It returns its stream
// then. What another meter holds there already ends; the error is a ConflictError. placed
// says where a stream of the member belongs from then on.
func (l *Ledger) move(from *stream, subject *usage.Subject, m Moments, placed func(*stream) *stream) (*stream, error) {
	at := from.object
	member := usage.Member{Subject: *subject, Levels: from.levels()}
	levels, conflict := l.unrivalled(at, &member, func(int) bool { return from.resource.uid == subject.Resource.UID })
	if conflict != nil {
		l.derive(from, levels, Moments{End: m.End, Start: m.End}, func(i int) bool { return levels[i] != from.open[i].level })
	}
	to := l.newStream(at, subject)
	if placed == nil {
		placed = func(s *stream) *stream { return l.under(s, to) }
	}
	if l.inOrder(from, m) && m.Start.At > from.member.latest && !from.settles(subject.Account, m.Start.At) {
		for i := range from.open {
			level := from.open[i].level
			l.closeOne(from, i, m.End)
			l.openOne(to, i, level, m.Start)
		}
	} else {
		l.replace(from.member, to, m, from, placed)
	}
	l.release(from)
	return to, conflict
}

// Settle is for how many seconds after its start an unattributed segment can
// still be put under a deployment as a whole. A claim is bound a moment before
// the pod that asked for it is there; nobody wants that second on a bill of its own.
const Settle = 10

// settles tells whether what the stream holds can still be put under the account
// as a whole: under a deployment of the same namespace, soon after its activity began.
func (s *stream) settles(under usage.Account, now int64) bool {
	from := s.account.key
	return from.Deployment == "" && under.Deployment != "" && from.Namespace == under.Namespace && from.NamespaceUID == under.NamespaceUID &&
		s.member.began <= now && now-s.member.began <= Settle && s.holdsAny()
}

// replace puts what a member held after the moment where placed says, which is to for
// what it holds now. Of what the stream from holds, that moves as a whole which has not
// settled yet.
func (l *Ledger) replace(of *member, to *stream, m Moments, from *stream, placed func(*stream) *stream) {
	whole := from != nil && from.settles(to.account.key, m.Start.At)
	moment := m.earliest()
	if whole {
		moment = min(moment, of.began)
	}
	lines := l.lines(of, to.object, moment)
	_, later := stays(lines, m.Start.At)
	for i := range lines {
		k, end, start, held := &lines[i], m.End, m.Start, m.End
		if whole {
			if since := k.line.since(of.began, from); since != nil && since.start.At < start.At {
				start = since.start
				end = start
				earliest, _ := start.StartBounds()
				held = usage.Boundary{At: earliest, Evidence: start.Evidence} // it was never there
			}
		}
		now, brief := l.moved(k, placed, end, start, later)
		l.rewrite(of, k, moment, now, held)
		for _, p := range brief {
			l.mayHaveHeld(k.dimension, p)
		}
	}
}

// since is the first of the line's last pieces, from the moment on, that are put
// where the stream is; nil where the last is not.
func (x line) since(moment int64, placed *stream) (first *piece) {
	for i := len(x) - 1; i >= 0 && x[i].start.At >= moment && x[i].of.placedAs(placed); i-- {
		first = &x[i]
	}
	return first
}

// moved is a line whose pieces are put elsewhere from the moment on: until the member was
// put elsewhere, and, for that is known best, at last. brief are those of which it is not
// known whether they lasted until then.
func (l *Ledger) moved(k *known, to func(*stream) *stream, end, start usage.Boundary, later []stay) (out, brief line) {
	next, last := int64(math.MaxInt64), int64(math.MaxInt64)
	if len(later) > 0 {
		next, last = later[0].start.At, later[len(later)-1].start.At
	}
	out = make(line, 0, len(k.line)+1)
	for _, p := range k.line {
		if p.until() <= end.At || p.start.At >= next && p.start.At < last {
			out = append(out, p)
			continue
		}
		now := to(p.of)
		if now == p.of {
			out = append(out, p)
			continue
		}
		if p.start.At < end.At {
			out = append(out, piece{of: p.of, level: p.level, start: p.start, end: end})
		}
		if p.start.At < start.At {
			p.start = start
		}
		if now.resource.uid != p.of.resource.uid {
			p.start = l.free(now, now.object.meter.measured[k.dimension].Name, p.start)
		}
		switch _, latest := p.end.EndBounds(); {
		case p.until() > p.start.At:
			p.of = now
			out = out.and(p)
		case latest > p.start.At:
			from := p.start.At
			p.of, p.start = now, usage.Boundary{At: from, Evidence: usage.IntervalCut}
			p.end = usage.Boundary{At: from, Slack: uint32(latest - from), Evidence: p.end.Evidence}
			brief = append(brief, p)
		}
	}
	return out, brief
}

// and is the line with the piece after it: a part of the last one, where it says
// the same, and goes on where that ends.
func (x line) and(p piece) line {
	if n := len(x); n > 0 && x[n-1].says(&p) && x[n-1].end == p.start && p.start.Slack == 0 && p.start.Evidence != usage.LastKnown {
		x[n-1].end = p.end
		return x
	}
	return append(x, p)
}

// rewrite makes a line, that changes from the moment on, what it is now: by
// corrections of what is sealed, and by other segments in what is not. end is when what was
// held ended: what surely lasted no time then leaves no trace.
func (l *Ledger) rewrite(of *member, k *known, from int64, now line, end usage.Boundary) {
	if from < l.sealed {
		l.correct(k, now, end)
	}
	var said line
	for s := of.newest; s != nil; s = s.older {
		s.pieces(l.sealed, func(dimension uint32, p piece) {
			if dimension == k.dimension {
				said = append(said, p)
			}
		})
	}
	byStart := func(a, b piece) int { return cmp.Compare(a.start.At, b.start.At) }
	slices.SortStableFunc(said, byStart)
	now = l.unsealed(said, now, end)
	slices.SortStableFunc(now, byStart)
	// What is not so is taken out first: what is said instead may be open in its place.
	for i := range said {
		if instead, same := beginning(now, &said[i]); !same {
			l.unsay(k.dimension, said[i], instead, end)
		}
	}
	for i := range now {
		if _, same := beginning(said, &now[i]); !same {
			l.say(k.dimension, now[i])
		}
	}
}

// beginning is the line's piece that begins when the other does, nil where none
// does; and whether it is the same.
func beginning(x line, p *piece) (found *piece, same bool) {
	i, there := slices.BinarySearchFunc(x, p.start.At, func(y piece, at int64) int { return cmp.Compare(y.start.At, at) })
	if !there {
		return nil, false
	}
	return &x[i], x[i] == *p
}

// unsealed is what there is to be said of a line. What is sealed
// stays as it was said: a piece that was said to reach the seal goes on from there
// or ends there, and every other begins there.
func (l *Ledger) unsealed(said, now line, end usage.Boundary) line {
	out := make(line, 0, len(now)+1)
	for _, p := range now {
		if p.until() <= l.sealed {
			continue
		}
		i := slices.IndexFunc(said, func(x piece) bool {
			return x.says(&p) && (x.start == p.start || x.start.At < l.sealed && p.start.At < l.sealed)
		})
		switch {
		case i >= 0:
			p.start = said[i].start
		case p.start.At < l.sealed:
			p.start = usage.Boundary{At: l.sealed, Evidence: usage.Late}
		default:
			// Everything before was seen when it was sealed: it did not start there.
			p.start.Slack = uint32(min(int64(p.start.Slack), p.start.At-l.sealed))
		}
		out = append(out, p)
	}
	for _, p := range said {
		if p.start.At >= l.sealed || slices.ContainsFunc(out, func(x piece) bool { return x.start == p.start && x.says(&p) }) {
			continue
		}
		latest := end.At + int64(end.Slack)
		p.end = usage.Boundary{At: l.sealed, Slack: uint32(max(0, latest-l.sealed)), Evidence: usage.Late}
		out = append(out, p)
	}
	return out
}

// unsay takes out a segment that is not so; instead is the one that begins then,
// nil where there is none.
func (l *Ledger) unsay(dimension uint32, p piece, instead *piece, end usage.Boundary) {
	s := p.of
	l.touch(s.account)
	c := closedOf(p.level, p.start, p.end, dimension)
	if p.end.IsZero() {
		s.open[slices.Index(s.object.meter.dimensions, dimension)] = open{}
	} else if i := slices.Index(s.ended, c); i >= 0 {
		s.ended = slices.Delete(s.ended, i, i+1)
	}
	if instead == nil || instead.of.resource.uid != s.resource.uid {
		l.noteClosed(usage.Void, s, c)
	}
	ended := p.start.At >= end.At // by what is learnt now, as far as that is known
	if ended {
		c.end, c.endSlack, c.endEvidence = end.At, end.Slack, end.Evidence
	}
	if instead != nil && instead.start == p.start && instead.says(&p) {
		return // it ends otherwise
	}
	if ended && c.shorten(l.sealed) {
		l.put(s, c)
	} else if earliest := p.start.At - int64(p.start.Slack); p.start.At >= l.sealed && earliest < l.sealed {
		// Its bounds left a trace in what is sealed, which stays, and nothing else does.
		c.start, c.startSlack = l.sealed, uint32(l.sealed-earliest)
		c.end, c.endSlack, c.endEvidence = l.sealed, 0, usage.Late
		l.put(s, c)
	}
}

// say enters a segment.
func (l *Ledger) say(dimension uint32, p piece) {
	s := p.of
	l.touch(s.account)
	s.member.latest = max(s.member.latest, p.start.At)
	if !p.end.IsZero() {
		l.put(s, closedOf(p.level, p.start, p.end, dimension))
		return
	}
	s.open[slices.Index(s.object.meter.dimensions, dimension)] = open{level: p.level, start: p.start}
	l.noteOpened(s)
}
