package timeline

// adder adds up for a tally. What it changes is its own, but for the groups: each
// of those is one adder's at a time.
type adder struct {
	tally  *Tally
	totals map[Measure]*sum
	diff   []sum // how levels change from window to window; all zero between two uses
	// touched are the groups that have got something for the first time.
	touched []*group
}

func (t *Tally) adder() *adder {
	return &adder{tally: t, totals: map[Measure]*sum{}, diff: make([]sum, t.calendar.windows()+1)}
}

// done gives the tally what is known of it as a whole.
func (a *adder) done() {
	a.tally.unsorted = append(a.tally.unsorted, a.touched...)
	for key, total := range a.totals {
		if t := a.tally.totals[key]; t != nil {
			t.add(*total)
		} else {
			a.tally.totals[key] = total
		}
	}
}

// total is what all of a measure adds up to.
func (a *adder) total(w *words) *sum {
	key := Measure{ResourceType: w.ResourceType, Dimension: w.Dimension}
	total := a.totals[key]
	if total == nil {
		total = &sum{}
		a.totals[key] = total
	}
	return total
}

// groups adds what some groups held.
func (a *adder) groups(s *Snapshot, groups []*group, l *look) error {
	for _, g := range groups {
		if err := a.tally.gone(); err != nil {
			return err
		}
		in := integral{adder: a, group: g, from: l.from, until: l.until}
		for _, c := range g.classes {
			in.total, in.said = a.total(&c.words), false
			if err := in.class(c.class, l, s.summed); err != nil {
				return err
			}
			if in.said {
				g.isMadeOf(c.measure)
			}
		}
		in.finish()
		clear(g.classes)
		g.classes = g.classes[:0]
	}
	return nil
}

// touch makes room for what a group holds.
func (a *adder) touch(g *group) error {
	if g.cells != nil {
		return nil
	}
	windows := a.tally.calendar.windows()
	if most := a.tally.limits.cells(); a.tally.cells.Add(int64(windows)) > int64(most) {
		return &TooLargeError{
			// Which of them comes first makes no difference.
			What: Cells, Wanted: (most/windows + 1) * windows, Max: most,
			Remedy: "take larger windows, less time at once, fewer keys to group by, or filters",
		}
	}
	g.cells = make([]sum, windows)
	a.tally.take(int64(windows) * cellBytes)
	a.mention(g)
	return nil
}

// mention makes a group one that has rows.
func (a *adder) mention(g *group) {
	if !g.mentioned {
		g.mentioned = true
		a.touched = append(a.touched, g)
	}
}
