package record

import (
	"cmp"
	"slices"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// detailNames are the words of records. One that has all of it does not say so.
var detailNames = [...]v1alpha1.Detail{"", v1alpha1.DetailResources, v1alpha1.DetailTotals}

// totalBytes is about what a total takes as JSON, and rowBytes one of a resource.
const (
	totalBytes = 150
	rowBytes   = 70
)

// group is how many of the first segments become one, and about how many bytes
// that takes.
type group func(segments []usage.Segment) (n, bytes int)

// pack cuts the segments into parts that fit an object, none of them in a group.
func pack(segments []usage.Segment, next group) [][]usage.Segment {
	var parts [][]usage.Segment
	start, bytes, groups := 0, 0, 0
	for at := 0; at < len(segments); {
		n, size := next(segments[at:])
		if groups == maxSegments || groups > 0 && bytes+size > maxBytes {
			parts = append(parts, segments[start:at])
			start, bytes, groups = at, 0, 0
		}
		at, bytes, groups = at+n, bytes+size, groups+1
	}
	if start < len(segments) {
		parts = append(parts, segments[start:])
	}
	return parts
}

// bySubject makes what one subject held one entry.
func bySubject(segments []usage.Segment) (n, bytes int) {
	of := segments[0].Subject
	bytes = subjectBytes(of)
	var last usage.Dimension
	for n < len(segments) && same(segments[n].Subject, of) {
		if d := segments[n].Dimension; d != last {
			bytes, last = bytes+rowBytes+dimensionBytes(&d), d
		}
		n++
	}
	return n, bytes
}

// byTotal are the segments by what adds up, each of which becomes one total.
func byTotal(segments []usage.Segment) ([]usage.Segment, group) {
	ordered := slices.Clone(segments)
	slices.SortStableFunc(ordered, func(a, b usage.Segment) int { return totalOf(&a).compare(totalOf(&b)) })
	return ordered, func(segments []usage.Segment) (n, bytes int) {
		of := totalOf(&segments[0])
		for n < len(segments) && totalOf(&segments[n]) == of {
			n++
		}
		return n, totalBytes + dimensionBytes(&of.dimension)
	}
}

// resources are what each subject used of each dimension.
func resources(segments []usage.Segment, known usage.Window) []v1alpha1.Usage {
	var list []v1alpha1.Usage
	for len(segments) > 0 {
		n, _ := bySubject(segments)
		made := entry(segments[0].Subject)
		used := newTotals(segments[:n], known)
		for _, key := range used.order {
			made.Totals = append(made.Totals, v1alpha1.ResourceTotal{Dimension: key.dimension.Name, Exact: used.used[key].String()})
		}
		list, segments = append(list, made), segments[n:]
	}
	return list
}

// Weigh is about how many bytes the records of the segments take: the sum of Bytes.
func Weigh(segments []usage.Segment, detail usage.Detail) (bytes int64) {
	for _, part := range split(segments, detail) {
		bytes += weight(part, detail)
	}
	return bytes
}

// weight is that of one part.
func weight(segments []usage.Segment, detail usage.Detail) int64 {
	seen := map[total]struct{}{}
	subjects, rows := 0, 0
	var subject *usage.Subject
	var dimension usage.Dimension
	for i := range segments {
		s := &segments[i]
		another := i == 0 || s.Dimension != dimension
		if !same(s.Subject, subject) {
			subjects, another = subjects+1, true
		}
		if another {
			seen[totalOf(s)] = struct{}{}
			rows++
		}
		subject, dimension = s.Subject, s.Dimension
	}
	size := int64(headBytes + len(seen)*totalBytes)
	switch detail {
	case usage.DetailSegments:
		size += int64(subjects*entryBytes + len(segments)*segmentBytes)
	case usage.DetailResources:
		size += int64(subjects*entryBytes + rows*rowBytes)
	}
	return size
}

// totalOf is what the segment adds to.
func totalOf(s *usage.Segment) total {
	return total{resourceType: s.Subject.ResourceType, dimension: s.Dimension}
}

func (t total) compare(other total) int {
	return cmp.Or(cmp.Compare(t.resourceType, other.resourceType),
		cmp.Compare(t.dimension.Name, other.dimension.Name), cmp.Compare(t.dimension.Unit, other.dimension.Unit))
}
