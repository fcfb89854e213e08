package hub

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"k8s.io/utils/clock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// version is the one of the schema that this code is written for: the last migration's.
const version = 1

// versions is the table with the migrations that were done. It is not goose's own default: that
// is of any program that uses goose, and may be in the same database.
const versions = "usage_hub_schema"

// Store keeps ledgers in a database. Any number of them may use one database.
type Store struct {
	pool  *pgxpool.Pool
	clock clock.PassiveClock
	most  Overlap
	// lockPatience is how long an append waits for another one of its cluster.
	lockPatience time.Duration
	// before is asked before each statement of an append, by its number; tests set it.
	before func(ctx context.Context, tx pgx.Tx, statement int) error
}

const (
	// spare is how many connections there are beyond those that append: to tell who may, where
	// the chains are, and whether the database answers.
	spare = 4
	// poolSize is what says how many connections there may be, in a location.
	poolSize = "pool_max_conns"
)

// Open is the store at a location, in the words of libpq: a URL, or keywords. It is not
// asked yet whether anything is there.
func Open(ctx context.Context, location string, clock clock.PassiveClock) (*Store, error) {
	return OpenFor(ctx, location, clock, 0)
}

// OpenFor is a store with room for as many appends at once; 0: for a few. A location that
// says how many connections there may be (pool_max_conns) is heeded.
func OpenFor(ctx context.Context, location string, clock clock.PassiveClock, atOnce int) (*Store, error) {
	config, err := pgxpool.ParseConfig(location)
	if err != nil {
		return nil, fmt.Errorf("the database's location: %w", err)
	}
	said, err := pgx.ParseConfig(location) // it leaves what is the pool's among the parameters
	if err != nil {
		return nil, fmt.Errorf("the database's location: %w", err)
	}
	if _, sized := said.RuntimeParams[poolSize]; !sized && atOnce > 0 {
		config.MaxConns = int32(min(atOnce, math.MaxInt32-spare) + spare)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("the database's location: %w", err)
	}
	return &Store{pool: pool, clock: clock, most: mostOverlap, lockPatience: lockPatience, before: func(context.Context, pgx.Tx, int) error { return nil }}, nil
}

// Close lets go of the store.
func (s *Store) Close() { s.pool.Close() }

// Migrate brings the schema to the version that this code is written for. Two may do it at
// once: one waits for the other.
func (s *Store) Migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return err
	}
	database := stdlib.OpenDBFromPool(s.pool)
	defer database.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, database, files, goose.WithSessionLocker(locker), goose.WithTableName(versions))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// SchemaError says that the schema is not the one that this code is written for.
type SchemaError struct{ Found, Want int64 }

func (e *SchemaError) Error() string {
	if e.Found > e.Want {
		return fmt.Sprintf("the schema has version %d, and this hub knows %d: run the newer hub", e.Found, e.Want)
	}
	return fmt.Sprintf("the schema has version %d, and this hub needs %d: run usage-hub migrate", e.Found, e.Want)
}

// Ready tells whether the database answers, and has the schema.
func (s *Store) Ready(ctx context.Context) error {
	var there bool
	if err := s.pool.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", versions).Scan(&there); err != nil {
		return err
	}
	if !there {
		return &SchemaError{Want: version}
	}
	var found int64
	if err := s.pool.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM "+versions+" WHERE is_applied").Scan(&found); err != nil {
		return err
	}
	if found != version {
		return &SchemaError{Found: found, Want: version}
	}
	return nil
}

const headColumns = `cluster::text, name, sequence, digest, counted, written, received,
	fork_sequence, fork_digest, fork_seen, part, parts, next_subject`

// scanHead reads a head's columns.
func scanHead(row pgx.Row) (*Head, error) {
	h := &Head{}
	var digest, fork []byte
	err := row.Scan(&h.Cluster, &h.Name, &h.Sequence, &digest, &h.Counted, &h.Written, &h.Received,
		&h.Fork.Sequence, &fork, &h.Fork.Seen, &h.part, &h.parts, &h.nextSubject)
	copy(h.Digest[:], digest)
	copy(h.Fork.Digest[:], fork)
	return h, err
}

// Head is how far a cluster's chain has come; a *Refusal where it is not enrolled.
func (s *Store) Head(ctx context.Context, cluster Cluster) (*Head, error) {
	head, err := scanHead(s.pool.QueryRow(ctx, "SELECT "+headColumns+" FROM clusters WHERE cluster = $1", cluster))
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, refuse(NotEnrolled, "the hub knows no cluster %s", cluster)
	}
	return head, err
}

// Heads are how far all chains have come, by cluster.
func (s *Store) Heads(ctx context.Context) ([]*Head, error) {
	rows, err := s.pool.Query(ctx, "SELECT "+headColumns+" FROM clusters ORDER BY cluster")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*Head, error) { return scanHead(row) })
}
