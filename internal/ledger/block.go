package ledger

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unique"

	"github.com/klauspost/compress/zstd"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// The options are right, so that neither returns an error.
var (
	compressor      = newCompressor()
	decompressor, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxUnpacked))
)

// newCompressor is ready: a channel that it made when it is used first would be of the bubble of
// testing/synctest in which that is.
func newCompressor() *zstd.Encoder {
	e, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(true))
	e.EncodeAll(nil, nil)
	return e
}

const (
	// maxUnpacked is more bytes than a block can have before it is compressed.
	maxUnpacked = 1 << 30
	// blockBytes is how many bytes a block has before it is compressed, and those of one
	// object more.
	blockBytes = 1 << 20
)

// block is objects that are gone, packed. It never changes, but for what is taken out of it,
// and forgotten.
type block struct {
	number  uint32
	objects int
	taken   int      // so many were taken out
	gone    []uint64 // a bit for each of those; nil: none. It is another one when one more is
	// low and high are when the first and the last of its segments and corrections ended,
	// whatever their bounds; earliest is the first moment that a segment says something of.
	low, high, earliest int64
	// forgotten is the moment up to which what ended was forgotten since it was packed.
	forgotten int64
	meters    []*Meter
	accounts  []uint32 // hashes of those that something in it is of, in order
	spaces    []space
	bytes     []byte                 // nil: it is on a shelf, from which
	read      func() ([]byte, error) // it is read
}

// space is a namespace of which a block has something.
type space struct {
	key unique.Handle[spaceKey]
	// young is the latest moment at which any of the block's streams of the namespace surely was
	// there already: of what was so before it was made, a namespace takes over nothing.
	young int64
}

type spaceKey struct{ namespace, uid string }

func (b *block) isGone(object int) bool { return has(b.gone, object) }

func has(bits []uint64, i int) bool { return bits != nil && bits[i/64]>>(i%64)&1 == 1 }

// take notes that an object is not in the block any more.
func (b *block) take(object int) {
	gone := make([]uint64, (b.objects+63)/64) // somebody may read what there was
	copy(gone, b.gone)
	gone[object/64] |= 1 << (object % 64)
	b.gone = gone
	b.taken++
}

// overlaps tells whether a segment of the block may say something of the window.
func (b *block) overlaps(w usage.Window) bool { return b.high > w.Start && b.earliest < w.End }

// hasAccount tells whether something of an account may be in it, by its hash.
func (b *block) hasAccount(hash uint32) bool {
	_, found := slices.BinarySearch(b.accounts, hash)
	return found
}

// hides tells whether what ended then was forgotten since.
func (b *block) hides(moment int64) bool { return moment <= b.forgotten }

// neverForgotten is before all moments.
const neverForgotten = math.MinInt64

// shape is what streams of many objects have alike: a holder, without what is the object's
// own.
type shape struct {
	holder
	ownName, ownUID                 bool // of the instance
	resourceOwnName, resourceOwnUID bool
}

// packer makes a block.
type packer struct {
	ledger  *Ledger
	block   *block
	places  map[string]uint64
	shapes  map[shape]uint64
	meters  map[*Meter]uint64
	spaces  map[spaceKey]int64
	hashes  map[uint32]struct{} // of accounts
	texts   encoding
	forms   encoding
	lengths encoding
	bodies  encoding
}

func (l *Ledger) newPacker() *packer {
	return &packer{
		ledger: l, places: map[string]uint64{}, shapes: map[shape]uint64{}, meters: map[*Meter]uint64{},
		spaces: map[spaceKey]int64{}, hashes: map[uint32]struct{}{},
		block: &block{low: math.MaxInt64, high: math.MinInt64, earliest: math.MaxInt64, forgotten: neverForgotten},
	}
}

func (p *packer) isFull() bool {
	return p.block.objects == blockObjects || len(p.texts)+len(p.forms)+len(p.bodies) >= blockBytes
}

