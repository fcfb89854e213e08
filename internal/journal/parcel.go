package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// parcelBytes is how many bytes a parcel has before it is compressed, and those of one
// change more; parcelShapes is how many shapes, each of which takes some hundred bytes of
// memory until then.
var (
	parcelBytes  = 128 << 10 // tests set it
	parcelShapes = 1 << 9
)

// maxParcel is more bytes than a parcel can have before it is compressed.
const maxParcel = 1 << 30

// The options are right, so that neither returns an error.
var (
	parcelCompressor      = newParcelCompressor()
	parcelDecompressor, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxParcel))
)

// newParcelCompressor is ready: a channel that it made when it is used first would be of the
// bubble of testing/synctest in which that is.
func newParcelCompressor() *zstd.Encoder {
	e, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(true))
	e.EncodeAll(nil, nil)
	return e
}

// parcel is changes in the making of a compressed block, which is read from its beginning to
// its end: some 13 bytes each. What many objects say alike, a shape, is in it once.
type parcel struct {
	bytes    []byte
	shapes   map[usage.Subject]uint64 // subjects without what is the instance's own
	measures map[measure]uint64
	last     usage.Change // its subject and moment are what the next one is beside
	subject  usage.Subject
}

// measure is what a meter measures.
type measure struct {
	meter     string
	dimension usage.Dimension
}

// What the first byte of a change says, beside its kind.
const (
	parcelKind        = 3 // these bits
	parcelEnds        = 1 << 2
	parcelUnsure      = 1 << 3 // it has slack, or corrects something
	parcelSameSubject = 1 << 4
	parcelSameName    = 1 << 5 // of the instance, as the subject before
	parcelSameUID     = 1 << 6
)

// What the byte before a subject says.
const (
	resourceName = 1 << iota // it is the instance's
	resourceUID
)

func (p *parcel) isFull() bool { return len(p.bytes) >= parcelBytes || len(p.shapes) >= parcelShapes }

// add appends a change.
func (p *parcel) add(c *usage.Change) {
	if p.shapes == nil {
		p.shapes, p.measures = map[usage.Subject]uint64{}, map[measure]uint64{}
	}
	s := c.Subject
	same := p.last.Subject != nil && *s == p.subject
	head := byte(c.Kind)
	flag := func(bit byte, is bool) bool {
		if is {
			head |= bit
		}
		return is
	}
	ends := flag(parcelEnds, c.End != usage.Boundary{})
	unsure := flag(parcelUnsure, c.Start.Slack != 0 || c.End.Slack != 0 || c.Corrects != 0)
	flag(parcelSameSubject, same)
	sameName := flag(parcelSameName, s.Instance.Name == p.subject.Instance.Name)
	sameUID := flag(parcelSameUID, s.Instance.UID == p.subject.Instance.UID)
	p.bytes = append(p.bytes, head)
	if !same {
		p.addSubject(s, sameName, sameUID)
	}
	p.addMeasure(measure{c.Meter, c.Dimension})
	p.signed(c.Level)
	p.signed(c.Start.At - p.last.Start.At)
	p.bytes = append(p.bytes, byte(c.Start.Evidence))
	if ends {
		p.signed(c.End.At - c.Start.At)
		p.bytes = append(p.bytes, byte(c.End.Evidence))
	}
	if unsure {
		p.number(uint64(c.Start.Slack))
		p.number(uint64(c.End.Slack))
		p.signed(c.Corrects)
	}
	p.last.Start.At, p.last.Subject = c.Start.At, &p.subject
}

func (p *parcel) addSubject(s *usage.Subject, sameName, sameUID bool) {
	if !sameName {
		p.text(s.Instance.Name)
	}
	if !sameUID {
		p.uid(s.Instance.UID)
	}
	p.subject = *s
	shape := *s
	shape.Instance.Name, shape.Instance.UID = "", ""
	own := byte(0)
	if shape.Resource.Name == s.Instance.Name {
		shape.Resource.Name, own = "", own|resourceName
	}
	if shape.Resource.UID == s.Instance.UID {
		shape.Resource.UID, own = "", own|resourceUID
	}
	p.bytes = append(p.bytes, own)
	number, known := p.shapes[shape]
	if known {
		p.number(number + 1)
		return
	}
	p.shapes[shape] = uint64(len(p.shapes))
	p.number(0)
	for _, word := range shapeWords(&shape) {
		p.text(*word)
	}
	p.text(string(shape.Attributes))
}

// shapeWords are the words of a subject that are not the instance's own.
func shapeWords(s *usage.Subject) [14]*string {
	return [...]*string{
		&s.ResourceType, &s.Resource.APIVersion, &s.Resource.Kind, &s.Resource.Name, &s.Resource.UID, &s.Instance.APIVersion,
		&s.Instance.Kind, &s.Container, &s.Namespace, &s.NamespaceUID, &s.Deployment, &s.Of, &s.Region, &s.Bundle,
	}
}

func (p *parcel) addMeasure(m measure) {
	number, known := p.measures[m]
	if known {
		p.number(number + 1)
		return
	}
	p.measures[m] = uint64(len(p.measures))
	p.number(0)
	p.text(m.meter)
	p.text(m.dimension.Name)
	p.text(string(m.dimension.Unit))
}

func (p *parcel) number(n uint64) { p.bytes = binary.AppendUvarint(p.bytes, n) }

