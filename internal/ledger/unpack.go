package ledger

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// packedObject is an object as it was packed, beside the ledger. It is not changed.
type packedObject struct {
	uid                  string
	meter                *Meter
	known                bool
	unreadable           bool
	absent               bool
	fields               uint32
	went                 uint64
	seen, created, began int64
	members              []packedMember // in order
	streams              int
	corrections          []packedCorrection
}

type packedMember struct {
	began, latest int64
	streams       []packedStream // the newest first
}

type packedStream struct {
	subject *usage.Subject
	ended   []closed
}

// packedCorrection is of the object's stream of that number.
type packedCorrection struct {
	stream int
	less   bool
	closed
}

// inside is a block that can be looked into.
type inside struct {
	block  *block
	words  []string
	shapes []uint32 // of each, its words' numbers
	from   []int    // where the objects are in bytes, and their end
	bytes  []byte
	all    []*packedObject // nil: they were not asked for
}

// shapeWords is how many words a shape has.
const shapeWords = 4 + len([12]*string{}) + 1

// errCut says that what is packed ends too soon.
var errCut = errors.New("it is cut off")

// open makes a block ready to be looked into.
func (b *block) open() (*inside, error) {
	bytes, err := b.bytes, error(nil)
	if b.read != nil {
		if bytes, err = b.read(); err != nil {
			return nil, err
		}
	}
	if bytes, err = decompressor.DecodeAll(bytes, nil); err != nil {
		return nil, err
	}
	r := &reader{bytes: bytes}
	o := &inside{block: b, bytes: bytes, words: make([]string, 1, 1+len(bytes)/64)}
	for range r.count() {
		o.words = append(o.words, r.text())
	}
	o.shapes = make([]uint32, r.count()*shapeWords)
	for i := range o.shapes {
		if o.shapes[i] = uint32(r.number()); int(o.shapes[i]) >= len(o.words) {
			return nil, errCut
		}
	}
	o.from = make([]int, b.objects+1)
	for i := range b.objects {
		o.from[i+1] = o.from[i] + int(r.number())
	}
	for i := range o.from {
		o.from[i] += r.at
	}
	if r.cut || o.from[b.objects] != len(bytes) {
		return nil, errCut
	}
	return o, nil
}

// uid is that of an object.
func (o *inside) uid(object int) string { return (&reader{bytes: o.bytes, at: o.from[object]}).uid() }

// object is the object of that number.
func (o *inside) object(number int) *packedObject {
	r := &reader{bytes: o.bytes[:o.from[number+1]], at: o.from[number]}
	x := &packedObject{uid: r.uid()}
	name := r.text()
	x.meter = o.block.meters[r.number()]
	flags := r.number()
	x.known, x.unreadable, x.absent = flags&flagKnown != 0, flags&flagUnreadable != 0, flags&flagAbsent != 0
	x.fields, x.went, x.seen = uint32(r.number()), r.number(), r.signed()
	x.created, x.began = x.seen+r.signed(), x.seen+r.signed()
	x.members = make([]packedMember, r.count())
	for i := range x.members {
		m := &x.members[i]
		m.began, m.latest = x.seen+r.signed(), x.seen+r.signed()
		m.streams = make([]packedStream, r.count())
		x.streams += len(m.streams)
		for j := range m.streams {
			s := &m.streams[j]
			s.subject = o.subject(r.number(), x.uid, name)
			s.ended = make([]closed, r.count())
			before := x.seen
			for k := range s.ended {
				s.ended[k] = r.closed(before)
				before = s.ended[k].start
			}
		}
	}
	if n := r.count(); n > 0 {
		x.corrections = make([]packedCorrection, n)
		for i := range x.corrections {
			x.corrections[i] = packedCorrection{stream: int(r.number()), less: r.number() != 0, closed: r.closed(x.seen)}
		}
	}
	if r.cut || r.at != len(r.bytes) {
		panic(o.block.unreadable(errCut)) // it has a checksum
	}
	return x
}

// subject is what a shape says of an object.
func (o *inside) subject(shape uint64, uid, name string) *usage.Subject {
	of := o.shapes[int(shape)*shapeWords:][:shapeWords]
	s := &usage.Subject{Attributes: usage.Attributes(o.words[of[shapeWords-1]])}
	own := [...]string{name, uid, name, uid}
	for i, to := range [...]*string{&s.Instance.Name, &s.Instance.UID, &s.Resource.Name, &s.Resource.UID} {
		if *to = own[i]; of[i] != 0 {
			*to = o.words[of[i]]
		}
	}
	for i, to := range shared(s) {
		*to = o.words[of[4+i]]
	}
	return s
}

