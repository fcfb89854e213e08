package hub

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Place is how far somebody has read a chain: its commits up to a sequence.
type Place struct {
	Sequence uint64
	// Link is the digest of the chain after it.
	Link journal.Digest
}

// ErrOtherChain says that the chain is not the one that was read so far: the database was
// restored from an older backup.
var ErrOtherChain = errors.New("the chain is another one than was read so far")

const (
	// blocksAtOnce and bytesAtOnce are how many blocks are read at once, and about how many
	// bytes of them.
	blocksAtOnce, bytesAtOnce = 1024, 4 << 20
	// changesAtOnce is how many changes are handed out at once.
	changesAtOnce = 4096
)

// Since hands out what the complete commits after a place say, in order, and returns the
// place after them. A commit comes in several batches: what it says of segments first, and
// at last one with its time and all else. What is complete never changes, so that no
// transaction has to hold while it is read.
func (s *Store) Since(ctx context.Context, cluster Cluster, from Place, each func(*journal.Batch) error) (Place, error) {
	head, err := s.Head(ctx, cluster)
	if err != nil {
		return from, err
	}
	if err := s.goesOn(ctx, head, from); err != nil {
		return from, err
	}
	r := &reading{Store: s, cluster: cluster, place: from, done: from, each: each}
	for r.place.Sequence < head.Counted {
		if err := r.some(ctx, head.Counted); err != nil {
			return r.done, err
		}
	}
	return r.done, nil
}

// goesOn is ErrOtherChain unless the chain has the place.
func (s *Store) goesOn(ctx context.Context, head *Head, place Place) error {
	if place.Sequence == 0 {
		return nil
	}
	var link []byte
	err := s.pool.QueryRow(ctx, "SELECT link FROM blocks WHERE cluster = $1 AND sequence = $2", head.Cluster, place.Sequence).Scan(&link)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && (head.Counted < place.Sequence || journal.Digest(link) != place.Link) {
		return ErrOtherChain
	}
	return err
}

// reading is a chain that is being read.
type reading struct {
	*Store
	cluster Cluster
	place   Place // up to where blocks were read
	done    Place // up to where commits were
	each    func(*journal.Batch) error
	// batch is of the commit that lacks its last part, but for changes.
	batch journal.Batch
}

// told is a block without what it says of segments.
type told struct {
	*journal.Whole
	seals    []journal.Seal
	coverage []usage.Stretch
}

// some reads some blocks, up to a sequence.
func (r *reading) some(ctx context.Context, to uint64) error {
	blocks, err := r.blocks(ctx, to)
	if err != nil {
		return err
	}
	if len(blocks) == 0 {
		return fmt.Errorf("the chain of %s has no block after %d, and counts up to %d", r.cluster, r.place.Sequence, to)
	}
	last := blocks[len(blocks)-1].To
	if err := r.lists(ctx, blocks, last); err != nil {
		return err
	}
	subjects, err := r.subjects(ctx, last)
	if err != nil {
		return err
	}
	if err := r.hand(ctx, blocks, subjects, last); err != nil {
		return err
	}
	r.place.Sequence = last
	return nil
}

func (r *reading) blocks(ctx context.Context, to uint64) ([]*told, error) {
	found, err := r.pool.Query(ctx, `SELECT first, sequence, spec FROM (
			SELECT first, sequence, spec, sum(length(spec)) OVER (ORDER BY sequence) - length(spec) AS before FROM (
				SELECT first, sequence, spec FROM blocks WHERE cluster = $1 AND sequence > $2 AND sequence <= $3 ORDER BY sequence LIMIT $4
			) AS next
		) AS measured WHERE before < $5 ORDER BY sequence`, r.cluster, r.place.Sequence, to, blocksAtOnce, bytesAtOnce)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(found, func(row pgx.CollectableRow) (*told, error) {
		var stored journal.Stored
		if err := row.Scan(&stored.Key.From, &stored.Key.To, &stored.Spec); err != nil {
			return nil, err
		}
		block, err := journal.Open(stored)
		if err != nil {
			return nil, fmt.Errorf("block %s: %w", stored.Key, err)
		}
		block.Forget()
		return &told{Whole: block}, nil
	})
}

