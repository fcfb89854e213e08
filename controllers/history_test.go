package controllers

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/usage-operator/usage-operator/internal/journal"
)

// refusingBlocks are blocks that are not listed as long as there is an error.
type refusingBlocks struct {
	listedBlocks
	err *atomic.Pointer[error]
}

func (b refusingBlocks) List(ctx context.Context, each func(journal.Stored) error) error {
	if err := b.err.Load(); err != nil {
		return *err
	}
	return b.listedBlocks.List(ctx, each)
}

// following has a history follow a journal, beside a test.
func following(t *testing.T, h *history, o journal.Options) {
	t.Helper()
	o.Writer, o.Cluster, o.Clock, o.Log, o.OnlyTold, o.Followed = "a", "cluster", h.Clock, logr.Discard(), true, h.note
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- h.follow(ctx, journal.New(o)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// The meters' conditions say why the history cannot be asked, until it can; and metering is
// ready all the same.
func TestAHistoryThatCannotBeReadIsTold(t *testing.T) {
	store, now, _ := sealedDays(t, 1)
	blocks, began := refusingBlocks{store, &atomic.Pointer[error]{}}, now.Now()
	h := &history{Log: logr.Discard(), Clock: now}
	health, answers := &Health{History: h}, NewAnswers()
	refuse := func(why string) {
		if blocks.err.Store(nil); why != "" {
			blocks.err.Store(new(errors.New(why)))
		}
	}
	refuse("no such bucket")
	following(t, h, journal.Options{Store: blocks, Follower: answers})
	for _, want := range []string{"no such bucket", "access denied", ""} {
		refuse(want)
		eventually(t, "the condition says "+want, func() bool {
			if now.HasWaiters() {
				now.Step(time.Minute)
			}
			message := health.finding().message
			return strings.Contains(message, want) && (message == "") == (want == "")
		})
		found := health.finding()
		if found.reason != "" || want != "" && !strings.Contains(found.message, text(began)) {
			t.Errorf("with %q: %+v", want, found)
		}
	}
	if !answers.Loaded() {
		t.Error("nothing is answered")
	}
}

// A history that is too large for the memory ends no operator: a condition says so, metering
// goes on, and it is read again later.
func TestAHistoryThatDoesNotFitIsTold(t *testing.T) {
	store, now, _ := sealedDays(t, 1)
	h := &history{Log: logr.Discard(), Clock: now}
	answers := NewAnswers()
	var tries, room atomic.Int32
	following(t, h, journal.Options{Store: store, Follower: answers, Fits: func(int64, int64) error {
		if tries.Add(1); room.Load() > 0 {
			return nil
		}
		return errors.New("it takes 5 GiB")
	}})
	eventually(t, "the condition says so", func() bool {
		return strings.Contains(h.finding(), "5 GiB") && strings.Contains(h.finding(), "again each 30 minutes")
	})
	for n := int32(2); n <= 3; n++ {
		eventually(t, "it waits", now.HasWaiters)
		if n == 3 {
			room.Store(1)
		}
		now.Step(tooLargeLater - time.Second)
		if tries.Load() != n-1 || answers.Loaded() {
			t.Errorf("tried %d times", tries.Load())
		}
		now.Step(time.Second)
		eventually(t, "it is tried again", func() bool { return tries.Load() == n })
	}
	eventually(t, "it was read", func() bool { return h.finding() == "" && answers.Loaded() })
}
