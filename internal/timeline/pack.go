package timeline

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// A packed block is the segments of some classes that ended on one day: field by field, as
// differences from the one before, compressed with zstd, with a checksum. It has its own names.

// The options are right, so that neither returns an error.
var (
	compressor, _   = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(true))
	decompressor, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxUnpacked))
)

// maxUnpacked is how many bytes a block may have before it is compressed: more than names
// of the longest that Kubernetes allows take.
const maxUnpacked = 256 << 20

// packer makes a block. What it is given is in other parts.
type packer struct {
	to         *part // only the places are used
	text       strings.Builder
	holders    map[partHolder]uint32 // by what is the same for two that are one
	objects    map[usage.Object]uint32
	kinds      map[objectKind]uint32
	containers map[string]uint32
	classes    []int32
	chunks     []chunk
	records    int
}

func newPacker(day int64) *packer {
	return &packer{
		to: &part{day: day}, holders: map[partHolder]uint32{}, objects: map[usage.Object]uint32{},
		kinds: map[objectKind]uint32{}, containers: map[string]uint32{},
	}
}

// blockText is how many bytes of names a block has, and those of one more segment.
const blockText = 4 << 20

func (p *packer) isFull() bool { return p.records >= blockRecords || p.text.Len() >= blockText }

// add adds records of a class, until the block is full, and returns the rest: they are carried, or own.
func (p *packer) add(class int32, from *part, records []record, carried bool) (rest []record) {
	c := chunk{records: make([]record, 0, min(len(records), blockRecords-p.records))}
	for len(records) > 0 && !p.isFull() {
		r := records[0]
		records = records[1:]
		r.holder = p.holder(from, r.holder)
		if r.slack != 0 {
			s := from.slacks[r.slack-1]
			p.to.slacks = append(p.to.slacks, s)
			r.slack = uint32(len(p.to.slacks))
			c.maxSlack = max(c.maxSlack, s.start, s.end)
		}
		c.records = append(c.records, r)
		p.records++
	}
	if carried {
		c.carried = len(c.records)
	}
	p.classes, p.chunks = append(p.classes, class), append(p.chunks, c)
	return records
}

// placed is the place of a value, which it is given if it has none.
func placed[T comparable](places map[T]uint32, value T, add func()) uint32 {
	at, known := places[value]
	if !known {
		at = uint32(len(places))
		places[value] = at
		add()
	}
	return at
}

func (p *packer) holder(from *part, i uint32) uint32 {
	of := &from.holders[i]
	h := partHolder{number: of.number, resource: p.object(from, of.resource)}
	if h.instance = h.resource; of.instance != of.resource {
		h.instance = p.object(from, of.instance)
	}
	container := from.containers[of.container]
	h.container = placed(p.containers, container, func() { p.to.containers = append(p.to.containers, container) })
	return placed(p.holders, h, func() { p.to.holders = append(p.to.holders, h) })
}

func (p *packer) object(from *part, i uint32) uint32 {
	o := from.object(i)
	return placed(p.objects, o, func() {
		kind := objectKind{o.APIVersion, o.Kind}
		of := partObject{nameBytes: uint32(len(o.Name)), uidSize: uint32(len(o.UID))}
		of.kind = placed(p.kinds, kind, func() { p.to.kinds = append(p.to.kinds, kind) })
		p.to.objects = append(p.to.objects, of)
		p.text.WriteString(o.Name)
		p.text.WriteString(o.UID)
	})
}

// pack is the block.
func (p *packer) pack() *coldBlock {
	b := &coldBlock{day: p.to.day, low: always.End, high: always.Start, classes: p.classes, records: p.records}
	for i := range p.chunks {
		for j := range p.chunks[i].records {
			x := p.to.span(&p.chunks[i].records[j])
			b.low, b.high = min(b.low, x.start-int64(x.startSlack)), max(b.high, x.endsBy())
		}
	}
	w := &fieldWriter{}
	p.writeNames(w)
	p.writeRecords(w)
	b.packed = compressor.EncodeAll(w.fields, nil)
	b.packed = append(make([]byte, 0, len(b.packed)), b.packed...) // no more than it takes
	b.size = len(b.packed)
	return b
}

