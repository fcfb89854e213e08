package timeline

import "unsafe"

// Limits bound a Tally. The zero value is the default.
type Limits struct {
	// Groups is the most groups; any number by default.
	Groups int
	// Cells is the most groups times windows; MaxCells by default.
	Cells int
}

// Limit bounds the tally from now on: Advance fails with a TooLargeError beyond.
func (t *Tally) Limit(l Limits) { t.limits = l }

func (l *Limits) cells() int {
	if l.Cells == 0 {
		return MaxCells
	}
	return l.Cells
}

// What a tally holds, in bytes. Maps are counted with what they keep free.
const (
	groupBytes  = int64(unsafe.Sizeof(group{})) + 3*8 + 8 // where it is listed, and one measure
	labelBytes  = int64(unsafe.Sizeof(label{}))
	cellBytes   = int64(unsafe.Sizeof(sum{}))
	classBytes  = int64(unsafe.Sizeof(classOf{})) * 2
	totalBytes  = 2 * int64(unsafe.Sizeof(Measure{})+unsafe.Sizeof(sum{}))
	numberBytes = 2 * int64(unsafe.Sizeof(measured{})) * 2
	// joinedBytes and heldBytes are an entry of byLabels and of byHolder, beside the text.
	joinedBytes = 2 * 24
	heldBytes   = 2 * int64(unsafe.Sizeof(holding{})+8)
	// emptyBytes is a tally of nothing, with its query.
	emptyBytes = 4 << 10
)

// Bytes is how much memory the tally holds by itself, in bytes, approximately: its sums,
// and the keys by which it looks them up.
func (t *Tally) Bytes() int64 {
	return emptyBytes + t.taken.Load() + 4*int64(cap(t.members)) + int64(len(t.totals))*totalBytes +
		int64(len(t.measures))*numberBytes + 8*int64(len(t.calendar)) + t.query.bytes()
}

// take counts bytes that the tally holds from now on.
func (t *Tally) take(bytes int64) { t.taken.Add(bytes) }

// tooManyGroups is nil as long as there is room for one more.
func (t *Tally) tooManyGroups() error {
	if t.limits.Groups == 0 || len(t.groups) < t.limits.Groups {
		return nil
	}
	return &TooLargeError{
		What: Groups, Wanted: t.limits.Groups + 1, Max: t.limits.Groups,
		Remedy: "take fewer keys to group by, filters, or less time at once",
	}
}

// numbersKept is how many holders a tally finds by number, while it adds up.
const numbersKept = 1 << 16

// forgetNumbers lets go of what only makes looking for holders faster.
func (t *Tally) forgetNumbers() {
	if len(t.byNumber) > 0 {
		t.byNumber = map[numbered]int{}
	}
}

// bytes is how much the query takes, beside what it has in common with others.
func (q *Query) bytes() int64 {
	size := int64(0)
	add := func(texts []string) {
		for _, text := range texts {
			size += 16 + int64(len(text))
		}
	}
	for _, texts := range [][]string{q.Deployments, q.ResourceTypes, q.Dimensions, q.Regions, q.Resources, q.Containers} {
		add(texts)
	}
	for name, texts := range q.Attributes {
		add([]string{name})
		add(texts)
	}
	for _, n := range q.Namespaces {
		size += 32 + int64(len(n.Name)+len(n.UID))
	}
	return size
}
