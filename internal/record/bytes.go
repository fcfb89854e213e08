package record

import "github.com/usage-operator/usage-operator/api/v1alpha1"

const (
	// headBytes is about what a record takes beside its usage, metadata included.
	headBytes = 1500
	// entryBytes is about what an entry of its usage takes beside segments and totals.
	entryBytes = 250
)

// Bytes is about how large the record is where it is stored.
func Bytes(r *v1alpha1.UsageRecord) int64 {
	size := headBytes + len(r.Status.Totals)*totalBytes
	for i := range r.Status.Usage {
		size += entryBytes + len(r.Status.Usage[i].Segments)*segmentBytes + len(r.Status.Usage[i].Totals)*rowBytes
	}
	return int64(size)
}
