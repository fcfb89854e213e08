package hub

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// View is a cluster's ledger as it was at one moment. It serves one caller at a time, and is
// what internal/audit reads blocks from.
type View struct {
	Head *Head
	tx   pgx.Tx
}

// View hands out a cluster's ledger as it is now, whatever is appended meanwhile.
func (s *Store) View(ctx context.Context, cluster Cluster, look func(*View) error) error {
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return pgx.BeginTxFunc(ctx, s.pool, options, func(tx pgx.Tx) error {
		head, err := scanHead(tx.QueryRow(ctx, "SELECT "+headColumns+" FROM clusters WHERE cluster = $1", cluster))
		if errors.Is(err, pgx.ErrNoRows) {
			return refuse(NotEnrolled, "the hub knows no cluster %s", cluster)
		}
		if err != nil {
			return err
		}
		return look(&View{Head: head, tx: tx})
	})
}

// List hands out every block, in order.
func (v *View) List(ctx context.Context, each func(journal.Stored) error) error {
	found, err := v.tx.Query(ctx, "SELECT first, sequence, spec FROM blocks WHERE cluster = $1 ORDER BY sequence", v.Head.Cluster)
	if err != nil {
		return err
	}
	defer found.Close()
	for found.Next() {
		var stored journal.Stored
		if err := found.Scan(&stored.Key.From, &stored.Key.To, &stored.Spec); err != nil {
			return err
		}
		if err := each(stored); err != nil {
			return err
		}
	}
	return found.Err()
}

// Get is one block, or journal.ErrNotFound.
func (v *View) Get(ctx context.Context, key journal.Key) (journal.Stored, error) {
	stored := journal.Stored{Key: key}
	err := v.tx.QueryRow(ctx, "SELECT spec FROM blocks WHERE cluster = $1 AND sequence = $2 AND first = $3",
		v.Head.Cluster, key.To, key.From).Scan(&stored.Spec)
	if errors.Is(err, pgx.ErrNoRows) {
		return stored, journal.ErrNotFound
	}
	return stored, err
}

// Changes hands out the rows of segments, in order, with the sequence of their block. Those
// of a commit that is not complete come last: their sequence is after the head's Counted.
func (v *View) Changes(ctx context.Context, each func(sequence uint64, c *usage.Change) error) error {
	subjects, err := v.subjects(ctx)
	if err != nil {
		return err
	}
	found, err := v.tx.Query(ctx, "SELECT "+segmentColumns+" FROM segments WHERE cluster = $1 ORDER BY sequence, ordinal", v.Head.Cluster)
	if err != nil {
		return err
	}
	defer found.Close()
	words := words{}
	for found.Next() {
		var r segmentRow
		if err := found.Scan(r.targets()...); err != nil {
			return err
		}
		if err := r.read(subjects, words); err != nil {
			return fmt.Errorf("a row of block %d: %w", r.sequence, err)
		}
		if err := each(r.sequence, &r.c); err != nil {
			return err
		}
	}
	return found.Err()
}

// segmentRow is a row of segments.
type segmentRow struct {
	sequence               uint64
	subject                int64
	kind, start, end       string
	meter, dimension, unit string
	c                      usage.Change
}

const segmentColumns = `sequence, subject, kind, corrects, meter, dimension, unit, level,
	starts, start_slack, start_evidence, ends, end_slack, end_evidence`

// targets are where segmentColumns go.
func (r *segmentRow) targets() []any {
	return []any{
		&r.sequence, &r.subject, &r.kind, &r.c.Corrects, &r.meter, &r.dimension, &r.unit, &r.c.Level,
		&r.c.Start.At, &r.c.Start.Slack, &r.start, &r.c.End.At, &r.c.End.Slack, &r.end,
	}
}

// words are texts that rows share, so that each is in memory once.
type words map[string]string

func (w words) of(text string) (string, error) {
	if known, ok := w[text]; ok {
		return known, nil
	}
	raw, err := journal.Untext(text)
	w[text] = raw
	return raw, err
}

var (
	kinds     = byName(usage.Put, usage.More)
	coverages = byName(usage.CoverageObserved, usage.CoverageUnknown)
)

