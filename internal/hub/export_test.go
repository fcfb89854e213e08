package hub

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Before has it called before each statement of an append, and before its commit.
func (s *Store) Before(call func(ctx context.Context, tx pgx.Tx, statement int) error) {
	s.before = call
}

// Most sets how much of a chain is read to take in a merged block.
func (s *Store) Most(most Overlap) { s.most = most }

// LockPatience sets how long an append waits for another one of its cluster.
func (s *Store) LockPatience(patience time.Duration) { s.lockPatience = patience }

// Connections is how many there may be.
func (s *Store) Connections() int { return int(s.pool.Config().MaxConns) }

// Exec does a statement in the store's database.
func (s *Store) Exec(ctx context.Context, statement string, arguments ...any) error {
	_, err := s.pool.Exec(ctx, statement, arguments...)
	return err
}
