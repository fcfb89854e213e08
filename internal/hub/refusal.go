package hub

import "fmt"

// Reason is why the hub does not take a block. Programs tell refusals apart by it.
type Reason string

// The reasons.
const (
	// Unauthorized: the credential is not one of the cluster's, or the cluster is not enrolled.
	Unauthorized Reason = "Unauthorized"
	// NotEnrolled: the hub does not know the cluster.
	NotEnrolled Reason = "NotEnrolled"
	// OtherCluster: the block says that it is of another cluster.
	OtherCluster Reason = "OtherCluster"
	// Damaged: the block is not what was written, or not under its name.
	Damaged Reason = "Damaged"
	// NewerFormat: a version wrote the block that is newer than the hub's.
	NewerFormat Reason = "NewerFormat"
	// TooLarge: no journal has such a block.
	TooLarge Reason = "TooLarge"
	// Gap: blocks before it are missing.
	Gap Reason = "Gap"
	// Forked: the chain has another block in its place, or before it.
	Forked Reason = "Forked"
	// Unlinked: the block was written after one that the cluster lost.
	Unlinked Reason = "Unlinked"
	// Overlaps: it begins or ends inside of a merged block that the hub has.
	Overlaps Reason = "Overlaps"
	// LeftOut: an archive has a part of what the block said.
	LeftOut Reason = "LeftOut"
)

// next is what can be done about each.
var next = map[Reason]string{
	Unauthorized: "Give the cluster's operator the token that usage-hub enrol printed for it, or a new one: usage-hub enrol --rotate.",
	NotEnrolled:  "Enrol the cluster: usage-hub enrol.",
	OtherCluster: "Send the block under its own cluster's UID. If the journal was taken over from another cluster, start a journal of its own.",
	Damaged:      "Send it again. If it is refused again, look at the journal with usage-operator verify.",
	NewerFormat:  "Upgrade the hub before the clusters' operators.",
	TooLarge:     "Look at the journal with usage-operator verify: the operator writes no such block.",
	Gap:          "Send the blocks from the one on that follows the hub's last.",
	Forked: "Two clusters write under one UID, such as a clone and what it was cloned from, or the journal was restored from a backup " +
		"that is older than what the hub has. Stop the one that is not to count. Nothing of the hub's was changed.",
	Unlinked: "The cluster's journal goes on after a gap that somebody accepted, and this version of the hub cannot. Keep its ledger as it is, " +
		"and enrol the cluster in a hub of its own.",
	Overlaps: "Send the block that follows the hub's last, or a merged one that stands for it: an operator's blocks are never merged otherwise.",
	LeftOut:  "This version of the hub does not read archives: enrol a cluster before its journal is cut (--archive-cut).",
}

// Refusal says why the hub does not take a block, and what to do. It holds until somebody
// does it: sending the block again changes nothing, but after a Gap.
type Refusal struct {
	Reason Reason
	Detail string
	// Head is the last sequence that the hub has; where it is known.
	Head uint64
}

// Next is what to do.
func (r *Refusal) Next() string { return next[r.Reason] }

func (r *Refusal) Error() string { return fmt.Sprintf("%s: %s. %s", r.Reason, r.Detail, r.Next()) }

func refuse(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}
