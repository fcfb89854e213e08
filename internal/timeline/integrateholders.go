package timeline

import "github.com/usage-operator/usage-operator/internal/usage"

// integrateHolders is integrate where a class has several groups, which are found on the way.
func (t *Tally) integrateHolders(s *Snapshot, from, until int64) error {
	w := usage.Window{Start: from, End: until}
	if t.isPart() {
		w = usage.Window{Start: min(from, t.reach.Start), End: max(until, t.reach.End)}
	}
	h := &holdersOf{adder: t.adder(), window: w, from: from, until: until}
	defer h.done()
	cold := map[int]countedOf{}
	s.since(w.Start, func(id int, c *class) {
		if h.failed != nil {
			return
		}
		common := t.member(id, c)
		if h.failed = t.full; common == none || h.failed != nil {
			return
		}
		of := countedOf{class: c, common: common, measure: t.measured(&c.words), total: h.total(&c.words)}
		if c.hasCold(w) {
			cold[id] = of
		}
		c.each(w, func(who who, x span) { h.add(&of, who, x) })
	})
	if h.failed != nil || len(cold) == 0 {
		return h.failed
	}
	wanted := func(id int) bool { return cold[id].class != nil }
	return s.cold.each(t.gone, []usage.Window{w}, wanted, func(id int, c *chunk) error {
		of := cold[id]
		c.each(w, func(who who, x span) { h.add(&of, who, x) })
		return h.failed
	})
}

// holdersOf adds what holders held from one moment to another.
type holdersOf struct {
	*adder
	window      usage.Window // in which groups are looked for
	from, until int64
	looked      int
	failed      error
}

// countedOf is a class, what its groups have in common, and what it counts to.
type countedOf struct {
	*class
	common, measure int
	total           *sum
}

func (h *holdersOf) add(c *countedOf, of who, x span) {
	t := h.tally
	if h.looked++; h.looked%lookedAtOnce == 0 && h.failed == nil {
		h.failed = t.gone()
	}
	if h.failed != nil || !x.says(h.window) { // of whom it says nothing has no group
		return
	}
	held := t.held(c.common, &of, &c.words)
	if h.failed = t.full; held == none || h.failed != nil {
		return
	}
	in := integral{adder: h.adder, group: t.groups[held], from: h.from, until: h.until, total: c.total}
	if t.isPart() && x.says(t.reach) {
		h.mention(in.group)
		in.said = true
	}
	h.failed = in.span(&x)
	in.finish()
	if in.said {
		in.group.isMadeOf(c.measure)
	}
}
