// Package sender sends the blocks of a cluster's journal to a hub, in order, from where the
// hub has come to. It stores no position of its own: it asks the hub for the last sequence.
package sender

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/journal"
)

// Blocks are those of the cluster's journal.
type Blocks interface {
	Get(ctx context.Context, key journal.Key) (journal.Stored, error)
	Keys(ctx context.Context) ([]journal.Key, error)
}

// Options are what a Sender needs.
type Options struct {
	Blocks Blocks
	Hub    *Client
	Clock  clock.Clock
	Log    logr.Logger
	// Stepped, when not nil, is called after each step, with its outcome.
	Stepped func(Status)
}

// How long it waits.
const (
	// idle is how often it looks for what comes next, when it has sent all.
	idle = time.Second
	// leastPatience and mostPatience are how long it waits after an answer that did not come.
	leastPatience = time.Second
	mostPatience  = time.Minute
	// refusedFor is how long it waits after a refusal, which somebody has to do something about.
	refusedFor = time.Minute
	// listEvery is how often it lists the journal, while what comes next is not there as an
	// entry: a list reads all of it.
	listEvery = time.Minute
)

// Status is how far a Sender has come, and why it is not further.
type Status struct {
	// Known tells that the hub has said where it is; Acknowledged is that: the hub has
	// all up to this sequence.
	Known        bool
	Acknowledged uint64
	// Proven tells that what the hub has up to there is this journal: it has acknowledged to
	// this sender a block that names the digest of the one before.
	Proven bool
	// Time is when the last block was written that the hub acknowledged to this sender;
	// zero: it has acknowledged none yet.
	Time int64
	// Waiting tells that there was nothing more to send when it last looked.
	Waiting bool
	// Err is why the last attempt did not succeed: a *Refusal, which somebody has to do
	// something about, or what passes; nil: it did.
	Err error
}

// Sender sends blocks.
type Sender struct {
	Options
	failures int
	// listed is when the journal was last listed, zero: it is to be listed anew; end is the
	// last sequence that it had then.
	listed time.Time
	end    uint64

	mu     sync.Mutex
	status Status
	woken  chan struct{}
}

// New is a sender.
func New(o Options) *Sender { return &Sender{Options: o, woken: make(chan struct{}, 1)} }

// Status is how far it has come.
func (s *Sender) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// Wake says that there may be something to send.
func (s *Sender) Wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// Run sends until ctx is done.
func (s *Sender) Run(ctx context.Context) {
	for ctx.Err() == nil {
		pause := s.step(ctx)
		if pause == 0 {
			continue
		}
		timer := s.Clock.NewTimer(pause)
		woken := s.woken
		if s.failures > 0 {
			woken = nil // what comes next does not make the hub answer
		}
		select {
		case <-ctx.Done():
		case <-woken:
		case <-timer.C():
		}
		timer.Stop()
	}
}

// step does one thing, and says how long to wait before the next.
func (s *Sender) step(ctx context.Context) time.Duration {
	status := s.Status()
	before := status
	err := s.advance(ctx, &status)
	if ctx.Err() != nil {
		return 0 // it is to end
	}
	status.Err = err
	s.mu.Lock()
	s.status = status
	s.mu.Unlock()
	if s.Stepped != nil {
		s.Stepped(status)
	}
	refusal, refused := errors.AsType[*Refusal](err)
	switch {
	case err == nil:
		s.failures = 0
		if status.Waiting {
			return idle
		}
		return 0
	case before.Err == nil || before.Err.Error() != err.Error():
		s.Log.Error(err, "cannot send to the hub; trying again", "acknowledged", status.Acknowledged)
	}
	s.failures++
	s.listed = time.Time{} // what was known of the journal may be so no more
	if refused {
		return max(refusedFor, refusal.After)
	}
	return s.patience(err)
}

// patience grows with each failure in a row, and is never the same for all clusters.
func (s *Sender) patience(err error) time.Duration {
	least := leastPatience
	if away, ok := errors.AsType[*Away](err); ok {
		least = max(least, away.After)
	}
	wait := min(least<<min(s.failures-1, 6), max(mostPatience, least))
	return wait/2 + rand.N(wait/2+1) //nolint:gosec // nothing depends on it that somebody could guess
}

// advance asks where the hub is, or sends it what comes next.
func (s *Sender) advance(ctx context.Context, status *Status) error {
	if !status.Known {
		head, err := s.Hub.Head(ctx)
		if err != nil {
			return err
		}
		status.Known, status.Acknowledged, status.Waiting = true, head, false
		return nil
	}
	stored, err := s.next(ctx, status.Acknowledged)
	if err != nil {
		return err
	}
	if status.Waiting = stored == nil; status.Waiting {
		return nil
	}
	block, err := journal.Open(*stored)
	if err != nil {
		return &Refusal{Reason: "Damaged", Detail: fmt.Sprintf("block %s of the journal: %v", stored.Key, err), Next: "Look at the journal with usage-operator verify."}
	}
	err = s.Hub.Send(ctx, block, stored.Spec)
	if refusal, refused := errors.AsType[*Refusal](err); refused && refusal.Reason == "Gap" {
		// The hub was restored from an older backup: it says where it is now.
		status.Known, status.Proven = false, false
	}
	if err != nil {
		return err
	}
	status.Acknowledged, status.Time, status.Proven = block.To, block.Time, true
	return nil
}

// next is the block that follows a sequence; nil: there is none yet.
func (s *Sender) next(ctx context.Context, after uint64) (*journal.Stored, error) {
	key := journal.Key{From: after + 1, To: after + 1}
	stored, err := s.Blocks.Get(ctx, key)
	if err == nil {
		return &stored, nil
	}
	if !errors.Is(err, journal.ErrNotFound) {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	now := s.Clock.Now()
	if !s.listed.IsZero() && after >= s.end && now.Before(s.listed.Add(listEvery)) {
		// It had no more when it was listed. What was appended since is there as an entry, unless
		// that was merged and deleted meanwhile: then the next list has it.
		return nil, nil
	}
	keys, err := s.Blocks.Keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	merged, end := covering(keys, after+1)
	s.listed, s.end = now, end
	switch {
	case merged != nil:
		stored, err := s.Blocks.Get(ctx, *merged)
		if err != nil {
			return nil, fmt.Errorf("read the journal: %w", err) // merged again meanwhile: there is another
		}
		return &stored, nil
	case end < after && after > 0:
		return nil, &Refusal{Reason: "Behind", Detail: fmt.Sprintf("the journal ends with sequence %d, and the hub has all up to %d", end, after),
			Next: "The journal was restored from an older backup, or is of another cluster with the same UID. Restore a newer one; the hub's blocks can be read from its database."}
	case end > after:
		return nil, &Refusal{Reason: "Missing", Detail: fmt.Sprintf("no block of the journal has sequence %d, and there are later ones", after+1),
			Next: "Look at the journal with usage-operator verify. This version cannot go on after blocks that were lost."}
	}
	return nil, nil
}

// covering is the smallest block that covers a sequence, so that as little as possible is
// sent again, and the last sequence of all blocks.
func covering(keys []journal.Key, sequence uint64) (smallest *journal.Key, end uint64) {
	for _, k := range keys {
		end = max(end, k.To)
		if k.From <= sequence && sequence <= k.To && (smallest == nil || k.To-k.From < smallest.To-smallest.From) {
			smallest = &k
		}
	}
	return smallest, end
}
