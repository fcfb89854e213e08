package controllers

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Answers is the timeline, and tells when there is something new to answer.
type Answers struct {
	*timeline.Timeline
	loaded atomic.Bool
	// followers are told that something was sealed or corrected.
	mu        sync.Mutex
	followers []chan struct{}
}

// NewAnswers has nothing to answer from yet.
func NewAnswers() *Answers {
	return &Answers{Timeline: timeline.New()}
}

// Loaded tells whether the timeline has what the journal has.
func (a *Answers) Loaded() bool { return a.loaded.Load() }

// take begins anew with what the journal holds.
func (a *Answers) take(state *journal.State) {
	a.Load(timeline.Commit{
		Changes: state.Segments, Meters: metersOf(state.Meters), Coverage: state.Coverage, Sealed: intervalsOf(state.Seals),
	})
	a.loaded.Store(true)
	a.tell()
}

// add takes in what was committed.
func (a *Answers) add(batch *journal.Batch) {
	before := a.Snapshot()
	a.Apply(timeline.Commit{
		Changes: batch.Changes, Meters: metersOf(batch.Meters), Coverage: batch.Coverage, Sealed: intervalsOf(batch.Seals),
	})
	if after := a.Snapshot(); after.Sealed() > before.Sealed() || after.Corrections() > before.Corrections() {
		a.tell()
	}
}

func (a *Answers) tell() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, follower := range a.followers {
		select {
		case follower <- struct{}{}:
		default: // it has not read the last news yet
		}
	}
}

// follow calls news, in the background, whenever something was sealed or
// corrected since the last call, until ctx is done.
func (a *Answers) follow(ctx context.Context, news func()) error {
	told := make(chan struct{}, 1)
	a.mu.Lock()
	a.followers = append(a.followers, told)
	a.mu.Unlock()
	if a.Loaded() {
		a.tell()
	}
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-told:
				news()
			}
		}
	}()
	return nil
}

func metersOf(meters []journal.Meter) []timeline.Meter {
	if meters == nil {
		return nil
	}
	out := make([]timeline.Meter, len(meters))
	for i, m := range meters {
		out[i] = timeline.Meter{Name: m.Name, ResourceType: m.ResourceType, Since: m.Since, Dimensions: m.Dimensions}
	}
	return out
}

func intervalsOf(seals []journal.Seal) []usage.Window {
	out := make([]usage.Window, len(seals))
	for i, seal := range seals {
		out[i] = seal.Interval
	}
	return out
}