// byName are the values from first to last by their names.
func byName[T interface {
	~uint8
	fmt.Stringer
}](first, last T) map[string]T {
	names := map[string]T{}
	for value := first; value <= last; value++ {
		names[value.String()] = value
	}
	return names
}

// read makes the row's change of its columns.
func (r *segmentRow) read(subjects map[int64]*usage.Subject, words words) error {
	var ok [4]bool
	r.c.Subject, ok[0] = subjects[r.subject]
	r.c.Kind, ok[1] = kinds[r.kind]
	r.c.Start.Evidence, ok[2] = usage.EvidenceNamed(r.start)
	r.c.End.Evidence, ok[3] = usage.EvidenceNamed(r.end)
	if ok != [4]bool{true, true, true, true} {
		return fmt.Errorf("subject %d, kind %q, evidence %q and %q: not all of these are known", r.subject, r.kind, r.start, r.end)
	}
	unit := ""
	for to, from := range map[*string]string{&r.c.Meter: r.meter, &r.c.Dimension.Name: r.dimension, &unit: r.unit} {
		var err error
		if *to, err = words.of(from); err != nil {
			return err
		}
	}
	r.c.Dimension.Unit = usage.Unit(unit)
	return nil
}

// subjects are all of the cluster's, by number.
func (v *View) subjects(ctx context.Context) (map[int64]*usage.Subject, error) {
	found, err := v.tx.Query(ctx, "SELECT subject, "+subjectColumns+" FROM subjects WHERE cluster = $1", v.Head.Cluster)
	if err != nil {
		return nil, err
	}
	return collectSubjects(found)
}

// collectSubjects reads rows of subjects.
func collectSubjects(found pgx.Rows) (map[int64]*usage.Subject, error) {
	subjects := map[int64]*usage.Subject{}
	var number int64
	var s subject
	targets := []any{&number}
	for i := range s.columns {
		targets = append(targets, &s.columns[i])
	}
	_, err := pgx.ForEachRow(found, targets, func() error {
		subject, err := s.usage()
		if err != nil {
			return fmt.Errorf("subject %d: %w", number, err)
		}
		subjects[number] = subject
		return nil
	})
	return subjects, err
}

// Seals are the rows of seals of complete commits, in order.
func (v *View) Seals(ctx context.Context) ([]journal.Seal, error) {
	found, err := v.tx.Query(ctx, `SELECT starts, ends, digest, partial, limit_bytes, limit_deployments
		FROM seals WHERE cluster = $1 AND sequence <= $2 ORDER BY sequence, ordinal`, v.Head.Cluster, v.Head.Counted)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(found, func(row pgx.CollectableRow) (journal.Seal, error) {
		var seal journal.Seal
		var digest []byte
		err := row.Scan(&seal.Interval.Start, &seal.Interval.End, &digest, &seal.Partial, &seal.Limits.Bytes, &seal.Limits.Deployments)
		copy(seal.Digest[:], digest)
		return seal, err
	})
}

// Coverage are the rows of coverage of complete commits, in order.
func (v *View) Coverage(ctx context.Context) ([]usage.Stretch, error) {
	found, err := v.tx.Query(ctx, "SELECT "+stretchColumns+" FROM coverage WHERE cluster = $1 AND sequence <= $2 ORDER BY sequence, ordinal",
		v.Head.Cluster, v.Head.Counted)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(found, func(row pgx.CollectableRow) (usage.Stretch, error) {
		var r stretchRow
		if err := row.Scan(r.targets()...); err != nil {
			return usage.Stretch{}, err
		}
		return r.read()
	})
}

// stretchRow is a row of coverage.
type stretchRow struct {
	s               usage.Stretch
	meter, coverage string
}

const stretchColumns = "meter, starts, ends, coverage"

// targets are where stretchColumns go.
func (r *stretchRow) targets() []any { return []any{&r.meter, &r.s.Start, &r.s.End, &r.coverage} }

func (r *stretchRow) read() (usage.Stretch, error) {
	s, ok := r.s, false
	if s.Coverage, ok = coverages[r.coverage]; !ok {
		return s, fmt.Errorf("coverage %q is not known", r.coverage)
	}
	var err error
	s.Meter, err = journal.Untext(r.meter)
	return s, err
}
