package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/usage-operator/usage-operator/internal/collector"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/steadyclock"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Keeper keeps the ledger: it takes up what the journal has of a former run,
// writes to the journal what is new, and seals intervals as they end. Records
// are published of what it has committed, never before.
type Keeper struct {
	Collector *collector.Collector
	Journal   *journal.Journal
	Clock     *steadyclock.Clock
	Schedule  Schedule
	// TakeUp applies every UsageMeter that there is.
	TakeUp func(context.Context) error
	// Sealed is told each interval that was sealed, once that is committed; and,
	// when a former run is taken up, those that it had sealed.
	Sealed *Sealed
	// Health is told how the journal gets on.
	Health *Health
	// Says is what the journal is to say of the archive; nil: nothing.
	Says func() *journal.Archived
	// Timings observe how long appends and seals take; nil disables it.
	Timings *Timings
	Log     logr.Logger

	unsealed usage.Window
	waiting  bool // for every kind to be seen up to a moment
	pending  *journal.Batch
	damaged  bool // nothing can be written until a person has seen to it
	backoff  wait.Backoff
	// By the clock's Elapsed: what the machine's clock is set to delays nothing.
	flushed   time.Duration // when the last append was made
	retryAt   time.Duration // when the next one is tried
	compactAt time.Duration // when small blocks are looked for next
	lookAt    time.Duration // when a damaged journal is looked at next
}

const (
	// keepEvery is how often the keeper looks.
	keepEvery = 200 * time.Millisecond
	// positionsEvery is how often positions are written when nothing changes: a
	// restart goes on from there, and etcd forgets after five minutes.
	positionsEvery = time.Minute
	// settle is how many seconds after its end an interval's barrier begins: API
	// servers' clocks may be that far behind.
	settle = 1
	// barrierWait bounds one try to pass the barrier.
	barrierWait = 20 * time.Second
	// appendWait is how long the API server may take to answer.
	appendWait = 15 * time.Second
	// compactEvery is how often the journal is looked through for small blocks;
	// compactWait bounds how long that may keep appends waiting.
	compactEvery = time.Minute
	compactWait  = 30 * time.Second
	// mendedEvery is how often a damaged journal is looked at again.
	mendedEvery = 10 * time.Second
)

// Start runs while this replica leads. It ends when ctx does, or when another
// operator writes the journal.
func (k *Keeper) Start(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := k.begin(ctx); err != nil {
		return ignoreDone(ctx, err)
	}
	defer k.Collector.Wait()
	defer cancel()
	barrier := make(chan passage)
	ticker := k.Clock.NewTicker(keepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return k.end()
		case p := <-barrier:
			k.passed(p)
		case <-ticker.C():
		}
		if err := k.keep(ctx, barrier); err != nil {
			return err
		}
	}
}

func ignoreDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// batch has everything that is new written, and the interval sealed by it.
func (k *Keeper) batch(seal *usage.Window) {
	now := k.now()
	k.pending = k.Collector.Batch(now, seal)
	for i := range k.pending.Seals {
		k.pending.Seals[i].Limits = k.Schedule.limits(holdings(k.Collector, k.pending.Seals[i].Interval))
	}
	if k.Says != nil {
		k.pending.Archived = k.Says()
	}
	k.Health.batched(now, k.pending)
}

// keep does what is to be done now.
func (k *Keeper) keep(ctx context.Context, barrier chan<- passage) error {
	now, elapsed := k.now(), k.Clock.Elapsed()
	if k.Collector.Unwritten() {
		k.Health.changed(now)
	}
	if k.damaged {
		return k.mended(ctx)
	}
	if k.pending == nil && !k.waiting {
		k.await(ctx, k.certain(), elapsed, barrier)
	}
	if k.pending == nil && k.due(elapsed) {
		k.batch(nil)
	}
	if k.pending != nil {
		return k.commit(ctx)
	}
	if elapsed >= k.compactAt && !k.waiting && now+compactSlack < k.unsealed.End {
		k.compactAt = elapsed + compactEvery
		return k.compact(ctx)
	}
	return nil
}

// due tells whether something is to be written now: a meter that waits to be
// ready, or what has changed since the last time.
func (k *Keeper) due(elapsed time.Duration) bool {
	return k.Collector.Awaited() ||
		elapsed-k.flushed >= time.Duration(k.Schedule.Flush)*time.Second && k.Collector.Unwritten()
}

// compactSlack is how long before an interval ends no compaction begins, in
// seconds: sealing does not wait for one.
const compactSlack = 10

