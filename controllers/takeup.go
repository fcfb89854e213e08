package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/usage-operator/usage-operator/internal/archive"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// begin takes up what the journal has, and every meter, and starts to meter.
func (k *Keeper) begin(ctx context.Context) error {
	state, err := k.load(ctx)
	if err != nil {
		return err
	}
	if err := k.Collector.Prepare(ctx, state); err != nil {
		err = fmt.Errorf("%w: %w", journal.ErrTooLarge, err)
		k.Health.tooLarge(err)
		return err
	}
	err = wait.PollUntilContextCancel(ctx, time.Second, true, func(ctx context.Context) (bool, error) {
		err := k.TakeUp(ctx)
		if err != nil {
			k.Log.Info("cannot take up all usage meters; trying again", "error", err.Error())
		}
		return err == nil, nil
	})
	if err != nil {
		return err
	}
	sealed := make([]usage.Window, len(state.Seals))
	for i, seal := range state.Seals {
		sealed[i] = seal.Interval
	}
	k.unsealed = k.first(sealed)
	k.Health.waits(k.unsealed.End)
	k.Sealed.Add(state.Seals...) // before anything is published
	k.Collector.Start()
	// The sequence is ours from here on: whoever led before writes no more.
	k.batch(nil)
	return nil
}

// load reads the journal, however long that takes. One that is damaged is
// metered from all the same, and nothing is written to it.
func (k *Keeper) load(ctx context.Context) (state *journal.State, err error) {
	var damage *journal.DamageError
	began := k.Clock.Elapsed()
	err = wait.PollUntilContextCancel(ctx, 2*time.Second, true, func(ctx context.Context) (bool, error) {
		state, err = k.Journal.Load(ctx)
		switch {
		case err == nil && archive.Unfinished(state):
			k.Health.failed(k.Clock.Now(), archive.ErrUnfinished)
			return false, nil
		case err == nil, errors.As(err, &damage):
			return true, nil
		case errors.Is(err, journal.ErrTooLarge):
			k.Health.tooLarge(err)
			return false, err
		}
		k.Health.failed(k.Clock.Now(), err)
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	if damage != nil {
		k.damaged = true
		k.Health.failed(k.Clock.Now(), damage)
	}
	took := k.Clock.Elapsed() - began
	k.Health.loaded(took)
	k.Clock.AtLeast(time.Unix(state.Time, 0))
	k.Health.sized(k.Journal.Size())
	if state.Sequence > 0 {
		k.Log.Info("took up the journal", "sequence", state.Sequence,
			"written", time.Unix(state.Time, 0).UTC(), "writer", state.Writer, "took", took.String())
	}
	return state, nil
}

// first is the interval that is sealed next.
func (k *Keeper) first(sealed []usage.Window) usage.Window {
	if len(sealed) == 0 {
		return usage.Interval(k.Collector.Since(), k.Schedule.Interval)
	}
	return k.after(sealed[len(sealed)-1].End)
}

// after is the interval that begins at the end of another. It is shorter than
// others where the interval's length was changed in between.
func (k *Keeper) after(end int64) usage.Window {
	return k.Schedule.interval(end, end)
}

// mended tells, by ending the operator, that a damaged journal is whole again, or
// that a person accepts what is lost: a new start takes it up as it is now, and
// replays what happened since.
func (k *Keeper) mended(ctx context.Context) error {
	if k.Clock.Elapsed() < k.lookAt {
		return nil
	}
	k.lookAt = k.Clock.Elapsed() + mendedEvery
	var damage *journal.DamageError
	switch _, err := k.Journal.Load(ctx); {
	case err == nil:
		return errors.New("the journal is whole again: starting anew from it")
	case errors.As(err, &damage):
		k.Health.failed(k.Clock.Now(), damage)
	}
	return nil
}
