package timeline

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/usage-operator/usage-operator/internal/usage"
)

const (
	secondsOfDay  = 86400
	secondsOfHour = 3600
)

// floor is a/b, rounded down.
func floor(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// span is a segment without what its class and holder say.
type span struct {
	start, end                 int64 // seconds since the epoch; an open one ends at math.MaxInt64
	level                      int64 // base units
	startSlack, endSlack       uint32
	startEvidence, endEvidence usage.Evidence
}

func spanOf(s *usage.Segment) span {
	return span{
		start: s.Start.At, end: s.End.At, level: s.Level, startSlack: s.Start.Slack, endSlack: s.End.Slack,
		startEvidence: s.Start.Evidence, endEvidence: s.End.Evidence,
	}
}

// says tells whether the span, or its bounds, are of a time within the window.
func (x *span) says(w usage.Window) bool {
	return max(x.start-int64(x.startSlack), w.Start) < min(x.endsBy(), w.End)
}

// mayMatter tells whether anything about the span may matter to the window.
func (x *span) mayMatter(w usage.Window) bool {
	return x.start-int64(x.startSlack) < w.End && x.endsBy() >= w.Start
}

// endsBy is when it has ended for sure.
func (x *span) endsBy() int64 {
	if x.isOpen() {
		return x.end
	}
	return x.end + int64(x.endSlack)
}

// isDoubtful tells whether it may not be known exactly what was held.
func (x *span) isDoubtful() bool {
	return x.startSlack|x.endSlack != 0 || x.startEvidence > usage.ReplayBound || x.endEvidence > usage.ReplayBound
}

// startsPartial and endsPartial tell that metering started as it did, or stopped. What lasted
// no time says nothing.
func (x *span) startsPartial() bool {
	return x.startEvidence == usage.MeteringStarted && x.start < x.end
}

func (x *span) endsPartial() bool {
	return x.endEvidence == usage.MeteringStopped && x.start < x.end
}

func (x *span) isOpen() bool { return x.endEvidence == usage.NoEvidence }

// record is a span that ended on the day of a part, in 32 bytes and without
// pointers: the garbage collector never looks at what has ended.
type record struct {
	start, level               int64
	end                        uint32 // seconds since the day began
	holder                     uint32 // its place in the part
	slack                      uint32 // its place in the part and 1; 0 is none
	startEvidence, endEvidence usage.Evidence
}

// slack is a record's that has any.
type slack struct{ start, end uint32 }

// part is what all segments have in common that ended on one day, in UTC: the names
// of who held them, which go when the part goes. A part that is published does not
// change, but for what is appended to its lists.
type part struct {
	day        int64 // since the epoch
	generation uint64
	serial     uint64   // tells it from others of the same day
	classes    []int32  // that have something in it, some of them several times
	text       []string // names and UIDs, one after the other
	kinds      []objectKind
	objects    []partObject
	containers []string
	holders    []partHolder
	slacks     []slack
	records    int // that were put into it
}

type objectKind struct{ apiVersion, kind string }

type partObject struct {
	kind               uint32
	text, offset       uint32 // where its name begins
	nameBytes, uidSize uint32
}

type partHolder struct {
	number                        uint64
	resource, instance, container uint32
}

func (p *part) start() int64 { return p.day * secondsOfDay }

func (p *part) span(r *record) span {
	x := span{start: r.start, end: p.start() + int64(r.end), level: r.level, startEvidence: r.startEvidence, endEvidence: r.endEvidence}
	if r.slack != 0 {
		s := p.slacks[r.slack-1]
		x.startSlack, x.endSlack = s.start, s.end
	}
	return x
}

func (p *part) object(i uint32) usage.Object {
	o := &p.objects[i]
	kind, text := &p.kinds[o.kind], p.text[o.text][o.offset:]
	return usage.Object{APIVersion: kind.apiVersion, Kind: kind.kind, Name: text[:o.nameBytes], UID: text[o.nameBytes : o.nameBytes+o.uidSize]}
}

func (p *part) holder(i uint32) *holder {
	of := &p.holders[i]
	h := &holder{resource: &object{Object: p.object(of.resource)}, container: p.containers[of.container], number: of.number}
	if h.instance = h.resource; of.instance != of.resource {
		h.instance = &object{Object: p.object(of.instance)}
	}
	return h
}

// compact is the part in the least room, everything at the same places.
func (p *part) compact(generation uint64) *part {
	c := &part{
		day: p.day, generation: generation, serial: p.serial, classes: slices.Clone(p.classes), kinds: slices.Clip(p.kinds), containers: slices.Clone(p.containers),
		objects: slices.Clone(p.objects), holders: slices.Clone(p.holders), slacks: slices.Clone(p.slacks), text: p.text, records: p.records,
	}
	if whole := strings.Join(p.text, ""); len(whole) <= math.MaxUint32 {
		bases := make([]uint32, len(p.text))
		for i := 1; i < len(p.text); i++ {
			bases[i] = bases[i-1] + uint32(len(p.text[i-1]))
		}
		for i := range c.objects {
			o := &c.objects[i]
			o.text, o.offset = 0, bases[o.text]+o.offset
		}
		c.text = []string{whole}
	}
	return c
}

// who held something: a holder of which something is open or was sealed last, or one of a part.
type who struct {
	live *holder
	part *part
	at   uint32
}

// number tells holders apart. Who was forgotten and came again has another one.
func (w *who) number() uint64 {
	if w.live != nil {
		return w.live.number
	}
	return w.part.holders[w.at].number
}

func (w *who) holder() *holder {
	if w.live != nil {
		return w.live
	}
	return w.part.holder(w.at)
}

// chunk is what ended on one day of a class: first what was carried into the day, by
// starts, then what began on the day itself, by ends.
type chunk struct {
	part     *part
	records  []record
	carried  int
	maxSlack uint32 // of any
}

// each calls with all that may matter to a window.
func (c *chunk) each(w usage.Window, call func(who, span)) {
	slack, day := int64(c.maxSlack), c.part.start()
	say := func(records []record) {
		for i := range records {
			if x := c.part.span(&records[i]); x.mayMatter(w) {
				call(who{part: c.part, at: records[i].holder}, x)
			}
		}
	}
	carried, own := c.records[:c.carried], c.records[c.carried:]
	if w.End <= day {
		until := w.End + slack
		carried = carried[:sort.Search(len(carried), func(i int) bool { return carried[i].start >= until })]
	}
	say(carried)
	if day-slack >= w.End {
		return
	}
	if from := w.Start - slack - day; w.Start > day && from > 0 {
		own = own[sort.Search(len(own), func(i int) bool { return int64(own[i].end) >= from }):]
	}
	say(own)
}

// with is the chunk and some records that ended on its day, in any order. It shares
// what it can with the chunk before.
func (c *chunk) with(p *part, records []record) chunk {
	all := *c
	all.part = p
	for i := range records {
		if records[i].slack != 0 {
			s := p.slacks[records[i].slack-1]
			all.maxSlack = max(all.maxSlack, s.start, s.end)
		}
	}
	carried := slices.Clone(records)
	own := slices.Clone(carried)
	isCarried := func(r record) bool { return r.start < p.start() }
	carried = slices.DeleteFunc(carried, func(r record) bool { return !isCarried(r) })
	own = slices.DeleteFunc(own, isCarried)
	slices.SortFunc(own, byEnd)
	before := c.records[c.carried:]
	if len(carried) == 0 && (len(before) == 0 || len(own) == 0 || before[len(before)-1].end <= own[0].end) {
		all.records = append(all.records, own...) // nobody looks there yet
		return all
	}
	all.records = slices.Concat(c.records[:c.carried], carried, before, own)
	all.carried += len(carried)
	slices.SortFunc(all.records[:all.carried], func(a, b record) int { return cmp.Compare(a.start, b.start) })
	slices.SortFunc(all.records[all.carried:], byEnd)
	return all
}

func byEnd(a, b record) int { return cmp.Compare(a.end, b.end) }

// without is the chunk without one of its records.
func (c *chunk) without(i int) chunk {
	rest := *c
	rest.records = slices.Concat(c.records[:i], c.records[i+1:])
	if i < c.carried {
		rest.carried--
	}
	return rest
}

// filler puts segments into a part.
type filler struct {
	*part
	text  strings.Builder
	named bool // there is something to append, though it may be ""
}

// record is a span of a holder as the part has it.
func (f *filler) record(h *holder, x *span) record {
	f.records++
	r := record{
		start: x.start, level: x.level, end: uint32(x.end - f.start()), holder: f.holderAt(h),
		startEvidence: x.startEvidence, endEvidence: x.endEvidence,
	}
	if x.startSlack|x.endSlack != 0 {
		f.slacks = append(f.slacks, slack{x.startSlack, x.endSlack})
		r.slack = uint32(len(f.slacks))
	}
	return r
}

func (f *filler) holderAt(h *holder) uint32 {
	if !h.in.isIn(f.part) {
		of := partHolder{number: h.number, resource: f.objectAt(h.resource), instance: f.objectAt(h.instance), container: place(&f.containers, h.container)}
		f.holders = append(f.holders, of)
		h.in = partPlace{day: f.day, serial: f.serial, at: uint32(len(f.holders) - 1), known: true}
	}
	return h.in.at
}

func (f *filler) objectAt(o *object) uint32 {
	if !o.in.isIn(f.part) {
		f.objects = append(f.objects, partObject{
			kind: place(&f.kinds, objectKind{o.APIVersion, o.Kind}), text: uint32(len(f.part.text)), offset: uint32(f.text.Len()),
			nameBytes: uint32(len(o.Name)), uidSize: uint32(len(o.UID)),
		})
		f.named = true
		f.text.WriteString(o.Name)
		f.text.WriteString(o.UID)
		o.in = partPlace{day: f.day, serial: f.serial, at: uint32(len(f.objects) - 1), known: true}
	}
	return o.in.at
}

// lookedBack is how many values of a list are compared with one that is to be put
// there: nearly always it is among them, and no list is ever searched whole.
const lookedBack = 16

// place is where a value is in a list that has nearly each once.
func place[T comparable](list *[]T, value T) uint32 {
	first := max(0, len(*list)-lookedBack)
	if i := slices.Index((*list)[first:], value); i >= 0 {
		return uint32(first + i)
	}
	*list = append(*list, value)
	return uint32(len(*list) - 1)
}

// done gives the part the names.
func (f *filler) done() {
	if f.named {
		f.part.text = append(f.part.text, f.text.String())
	}
}
