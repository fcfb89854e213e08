package hub

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Before has it called before each statement of an append, and before its commit.
func (s *Store) Before(call func(ctx context.Context, tx pgx.Tx, statement int) error) {
	s.before = call
}

// Exec does a statement in the store's database.
func (s *Store) Exec(ctx context.Context, statement string, arguments ...any) error {
	_, err := s.pool.Exec(ctx, statement, arguments...)
	return err
}