const (
	flagKnown = 1 << iota
	flagUnreadable
	flagAbsent
)

// add packs an object that is gone.
func (p *packer) add(at *object) {
	from := len(p.bodies)
	corrections := p.ledger.corrected[at]
	name := at.ownName()
	w := &p.bodies
	w.uid(at.uid)
	w.text(name)
	w.number(p.meter(at.meter))
	w.number(flag(at.known, flagKnown) | flag(at.unreadable, flagUnreadable) | flag(at.absent, flagAbsent))
	w.number(uint64(at.fields))
	w.number(at.went)
	w.signed(at.seen)
	w.signed(at.created - at.seen)
	w.signed(at.began - at.seen)
	members, streams := 0, 0
	for m := at.members; m != nil; m = m.next {
		if m.newest != nil { // else it is as none
			members++
		}
	}
	w.number(uint64(members))
	numbers := map[*stream]int{} // only where there are corrections
	for m := at.members; m != nil; m = m.next {
		if m.newest == nil {
			continue
		}
		w.signed(m.began - at.seen)
		w.signed(m.latest - at.seen)
		held := 0
		for s := m.newest; s != nil; s = s.older {
			held++
		}
		w.number(uint64(held))
		for s := m.newest; s != nil; s = s.older {
			if len(corrections) > 0 {
				numbers[s] = streams
			}
			streams++
			p.stream(at, s, name, corrections)
		}
	}
	w.number(uint64(len(corrections)))
	for i := range corrections {
		c := &corrections[i]
		w.number(uint64(numbers[c.of]))
		w.number(flag(c.less, 1))
		w.closed(closedOf(c.level, c.start, c.end, c.dimension), at.seen)
		p.bounds(c.end.At)
	}
	p.lengths.number(uint64(len(p.bodies) - from))
	p.block.objects++
}

func flag(is bool, bit uint64) uint64 {
	if is {
		return bit
	}
	return 0
}

// ownName is what the object is called, as far as its newest stream knows.
func (at *object) ownName() string {
	for m := at.members; m != nil; m = m.next {
		if m.newest != nil {
			return m.newest.instance.name
		}
	}
	return ""
}

func (p *packer) stream(at *object, s *stream, name string, corrections []correction) {
	p.bodies.number(p.shape(at, s, name))
	p.bodies.number(uint64(len(s.ended)))
	last, before := int64(math.MinInt64), at.seen
	for i := range s.ended {
		c := &s.ended[i]
		p.bodies.closed(*c, before)
		before = c.start
		p.bounds(c.latest())
		p.block.earliest = min(p.block.earliest, c.start-int64(c.startSlack))
		if c.end > c.start {
			last = max(last, c.start)
		}
	}
	key := &s.account.key
	if last == math.MinInt64 || slices.ContainsFunc(corrections, func(c correction) bool { return c.of == s }) {
		last = math.MaxInt64
	}
	if at.created != 0 {
		last = min(last, at.created)
	}
	if key.NamespaceUID == "" {
		last = math.MaxInt64
	}
	in := spaceKey{key.Namespace, key.NamespaceUID}
	if young, known := p.spaces[in]; !known || young < last {
		p.spaces[in] = last
	}
	p.hashes[p.ledger.packed.accountHash(*key)] = struct{}{}
}

func (p *packer) bounds(ended int64) {
	p.block.low, p.block.high = min(p.block.low, ended), max(p.block.high, ended)
}

func (p *packer) meter(m *Meter) uint64 {
	at, known := p.meters[m]
	if !known {
		at = uint64(len(p.block.meters))
		p.meters[m] = at
		p.block.meters = append(p.block.meters, m)
	}
	return at
}

