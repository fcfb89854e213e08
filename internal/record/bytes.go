package record

import "github.com/usage-operator/usage-operator/api/v1alpha1"

// headBytes is about what a record takes beside its usage, metadata included.
const headBytes = 1500

// Bytes is about how large the record is where it is stored.
func Bytes(r *v1alpha1.UsageRecord) int64 {
	size := headBytes + len(r.Status.Totals)*150
	for i := range r.Status.Usage {
		size += 250 + len(r.Status.Usage[i].Segments)*segmentBytes
	}
	return int64(size)
}
