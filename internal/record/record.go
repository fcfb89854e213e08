// Package record says what the UsageRecords of one account and one interval
// contain: the ledger cut to the interval, in parts that fit an object.
//
// It is pure: the same segments give the same bytes.
package record

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Key is which records are meant: those of one account in one interval.
type Key struct {
	Account  usage.Account
	Interval usage.Window
}

// Input is what the records are made from.
type Input struct {
	Key
	// Segments are the account's, cut to the interval, in canonical order.
	Segments []usage.Segment
	// Coverage is how the meters know the interval, where they did not observe it.
	Coverage []usage.Stretch
	// Namespace is where the records are written: the account's own namespace,
	// or, where that is gone, the operator's.
	Namespace string
	// Final tells whether the interval is over.
	Final bool
	// Now is how far the figures of an open interval reach, in seconds since the epoch.
	Now int64
	// Detail is how much of the segments is listed. The totals are the same, whatever it is.
	Detail usage.Detail
	// Deployments is how many deployments the segments are of, where they are those of
	// usage.OtherDeployments; else 0.
	Deployments int
}

const (
	// maxSegments and maxBytes bound a part: about 300 KiB, well under what
	// etcd takes, whatever the names are.
	maxSegments = 1000
	maxBytes    = 256 << 10
	// digits are those after the point of a quantity.
	digits = 6
)

// For is the account's records of the interval, one for each part; none when
// nothing was used.
func For(in Input) []*v1alpha1.UsageRecord {
	parts := split(in.Segments, in.Detail)
	records := make([]*v1alpha1.UsageRecord, len(parts))
	for i, part := range parts {
		records[i] = one(in, part, i, len(parts))
	}
	return records
}

// Part is the record of one part of an account's segments, which are those of the input,
// listed one by one: the part with that number, of so many. A Splitter says which they are.
func Part(in Input, index, count int) *v1alpha1.UsageRecord {
	return one(in, in.Segments, index, count)
}

// Splitter divides segments that are listed one by one, in canonical order, into parts that fit
// an object. The zero value begins with the first segment of a part.
type Splitter struct {
	segments, bytes int
	subject         *usage.Subject
}

// Begins takes the next segment, and tells whether it begins another part.
func (p *Splitter) Begins(s *usage.Segment) bool {
	size := segmentBytes + dimensionBytes(&s.Dimension)
	whole := size + subjectBytes(s.Subject)
	if !same(s.Subject, p.subject) {
		size = whole
	}
	p.subject = s.Subject
	if p.segments == maxSegments || p.segments > 0 && p.bytes+size > maxBytes {
		p.segments, p.bytes = 1, whole
		return true
	}
	p.segments, p.bytes = p.segments+1, p.bytes+size
	return false
}

// split cuts the segments into parts that fit an object.
func split(segments []usage.Segment, detail usage.Detail) [][]usage.Segment {
	switch detail {
	case usage.DetailResources:
		return pack(segments, bySubject)
	case usage.DetailTotals:
		return pack(byTotal(segments))
	}
	var parts [][]usage.Segment
	var splitter Splitter
	start := 0
	for i := range segments {
		if splitter.Begins(&segments[i]) {
			parts = append(parts, segments[start:i])
			start = i
		}
	}
	if start < len(segments) {
		parts = append(parts, segments[start:])
	}
	return parts
}

// same tells whether it is the same subject as before; nil is none.
func same(a, before *usage.Subject) bool {
	return a == before || before != nil && *a == *before
}

// segmentBytes is about what a segment takes as JSON.
const segmentBytes = 220

// dimensionBytes is about what a dimension takes beyond that: one that is of
// something may have a long name, and a total of its own.
func dimensionBytes(d *usage.Dimension) int {
	if _, what := d.Plain(); what == "" {
		return 0
	}
	return 250 + 3*len(d.Name)
}

// subjectBytes is about what a subject takes as JSON.
func subjectBytes(s *usage.Subject) int {
	return 200 + len(s.Resource.APIVersion) + len(s.Resource.Kind) + len(s.Resource.Name) + len(s.Resource.UID) +
		len(s.Instance.APIVersion) + len(s.Instance.Kind) + len(s.Instance.Name) + len(s.Instance.UID) +
		len(s.Container) + len(s.Region) + len(s.Bundle) + 2*len(s.Attributes)
}

func one(in Input, segments []usage.Segment, index, count int) *v1alpha1.UsageRecord {
	account, interval := in.Account, in.Interval
	record := &v1alpha1.UsageRecord{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "UsageRecord"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: in.Namespace,
			Name:      Name(in, index),
			Labels: map[string]string{
				v1alpha1.LabelDeployment: deploymentLabel(account.Deployment),
				v1alpha1.LabelInterval:   IntervalLabel(interval),
			},
		},
		Spec: v1alpha1.UsageRecordSpec{
			Namespace:    account.Namespace,
			NamespaceUID: account.NamespaceUID,
			Deployment:   account.Deployment,
			StartTime:    metav1.NewTime(utc(interval.Start)),
			EndTime:      metav1.NewTime(utc(interval.End)),
			Part:         v1alpha1.Part{Index: int32(index)},
		},
	}
	status := &record.Status
	status.Phase, status.Parts = v1alpha1.PhaseFinal, int32(count)
	known := interval
	if !in.Final {
		status.Phase = v1alpha1.PhaseOpen
		known.End = max(interval.Start, min(in.Now, interval.End))
		observed := metav1.NewTime(utc(known.End))
		status.ObservedTime = &observed
	}
	status.Accuracy = accuracy(segments, interval, in.Coverage)
	status.Detail, status.Deployments = detailNames[in.Detail], int32(in.Deployments)
	status.Usage = entries(segments, known, in.Detail)
	status.Resources = int32(len(status.Usage))
	totals := newTotals(segments, known)
	status.Totals, status.Summary = totals.list(), totals.summary()
	status.Digest = digest(record)
	if in.Final {
		record.Annotations = map[string]string{v1alpha1.AnnotationDigest: status.Digest}
	}
	return record
}

