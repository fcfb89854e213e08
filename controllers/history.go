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
)

// history has answers follow the journal with all that is only in the archive, beside the
// journal that is written. Metering waits neither for it nor for the archive, and goes on
// where the history cannot be read, or does not fit into memory: what is asked is unknown
// then, and people are told why. It is safe for concurrent use.
type history struct {
	Log   logr.Logger
	Clock clock.Clock

	mu    sync.Mutex
	err   error // why it cannot be read; nil when it can, or was not tried yet
	since time.Time
}

// NeedLeaderElection says that every replica answers.
func (*history) NeedLeaderElection() bool { return false }

// tooLargeLater is how long it takes until a history is read again that did not fit into
// memory. That takes as long as the archive is large; and memory comes with what is not held
// any more, or with a restart.
const tooLargeLater = 30 * time.Minute

// follow follows the journal until ctx is done.
func (h *history) follow(ctx context.Context, j *journal.Journal) error {
	for {
		err := j.Follow(ctx)
		if !errors.Is(err, journal.ErrTooLarge) {
			return ignoreDone(ctx, err)
		}
		h.Log.Error(err, "cannot answer from the history: metering goes on; trying again later", "after", tooLargeLater.String())
		select {
		case <-ctx.Done():
			return nil
		case <-h.Clock.After(tooLargeLater):
		}
	}
}

// note notes how reading it went.
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
	again := ""
	if errors.Is(h.err, journal.ErrTooLarge) {
		again = fmt.Sprintf("; it is read again each %.0f minutes", tooLargeLater.Minutes())
	}
	return fmt.Sprintf("reports and the usage API answer nothing new since %s, and metering goes on: the history in the archive cannot be read: %v%s",
		text(h.since), h.err, again)
}

// historian is a history that follows a journal, as a manager runs it.
type historian struct {
	*history
	journal *journal.Journal
}

// Start follows until ctx is done.
func (h historian) Start(ctx context.Context) error { return h.follow(ctx, h.journal) }
