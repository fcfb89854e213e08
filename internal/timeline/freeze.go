package timeline

import (
	"cmp"
	"maps"
	"math"
	"math/bits"
	"slices"
	"sort"

	"github.com/usage-operator/usage-operator/internal/lru"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Hot says what of the days that are sealed stays unpacked in memory.
type Hot struct {
	// Days is how many days, before the one that is being sealed (UTC), stay unpacked.
	Days int64
	// Segments is about how many that are sealed stay unpacked at most, whatever their days,
	// today's included; 0: however many there are. Some 100 bytes each.
	Segments int
	// Bytes is how much of what is packed may be kept unpacked, after a question needed it.
	Bytes int
	// NewShelf makes a shelf for what is packed, each time that everything is read anew; nil: it
	// is kept in memory.
	NewShelf func() Shelf
}

// DefaultColdBytes is a budget for unpacked blocks that is enough to read a day once for
// several questions: about 100,000 segments.
const DefaultColdBytes = 16 << 20

// hotPart is for how many bytes of a container's limit one segment may stay unpacked: a fifth
// of the memory, at some 100 bytes each.
const hotPart = 512

// SegmentsIn is Hot.Segments for a container with so much memory; 0: there is no limit.
func SegmentsIn(container int64) int { return int(container / hotPart) }

// allHot is as many days as there may be.
const allHot = math.MaxInt32

// blockRecords is how many segments a block has at most.
var blockRecords = 8192 // tests set it

// NewHot is an empty timeline that packs what is older than the hot days.
func NewHot(hot Hot) *Timeline {
	t := &Timeline{hot: hot}
	t.Begin()
	t.Publish()
	return t
}

func (h Hot) cold() cold {
	c := cold{kept: lru.New[*coldBlock, *unpacked](h.Bytes)}
	if h.NewShelf != nil {
		c.shelf = h.NewShelf()
	}
	return c
}

// freeze packs, the oldest first, as many days as it takes for no more than so many segments to
// be left; 0: however many. When a day has begun, it packs those before the hot ones, too: what is
// learnt late of such a day waits for that, so that it is not packed in a block for each interval.
// Their sums are made first, for which nothing has to be unpacked yet.
func (t *Timeline) freeze(today int64, most int, begun bool) {
	days := slices.Sorted(maps.Keys(t.parts))
	left := 0
	for _, day := range days {
		left += t.parts[day].records
	}
	n := 0
	for ; n < len(days); n++ {
		old := begun && t.hot.Days != allHot && days[n] < today-t.hot.Days
		// Of an hour that is not over there is no sum yet.
		much := most > 0 && left > most && (days[n] < today || t.next.through%secondsOfHour == 0)
		if !old && !much {
			break
		}
		left -= t.parts[days[n]].records
	}
	if n == 0 {
		return
	}
	t.sum()
	for _, day := range days[:n] {
		t.freezeDay(day)
	}
}

// frozen is what a class has of a day that is packed.
type frozen struct {
	*class
	chunk
}

func (t *Timeline) freezeDay(day int64) {
	var all []frozen
	ids := slices.Clone(t.parts[day].classes)
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		c := t.next.classes.at(int(id))
		found := c.find(day)
		if found == nil {
			continue
		}
		f := frozen{c, *found}
		all = append(all, f)
		own := t.ownClass(int(id))
		own.drop(day)
		for i := range f.records {
			x := f.part.span(&f.records[i])
			own.coldUntil = max(own.coldUntil, x.endsBy())
		}
	}
	delete(t.parts, day)
	// A tenant's are together, so that its questions unpack little else.
	slices.SortFunc(all, func(a, b frozen) int {
		return cmp.Or(
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.NamespaceUID, b.NamespaceUID), cmp.Compare(a.Deployment, b.Deployment),
			cmp.Compare(a.ResourceType, b.ResourceType), cmp.Compare(a.id, b.id))
	})
	into := &freezer{timeline: t, day: day}
	for i := range all {
		into.add(&all[i], all[i].records[all[i].carried:], false)
	}
	into.flush()
	// What was carried into the day may matter to any day since it started. It lies by its age,
	// so that a question about an older day passes over what had not started then.
	byAge := map[int][]aged{}
	for i := range all {
		for age, records := range all[i].byAge() {
			byAge[age] = append(byAge[age], aged{&all[i], records})
		}
	}
	for _, age := range slices.Sorted(maps.Keys(byAge)) {
		for _, a := range byAge[age] {
			into.add(a.frozen, a.records, true)
		}
		into.flush()
	}
}

