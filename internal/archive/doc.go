// Package archive keeps the sealed history of a ledger outside of the cluster: in a
// directory, or in a bucket (S3, Google Cloud Storage, Azure Blob Storage).
//
// A chapter is what a UTC day's intervals were sealed with: every segment that lasted
// in it, how much of it nobody saw, the seals, and the corrections that were learnt
// since the chapter before. It is one Parquet file, with the columns of the journal's
// blocks, and a manifest. The day's seals can be computed from its chapter alone, and
// are, before it is written and whenever it is read: so a chapter says the same as the
// journal, or it is none. Each manifest names the digest of the one before.
//
// An object is created once, and never changed. The manifest comes last: without it,
// there is no chapter. What a writer leaves behind that ended before is taken up by
// the next one, or is of no consequence.
package archive
