package usage

// ChangeKind says what became of a segment.
type ChangeKind uint8

const (
	// Put: the segment is as the change says, from now on. It replaces the one
	// with the same key: one that was open and has ended, or moved.
	Put ChangeKind = iota
	// Void removes the segment with this key: it lasted no time.
	Void
	// Less corrects a sealed interval by what was learnt after it was sealed: the
	// segment's amount is taken off it.
	Less
	// More corrects it likewise: the segment's amount is added to it.
	More
)

var changeKindNames = [...]string{"Put", "Void", "Less", "More"}

// String is the word that the journal uses.
func (k ChangeKind) String() string { return changeKindNames[k] }

// Change is one line of the journal: what became of a segment.
type Change struct {
	Kind ChangeKind
	// Corrects is the start of the sealed interval that Less and More correct, in
	// seconds since the epoch; 0 otherwise.
	Corrects int64
	Segment
}

// HasKey tells whether the change is of a segment that a later change may replace
// or void. One of no length is final: nothing replaces it, and another segment may
// start at the same moment.
func (c *Change) HasKey() bool {
	return c.Kind == Void || c.Kind == Put && (c.End.IsZero() || c.End.At != c.Start.At)
}

// SegmentKey is what tells one segment from another: by the invariant of
// tiling, no two segments of one resource, instance, container and dimension
// that have a length start at the same moment.
type SegmentKey struct {
	ResourceUID, InstanceUID, Container, Dimension string
	Start                                          int64
}

// Key tells the segment from every other.
func (s *Segment) Key() SegmentKey {
	return SegmentKey{
		ResourceUID: s.Subject.Resource.UID, InstanceUID: s.Subject.Instance.UID, Container: s.Subject.Container,
		Dimension: s.Dimension.Name, Start: s.Start.At,
	}
}