// objects are all that are in the block, those included that were taken out.
func (o *inside) objects() []*packedObject {
	if o.all == nil {
		o.all = make([]*packedObject, o.block.objects)
		for i := range o.all {
			o.all[i] = o.object(i)
		}
	}
	return o.all
}

// isDue tells whether an object is among those of which something may be forgotten by then.
func (x *packedObject) isDue(before int64) bool {
	for i := range x.members {
		for j := range x.members[i].streams {
			if slices.ContainsFunc(x.members[i].streams[j].ended, func(c closed) bool { return due(hourOf(c.latest()), before) }) {
				return true
			}
		}
	}
	return slices.ContainsFunc(x.corrections, func(c packedCorrection) bool { return due(hourOf(c.end), before) })
}

// raise makes an object what it was before it was packed. What was forgotten since is.
func (l *Ledger) raise(x *packedObject, forgotten int64) *object {
	at := &object{
		uid: strings.Clone(x.uid), meter: x.meter, gone: true, known: x.known, unreadable: x.unreadable, absent: x.absent,
		fields: x.fields, went: x.went, seen: x.seen, created: x.created, began: x.began,
	}
	at.streams = at.one[:0]
	l.past.add(at)
	streams := make([]*stream, x.streams)
	number := x.streams
	for _, m := range slices.Backward(x.members) { // the first is put in last
		for _, of := range slices.Backward(m.streams) {
			s := l.newStream(at, of.subject)
			if len(of.ended) > 0 {
				s.ended = slices.Clone(of.ended)
			}
			for k := range s.ended {
				s.account.latest = max(s.account.latest, s.ended[k].latest())
			}
			s.member.began, s.member.latest = m.began, m.latest
			number--
			streams[number] = s
		}
	}
	if len(x.corrections) > 0 {
		corrections := make([]correction, len(x.corrections))
		for i := range corrections {
			c := &x.corrections[i]
			p := piece{of: streams[c.stream], level: c.level, start: c.startBoundary(), end: c.endBoundary()}
			corrections[i] = correction{piece: p, less: c.less, dimension: c.dimension}
		}
		l.corrected[at] = corrections
	}
	if x.isDue(forgotten) {
		l.forget(at, forgotten)
	}
	l.noteEnds(at)
	return at
}

// noteEnds enters an object in the hours in which something of it ended.
func (l *Ledger) noteEnds(at *object) {
	at.eachStream(func(s *stream) {
		for i := range s.ended {
			l.ends.note(at, s.ended[i].latest())
		}
	})
	for _, c := range l.corrected[at] {
		l.ends.note(at, c.end.At)
	}
}

// reader reads what an encoding has.
type reader struct {
	bytes []byte
	at    int
	cut   bool
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.bytes[r.at:])
	if size <= 0 {
		r.cut, size = true, 0
	}
	r.at += size
	return n
}

// count is a number of things that each take a byte at least.
func (r *reader) count() int {
	n := r.number()
	if n > uint64(len(r.bytes)-r.at) {
		r.cut = true
		return 0
	}
	return int(n)
}

func (r *reader) signed() int64 {
	n, size := binary.Varint(r.bytes[r.at:])
	if size <= 0 {
		r.cut, size = true, 0
	}
	r.at += size
	return n
}

func (r *reader) text() string {
	n := r.count()
	r.at += n
	return string(r.bytes[r.at-n : r.at])
}

func (r *reader) uid() string {
	if r.number() != 0 {
		return r.text()
	}
	if len(r.bytes)-r.at < 16 {
		r.cut = true
		return ""
	}
	r.at += 16
	return usage.UUIDText([16]byte(r.bytes[r.at-16:]))
}

func (r *reader) closed(beside int64) closed {
	c := closed{dimension: uint32(r.number()), level: r.signed(), start: beside + r.signed()}
	c.end = c.start + r.signed()
	c.startSlack, c.endSlack = uint32(r.number()), uint32(r.number())
	if len(r.bytes)-r.at < 2 {
		r.cut = true
		return c
	}
	c.startEvidence, c.endEvidence = usage.Evidence(r.bytes[r.at]), usage.Evidence(r.bytes[r.at+1])
	r.at += 2
	return c
}