func (p *packer) writeNames(w *fieldWriter) {
	w.number(uint64(len(p.to.kinds)))
	for _, k := range p.to.kinds {
		w.text(k.apiVersion)
		w.text(k.kind)
	}
	w.number(uint64(len(p.to.containers)))
	for _, c := range p.to.containers {
		w.text(c)
	}
	w.number(uint64(len(p.to.objects)))
	column(w, p.to.objects, func(o *partObject) uint64 { return uint64(o.kind) })
	column(w, p.to.objects, func(o *partObject) uint64 { return uint64(o.nameBytes) })
	column(w, p.to.objects, func(o *partObject) uint64 { return uint64(o.uidSize) })
	w.text(p.text.String())
	w.number(uint64(len(p.to.holders)))
	differences(w, p.to.holders, func(h *partHolder) int64 { return int64(h.number) })
	differences(w, p.to.holders, func(h *partHolder) int64 { return int64(h.resource) })
	column(w, p.to.holders, func(h *partHolder) uint64 { return zigzag(int64(h.instance) - int64(h.resource)) })
	column(w, p.to.holders, func(h *partHolder) uint64 { return uint64(h.container) })
	w.number(uint64(len(p.to.slacks)))
	column(w, p.to.slacks, func(s *slack) uint64 { return uint64(s.start) })
	column(w, p.to.slacks, func(s *slack) uint64 { return uint64(s.end) })
}

func (p *packer) writeRecords(w *fieldWriter) {
	all := make([]record, 0, p.records)
	column(w, p.chunks, func(c *chunk) uint64 { return uint64(len(c.records)) })
	column(w, p.chunks, func(c *chunk) uint64 { return uint64(c.carried) })
	column(w, p.chunks, func(c *chunk) uint64 { return uint64(c.maxSlack) })
	for i := range p.chunks {
		all = append(all, p.chunks[i].records...)
	}
	day := p.to.start()
	differences(w, all, func(r *record) int64 { return r.start })
	column(w, all, func(r *record) uint64 { return zigzag(day + int64(r.end) - r.start) })
	differences(w, all, func(r *record) int64 { return r.level })
	differences(w, all, func(r *record) int64 { return int64(r.holder) })
	column(w, all, func(r *record) uint64 { return uint64(r.slack) })
	column(w, all, func(r *record) uint64 { return uint64(r.startEvidence) })
	column(w, all, func(r *record) uint64 { return uint64(r.endEvidence) })
}

// unpack is what was packed.
func (b *coldBlock) unpack() (*part, []chunk, error) {
	packed, err := b.take()
	if err != nil {
		return nil, nil, err
	}
	fields, err := decompressor.DecodeAll(packed, nil)
	if err != nil {
		return nil, nil, err
	}
	r := &fieldReader{fields: fields}
	p := &part{day: b.day}
	readNames(r, p)
	chunks := readRecords(r, p, len(b.classes), b.records)
	if r.err == nil && len(r.fields) > 0 {
		r.err = fmt.Errorf("%d bytes are left", len(r.fields))
	}
	return p, chunks, r.err
}

func readNames(r *fieldReader, p *part) {
	p.kinds = make([]objectKind, r.count())
	for i := range p.kinds {
		p.kinds[i] = objectKind{apiVersion: r.text(), kind: r.text()}
	}
	p.containers = make([]string, r.count())
	for i := range p.containers {
		p.containers[i] = r.text()
	}
	p.objects = make([]partObject, r.count())
	readColumn(r, p.objects, func(o *partObject, n uint64) { o.kind = uint32(n) })
	readColumn(r, p.objects, func(o *partObject, n uint64) { o.nameBytes = uint32(n) })
	readColumn(r, p.objects, func(o *partObject, n uint64) { o.uidSize = uint32(n) })
	offset := uint32(0)
	for i := range p.objects {
		o := &p.objects[i]
		o.offset = offset
		offset += o.nameBytes + o.uidSize
	}
	p.text = []string{r.text()}
	p.holders = make([]partHolder, r.count())
	readDifferences(r, p.holders, func(h *partHolder, n int64) { h.number = uint64(n) })
	readDifferences(r, p.holders, func(h *partHolder, n int64) { h.resource = uint32(n) })
	readColumn(r, p.holders, func(h *partHolder, n uint64) { h.instance = uint32(int64(h.resource) + unzigzag(n)) })
	readColumn(r, p.holders, func(h *partHolder, n uint64) { h.container = uint32(n) })
	p.slacks = make([]slack, r.count())
	readColumn(r, p.slacks, func(s *slack, n uint64) { s.start = uint32(n) })
	readColumn(r, p.slacks, func(s *slack, n uint64) { s.end = uint32(n) })
}

