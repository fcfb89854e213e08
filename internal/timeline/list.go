package timeline

import (
	"cmp"
	"context"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Bounds are how much of a list is made at a time: resources, and segments of all of
// them, or one resource that alone has more. What one resource holds at one moment is
// never divided, however much it is.
type Bounds struct {
	Resources, Segments int
	// Each is how many segments a resource has that is not divided; 0: Segments. How a
	// resource is divided depends on nothing else, so that a page may have less room than
	// another.
	Each int
	// Room is called before what is on the page is collected, if that is more than Segments:
	// one resource. An error of it is that of the list. nil: there is room.
	Room func(segments int) error
}

// room waits for room for so many segments, where there is less.
func (b *Bounds) room(segments int) error {
	if b.Room == nil || segments <= b.Segments {
		return nil
	}
	return b.Room(segments)
}

// each is how many segments a resource has at most that is not divided.
func (b *Bounds) each() int { return max(1, cmp.Or(b.Each, b.Segments)) }

// Place is where a page of a list begins: after a resource or, with From, within it, at
// that moment. The zero value is before the first.
type Place struct {
	ResourceKey
	From int64 `json:",omitempty"` // seconds since the epoch; 0: the resource is done
}

// Resources returns the resources that pass the filters and held something in the
// window, from a place on, within the bounds. Each has what it held in the window, and,
// for what is under a bundle, all that it ever held. A resource with more segments than
// Bounds.Each is cut by time into parts, one to a page: each History has the window
// that it covers. more is where the next page begins; nil after the last.
//
// It takes memory only for what it returns, and fails with the context's error soon
// after that is done.
func (s *Snapshot) Resources(ctx context.Context, f *Filters, w usage.Window, from Place, b Bounds) (list []History, more *Place, err error) {
	o := &outline{ctx: ctx, snapshot: s, filters: f, window: w, from: from, bounds: b, counts: map[ResourceKey]int{}}
	if err := o.find(); err != nil {
		return nil, nil, err
	}
	found, segments, more := o.page()
	if err := b.room(segments); err != nil {
		return nil, nil, err
	}
	if err := o.collect(found); err != nil {
		return nil, nil, err
	}
	if list, err = inOrder(ctx, found); err != nil {
		return nil, nil, err
	}
	return list, more, nil
}

// outline is which resources a page has, before they are collected.
type outline struct {
	ctx      context.Context
	snapshot *Snapshot
	filters  *Filters
	window   usage.Window
	from     Place
	bounds   Bounds
	counts   map[ResourceKey]int  // their segments
	last     *ResourceKey         // nothing after it is on the page; nil: that is not known yet
	holders  map[uint64]*holderIn // of the class that is being counted
	looked   int
	err      error
}

// goesOn counts a segment that is looked at; false: there is no point in going on.
func (o *outline) goesOn() bool {
	if o.looked++; o.looked%lookedAtOnce == 0 && o.err == nil {
		o.err = pause(o.ctx)
	}
	return o.err == nil
}

// of is the window that a resource is looked at in.
func (o *outline) of(key ResourceKey) usage.Window {
	w := o.window
	if o.from.From != 0 && key == o.from.ResourceKey {
		w.Start = max(w.Start, o.from.From)
	}
	return w
}

// comes tells whether a resource may be on the page.
func (o *outline) comes(key ResourceKey) bool {
	order := key.Compare(o.from.ResourceKey)
	return (order > 0 || order == 0 && o.from.From != 0) && (o.last == nil || key.Compare(*o.last) <= 0)
}

// find counts the segments of the first resources that come, and of one more.
func (o *outline) find() error {
	classes := slices.DeleteFunc(o.snapshot.listed(o.filters, o.window.Start), func(c *class) bool {
		return cmp.Or(cmp.Compare(c.Namespace, o.from.Namespace), cmp.Compare(c.ResourceType, o.from.Type)) < 0
	})
	frozen := &coldCount{outline: o, of: map[int]*class{}, most: 1}
	for i, c := range classes {
		if i > 0 && (c.Namespace != classes[i-1].Namespace || c.ResourceType != classes[i-1].ResourceType) {
			frozen.group()
			if len(o.counts) > o.bounds.Resources {
				break // what comes now is after all of these
			}
		}
		c.each(o.window, o.counting(c))
		o.counted()
		frozen.note(c)
	}
	frozen.count()
	for _, x := range o.snapshot.corrected(o.filters, o.window) {
		if key := x.key(); x.says(o.of(key)) {
			o.count(key, 1)
		}
	}
	o.trim(o.bounds.Resources + 1)
	o.countBeyond()
	return cmp.Or(o.err, o.ctx.Err())
}

// countBeyond counts what is collected of the resources from beyond the window.
func (o *outline) countBeyond() {
	found := make(map[ResourceKey]*History, len(o.counts))
	for key := range o.counts {
		found[key] = &History{Window: o.of(key)}
	}
	o.each(found, func(bundled bool, x occurrence) {
		if key := x.key(); bundled && !x.says(found[key].Window) {
			o.counts[key]++
		}
	})
}

// coldCount counts what is cold of classes, for several namespaces and types at a time: each
// time for twice as many, so that blocks that have something of many are not unpacked for each.
type coldCount struct {
	*outline
	of           map[int]*class
	groups, most int
}

func (k *coldCount) note(c *class) {
	if c.hasCold(k.window) {
		k.of[int(c.id)] = c
	}
}

// group tells that the classes of a namespace and type are all noted.
func (k *coldCount) group() {
	if k.groups++; k.groups >= k.most {
		k.most *= 2
		k.count()
	}
}

func (k *coldCount) count() {
	if len(k.of) > 0 && k.err == nil {
		k.err = k.snapshot.cold.eachIn(k.ctx, k.window, func(id int) bool { return k.of[id] != nil }, func(id int, c *chunk) {
			c.each(k.window, k.counting(k.of[id]))
			k.counted()
		})
	}
	clear(k.of)
	k.groups = 0
}

// holderIn is a holder of a class, and how many of its segments are looked for.
type holderIn struct {
	key  ResourceKey
	in   usage.Window
	some bool // it may be on the page, and is let through
	n    int  // in the window
}

// counting counts what holders of a class held, until it is counted.
func (o *outline) counting(c *class) func(who, span) {
	o.holders = map[uint64]*holderIn{}
	return func(of who, x span) {
		if !o.goesOn() {
			return
		}
		h := o.holders[of.number()]
		if h == nil {
			held := of.holder()
			h = &holderIn{key: keyOf(c, held)}
			h.in, h.some = o.of(h.key), o.filters.holds(held) && o.comes(h.key)
			o.holders[of.number()] = h
		}
		if h.some && x.says(h.in) {
			h.n++
		}
	}
}

func (o *outline) counted() {
	for _, h := range o.holders {
		if h.n > 0 {
			o.count(h.key, h.n)
		}
	}
	o.holders = nil
}

func (o *outline) count(key ResourceKey, n int) {
	if !o.comes(key) {
		return
	}
	o.counts[key] += n
	if most := o.bounds.Resources + 1; len(o.counts) > 2*most {
		o.trim(most)
	}
}

// trim forgets all but the first resources: nothing that comes later brings them back.
func (o *outline) trim(most int) {
	if len(o.counts) <= most {
		return
	}
	keys := make([]ResourceKey, 0, len(o.counts))
	for key := range o.counts {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, ResourceKey.Compare)
	for _, key := range keys[most:] {
		delete(o.counts, key)
	}
	o.last = &keys[most-1]
}

// page are the resources of the page, still empty, how many segments are collected for them, and
// where the next one begins.
func (o *outline) page() (found map[ResourceKey]*History, segments int, more *Place) {
	keys := make([]ResourceKey, 0, len(o.counts))
	for key := range o.counts {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, ResourceKey.Compare)
	found = map[ResourceKey]*History{}
	for i, key := range keys {
		n := o.counts[key]
		if i == o.bounds.Resources || i > 0 && segments+n > o.bounds.Segments {
			return found, segments, &Place{ResourceKey: keys[i-1]}
		}
		w := o.of(key)
		found[key] = &History{ResourceKey: key, Window: w}
		if n > o.bounds.each() {
			if end := o.part(key); end < w.End {
				found[key].Window.End = end
				return found, segments + o.held(found[key]), &Place{ResourceKey: key, From: end}
			}
		}
		segments += n
	}
	return found, segments, nil
}

// part is the end of the first part of a resource with too many segments: before the
// segment that would exceed the bound, but so late that at least half as many segments
// as the bound begin in it, whatever continues into it.
func (o *outline) part(key ResourceKey) int64 {
	w := o.of(key)
	goOn, most := 0, o.bounds.each()
	var starts []int64 // the first of them
	o.each(map[ResourceKey]*History{key: {Window: w}}, func(_ bool, x occurrence) {
		switch {
		case !x.says(w):
		case x.start <= w.Start:
			goOn++
		default:
			if starts = append(starts, x.start); len(starts) > 2*most {
				slices.Sort(starts)
				starts = starts[:most+1]
			}
		}
	})
	slices.Sort(starts)
	room := max(most-goOn, (most+1)/2)
	if len(starts) <= room {
		return w.End
	}
	return min(starts[room], w.End)
}

// held is how many segments are collected for a part of a resource.
func (o *outline) held(r *History) (n int) {
	o.each(map[ResourceKey]*History{r.ResourceKey: r}, func(beyond bool, x occurrence) {
		if beyond || x.says(r.Window) {
			n++
		}
	})
	return n
}

// collect gives resources what they held.
func (o *outline) collect(found map[ResourceKey]*History) error {
	o.each(found, func(beyond bool, x occurrence) {
		if r := found[x.key()]; beyond || x.says(r.Window) {
			x.addTo(r)
		}
	})
	return cmp.Or(o.err, o.ctx.Err())
}

// each calls with what some resources held that may be of their windows, and tells
// whether it is collected beyond the window: what is under a bundle, for it matters when that
// began, and corrections.
func (o *outline) each(found map[ResourceKey]*History, call func(beyond bool, x occurrence)) {
	among := map[ResourceKey]bool{}
	for key := range found {
		among[ResourceKey{Namespace: key.Namespace, Type: key.Type}] = true
	}
	var plain, bundled []*class
	for _, c := range o.snapshot.listed(o.filters, never) {
		switch {
		case !among[ResourceKey{Namespace: c.Namespace, Type: c.ResourceType}]:
		case c.Bundle != "":
			bundled = append(bundled, c)
		default:
			plain = append(plain, c)
		}
	}
	some := func(c *class, of *object) bool {
		return found[ResourceKey{Namespace: c.Namespace, Type: c.ResourceType, Name: of.Name, UID: of.UID}] != nil
	}
	o.occurrences(plain, some, o.window, func(x occurrence) { call(false, x) })
	o.occurrences(bundled, some, always, func(x occurrence) { call(true, x) })
	for _, x := range o.snapshot.corrected(o.filters, always) {
		if found[x.key()] != nil {
			call(true, x)
		}
	}
}

// occurrences calls with what some holders of classes held in a window, for as long as it goes on.
func (o *outline) occurrences(classes []*class, some func(*class, *object) bool, w usage.Window, call func(occurrence)) {
	err := o.snapshot.occurrences(o.ctx, classes, o.filters, some, w, func(x occurrence) {
		if o.goesOn() {
			call(x)
		}
	})
	o.err = cmp.Or(o.err, err)
}

func keyOf(c *class, h *holder) ResourceKey {
	of := &h.resource.Object
	return ResourceKey{Namespace: c.Namespace, Type: c.ResourceType, Name: of.Name, UID: of.UID}
}
