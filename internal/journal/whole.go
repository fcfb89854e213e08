package journal

import (
	"bytes"
	"fmt"

	"github.com/parquet-go/parquet-go"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Whole is a block that is what its digest says, for those who keep blocks elsewhere than
// in their cluster.
type Whole struct {
	Key
	// Digest is the block's, Previous the one that it names as the one before it, zero
	// where it names none, and Link the one that the next block names.
	Digest, Previous, Link Digest
	// Merged tells that it stands for several blocks.
	Merged bool
	// Part of Parts is which part of its commit it is, from 0 on.
	Part, Parts int
	// Cluster is whose it says that it is; "": it does not say.
	Cluster string
	// Time is when it was written, by the writer's clock.
	Time int64
	// LeftOut tells that something was left out of it, which an archive has.
	LeftOut bool
	Lists

	file []byte
	rows int
}

// Open reads a block, and checks everything that can be checked of it alone, but its rows. The error
// says what is wrong with it.
func Open(stored Stored) (*Whole, error) {
	b, err := openBlock(stored)
	if err != nil {
		return nil, err
	}
	said, err := listsOf(b.spec, newWords())
	if err != nil {
		return nil, err
	}
	w := &Whole{
		Key: b.Key, Digest: b.digest, Previous: b.previous, Link: b.link, Merged: b.compacted(),
		Part: int(b.spec.Part.Index), Parts: int(b.spec.Part.Count), Cluster: b.spec.Cluster, Time: b.spec.Time.Unix(),
		LeftOut: b.leftOut != nil, rows: int(b.spec.Rows),
		Lists: Lists{Meters: said.meters, Coverage: said.coverage, Seals: said.seals},
	}
	w.file, err = fileOf(b.spec)
	return w, err
}

// Forget lets go of what it says of segments: Changes hands out nothing more.
func (w *Whole) Forget() { w.file, w.rows = nil, 0 }

// Rows is how many changes it says that it has.
func (w *Whole) Rows() int { return w.rows }

// Changes hands out what the block says of segments: as many changes as it says. After an error some
// may have been handed out.
func (w *Whole) Changes(each func(*usage.Change)) error {
	if len(w.file) > 0 {
		opened, err := parquet.OpenFile(bytes.NewReader(w.file), int64(len(w.file)), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
		if err != nil {
			return fmt.Errorf("read the segments: %w", err)
		}
		if rows := opened.NumRows(); rows != int64(w.rows) {
			return fmt.Errorf("it has %d rows, and says %d", rows, w.rows)
		}
	} else if w.rows != 0 {
		return fmt.Errorf("it has no rows, and says %d", w.rows)
	}
	return decodeRows(w.file, newWords(), each)
}

// AddUp is what changes amount to that are all of a journal, in its order: the newest Put
// of each segment, but for those that are void, and every Less and More. The error is that of changes:
// the list is not complete then.
func AddUp(changes func(each func(*usage.Change)) error) ([]usage.Change, error) {
	f := newFold(true)
	err := changes(f.add)
	return f.result(), err
}

// Text is any string as text that every database takes, and Untext is the string again.
func Text(s string) string { return text(s) }

// Untext is the string that Text wrote. A text that Text cannot have written is an error.
func Untext(s string) (string, error) { return untext(s) }

// AttributesText is attributes as a text of JSON, and ParseAttributes reads it.
func AttributesText(a usage.Attributes) (string, error) { return attributesText(a) }

// ParseAttributes reads what AttributesText wrote; any other text is an error.
func ParseAttributes(s string) (usage.Attributes, error) { return parseAttributes(s) }
