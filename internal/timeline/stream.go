package timeline

import (
	"math"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// What the writer needs to find a segment again is more than the segment itself, and
// nearly all that has ended has ended for good. So it is kept of what is open, and of
// what has ended and is not sealed: a seal forgets what it seals, and of whom nothing
// is left is forgotten with it, names and all. Readers see the same as before.
//
// A change may still come of what was sealed: one that the journal says again, or a
// segment that is voided. They are rare, and the days since it began are looked
// through once for each commit, however many such changes it has; of those that are
// cold, the blocks in which something may have started then.

// stream is what the writer knows of a holder and dimension: the segments that have a
// length, and are open or not sealed.
type stream struct {
	holder *holder // readers look at this alone
	refs   []ref
	latest int64 // the latest start of any
	swept  uint64
}

// ref is where a segment is.
type ref struct {
	start int64
	class int32
	open  int32 // its place among those that are open, or isFresh
}

const isFresh = -1

type streamKey struct {
	holder    *holder
	dimension string
}

func (t *Timeline) stream(h *holder, dimension string) *stream {
	key := streamKey{holder: h, dimension: dimension}
	in := t.streams[key]
	if in == nil {
		in = &stream{holder: h, latest: math.MinInt64}
		t.streams[key] = in
		t.remember(h)
	}
	return in
}

// drop forgets a stream that has nothing left.
func (t *Timeline) drop(in *stream, dimension string) {
	key := streamKey{holder: in.holder, dimension: dimension}
	if len(in.refs) == 0 && t.streams[key] == in {
		delete(t.streams, key)
		t.release(in.holder)
	}
}

func (in *stream) note(r ref) {
	in.refs = append(in.refs, r)
	in.latest = max(in.latest, r.start)
}

// find is which of the stream's segments starts then; nearly always, if any, the last.
func (in *stream) find(start int64) int {
	if start > in.latest {
		return -1
	}
	i := len(in.refs) - 1
	for i >= 0 && in.refs[i].start != start {
		i--
	}
	return i
}

// removed is a segment that was taken out: where, and what it was.
type removed struct {
	span
	class int
	found bool
}

// remove takes out the stream's segment that starts then, if there is one.
func (t *Timeline) remove(in *stream, dimension string, start int64) removed {
	i := in.find(start)
	if i < 0 {
		return t.removeSealed(in.holder, dimension, start)
	}
	t.next.segments--
	r := in.refs[i]
	in.refs = slices.Delete(in.refs, i, i+1)
	was := removed{class: int(r.class), found: true}
	c := t.ownClass(was.class)
	if r.open == isFresh {
		i := slices.IndexFunc(c.fresh, func(x fresh) bool { return x.in == in && x.start == start && x.end != start })
		was.span = c.fresh[i].span
		c.fresh = slices.Concat(c.fresh[:i], c.fresh[i+1:])
		return was
	}
	was.span = t.close(c, int(r.class), int(r.open))
	return was
}

// close takes an open segment out; the last takes its place.
func (t *Timeline) close(c *class, id, i int) span {
	was := c.open.at(i)
	if last := c.open.pop(t.generation); i < c.open.size {
		*c.open.own(i, t.generation) = last
		moved := slices.IndexFunc(last.in.refs, func(r ref) bool {
			return r.start == last.start && int(r.class) == id && int(r.open) == c.open.size
		})
		last.in.refs[moved].open = int32(i)
	}
	return was.span()
}

// wanted is a segment that may have been sealed, and forgotten.
type wanted struct {
	of        identity
	dimension string
	start     int64
}

// recalled is where it is: its class and, if it is cold, its block, its place there, and what it is.
type recalled struct {
	class int
	block int // or none
	place uint32
	span  span
}

// recall finds the classes of sealed segments that changes may be of.
func (t *Timeline) recall(changes []usage.Change) {
	t.recalled = nil
	starts := map[int64]bool{}
	var earliest, latest int64 = math.MaxInt64, math.MinInt64
	for i := range changes {
		c := &changes[i]
		if c.Start.At >= t.next.through || !c.HasKey() {
			continue
		}
		if in := t.streams[streamKey{t.holder(c.Subject), c.Dimension.Name}]; in == nil || in.find(c.Start.At) < 0 {
			starts[c.Start.At] = true
			earliest, latest = min(earliest, c.Start.At), max(latest, c.Start.At)
		}
	}
	if len(starts) == 0 {
		return
	}
	t.recalled = map[wanted]recalled{}
	t.recallCold(starts, usage.Window{Start: earliest, End: latest + 1})
	t.next.classes.all(func(id int, at **class) {
		c := *at
		for n := c.pastFrom(earliest); n <= len(c.past); n++ {
			day := &c.latest
			if n < len(c.past) {
				day = &c.past[n]
			}
			for i := range day.records {
				if r := &day.records[i]; starts[r.start] && day.part.start()+int64(r.end) != r.start {
					t.recalled[wanted{day.part.holder(r.holder).identity(), c.Dimension.Name, r.start}] = recalled{class: id, block: none}
				}
			}
		}
	})
}

// removeSealed takes out a segment that was sealed, if there is one.
func (t *Timeline) removeSealed(h *holder, dimension string, start int64) removed {
	key := wanted{h.identity(), dimension, start}
	at, known := t.recalled[key]
	if !known {
		return removed{}
	}
	delete(t.recalled, key)
	if at.block != none {
		return t.removeCold(at)
	}
	id := at.class
	c := t.ownClass(id)
	day, i, found := c.forgotten(start, key.of)
	if !found {
		return removed{}
	}
	was := removed{span: day.part.span(&day.records[i]), class: id, found: true}
	own := c.day(day.part.day)
	*own = own.without(i)
	t.next.segments--
	return was
}
