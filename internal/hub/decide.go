package hub

import (
	"errors"

	"github.com/usage-operator/usage-operator/internal/journal"
)

// examine reads a block, and refuses what no chain of the cluster has.
func examine(cluster Cluster, stored journal.Stored) (*journal.Whole, *Refusal) {
	if len(stored.Spec) > MaxBytes {
		return nil, refuse(TooLarge, "block %s has %d bytes, and may have %d", stored.Key, len(stored.Spec), MaxBytes)
	}
	b, err := journal.Open(stored)
	switch {
	case errors.Is(err, journal.ErrNewerFormat):
		return nil, refuse(NewerFormat, "block %s: %v", stored.Key, err)
	case err != nil:
		return nil, refuse(Damaged, "block %s: %v", stored.Key, err)
	case b.Cluster != "" && b.Cluster != string(cluster):
		return nil, refuse(OtherCluster, "block %s is of the cluster %s, and was sent as one of %s", b.Key, b.Cluster, cluster)
	case b.Rows() > MaxRows:
		return nil, refuse(TooLarge, "block %s has %d rows, and may have %d", b.Key, b.Rows(), MaxRows)
	case b.LeftOut:
		return nil, refuse(LeftOut, "block %s leaves out days that are in the cluster's archive", b.Key)
	}
	return b, nil
}

// follows tells why a block is not the next one of a chain; nil: it is. It reaches beyond the
// chain's last. before is the digest that the chain has before the block's first sequence;
// nil: that is beyond the chain, or inside a block that was merged.
func follows(head *Head, b *journal.Whole, before *journal.Digest) *Refusal {
	after := func(r *Refusal) *Refusal { r.Head = head.Sequence; return r }
	switch {
	case b.From > head.Sequence+1:
		return after(refuse(Gap, "block %s comes after sequence %d, and the hub has all up to %d", b.Key, b.From-1, head.Sequence))
	case before == nil:
		return after(refuse(Overlaps, "block %s begins inside a block that was merged: the hub has no block that ends with sequence %d", b.Key, b.From-1))
	case b.Previous == journal.Digest{} && b.From > 1:
		return after(refuse(Unlinked, "block %s names no block before it, and the hub has block %d with the digest %s", b.Key, b.From-1, before))
	case b.Previous != *before:
		return after(refuse(Forked, "block %s was written after one with the digest %s, and the hub has %s there", b.Key, b.Previous, before))
	case b.Part > 0 && (int64(b.Part) != head.part+1 || int64(b.Parts) != head.parts):
		return after(refuse(Damaged, "block %s is part %d of %d, and the one before it is part %d of %d", b.Key, b.Part, b.Parts, head.part, head.parts))
	}
	return nil
}

// doubtful tells why a merged block is not taken that stands for blocks which the chain has in
// part; nil: it may be. What is in it of these has no digest of its own to compare. Where a
// fork was refused at or after the first of them, it may be that fork's.
func doubtful(head *Head, b *journal.Whole) *Refusal {
	if head.Fork.Sequence < b.From {
		return nil
	}
	refusal := refuse(Forked, "block %s stands for blocks of which the hub has some, up to %d, and a fork was refused at sequence %d: "+
		"it cannot be told whether the block is of that", b.Key, head.Sequence, head.Fork.Sequence)
	refusal.Head = head.Sequence
	return refusal
}

// again is what becomes of a block at or before the chain's last. link is the digest that
// the chain has after the block's last sequence; nil: that is inside a block that was merged.
func again(head *Head, b *journal.Whole, link *journal.Digest) (Ack, *Refusal) {
	var refusal *Refusal
	switch {
	case link == nil:
		refusal = refuse(Overlaps, "the hub has sequence %d inside a merged block, and cannot tell whether block %s is a part of it", b.To, b.Key)
	case *link != b.Link:
		refusal = refuse(Forked, "block %s has the digest %s, and the hub has %s there", b.Key, b.Link, link)
	default:
		return Ack{Sequence: b.To, Digest: b.Link}, nil
	}
	refusal.Head = head.Sequence
	return Ack{}, refusal
}
