package timeline

import (
	"cmp"
	"slices"
	"sync"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// groupsAtOnce is how many groups an adder takes on: less is not worth a goroutine.
const groupsAtOnce = 64

// integrate adds what was held from one moment to another.
func (t *Tally) integrate(s *Snapshot, from, until int64) error {
	if t.grouping.byHolder {
		return t.integrateHolders(s, from, until)
	}
	since := from
	if t.isPart() {
		since = t.reach.Start
	}
	busy := t.busy(s, since)
	if t.full != nil {
		return t.full
	}
	work := make(chan []*group, len(busy)/groupsAtOnce+1)
	for some := range slices.Chunk(busy, groupsAtOnce) {
		work <- some
	}
	close(work)
	look := newLook(t.calendar, from, until, s.summed)
	cold := t.cold(busy, since)
	adders := make([]*adder, min(processors(t.ctx), len(work)))
	errs := make([]error, len(adders))
	var working sync.WaitGroup
	for i := range adders {
		adders[i] = t.adder()
		working.Go(func() {
			for some := range work {
				if errs[i] = adders[i].groups(s, some, look); errs[i] != nil {
					return
				}
			}
		})
	}
	working.Wait()
	for _, a := range adders {
		a.done()
	}
	if err := cmp.Or(errs...); err != nil {
		return err
	}
	return t.integrateCold(s, cold, look)
}

// busy are the groups of the classes that may say something of what is later than since.
func (t *Tally) busy(s *Snapshot, since int64) []*group {
	var busy []*group
	s.since(since, func(id int, c *class) {
		member := t.member(id, c)
		if member == none || t.full != nil {
			return
		}
		g := t.groups[member]
		if len(g.classes) == 0 {
			busy = append(busy, g)
		}
		g.classes = append(g.classes, classOf{c, t.measured(&c.words)})
	})
	return busy
}

// since calls with the classes that may say something later than a moment.
func (s *Snapshot) since(moment int64, call func(id int, c *class)) {
	if moment < s.horizon {
		s.classes.all(func(id int, c **class) { call(id, *c) })
		return
	}
	for _, id := range s.awake {
		call(int(id), s.classes.at(int(id)))
	}
}

// integral adds to one group.
type integral struct {
	*adder
	group       *group
	total       *sum
	less        bool // what is held is taken off
	said        bool // that the group holds something
	from, until int64
	first, last int // windows between which levels change
	changes     bool
}

// class adds what a class held: hours that lie within one window by its sums, and the
// others by its segments; or all by its segments, if they are few.
func (in *integral) class(c *class, l *look, summed int64) error {
	if t := in.tally; t.isPart() && c.saysBy(t.reach, summed) {
		in.mention(in.group)
		in.said = true
	}
	whole := usage.Window{Start: l.from, End: l.until}
	few := !c.hasCold(whole) && len(l.cuts)*(len(c.past)+1+len(c.fresh)+c.open.size) > c.breadth(whole)
	if len(l.hours) == 0 || len(l.cuts) > 0 && few {
		return in.segments(c, whole)
	}
	for _, cut := range l.cuts {
		in.from, in.until = cut.Start, cut.End
		if err := in.segments(c, cut); err != nil {
			return err
		}
	}
	in.from, in.until = l.from, l.until
	return in.hours(c, l.hours)
}

// segments adds what the segments of a class say of where it is looked at.
func (in *integral) segments(c *class, w usage.Window) (err error) {
	looked := 0
	c.each(w, func(_ who, x span) {
		if looked++; looked%lookedAtOnce == 0 && err == nil {
			err = in.tally.gone()
		}
		if err == nil {
			err = in.span(&x)
		}
	})
	return err
}

// hours adds what the sums of a class say of whole hours.
func (in *integral) hours(c *class, hours []hours) error {
	r := c.sums.reader()
	var before sum
	last := int64(never)
	for _, h := range hours {
		if h.from != last {
			before = r.at(h.from)
		}
		held := r.at(h.to)
		last = h.to
		after := held
		if held.subtract(before); !held.isZero() {
			if err := in.touched(); err != nil {
				return err
			}
			in.group.cells[h.window].add(held)
			in.total.add(held)
		}
		before = after
	}
	if len(c.sums.marks) == 0 {
		return nil
	}
	var err error
	for _, h := range hours {
		w := in.tally.calendar.window(h.window)
		c.sums.doubtful(h.from, h.to, func(from, to int64, d doubts) {
			if accuracy := d.in(w, from, to); accuracy != usage.Exact && err == nil {
				err = in.note(from*secondsOfHour, to*secondsOfHour, accuracy)
			}
		})
	}
	return err
}

// in is what doubts of the hours from one to another mean to a window.
func (d doubts) in(w usage.Window, from, to int64) usage.Accuracy {
	switch {
	case d&partial != 0, d&startsPartial != 0 && w.Start < (to-1)*secondsOfHour, d&endsPartial != 0 && (from+1)*secondsOfHour < w.End:
		return usage.Partial
	case d&estimated != 0:
		return usage.Estimated
	}
	return usage.Exact
}

// saysBy is says, by the class's sums where they are.
func (c *class) saysBy(w usage.Window, summed int64) bool {
	from, to := wholeHours(w, summed)
	if from >= to {
		return c.says(w)
	}
	r := c.sums.reader()
	before := r.at(from)
	if r.at(to) != before {
		return true
	}
	said := false
	c.sums.doubtful(from, to, func(_, _ int64, d doubts) { said = said || d&estimated != 0 })
	return said || c.says(usage.Window{Start: w.Start, End: from * secondsOfHour}) || c.says(usage.Window{Start: to * secondsOfHour, End: w.End})
}

// span adds what was held in it.
func (in *integral) span(x *span) error {
	start, end := max(x.start, in.from), min(x.end, in.until)
	if start < end {
		if err := in.touched(); err != nil {
			return err
		}
		in.hold(start, end, in.sign(x.level))
	}
	if x.isDoubtful() {
		return in.doubt(x)
	}
	return nil
}

// touched notes that the group holds something, and makes room for it.
func (in *integral) touched() error {
	in.said = true
	return in.touch(in.group)
}

// sign is the level as it counts.
func (in *integral) sign(level int64) sum {
	held := sum{low: uint64(level)}
	if in.less {
		return held.negative()
	}
	return held
}

// hold adds what is held from start to end, which are where it is looked at.
func (in *integral) hold(start, end int64, held sum) {
	c, cells := in.tally.calendar, in.group.cells
	in.total.add(held.times(end - start))
	i := c.at(start)
	if end <= c[i+1] {
		cells[i].add(held.times(end - start))
		return
	}
	j := c.at(end - 1)
	cells[i].add(held.times(c[i+1] - start))
	cells[j].add(held.times(end - c[j]))
	if i++; i == j {
		return
	}
	// In all windows in between.
	diff := in.diff
	diff[i].add(held)
	diff[j].subtract(held)
	if !in.changes {
		in.first, in.last, in.changes = i, j, true
	}
	in.first, in.last = min(in.first, i), max(in.last, j)
}

// finish adds what levels there were in whole windows.
func (in *integral) finish() {
	if !in.changes {
		return
	}
	c, diff, cells := in.tally.calendar, in.diff, in.group.cells
	var held sum
	for i := in.first; i < in.last; i++ {
		held.add(diff[i])
		diff[i] = sum{}
		cells[i].add(held.times(c[i+1] - c[i]))
	}
	diff[in.last] = sum{}
}

// doubt notes in which windows it is not known exactly what was held.
func (in *integral) doubt(x *span) error {
	c := in.tally.calendar
	err := in.note(x.start-int64(x.startSlack), x.start, usage.Estimated)
	if err == nil {
		err = in.note(x.end, x.end+int64(x.endSlack), usage.Estimated)
	}
	if err == nil && x.startEvidence == usage.LastKnown {
		err = in.note(x.start, x.end, usage.Estimated)
	}
	// What else was held in the window in which metering started, or stopped, nobody knows.
	if !x.startsPartial() && !x.endsPartial() || err != nil {
		return err
	}
	if starts := x.start; x.startsPartial() && in.sees(starts) && c[c.at(starts)] < starts {
		err = in.note(starts, starts+1, usage.Partial)
	}
	if last := x.end - 1; err == nil && x.endsPartial() && in.sees(last) && c[c.at(last)+1] > x.end {
		err = in.note(last, last+1, usage.Partial)
	}
	return err
}

func (in *integral) sees(t int64) bool { return in.from <= t && t < in.until }

// note notes how well it is known what was held in the windows between two moments.
func (in *integral) note(from, to int64, accuracy usage.Accuracy) error {
	from, to = max(from, in.from), min(to, in.until)
	if from >= to {
		return nil
	}
	if err := in.touched(); err != nil {
		return err
	}
	c, g := in.tally.calendar, in.group
	if g.accuracy == nil {
		g.accuracy = make([]usage.Accuracy, c.windows())
		in.tally.take(int64(c.windows()))
	}
	for i := c.at(from); i < c.windows() && c[i] < to; i++ {
		g.accuracy[i] = max(g.accuracy[i], accuracy)
	}
	return nil
}

// correct takes in corrections of what was added up, until it counts so many.
func (t *Tally) correct(s *Snapshot, most int) error {
	if t.corrections == len(s.corrections) {
		return nil
	}
	a := t.adder()
	defer a.done()
	for ; t.corrections < len(s.corrections) && t.corrected < most; t.corrections++ {
		x := &s.corrections[t.corrections]
		if !x.says(t.query.Window) {
			continue
		}
		c := s.classes.at(x.class)
		id := t.member(x.class, c)
		if t.full == nil && id != none && t.grouping.byHolder {
			id = t.held(id, &who{live: x.holder}, &c.words)
		}
		if t.full != nil {
			return t.full
		}
		if id == none || !t.query.holds(x.holder) {
			continue
		}
		t.corrected++
		t.groups[id].isMadeOf(t.measured(&c.words))
		// A correction is of an interval that is sealed, whatever was added up of it.
		in := integral{
			adder: a, group: t.groups[id], total: a.total(&c.words), less: x.less,
			from: t.calendar.start(), until: t.calendar.end(),
		}
		if t.isPart() { // as it counts: whatever was added up
			a.mention(in.group)
		}
		if err := in.span(&x.span); err != nil {
			return err
		}
		in.finish()
	}
	return nil
}
