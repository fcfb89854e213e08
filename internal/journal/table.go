package journal

import (
	"fmt"
	"io"
	"slices"

	"github.com/parquet-go/parquet-go"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// rowsPerGroup is how many rows of a table are read, or passed over, together.
const rowsPerGroup = 32768

// EncodeTable writes the changes as one Parquet file, with the columns of a block's
// segments: the same bytes for the same changes. A block is small, and read as a
// whole; a table may be large, and has what lets a reader pass over most of it:
// row groups, and the least and greatest value of each column in each of them. The error is w's.
func EncodeTable(w io.Writer, changes []usage.Change) error {
	options := []parquet.WriterOption{
		schema, created, compressed, parquet.DataPageVersion(1),
		parquet.DataPageStatistics(true), parquet.MaxRowsPerRowGroup(rowsPerGroup), pageBuffer(min(len(changes), rowsPerGroup)),
	}
	return writeRows(w, changes, options)
}

// DecodeTable reads what EncodeTable wrote, size bytes, and hands out each change. A file that is
// none of these is an error, whatever it is; some changes may have been handed out before.
func DecodeTable(file io.ReaderAt, size int64, each func(*usage.Change)) error {
	return readRows(file, size, newWords(), each)
}

// writeRows writes changes as a Parquet file.
func writeRows(w io.Writer, changes []usage.Change, options []parquet.WriterOption) error {
	writer := parquet.NewGenericWriter[row](w, options...)
	rows := make([]row, 0, rowsAtOnce)
	for chunk := range slices.Chunk(changes, rowsAtOnce) {
		rows = rows[:0]
		for i := range chunk {
			r, err := rowOf(&chunk[i])
			if err != nil {
				return fmt.Errorf("segment %s: %w", chunk[i].Segment, err)
			}
			rows = append(rows, r)
		}
		if _, err := writer.Write(rows); err != nil {
			return err
		}
	}
	return writer.Close()
}
