package journal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"testing"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// SetRowsPerBlock makes batches of more rows several parts, and returns what undoes it.
func SetRowsPerBlock(n int) (restore func()) {
	before := rowsPerBlock
	rowsPerBlock = n
	return func() { rowsPerBlock = before }
}

// SetHeldBytes makes all that is beyond it be read a second time, and returns what undoes it.
func SetHeldBytes(n int) (restore func()) {
	large, small := heldBytes, heldSmallBytes
	heldBytes, heldSmallBytes = n, n
	return func() { heldBytes, heldSmallBytes = large, small }
}

// SetLargeHeldBytes does so for blocks that are too large to be merged.
func SetLargeHeldBytes(n int) (restore func()) {
	before := heldBytes
	heldBytes = n
	return func() { heldBytes = before }
}

// SetMergedBytes has fewer blocks merged at once, and returns what undoes it.
func SetMergedBytes(n int) (restore func()) {
	before := mergedBytes
	mergedBytes = n
	return func() { mergedBytes = before }
}

// SetCutAtOnce has one Compact leave something out of fewer blocks, or of more, and returns
// what undoes it.
func SetCutAtOnce(n int) (restore func()) {
	before := cutAtOnce
	cutAtOnce = n
	return func() { cutAtOnce = before }
}

// Redigest gives a changed spec the digest that fits.
func Redigest(t testing.TB, spec []byte) []byte {
	t.Helper()
	text, stated, err := canonical(spec)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Replace(spec, []byte(stated), []byte(Digest(sha256.Sum256(text)).String()), 1)
}

// EncodeRows writes the changes as a Parquet file.
func EncodeRows(changes []usage.Change) error {
	_, err := encodeRows(changes)
	return err
}

// Look is one look of a standby.
func Look(ctx context.Context, j *Journal) error {
	_, err := j.follow(ctx)
	return err
}

// LeaveOut leaves out what is archived, and merges nothing else.
func LeaveOut(ctx context.Context, j *Journal) error { return j.leaveOut(ctx) }

// IsCutting tells whether something is left out by the next LeaveOut.
func IsCutting(j *Journal) bool { return j.recent() != nil }