// aged is what was carried into a day of about one age.
type aged struct {
	*frozen
	records []record
}

// byAge is what was carried into the day, by the binary logarithm of how many days before
// it started.
func (f *frozen) byAge() map[int][]record {
	found := map[int][]record{}
	for _, r := range f.records[:f.carried] {
		age := bits.Len64(uint64(f.part.day - floor(r.start, secondsOfDay)))
		found[age] = append(found[age], r)
	}
	return found
}

// freezer makes blocks of a day.
type freezer struct {
	timeline *Timeline
	day      int64
	packer   *packer
}

func (f *freezer) add(of *frozen, records []record, carried bool) {
	for len(records) > 0 {
		if f.packer == nil {
			f.packer = newPacker(f.day)
		}
		if records = f.packer.add(of.id, of.part, records, carried); f.packer.isFull() {
			f.flush()
		}
	}
}

func (f *freezer) flush() {
	if f.packer != nil {
		cold := &f.timeline.next.cold
		block := f.packer.pack()
		block.put(cold.shelf)
		cold.blocks = append(cold.blocks, block)
		f.packer = nil
	}
}

// drop leaves nothing of a day. The class is the writer's own.
func (c *class) drop(day int64) {
	if c.latest.part != nil && c.latest.part.day == day {
		c.latest = chunk{}
		return
	}
	i := sort.Search(len(c.past), func(i int) bool { return c.past[i].part.day >= day })
	if i < len(c.past) && c.past[i].part.day == day {
		c.past = slices.Concat(c.past[:i], c.past[i+1:])
	}
}

// Cold is how many segments are packed, and how many bytes they take, in memory or on a shelf.
func (s *Snapshot) Cold() (segments, bytes int) {
	for _, b := range s.cold.blocks {
		segments += b.records - len(b.gone)
		bytes += b.size + 4*cap(b.classes)
	}
	return segments, bytes
}

// eachCold calls with what is cold of a class and may matter to a window.
func (s *Snapshot) eachCold(class int, w usage.Window, call func(span)) {
	_ = s.cold.each(func() error { return nil }, []usage.Window{w}, func(id int) bool { return id == class }, func(_ int, c *chunk) error {
		c.each(w, func(_ who, x span) { call(x) })
		return nil
	}) // nothing in it fails
}

// recallCold finds what started then and is cold. Within is from the first of the starts to the last.
func (t *Timeline) recallCold(starts map[int64]bool, within usage.Window) {
	for n, b := range t.next.cold.blocks {
		if !b.mayMatter(within) {
			continue
		}
		p, chunks, err := b.unpack()
		if err != nil {
			panic(unreadableBlock(b, err))
		}
		place := uint32(0)
		for i := range chunks {
			id := int(b.classes[i])
			dimension := t.next.classes.at(id).Dimension.Name
			for j := range chunks[i].records {
				r := &chunks[i].records[j]
				if x := p.span(r); starts[r.start] && x.end != x.start && !slices.Contains(b.gone, place) {
					t.recalled[wanted{p.holder(r.holder).identity(), dimension, r.start}] = recalled{class: id, block: n, place: place, span: x}
				}
				place++
			}
		}
	}
}

// removeCold takes a segment out of what is cold.
func (t *Timeline) removeCold(at recalled) removed {
	k := &t.next.cold
	k.blocks = slices.Clone(k.blocks) // readers have the list
	rest := *k.blocks[at.block]
	rest.gone = append(slices.Clone(rest.gone), at.place)
	slices.Sort(rest.gone)
	k.kept.Drop(k.blocks[at.block])
	k.blocks[at.block] = &rest
	t.next.segments--
	return removed{span: at.span, class: at.class, found: true}
}