func (k *Keeper) compact(ctx context.Context) error {
	merging, cancel := context.WithTimeout(ctx, compactWait)
	defer cancel()
	began := k.Clock.Elapsed()
	deleted, err := k.Journal.Compact(merging)
	if ctx.Err() == nil {
		k.Timings.compacted(k.Clock.Elapsed()-began, err)
	}
	k.Health.sized(k.Journal.Size())
	switch {
	case errors.Is(err, journal.ErrFenced):
		return fmt.Errorf("this replica meters no more: %w", err)
	case err != nil && ctx.Err() == nil:
		k.Log.Info("cannot merge the journal's blocks; trying again", "error", err.Error())
	case deleted > 0:
		k.Log.Info("merged blocks of the journal", "merged", deleted)
	}
	return nil
}

// await begins to wait for every kind, where it is time to.
func (k *Keeper) await(ctx context.Context, now int64, elapsed time.Duration, barrier chan<- passage) {
	settled := k.Collector.Settled()
	switch {
	case now >= k.unsealed.End+settle && (settled || now >= k.unsealed.End+k.Schedule.SealTimeout):
		k.pass(ctx, barrier, passage{moment: k.unsealed.End, seal: true})
	case settled && elapsed-k.flushed >= positionsEvery:
		k.pass(ctx, barrier, passage{moment: now})
	}
}

// certain is the moment up to which intervals have ended for sure, in seconds since
// the epoch: a clock that was set ahead for a moment seals none that is not over.
func (k *Keeper) certain() int64 { return k.Clock.Certain().Unix() }

// passage is a wait for every kind to be seen up to a moment: to seal the interval
// that ended then, or to have positions to write that are not old.
type passage struct {
	moment int64
	seal   bool
	err    error
}

// pass waits in the background. A kind on which nothing happens comes no further
// by itself, and etcd forgets within minutes where it was.
func (k *Keeper) pass(ctx context.Context, barrier chan<- passage, p passage) {
	k.waiting = true
	go func() {
		trying, cancel := context.WithTimeout(ctx, barrierWait)
		defer cancel()
		p.err = k.Collector.Pass(trying, p.moment)
		select {
		case barrier <- p:
		case <-ctx.Done():
		}
	}()
}

// passed takes in how a passage came out.
func (k *Keeper) passed(p passage) {
	k.waiting = false
	if k.pending != nil {
		return // the journal is behind: again when it is not
	}
	if !p.seal {
		k.batch(nil)
		return
	}
	if p.err != nil {
		k.Health.late(p.err)
		if k.certain() < p.moment+k.Schedule.SealTimeout {
			return
		}
		k.Log.Info("sealing an interval without all that happened in it", "interval", time.Unix(k.unsealed.Start, 0).UTC(), "error", p.err.Error())
		k.Collector.GiveUp(p.moment)
	}
	interval := k.unsealed
	k.batch(&interval)
	k.unsealed = k.after(interval.End)
}

// commit appends what is pending, again and again until that is done.
func (k *Keeper) commit(ctx context.Context) error {
	if k.Clock.Elapsed() < k.retryAt {
		return nil
	}
	writing, cancel := context.WithTimeout(ctx, appendWait)
	defer cancel()
	began := k.Clock.Elapsed()
	err := k.Journal.Append(writing, k.pending)
	if ctx.Err() == nil {
		k.Timings.appended(k.Clock.Elapsed()-began, err)
	}
	now := k.Clock.Now()
	switch {
	case errors.Is(err, journal.ErrFenced):
		return fmt.Errorf("this replica meters no more: %w", err)
	case ctx.Err() != nil:
		return nil
	case err != nil:
		if k.backoff.Steps == 0 {
			k.backoff = wait.Backoff{Duration: 250 * time.Millisecond, Factor: 2, Steps: 16, Cap: 10 * time.Second}
		}
		k.retryAt = k.Clock.Elapsed() + k.backoff.Step()
		k.Health.failed(now, err)
		return nil
	}
	k.Collector.Committed(k.pending)
	seals := k.pending.Seals
	k.pending, k.flushed = nil, k.Clock.Elapsed()
	k.backoff, k.retryAt = wait.Backoff{}, 0
	k.Health.committed(now, k.Journal.Size())
	for _, seal := range seals {
		k.Health.sealed(now, seal)
		k.Timings.sealed(now.Sub(time.Unix(seal.Interval.End, 0)))
		k.Health.waits(k.unsealed.End)
		k.Sealed.Add(seal)
	}
	return nil
}

// lastWords is how long the last append may take when the operator ends.
const lastWords = 10 * time.Second

// end writes what the journal does not have yet.
func (k *Keeper) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	for range 2 { // what is pending, and what came after it
		if k.damaged {
			return nil
		}
		if k.pending == nil {
			k.pending = k.Collector.Batch(k.now(), nil)
		}
		if err := k.Journal.Append(ctx, k.pending); err != nil {
			k.Log.Info("cannot write the last changes: the next start replays them", "error", err.Error())
			return nil
		}
		k.pending = nil
	}
	return nil
}

func (k *Keeper) now() int64 { return k.Clock.Now().Unix() }
