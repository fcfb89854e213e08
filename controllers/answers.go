package controllers

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/timelines"
	"github.com/usage-operator/usage-operator/internal/scratch"
	"github.com/usage-operator/usage-operator/internal/timeline"
)

// Answers is the timeline of what the journal has, on every replica, and tells
// when there is something new to answer. It is a journal.Follower.
type Answers struct {
	timeline timelines.Follower
	loaded   atomic.Bool
	scratch  *scratch.Dir // nil: what is packed is in memory

	// followers are told that something was sealed or corrected.
	mu        sync.Mutex
	followers []chan struct{}
}

// NewAnswers has nothing to answer from yet.
func NewAnswers() *Answers { return &Answers{timeline: timelines.New()} }

// newHotAnswers has in memory as they are so many days, before the one that is being sealed, and
// packs older ones, in a folder if there is one for that.
func newHotAnswers(mgr ctrl.Manager, o *Options) (*Answers, error) {
	a, hot := &Answers{}, timeline.Hot{Days: o.HotDays, Segments: timeline.SegmentsIn(o.Memory.Container), Bytes: timeline.DefaultColdBytes}
	if o.Scratch != "" {
		log := mgr.GetLogger().WithName("scratch")
		dir, err := scratch.NewDir(o.Scratch, o.ScratchSize, func(err error) {
			log.Error(err, "cannot write days that are packed to --scratch-dir: from now on they are kept in memory, until the next start", "folder", o.Scratch)
		})
		if err != nil {
			return nil, fmt.Errorf("--scratch-dir=%s cannot be used: make it writable for the operator, or leave the flag out, and days that are packed stay in memory: %w", o.Scratch, err)
		}
		// Then questions about packed days fail, until a start makes them anew.
		if err := mgr.AddHealthzCheck("scratch", func(*http.Request) error { return dir.Err() }); err != nil {
			return nil, err
		}
		a.scratch = dir
		hot.NewShelf = func() timeline.Shelf { return dir.NewFile() }
	}
	a.timeline = timelines.NewHot(hot)
	return a, nil
}

// onDisk is how many bytes of the history lie in a folder instead of in memory.
func (a *Answers) onDisk() int64 {
	if a.scratch == nil {
		return 0
	}
	return a.scratch.Bytes()
}

// Loaded tells whether the timeline has what the journal has.
func (a *Answers) Loaded() bool { return a.loaded.Load() }

// Snapshot is what the journal has.
func (a *Answers) Snapshot() *timeline.Snapshot { return a.timeline.Snapshot() }

// Begin is told that the journal is read anew.
func (a *Answers) Begin() { a.timeline.Begin() }

// Committed takes in what was committed.
func (a *Answers) Committed(batch *journal.Batch) { a.timeline.Committed(batch) }

// Current shows what was taken in.
func (a *Answers) Current() {
	before := a.Snapshot()
	a.timeline.Publish()
	after, first := a.Snapshot(), !a.loaded.Swap(true)
	if first || after.Sealed() > before.Sealed() || after.Corrections() > before.Corrections() {
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
