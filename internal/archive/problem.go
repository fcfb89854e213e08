package archive

import (
	"errors"
	"fmt"

	"github.com/usage-operator/usage-operator/internal/journal"
)

// Fault is why nothing is built on an archive as it is.
type Fault string

// The faults.
const (
	// OtherCluster: the archive is of another cluster.
	OtherCluster Fault = "OtherCluster"
	// NewerFormat: a chapter was written by a version that is newer than this one.
	NewerFormat Fault = "NewerFormat"
	// Missing: a manifest, or the file that one names, is not there.
	Missing Fault = "Missing"
	// Damaged: an object is not what was written.
	Damaged Fault = "Damaged"
	// JournalBehind: the journal ends before the archive does.
	JournalBehind Fault = "JournalBehind"
	// Forked: the journal and the archive say different things of one time.
	Forked Fault = "Forked"
	// Unproven: the journal's segments of a day are not what it was sealed with.
	Unproven Fault = "Unproven"
	// Unconditional: the store overwrites what was to be created only if it is not there.
	Unconditional Fault = "Unconditional"
)

// Problem is a fault of an archive. It is an error.
type Problem struct {
	Fault
	// Archive is where it is, Object which of its objects it is about.
	Archive, Object string
	// Detail says what differs, and from what.
	Detail string
	// Cut tells that the journal has left out what is to be there.
	Cut bool
}

// Is makes a fault of what the journal has left out one that it knows.
func (p *Problem) Is(target error) bool { return p.Cut && target == journal.ErrNotArchived }

// Error says what is wrong with which object, and what a person can do.
func (p *Problem) Error() string {
	return fmt.Sprintf("the archive %s: %s: %s: %s. %s", p.Archive, p.Object, p.Fault, p.Detail, p.Remedy())
}

// another is how a person goes on without what is there.
const another = "or begin another archive, beside this one, with another prefix: --archive=...?prefix=ledger-2/"

// Remedy is what a person can do.
func (p *Problem) Remedy() string {
	switch {
	case p.Cut && p.Fault == OtherCluster:
		return "Set --archive to the archive of this cluster"
	case p.Cut && p.Fault == NewerFormat:
		return "Run the newer version"
	case p.Cut:
		return "Set --archive to the archive that has it, or restore the object from the store's versions, or a copy: the journal has left out what is there"
	}
	switch p.Fault {
	case OtherCluster:
		return "Give each cluster a bucket, or a prefix in it, of its own: --archive=...?prefix=CLUSTER/"
	case NewerFormat:
		return "Run the newer version; " + another
	case JournalBehind:
		return "If etcd was restored from a snapshot, what came after it is in the archive alone: restore a later snapshot; " + another
	case Forked:
		return "See which of both is right with usage-operator verify and usage-operator archive verify; " + another
	case Unproven:
		return "Nothing was written: find what differs with usage-operator verify"
	case Unconditional:
		return "Two replicas could overwrite each other: use a store that knows If-None-Match, or a directory"
	}
	return "Restore the object from the store's versions, or a copy; " + another
}

// IsProblem tells whether a person has to act, and not just the store to answer.
func IsProblem(err error) bool {
	_, is := errors.AsType[*Problem](err)
	return is
}
