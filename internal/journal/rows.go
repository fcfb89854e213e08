package journal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// row is one change as a row of the Parquet file in a block. The columns' names
// and types are part of the block's format. Times are in UTC; a time that is
// null is none.
type row struct {
	Kind               string `parquet:"kind,dict"`
	Corrects           int64  `parquet:"corrects,optional,dict,timestamp(millisecond)"`
	Meter              string `parquet:"meter,dict"`
	ResourceType       string `parquet:"resource_type,dict"`
	Namespace          string `parquet:"namespace,dict"`
	NamespaceUID       string `parquet:"namespace_uid,dict"`
	Deployment         string `parquet:"deployment,dict"`
	ResourceAPIVersion string `parquet:"resource_api_version,dict"`
	ResourceKind       string `parquet:"resource_kind,dict"`
	ResourceName       string `parquet:"resource_name,dict"`
	ResourceUID        string `parquet:"resource_uid,dict"`
	InstanceAPIVersion string `parquet:"instance_api_version,dict"`
	InstanceKind       string `parquet:"instance_kind,dict"`
	InstanceName       string `parquet:"instance_name,dict"`
	InstanceUID        string `parquet:"instance_uid,dict"`
	Container          string `parquet:"container,dict"`
	Region             string `parquet:"region,dict"`
	Bundle             string `parquet:"bundle,dict"`
	Attributes         string `parquet:"attributes,dict,json"`
	Dimension          string `parquet:"dimension,dict"`
	Unit               string `parquet:"unit,dict"`
	Level              int64  `parquet:"level,dict"`
	Start              int64  `parquet:"start,dict,timestamp(millisecond)"`
	StartSlack         uint32 `parquet:"start_slack,dict"`
	StartEvidence      string `parquet:"start_evidence,dict"`
	End                int64  `parquet:"end,optional,dict,timestamp(millisecond)"`
	EndSlack           uint32 `parquet:"end_slack,dict"`
	EndEvidence        string `parquet:"end_evidence,dict"`
}

var schema = parquet.SchemaOf(row{})

// rowsAtOnce is how many rows are between memory and file at a time.
const rowsAtOnce = 512

// encodeRows is the Parquet file of the changes: the same bytes for the same changes.
func encodeRows(changes []usage.Change) ([]byte, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	var out bytes.Buffer
	if err := writeRows(&out, changes, append(slices.Clone(writerOptions), pageBuffer(len(changes)))); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// pageBuffer is room for so many rows: each column takes as much as it may need
// for a page at once, which for three rows would be 2 MiB.
func pageBuffer(rows int) parquet.WriterOption {
	const perRow, least = 256, 4096
	return parquet.PageBufferSize(min(max(perRow*rows, least), parquet.DefaultPageBufferSize))
}

// What all files have.
var (
	created    = parquet.CreatedBy("usage-operator", "1", "")
	compressed = parquet.Compression(&zstd.Codec{Level: zstd.SpeedDefault})
)

// writerOptions keep small files small: what a search through large files would
// need is left out.
var writerOptions = func() []parquet.WriterOption {
	options := []parquet.WriterOption{
		schema, created, compressed,
		parquet.DataPageVersion(1), // every tool reads it
		parquet.DataPageStatistics(false),
	}
	for _, column := range schema.Columns() {
		options = append(options, parquet.SkipPageBounds(column...))
	}
	return options
}()

func rowOf(change *usage.Change) (row, error) {
	s := change.Subject
	attributes, err := attributesText(s.Attributes)
	if err != nil {
		return row{}, err
	}
	for _, at := range []int64{change.Corrects, change.Start.At, change.End.At} {
		if at > math.MaxInt64/1000 || at < math.MinInt64/1000 {
			return row{}, fmt.Errorf("%d is not a time in seconds since the epoch", at)
		}
	}
	return row{
		Kind: change.Kind.String(), Corrects: change.Corrects * 1000, Meter: text(change.Meter),
		ResourceType: text(s.ResourceType),
		Namespace:    text(s.Namespace), NamespaceUID: text(s.NamespaceUID), Deployment: text(s.Deployment),
		ResourceAPIVersion: text(s.Resource.APIVersion), ResourceKind: text(s.Resource.Kind),
		ResourceName: text(s.Resource.Name), ResourceUID: text(s.Resource.UID),
		InstanceAPIVersion: text(s.Instance.APIVersion), InstanceKind: text(s.Instance.Kind),
		InstanceName: text(s.Instance.Name), InstanceUID: text(s.Instance.UID),
		Container: text(s.Container), Region: text(s.Region), Bundle: text(s.Bundle), Attributes: attributes,
		Dimension: text(change.Dimension.Name), Unit: text(string(change.Dimension.Unit)), Level: change.Level,
		Start: change.Start.At * 1000, StartSlack: change.Start.Slack, StartEvidence: change.Start.Evidence.String(),
		End: change.End.At * 1000, EndSlack: change.End.Slack, EndEvidence: change.End.Evidence.String(),
	}, nil
}

// decodeRows reads what encodeRows wrote, and hands out each change.
func decodeRows(file []byte, w *words, each func(*usage.Change)) error {
	if len(file) == 0 {
		return nil
	}
	return readRows(bytes.NewReader(file), int64(len(file)), w, each)
}

// readRows hands out the changes in a Parquet file.
func readRows(file io.ReaderAt, size int64, w *words, each func(*usage.Change)) (err error) {
	// A file that was damaged on purpose may get further than it should.
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("read the segments: %v", cause)
		}
	}()
	opened, err := parquet.OpenFile(file, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return fmt.Errorf("read the segments: %w", err)
	}
	if !parquet.EqualNodes(opened.Schema(), schema) {
		return errors.New("read the segments: the columns are not those of this format")
	}
	reader := parquet.NewGenericReader[row](opened, schema)
	defer reader.Close()
	// Not more than there are: for each one more, the reader looks for a page in every column.
	rows := make([]row, min(rowsAtOnce, opened.NumRows()))
	for left := opened.NumRows(); left > 0; {
		n, err := reader.Read(rows[:min(int64(len(rows)), left)])
		left -= int64(n)
		for i := range rows[:n] {
			change, err := rows[i].change(w)
			if err != nil {
				return fmt.Errorf("read the segments: %w", err)
			}
			each(&change)
		}
		if left > 0 && (err != nil || n == 0) {
			return fmt.Errorf("read the segments, %d rows before the end: %w", left, cmp.Or(err, io.ErrUnexpectedEOF))
		}
	}
	return nil
}

