package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// history has answers follow the journal with all that is only in the archive, beside the
// journal that is written. Metering waits neither for it nor for the archive, and goes on
// where the history cannot be read, or does not fit into memory: what is asked is unknown
// then, and people are told why. It is safe for concurrent use.
type history struct {
	journal.Past
	Log   logr.Logger
	Clock clock.Clock

	mu    sync.Mutex
	err   error // why it cannot be read; nil when it can, or was not tried yet
	since time.Time
}

// NeedLeaderElection says that every replica answers.
func (*history) NeedLeaderElection() bool { return false }

// Recall reads what is in the archive, and notes how that went.
func (h *history) Recall(ctx context.Context, said *journal.Archived, from int64, day func(*journal.Batch) error, open func(*usage.Change)) error {
	err := h.Past.Recall(ctx, said, from, day, open)
	if ctx.Err() == nil {
		h.note(err)
	}
	return err
}

// follow follows the journal until ctx is done.
func (h *history) follow(ctx context.Context, j *journal.Journal) error {
	err := j.Follow(ctx)
	if errors.Is(err, journal.ErrTooLarge) {
		h.note(err)
		h.Log.Error(err, "cannot answer from the history: metering goes on")
		<-ctx.Done()
		return nil
	}
	return ignoreDone(ctx, err)
}

func (h *history) note(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.since = h.Clock.Now()
	}
	h.err = err
}

// finding is what people should know; empty: nothing. A nil history is in the journal.
func (h *history) finding() string {
	if h == nil {
		return ""
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		return ""
	}
	return fmt.Sprintf("reports and the usage API answer nothing new since %s, and metering goes on: the history in the archive cannot be read: %v",
		text(h.since), h.err)
}

// historian is a history that follows a journal, as a manager runs it.
type historian struct {
	*history
	journal *journal.Journal
}

// Start follows until ctx is done.
func (h historian) Start(ctx context.Context) error { return h.follow(ctx, h.journal) }
