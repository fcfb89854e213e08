package hub

import (
	"context"
	"fmt"

	"github.com/usage-operator/usage-operator/internal/journal"
)

// Overlap is how much of a chain is read to take in a merged block that stands for some of it.
type Overlap struct {
	Blocks, Bytes int64
	Rows          int
}

// mostOverlap is far more than what fits into a block, merged, has in the blocks before.
var mostOverlap = Overlap{Blocks: 1 << 14, Bytes: 64 << 20, Rows: 2 * MaxRows}

// overlap takes off a merged block what the chain has of it already: what was acknowledged
// stays as it is. Anybody who may append can say that a block stands for the whole chain: it
// is looked first at how much that is.
func (a *appending) overlap(ctx context.Context, head *Head) (*Refusal, error) {
	var blocks, bytes int64
	err := a.tx.QueryRow(ctx, "SELECT count(*), coalesce(sum(length(spec)), 0)::bigint FROM blocks WHERE cluster = $1 AND sequence >= $2",
		a.cluster, a.block.From).Scan(&blocks, &bytes)
	if err != nil {
		return nil, err
	}
	if blocks > a.most.Blocks || bytes > a.most.Bytes {
		return a.tooMuch(head, "%d blocks, with %d bytes, and at most %d are compared, with %d", blocks, bytes, a.most.Blocks, a.most.Bytes), nil
	}
	told, refusal, err := a.overlapped(ctx, head)
	if err != nil || refusal != nil {
		return refusal, err
	}
	if err := told.Take(a.block); err != nil {
		refusal := refuse(Forked, "%v", err)
		refusal.Head = head.Sequence
		return refusal, nil
	}
	a.said = told.last()
	return nil, nil
}

// overlapped is what the blocks say that the chain has of what the block stands for.
func (a *appending) overlapped(ctx context.Context, head *Head) (*Told, *Refusal, error) {
	found, err := a.tx.Query(ctx, "SELECT first, sequence, spec FROM blocks WHERE cluster = $1 AND sequence >= $2 ORDER BY sequence", a.cluster, a.block.From)
	if err != nil {
		return nil, nil, err
	}
	defer found.Close()
	told, rows := &Told{}, 0
	for found.Next() {
		var stored journal.Stored
		if err := found.Scan(&stored.Key.From, &stored.Key.To, &stored.Spec); err != nil {
			return nil, nil, err
		}
		b, err := journal.Open(stored)
		if err == nil {
			if rows += b.Rows(); rows > a.most.Rows {
				return nil, a.tooMuch(head, "more than %d rows", a.most.Rows), nil
			}
			err = told.Take(b)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("block %s, which the hub has: %w", stored.Key, err)
		}
	}
	return told, nil, found.Err()
}

// tooMuch says that the hub has more of what the block stands for than it compares.
func (a *appending) tooMuch(head *Head, format string, args ...any) *Refusal {
	refusal := refuse(TooLarge, "block %s stands for what the hub has up to %d: %s", a.block.Key, head.Sequence, fmt.Sprintf(format, args...))
	refusal.Head = head.Sequence
	return refusal
}
