package hub

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/usage-operator/usage-operator/internal/journal"
)

// Append takes a block into its cluster's chain, with its rows, or nothing of it. A block
// that is there already is acknowledged as it was. A *Refusal says why it is not taken.
// After any other error it is not known whether it was: send it again, until it is.
//
// The cluster's row is locked from the comparison to the end, so that appends of one
// cluster come one after the other, whichever replica does them.
func (s *Store) Append(ctx context.Context, cluster Cluster, stored journal.Stored) (Ack, error) {
	b, refusal := examine(cluster, stored)
	if refusal != nil {
		return Ack{}, refusal
	}
	told := &Told{}
	err := told.Take(b)
	if _, large := errors.AsType[*TextError](err); large {
		return Ack{}, refuse(TooLarge, "%v", err)
	}
	if err != nil {
		return Ack{}, refuse(Damaged, "block %s: %v", b.Key, err)
	}
	said := told.last()
	var ack Ack
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		a := &appending{Store: s, tx: tx, cluster: cluster, block: b, spec: stored.Spec, said: said, now: s.clock.Now().Unix()}
		var err error
		ack, refusal, err = a.run(ctx)
		return err
	})
	switch {
	case err != nil:
		return Ack{}, fmt.Errorf("append block %s of %s: %w", b.Key, cluster, err)
	case refusal != nil:
		return Ack{}, refusal
	}
	return ack, nil
}

// appending is one append at work.
type appending struct {
	*Store
	tx      pgx.Tx
	cluster Cluster
	block   *journal.Whole
	spec    []byte
	// said is what the block says beyond what the chain has.
	said      *Said
	now       int64
	statement int
}

// lockPatience is how long an append waits for another one of its cluster: it has a
// connection meanwhile, which others wait for.
const lockPatience = 10 * time.Second

// errMoved says that the chain is not where it was when it was locked: the engine's locks
// do not hold.
var errMoved = errors.New("the chain has moved since it was locked")

func (a *appending) run(ctx context.Context) (Ack, *Refusal, error) {
	if err := a.before(ctx, a.tx, a.statement); err != nil {
		return Ack{}, nil, err
	}
	if _, err := a.tx.Exec(ctx, "SELECT set_config('lock_timeout', $1, true)", strconv.FormatInt(a.lockPatience.Milliseconds(), 10)); err != nil {
		return Ack{}, nil, err
	}
	head, err := scanHead(a.tx.QueryRow(ctx, "SELECT "+headColumns+" FROM clusters WHERE cluster = $1 FOR UPDATE", a.cluster))
	if errors.Is(err, pgx.ErrNoRows) {
		return Ack{}, refuse(NotEnrolled, "the hub knows no cluster %s", a.cluster), nil
	}
	if err != nil {
		return Ack{}, nil, err
	}
	if a.block.To <= head.Sequence {
		return a.again(ctx, head)
	}
	before, err := a.linkBefore(ctx, head)
	if err != nil {
		return Ack{}, nil, err
	}
	refusal := follows(head, a.block, before)
	if refusal == nil && a.block.From <= head.Sequence {
		if refusal = doubtful(head, a.block); refusal == nil {
			refusal, err = a.overlap(ctx, head)
		}
	}
	if err != nil || refusal != nil {
		return Ack{}, refusal, errors.Join(err, a.note(ctx, head, refusal))
	}
	return Ack{Sequence: a.block.To, Digest: a.block.Link}, nil, a.write(ctx, head)
}

// linkAt is the digest that the chain has after a sequence; nil: it has no block that ends with it.
func (a *appending) linkAt(ctx context.Context, head *Head, sequence uint64) (*journal.Digest, error) {
	switch sequence {
	case 0:
		return &journal.Digest{}, nil
	case head.Sequence:
		return &head.Digest, nil
	}
	var there []byte
	err := a.tx.QueryRow(ctx, "SELECT link FROM blocks WHERE cluster = $1 AND sequence = $2", a.cluster, sequence).Scan(&there)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return new(journal.Digest(there)), nil
}

// linkBefore is the digest that the chain has before the block; nil: it has no block that ends there.
func (a *appending) linkBefore(ctx context.Context, head *Head) (*journal.Digest, error) {
	if a.block.From > head.Sequence+1 {
		return nil, nil
	}
	return a.linkAt(ctx, head, a.block.From-1)
}

// again answers a block that the chain has gone past.
func (a *appending) again(ctx context.Context, head *Head) (Ack, *Refusal, error) {
	link, err := a.linkAt(ctx, head, a.block.To)
	if err != nil {
		return Ack{}, nil, err
	}
	ack, refusal := again(head, a.block, link)
	return ack, refusal, a.note(ctx, head, refusal)
}

// forkEvery is how often a fork is written down that is known already, in seconds.
const forkEvery = 60

// note writes down that a fork was refused.
func (a *appending) note(ctx context.Context, head *Head, refusal *Refusal) error {
	if refusal == nil || refusal.Reason != Forked {
		return nil
	}
	if head.Fork.Sequence == a.block.To && head.Fork.Digest == a.block.Link && a.now < head.Fork.Seen+forkEvery {
		return nil
	}
	return a.exec(ctx, "UPDATE clusters SET fork_sequence = $2, fork_digest = $3, fork_seen = $4 WHERE cluster = $1",
		a.cluster, a.block.To, a.block.Link[:], a.now)
}

// write writes the block and what it says, and moves the chain on.
func (a *appending) write(ctx context.Context, head *Head) error {
	b := a.block
	if b.Part == 0 && head.Counted < head.Sequence {
		// The commit before lacks its last part, and another one has begun: it never happened.
		for _, table := range []string{"segments", "seals", "coverage"} {
			if err := a.exec(ctx, "DELETE FROM "+table+" WHERE cluster = $1 AND sequence > $2", a.cluster, head.Counted); err != nil {
				return err
			}
		}
	}
	err := a.exec(ctx, `INSERT INTO blocks (cluster, sequence, first, previous, digest, link, written, received, spec)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		a.cluster, b.To, b.From, bytesOf(b.Previous), b.Digest[:], b.Link[:], b.Time, a.now, a.spec)
	if err != nil {
		return err
	}
	next, err := a.writeRows(ctx, head.nextSubject)
	if err != nil {
		return err
	}
	counted := head.Counted
	if b.Part == b.Parts-1 {
		counted = b.To
	}
	if err := a.before(ctx, a.tx, a.statement); err != nil {
		return err
	}
	done, err := a.tx.Exec(ctx, `UPDATE clusters SET sequence = $4, digest = $5, counted = $6, part = $7, parts = $8,
		written = $9, received = $10, next_subject = $11 WHERE cluster = $1 AND sequence = $2 AND digest = $3`,
		a.cluster, head.Sequence, bytesOf(head.Digest), b.To, b.Link[:], counted, b.Part, b.Parts, b.Time, a.now, next)
	if err == nil && done.RowsAffected() != 1 {
		err = errMoved
	}
	if err != nil {
		return err
	}
	a.statement++
	return a.before(ctx, a.tx, a.statement)
}

// exec does a statement.
func (a *appending) exec(ctx context.Context, statement string, arguments ...any) error {
	if err := a.before(ctx, a.tx, a.statement); err != nil {
		return err
	}
	a.statement++
	_, err := a.tx.Exec(ctx, statement, arguments...)
	return err
}

// bytesOf is a digest as a column; none is empty.
func bytesOf(d journal.Digest) []byte {
	if d == (journal.Digest{}) {
		return []byte{}
	}
	return d[:]
}
