package controllers

import (
	"context"

	"github.com/usage-operator/usage-operator/internal/journal"
)

// standby follows the journal for as long as another replica leads, so that
// taking over takes no longer than the last blocks.
type standby struct {
	journal *journal.Journal
	elected <-chan struct{}
}

// NeedLeaderElection says that it is for replicas that do not lead.
func (*standby) NeedLeaderElection() bool { return false }

// Start follows until this replica leads.
func (s *standby) Start(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-s.elected:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ignoreDone(ctx, s.journal.Follow(ctx))
}
