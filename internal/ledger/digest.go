package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Digest is what seals an interval: SHA-256 over the digest of the interval
// before, the interval, its rows and its coverage, in this order. Segments are
// those of all accounts, cut to the interval, account by account
// (usage.CompareAccounts) in canonical order (usage.Segment.Compare); coverage is cut
// to it too. Numbers are 8 bytes, big-endian; strings have their length before
// them; each list has its length before it.
func Digest(previous [sha256.Size]byte, interval usage.Window, segments []usage.Segment, coverage []usage.Stretch) [sha256.Size]byte {
	d := digester{hash: sha256.New()}
	d.hash.Write(previous[:])
	d.numbers(interval.Start, interval.End, int64(len(segments)))
	for i := range segments {
		s := &segments[i]
		d.subject(s.Subject)
		d.text(s.Meter, s.Dimension.Name, string(s.Dimension.Unit))
		d.numbers(s.Level)
		d.boundary(s.Start)
		d.boundary(s.End)
	}
	d.numbers(int64(len(coverage)))
	for _, stretch := range coverage {
		d.text(stretch.Meter, stretch.Coverage.String())
		d.numbers(stretch.Start, stretch.End)
	}
	return [sha256.Size]byte(d.hash.Sum(nil))
}

type digester struct {
	hash   hash.Hash
	buffer []byte
}

func (d *digester) numbers(values ...int64) {
	d.buffer = d.buffer[:0]
	for _, v := range values {
		d.buffer = binary.BigEndian.AppendUint64(d.buffer, uint64(v))
	}
	d.hash.Write(d.buffer)
}

func (d *digester) text(values ...string) {
	d.buffer = d.buffer[:0]
	for _, v := range values {
		d.buffer = binary.BigEndian.AppendUint64(d.buffer, uint64(len(v)))
		d.buffer = append(d.buffer, v...)
	}
	d.hash.Write(d.buffer)
}

func (d *digester) boundary(b usage.Boundary) {
	d.numbers(b.At, int64(b.Slack))
	d.text(b.Evidence.String())
}

func (d *digester) subject(s *usage.Subject) {
	d.text(s.Namespace, s.NamespaceUID, s.Deployment, s.ResourceType,
		s.Resource.APIVersion, s.Resource.Kind, s.Resource.Name, s.Resource.UID,
		s.Instance.APIVersion, s.Instance.Kind, s.Instance.Name, s.Instance.UID,
		s.Container, s.Region, s.Bundle, string(s.Attributes))
}

// AppendCut appends what there is of a segment inside a sealed interval to those of
// other segments. All come account by account, in canonical order, and so do their
// parts: what the interval cuts starts where others do, and is put before them where
// it belongs there.
func AppendCut(inside []usage.Segment, s *usage.Segment, interval usage.Window) []usage.Segment {
	part, ok := s.Cut(interval, interval.End)
	if !ok {
		return inside
	}
	at := len(inside)
	for at > 0 && inside[at-1].Subject.Account == part.Subject.Account && inside[at-1].Compare(part) > 0 {
		at--
	}
	return slices.Insert(inside, at, part)
}