// shape is the number of what the stream says, but for what is the object's own.
func (p *packer) shape(at *object, s *stream, name string) uint64 {
	x := shape{holder: s.holder}
	own := func(of *string, own string) bool {
		is := *of == own
		if is {
			*of = ""
		}
		return is
	}
	x.ownName, x.ownUID = own(&x.instance.name, name), own(&x.instance.uid, at.uid)
	x.resourceOwnName, x.resourceOwnUID = own(&x.resource.name, name), own(&x.resource.uid, at.uid)
	number, known := p.shapes[x]
	if known {
		return number
	}
	number = uint64(len(p.shapes))
	p.shapes[x] = number
	subject := s.subject()
	own2 := [...]bool{x.ownName, x.ownUID, x.resourceOwnName, x.resourceOwnUID}
	for i, of := range [...]string{subject.Instance.Name, subject.Instance.UID, subject.Resource.Name, subject.Resource.UID} {
		if own2[i] {
			p.forms.number(0)
		} else {
			p.forms.number(p.place(of))
		}
	}
	for _, of := range shared(subject) {
		p.forms.number(p.place(*of))
	}
	p.forms.number(p.place(string(subject.Attributes)))
	return number
}

// shared are the words of a subject that are never an object's own.
func shared(s *usage.Subject) [12]*string {
	return [...]*string{
		&s.Namespace, &s.NamespaceUID, &s.Deployment, &s.ResourceType, &s.Resource.APIVersion, &s.Resource.Kind,
		&s.Instance.APIVersion, &s.Instance.Kind, &s.Container, &s.Of, &s.Region, &s.Bundle,
	}
}

// place is a word's number among the block's, from 1 on.
func (p *packer) place(word string) uint64 {
	at, known := p.places[word]
	if !known {
		at = uint64(len(p.places)) + 1
		p.places[word] = at
		p.texts.text(word)
	}
	return at
}

// pack is the block.
func (p *packer) pack() *block {
	b := p.block
	var all encoding
	all.number(uint64(len(p.places)))
	all = append(all, p.texts...)
	all.number(uint64(len(p.shapes)))
	all = append(all, p.forms...)
	all = append(all, p.lengths...)
	all = append(all, p.bodies...)
	b.bytes = slices.Clip(slices.Clone(compressor.EncodeAll(all, nil)))
	for hash := range p.hashes {
		b.accounts = append(b.accounts, hash)
	}
	slices.Sort(b.accounts)
	b.accounts, b.meters = slices.Clip(b.accounts), slices.Clip(b.meters)
	b.spaces = make([]space, 0, len(p.spaces))
	for key, young := range p.spaces {
		b.spaces = append(b.spaces, space{key: unique.Make(key), young: young})
	}
	return b
}

// unreadable says that a block is not what was packed: something else has written to this
// memory or to its shelf, or that cannot be read, and nothing can be said. The journal has it
// all: the next start makes it anew.
func (b *block) unreadable(err error) string {
	return fmt.Sprintf("ledger: what is packed of [%d, %d] cannot be read: %v", b.low, b.high, err)
}

// encoding is what is written, one after the other.
type encoding []byte

func (w *encoding) number(n uint64) { *w = binary.AppendUvarint(*w, n) }

func (w *encoding) signed(n int64) { *w = binary.AppendVarint(*w, n) }

func (w *encoding) text(s string) {
	w.number(uint64(len(s)))
	*w = append(*w, s...)
}

// closed writes a segment that has ended, beside the start of another one.
func (w *encoding) closed(c closed, beside int64) {
	w.number(uint64(c.dimension))
	w.signed(c.level)
	w.signed(c.start - beside)
	w.signed(c.end - c.start)
	w.number(uint64(c.startSlack))
	w.number(uint64(c.endSlack))
	*w = append(*w, byte(c.startEvidence), byte(c.endEvidence))
}

// uid writes a UID: one as Kubernetes gives them in 17 bytes.
func (w *encoding) uid(uid string) {
	if b, is := usage.UUID(uid); is {
		w.number(0)
		*w = append(*w, b[:]...)
		return
	}
	w.number(1)
	w.text(uid)
}
