package journal_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/usage-operator/usage-operator/internal/journal"
)

// counting counts how often everything is listed.
type counting struct {
	*memory
	lists atomic.Int32
}

func (c *counting) List(ctx context.Context, each func(journal.Stored) error) error {
	c.lists.Add(1)
	return c.memory.List(ctx, each)
}

// standby is a journal that follows the store, step by step.
func standby(t *testing.T, store journal.Store) (j *journal.Journal, step func()) {
	t.Helper()
	clock := clockAt(now)
	j = journal.New(journal.Options{Store: store, Writer: "standby", Cluster: "cluster-1", Clock: clock, Log: logr.Discard()})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- j.Follow(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	rests := func() {
		t.Helper()
		err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
			return clock.HasWaiters(), nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	rests()
	return j, func() { clock.Step(5 * time.Second); rests() }
}

func TestAStandbyTakesOver(t *testing.T) {
	defer journal.SetRowsPerBlock(4)()
	batches := work()
	for name, c := range map[string]struct {
		steps func(n int) bool // after which batches the standby looks
		lists int32            // how often it has to read everything
	}{
		"it kept up":                         {func(int) bool { return true }, 1},
		"it looked now and then":             {func(n int) bool { return n%5 == 4 }, 1},
		"what it had not seen was merged":    {func(n int) bool { return n == 0 }, 2},
		"nothing happened since it followed": {func(n int) bool { return n == len(batches)-1 }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			store := &counting{memory: newMemory()}
			leader, _ := opened(t, store.memory, "a")
			j, step := standby(t, store)
			for n, batch := range batches {
				appended(t, leader, batch)
				if c.steps(n) {
					step()
				}
			}
			if name == "what it had not seen was merged" {
				for range 2 {
					if _, err := leader.Compact(context.Background()); err != nil {
						t.Fatal(err)
					}
					appended(t, leader, &journal.Batch{Time: now})
				}
			}

			got, err := j.Load(context.Background())
			if err != nil {
				t.Fatal(err)
			}

			same(t, state(t, store.memory), got)
			if lists := store.lists.Load(); lists != c.lists {
				t.Errorf("it read everything %d times", lists)
			}
			appended(t, j, &journal.Batch{Time: now})
		})
	}
}

func TestAStandbyOfADamagedJournal(t *testing.T) {
	store := six(t)
	j, step := standby(t, store)
	store.mu.Lock()
	lost := store.blocks[at(3)]
	delete(store.blocks, at(3))
	store.mu.Unlock()
	step()
	if _, err := j.Load(context.Background()); err == nil {
		t.Fatal("a hole was not found")
	}
	store.mu.Lock()
	store.blocks[at(3)] = lost
	store.mu.Unlock()
	if _, err := j.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
}
