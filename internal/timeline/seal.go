package timeline

import (
	"slices"
)

// seal takes what has ended by the end of what is sealed to the days on which it
// ended, and forgets whom nothing is left of. It costs what is sealed, and nothing
// for what was sealed before.
func (t *Timeline) seal() {
	s := &t.next
	fillers := map[int64]*filler{}
	filling := func(day int64) *filler {
		if fillers[day] == nil {
			fillers[day] = &filler{part: t.ownPart(day)}
		}
		return fillers[day]
	}
	for _, id := range s.awake {
		if len(s.classes.at(int(id)).fresh) > 0 {
			t.sealClass(int(id), filling)
		}
	}
	for _, f := range fillers {
		f.done()
	}
	today := floor(s.through, secondsOfDay)
	over := today > t.growing // a day is
	if over {
		t.turn(today)
	}
	awake := make([]int32, 0, len(s.awake))
	for _, id := range s.awake {
		if t.awake[id] = !s.classes.at(int(id)).isQuiet(s.horizon); t.awake[id] {
			awake = append(awake, id)
		} else {
			t.lag(int(id), s.summed)
		}
	}
	s.awake = awake
	if over || t.hot.Segments > 0 {
		t.freeze(today, t.hot.Segments, over)
	}
}

// turn begins a day: those before it get no more.
func (t *Timeline) turn(today int64) {
	if t.hot.Segments > 0 {
		t.freeze(today, t.hot.Segments/2, true) // the other half is the new day's
	}
	for day := range t.parts {
		if t.growing <= day && today-t.hot.Days <= day && day < today {
			t.compact(day)
		}
	}
	t.growing = today
	t.next.horizon = (today - 1) * secondsOfDay
}

// sealClass seals what has ended in a class.
func (t *Timeline) sealClass(id int, filling func(day int64) *filler) {
	c := t.ownClass(id)
	sealed := c.seal(id, t.next.through, filling)
	t.sweeps++
	sweep := func(in *stream) {
		if in.swept != t.sweeps {
			in.swept = t.sweeps
			in.refs = slices.DeleteFunc(in.refs, func(r ref) bool { return int(r.class) == id && r.open == isFresh })
			if cap(in.refs) > 2*len(in.refs) {
				in.refs = slices.Clone(in.refs)
			}
		}
	}
	for i := range sealed {
		sweep(sealed[i].in)
	}
	for i := range c.fresh {
		if x := &c.fresh[i]; x.in.swept == t.sweeps && x.end != x.start {
			x.in.note(ref{start: x.start, class: int32(id), open: isFresh})
		}
	}
	for i := range sealed {
		t.drop(sealed[i].in, c.Dimension.Name)
	}
}

// ownPart is the part of a day, for the writer to fill.
func (t *Timeline) ownPart(day int64) *part {
	p := t.parts[day]
	switch {
	case p == nil:
		t.serials++
		p = &part{day: day, generation: t.generation, serial: t.serials}
	case p.generation != t.generation:
		p = new(*p)
		p.generation = t.generation
	}
	t.parts[day] = p
	return p
}

// compact puts a day that gets no more where it takes the least: one list of
// records for all classes, which all know the same names.
func (t *Timeline) compact(day int64) {
	p := t.parts[day].compact(t.generation)
	t.parts[day] = p
	total := 0
	for _, id := range t.next.awake {
		if c := t.next.classes.at(int(id)).find(day); c != nil {
			total += len(c.records)
		}
	}
	records := make([]record, 0, total)
	for _, id := range t.next.awake {
		if t.next.classes.at(int(id)).find(day) == nil {
			continue
		}
		c := t.ownClass(int(id)).day(day)
		from := len(records)
		records = append(records, c.records...)
		c.part, c.records = p, records[from:len(records):len(records)]
	}
}