// change is the change that rowOf made the row of.
func (r *row) change(w *words) (usage.Change, error) {
	subject := usage.Subject{}
	var meter, dimension, unit string
	for _, field := range []struct {
		to   *string
		from string
	}{
		{&meter, r.Meter}, {&dimension, r.Dimension}, {&unit, r.Unit},
		{&subject.ResourceType, r.ResourceType}, {&subject.Namespace, r.Namespace},
		{&subject.NamespaceUID, r.NamespaceUID}, {&subject.Deployment, r.Deployment},
		{&subject.Resource.APIVersion, r.ResourceAPIVersion}, {&subject.Resource.Kind, r.ResourceKind},
		{&subject.Resource.Name, r.ResourceName}, {&subject.Resource.UID, r.ResourceUID},
		{&subject.Instance.APIVersion, r.InstanceAPIVersion}, {&subject.Instance.Kind, r.InstanceKind},
		{&subject.Instance.Name, r.InstanceName}, {&subject.Instance.UID, r.InstanceUID},
		{&subject.Container, r.Container}, {&subject.Region, r.Region}, {&subject.Bundle, r.Bundle},
	} {
		var err error
		if *field.to, err = w.word(field.from); err != nil {
			return usage.Change{}, err
		}
	}
	var err error
	if subject.Attributes, err = w.attributes(r.Attributes); err != nil {
		return usage.Change{}, err
	}
	kind, ok := changeKinds[r.Kind]
	start, okStart := usage.EvidenceNamed(r.StartEvidence)
	end, okEnd := usage.EvidenceNamed(r.EndEvidence)
	if !ok || !okStart || !okEnd {
		return usage.Change{}, fmt.Errorf("a row of kind %q with the evidence %q and %q: not all of these are known", r.Kind, r.StartEvidence, r.EndEvidence)
	}
	return usage.Change{Kind: kind, Corrects: r.Corrects / 1000, Segment: usage.Segment{
		Meter: meter, Subject: w.subject(subject),
		Dimension: usage.Dimension{Name: dimension, Unit: usage.Unit(unit)}, Level: r.Level,
		Start: usage.Boundary{At: r.Start / 1000, Slack: r.StartSlack, Evidence: start},
		End:   usage.Boundary{At: r.End / 1000, Slack: r.EndSlack, Evidence: end},
	}}, nil
}

var changeKinds = named(usage.Put, usage.More)

// named are the values from first to last by their names.
func named[T interface {
	~uint8
	fmt.Stringer
}](first, last T) map[string]T {
	byName := map[string]T{}
	for value := first; value <= last; value++ {
		byName[value.String()] = value
	}
	return byName
}