func (p *parcel) signed(n int64) { p.bytes = binary.AppendVarint(p.bytes, n) }

func (p *parcel) text(s string) {
	p.number(uint64(len(s)))
	p.bytes = append(p.bytes, s...)
}

// uid writes a UID: one as Kubernetes gives them in 17 bytes.
func (p *parcel) uid(uid string) {
	if b, is := usage.UUID(uid); is {
		p.number(0)
		p.bytes = append(p.bytes, b[:]...)
		return
	}
	p.number(uint64(len(uid)) + 1)
	p.bytes = append(p.bytes, uid...)
}

// wrap is the parcel compressed; the parcel is empty then.
func (p *parcel) wrap() []byte {
	wrapped := slices.Clone(parcelCompressor.EncodeAll(p.bytes, nil))
	*p = parcel{bytes: p.bytes[:0]}
	return slices.Clip(wrapped)
}

// unwrapped hands out the changes of a parcel that was compressed.
func unwrapped(wrapped []byte, each func(*usage.Change)) error {
	bytes, err := parcelDecompressor.DecodeAll(wrapped, nil)
	if err != nil {
		return err
	}
	return readParcel(bytes, each)
}

// readParcel hands out the changes of a parcel.
func readParcel(bytes []byte, each func(*usage.Change)) error {
	r := &parcelReader{bytes: bytes}
	for len(r.bytes) > 0 {
		c := r.change()
		if r.err != nil {
			return r.err
		}
		each(&c)
	}
	return nil
}

// errParcel says that a parcel is not what was put into it.
var errParcel = errors.New("a parcel is cut off")

type parcelReader struct {
	bytes    []byte
	shapes   []usage.Subject
	measures []measure
	start    int64 // of the change before
	subject  *usage.Subject
	err      error
}

func (r *parcelReader) change() usage.Change {
	head := r.byte()
	if head&parcelSameSubject == 0 {
		r.readSubject(head)
	}
	m := r.measure()
	c := usage.Change{Kind: usage.ChangeKind(head & parcelKind), Segment: usage.Segment{Meter: m.meter, Dimension: m.dimension, Subject: r.subject}}
	c.Level = r.signed()
	c.Start.At = r.start + r.signed()
	c.Start.Evidence = usage.Evidence(r.byte())
	r.start = c.Start.At
	if head&parcelEnds != 0 {
		c.End.At = c.Start.At + r.signed()
		c.End.Evidence = usage.Evidence(r.byte())
	}
	if head&parcelUnsure != 0 {
		c.Start.Slack, c.End.Slack, c.Corrects = uint32(r.number()), uint32(r.number()), r.signed()
	}
	return c
}

func (r *parcelReader) readSubject(head byte) {
	before := r.subject
	if before == nil {
		before = &usage.Subject{}
	}
	name, uid := before.Instance.Name, before.Instance.UID
	if head&parcelSameName == 0 {
		name = r.text()
	}
	if head&parcelSameUID == 0 {
		uid = r.uid()
	}
	own := r.byte()
	s := r.shape()
	s.Instance.Name, s.Instance.UID = name, uid
	if own&resourceName != 0 {
		s.Resource.Name = name
	}
	if own&resourceUID != 0 {
		s.Resource.UID = uid
	}
	r.subject = &s
}

func (r *parcelReader) shape() usage.Subject {
	n := r.number()
	if n > 0 {
		if n > uint64(len(r.shapes)) {
			r.err = errParcel
			return usage.Subject{}
		}
		return r.shapes[n-1]
	}
	var shape usage.Subject
	for _, word := range shapeWords(&shape) {
		*word = r.text()
	}
	shape.Attributes = usage.Attributes(r.text())
	r.shapes = append(r.shapes, shape)
	return shape
}

func (r *parcelReader) measure() measure {
	n := r.number()
	if n > 0 {
		if n > uint64(len(r.measures)) {
			r.err = errParcel
			return measure{}
		}
		return r.measures[n-1]
	}
	m := measure{meter: r.text()}
	m.dimension = usage.Dimension{Name: r.text(), Unit: usage.Unit(r.text())}
	r.measures = append(r.measures, m)
	return m
}

// take is the next bytes.
func (r *parcelReader) take(n uint64) []byte {
	if n > uint64(len(r.bytes)) {
		r.err = fmt.Errorf("%w: %d bytes more are wanted, and %d are there", errParcel, n, len(r.bytes))
		r.bytes = nil
		return nil
	}
	taken := r.bytes[:n]
	r.bytes = r.bytes[n:]
	return taken
}

func (r *parcelReader) byte() byte {
	if b := r.take(1); len(b) > 0 {
		return b[0]
	}
	return 0
}

func (r *parcelReader) number() uint64 {
	n, size := binary.Uvarint(r.bytes)
	r.take(uint64(max(size, 0)))
	if size <= 0 {
		r.err = errParcel
	}
	return n
}

func (r *parcelReader) signed() int64 {
	n, size := binary.Varint(r.bytes)
	r.take(uint64(max(size, 0)))
	if size <= 0 {
		r.err = errParcel
	}
	return n
}

func (r *parcelReader) text() string { return string(r.take(r.number())) }

func (r *parcelReader) uid() string {
	n := r.number()
	if n > 0 {
		return string(r.take(n - 1))
	}
	if b := r.take(16); len(b) == 16 {
		return usage.UUIDText([16]byte(b))
	}
	return ""
}