// lists reads what the rows say of intervals and of coverage.
func (r *reading) lists(ctx context.Context, blocks []*told, last uint64) error {
	by := make(map[uint64]*told, len(blocks))
	for _, b := range blocks {
		by[b.To] = b
	}
	seals, err := r.pool.Query(ctx, `SELECT sequence, starts, ends FROM seals
		WHERE cluster = $1 AND sequence > $2 AND sequence <= $3 ORDER BY sequence, ordinal`, r.cluster, r.place.Sequence, last)
	if err != nil {
		return err
	}
	var sequence uint64
	var interval usage.Window
	_, err = pgx.ForEachRow(seals, []any{&sequence, &interval.Start, &interval.End}, func() error {
		b := by[sequence]
		if b == nil {
			return unblocked(sequence)
		}
		b.seals = append(b.seals, journal.Seal{Interval: interval})
		return nil
	})
	if err != nil {
		return err
	}
	stretches, err := r.pool.Query(ctx, "SELECT sequence, "+stretchColumns+` FROM coverage
		WHERE cluster = $1 AND sequence > $2 AND sequence <= $3 ORDER BY sequence, ordinal`, r.cluster, r.place.Sequence, last)
	if err != nil {
		return err
	}
	var row stretchRow
	_, err = pgx.ForEachRow(stretches, append([]any{&sequence}, row.targets()...), func() error {
		stretch, err := row.read()
		b := by[sequence]
		if err == nil && b == nil {
			err = unblocked(sequence)
		}
		if err == nil {
			b.coverage = append(b.coverage, stretch)
		}
		return err
	})
	return err
}

// unblocked is that there are rows of a block, and not the block.
func unblocked(sequence uint64) error {
	return fmt.Errorf("there are rows of a block %d, and no such block: usage-hub verify says more", sequence)
}

func (r *reading) subjects(ctx context.Context, last uint64) (map[int64]*usage.Subject, error) {
	found, err := r.pool.Query(ctx, "SELECT subject, "+subjectColumns+` FROM subjects WHERE cluster = $1 AND subject IN (
		SELECT subject FROM segments WHERE cluster = $1 AND sequence > $2 AND sequence <= $3)`, r.cluster, r.place.Sequence, last)
	if err != nil {
		return nil, err
	}
	return collectSubjects(found)
}

// hand hands out what the blocks say.
func (r *reading) hand(ctx context.Context, blocks []*told, subjects map[int64]*usage.Subject, last uint64) error {
	found, err := r.pool.Query(ctx, "SELECT "+segmentColumns+` FROM segments
		WHERE cluster = $1 AND sequence > $2 AND sequence <= $3 ORDER BY sequence, ordinal`, r.cluster, r.place.Sequence, last)
	if err != nil {
		return err
	}
	defer found.Close()
	var row segmentRow
	words, changes := words{}, make([]usage.Change, 0, changesAtOnce)
	flush := func() error {
		if len(changes) == 0 {
			return nil
		}
		err := r.each(&journal.Batch{Changes: changes})
		changes = changes[:0]
		return err
	}
	next := 0
	// until hands out the blocks before a sequence: all that they say of segments was read.
	until := func(sequence uint64) error {
		for ; next < len(blocks) && blocks[next].To < sequence; next++ {
			if err := errors.Join(flush(), r.end(blocks[next])); err != nil {
				return err
			}
		}
		return nil
	}
	for found.Next() {
		if err := found.Scan(row.targets()...); err != nil {
			return err
		}
		if err := row.read(subjects, words); err != nil {
			return fmt.Errorf("a row of block %d: %w", row.sequence, err)
		}
		if err := until(row.sequence); err != nil {
			return err
		}
		if next == len(blocks) || blocks[next].To != row.sequence {
			return unblocked(row.sequence)
		}
		if changes = append(changes, row.c); len(changes) == changesAtOnce {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := found.Err(); err != nil {
		return err
	}
	return until(last + 1)
}

// end ends a block and, if it is the last part of one, its commit. Of a commit that another
// one followed before it was complete there are blocks, and no rows.
func (r *reading) end(b *told) error {
	if b.Part == 0 {
		r.batch = journal.Batch{}
	}
	r.batch.Time = b.Time
	if b.Meters != nil {
		r.batch.Meters = append(r.batch.Meters, b.Meters...)
		if r.batch.Meters == nil {
			r.batch.Meters = []journal.Meter{}
		}
	}
	r.batch.Seals = append(r.batch.Seals, b.seals...)
	r.batch.Coverage = append(r.batch.Coverage, b.coverage...)
	if b.Part != b.Parts-1 {
		return nil
	}
	batch := r.batch
	r.batch = journal.Batch{}
	r.done = Place{Sequence: b.To, Link: b.Link}
	return r.each(&batch)
}