// accuracy is the worst of what the segments say, and the coverage of their meters.
func accuracy(segments []usage.Segment, interval usage.Window, coverage []usage.Stretch) v1alpha1.Accuracy {
	worst := v1alpha1.AccuracyExact
	known := map[string]usage.Coverage{}
	for _, stretch := range coverage {
		known[stretch.Meter] = max(known[stretch.Meter], stretch.Coverage)
	}
	for i := range segments {
		s := &segments[i]
		switch {
		case known[s.Meter] == usage.CoverageUnknown, s.Start.Evidence == usage.MeteringStarted && s.Start.At > interval.Start,
			s.End.Evidence == usage.MeteringStopped && s.End.At < interval.End:
			return v1alpha1.AccuracyPartial
		case s.Start.Slack > 0, s.End.Slack > 0,
			known[s.Meter] == usage.CoverageEstimated, s.Start.Evidence == usage.LastKnown, s.Start.Evidence == usage.Late, s.End.Evidence == usage.Late:
			worst = v1alpha1.AccuracyEstimated
		}
	}
	return worst
}

// entries groups the segments by who held them.
func entries(segments []usage.Segment, known usage.Window, detail usage.Detail) []v1alpha1.Usage {
	switch detail {
	case usage.DetailResources:
		return resources(segments, known)
	case usage.DetailTotals:
		return nil
	}
	var list []v1alpha1.Usage
	var subject *usage.Subject
	for i := range segments {
		s := &segments[i]
		if !same(s.Subject, subject) {
			list = append(list, entry(s.Subject))
		}
		subject = s.Subject
		last := &list[len(list)-1]
		last.Segments = append(last.Segments, segment(s, known))
	}
	return list
}

func entry(s *usage.Subject) v1alpha1.Usage {
	out := v1alpha1.Usage{
		ResourceType: s.ResourceType,
		Resource:     reference(s.Resource),
		Container:    s.Container,
		Region:       s.Region,
		Bundle:       s.Bundle,
	}
	if s.Instance != s.Resource {
		instance := reference(s.Instance)
		out.Instance = &instance
	}
	for key, value := range s.Attributes.Map() {
		if out.Attributes == nil {
			out.Attributes = map[string]v1alpha1.AttributeValue{}
		}
		out.Attributes[key] = v1alpha1.AttributeValue(value)
	}
	return out
}

func reference(o usage.Object) v1alpha1.ObjectReference {
	return v1alpha1.ObjectReference{APIVersion: o.APIVersion, Kind: o.Kind, Name: o.Name, UID: o.UID}
}

func segment(s *usage.Segment, known usage.Window) v1alpha1.Segment {
	out := v1alpha1.Segment{
		Dimension: s.Dimension.Name,
		Level:     s.Dimension.Unit.Level(s.Level),
		StartTime: metav1.NewTime(utc(s.Start.At)),
		Exact:     s.Within(known).String(),
		Evidence:  v1alpha1.SegmentEvidence{Start: s.Start.Evidence.String(), End: s.End.Evidence.String()},
	}
	if s.Start.Slack > 0 {
		earliest, _ := s.Start.StartBounds()
		out.StartEarliest = timestamp(earliest)
	}
	if !s.End.IsZero() {
		out.EndTime = timestamp(s.End.At)
	}
	if s.End.Slack > 0 {
		_, latest := s.End.EndBounds()
		out.EndLatest = timestamp(latest)
	}
	return out
}

func timestamp(seconds int64) *metav1.Time {
	t := metav1.NewTime(utc(seconds))
	return &t
}

// digest is over who, when and what: everything but the words for tables. The totals
// are in it where the segments, which they add up, are not listed.
func digest(record *v1alpha1.UsageRecord) string {
	hash := sha256.New()
	status := &record.Status
	content := struct {
		Spec        v1alpha1.UsageRecordSpec
		Accuracy    v1alpha1.Accuracy
		Usage       []v1alpha1.Usage
		Detail      v1alpha1.Detail  `json:",omitempty"`
		Deployments int32            `json:",omitempty"`
		Totals      []v1alpha1.Total `json:",omitempty"`
	}{Spec: record.Spec, Accuracy: status.Accuracy, Usage: status.Usage, Detail: status.Detail, Deployments: status.Deployments}
	if status.Detail != "" {
		content.Totals = status.Totals
	}
	err := json.NewEncoder(hash).Encode(content)
	if err != nil {
		panic(fmt.Sprintf("record: %s/%s has no JSON: %v", record.Namespace, record.Name, err))
	}
	return "sha256:" + hex.EncodeToString(hash.Sum(nil))
}