func readRecords(r *fieldReader, p *part, classes, records int) []chunk {
	chunks, all := make([]chunk, classes), make([]record, records)
	next := 0
	readColumn(r, chunks, func(c *chunk, n uint64) {
		from := next
		next = min(from+int(n), records)
		c.part, c.records = p, all[from:next:next]
	})
	readColumn(r, chunks, func(c *chunk, n uint64) { c.carried = int(n) })
	readColumn(r, chunks, func(c *chunk, n uint64) { c.maxSlack = uint32(n) })
	day := p.start()
	readDifferences(r, all, func(x *record, n int64) { x.start = n })
	readColumn(r, all, func(x *record, n uint64) { x.end = uint32(x.start + unzigzag(n) - day) })
	readDifferences(r, all, func(x *record, n int64) { x.level = n })
	readDifferences(r, all, func(x *record, n int64) { x.holder = uint32(n) })
	readColumn(r, all, func(x *record, n uint64) { x.slack = uint32(n) })
	readColumn(r, all, func(x *record, n uint64) { x.startEvidence = usage.Evidence(n) })
	readColumn(r, all, func(x *record, n uint64) { x.endEvidence = usage.Evidence(n) })
	return chunks
}

// fieldWriter writes fields one after the other.
type fieldWriter struct{ fields []byte }

func (w *fieldWriter) number(n uint64) { w.fields = binary.AppendUvarint(w.fields, n) }

func (w *fieldWriter) text(s string) {
	w.number(uint64(len(s)))
	w.fields = append(w.fields, s...)
}

// column writes a field of all items.
func column[T any](w *fieldWriter, items []T, field func(*T) uint64) {
	for i := range items {
		w.number(field(&items[i]))
	}
}

// differences does the same, each as the difference from the one before. It may wrap around.
func differences[T any](w *fieldWriter, items []T, field func(*T) int64) {
	var before int64
	for i := range items {
		n := field(&items[i])
		w.number(zigzag(n - before))
		before = n
	}
}

// fieldReader reads them. After an error everything is zero.
type fieldReader struct {
	fields []byte
	err    error
}

var errCutOff = errors.New("it is cut off")

func (r *fieldReader) number() uint64 {
	n, size := binary.Uvarint(r.fields)
	if size <= 0 {
		r.fields, r.err = nil, errCutOff
		return 0
	}
	r.fields = r.fields[size:]
	return n
}

// count is a number of items that take a byte each at least.
func (r *fieldReader) count() int {
	n := r.number()
	if n > uint64(len(r.fields)) {
		r.fields, r.err = nil, errCutOff
		return 0
	}
	return int(n)
}

func (r *fieldReader) text() string {
	n := r.count()
	s := string(r.fields[:n])
	r.fields = r.fields[n:]
	return s
}

func readColumn[T any](r *fieldReader, items []T, field func(*T, uint64)) {
	for i := range items {
		field(&items[i], r.number())
	}
}

func readDifferences[T any](r *fieldReader, items []T, field func(*T, int64)) {
	var n int64
	for i := range items {
		n += unzigzag(r.number())
		field(&items[i], n)
	}
}

// zigzag is a number with a sign as one without, small if it is small.
func zigzag(n int64) uint64 { return uint64(n)<<1 ^ uint64(n>>63) }

func unzigzag(n uint64) int64 { return int64(n>>1) ^ -int64(n&1) }
