package timeline

import (
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// coldOf is a class of which something is cold, and the group that it is in.
type coldOf struct {
	classOf
	group *group
}

// cold are the classes of groups of which something may be cold that says something later
// than a moment.
func (t *Tally) cold(groups []*group, since int64) map[int]coldOf {
	found := map[int]coldOf{}
	for _, g := range groups {
		for _, c := range g.classes {
			if c.coldUntil >= since {
				found[int(c.id)] = coldOf{c, g}
			}
		}
	}
	return found
}

// integrateCold adds what is cold of where no sums are: what class leaves out of it. What it adds
// to a group is added after what is hot, and one block after the other, whichever groups it is
// of: each is unpacked once.
func (t *Tally) integrateCold(s *Snapshot, cold map[int]coldOf, l *look) error {
	edges := t.edges(s.summed)
	windows := slices.Concat(l.cuts, edges)
	if len(cold) == 0 || len(windows) == 0 {
		return nil
	}
	a := t.adder()
	defer a.done()
	wanted := func(id int) bool { return cold[id].class != nil }
	return s.cold.each(t.gone, windows, wanted, func(id int, c *chunk) error {
		of := cold[id]
		in := integral{adder: a, group: of.group, total: a.total(&of.words)}
		for _, edge := range edges {
			if !in.said && c.says(edge) {
				in.mention(in.group)
				in.said = true
			}
		}
		for _, cut := range l.cuts {
			in.from, in.until = cut.Start, cut.End
			var err error
			c.each(cut, func(_ who, x span) {
				if err == nil {
					err = in.span(&x)
				}
			})
			if err != nil {
				return err
			}
		}
		in.finish()
		if in.said {
			in.group.isMadeOf(of.measure)
		}
		return nil
	})
}

// edges are the stretches of what a part looks for groups in of which there are no sums.
func (t *Tally) edges(summed int64) []usage.Window {
	if !t.isPart() {
		return nil
	}
	from, to := wholeHours(t.reach, summed)
	if from >= to {
		return []usage.Window{t.reach}
	}
	edges := []usage.Window{{Start: t.reach.Start, End: from * secondsOfHour}, {Start: to * secondsOfHour, End: t.reach.End}}
	return slices.DeleteFunc(edges, func(w usage.Window) bool { return w.Seconds() <= 0 })
}

// wholeHours are the hours within a window of which there are sums: from is not before to
// where there are none.
func wholeHours(w usage.Window, summed int64) (from, to int64) {
	return ceiling(w.Start, secondsOfHour), min(floor(w.End, secondsOfHour), summed)
}

// says tells whether the chunk says something of a window.
func (c *chunk) says(w usage.Window) bool {
	said := false
	c.each(w, func(_ who, x span) { said = said || x.says(w) })
	return said
}
