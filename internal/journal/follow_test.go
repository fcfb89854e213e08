package journal_test

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/util/wait"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
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
func standby(t *testing.T, store journal.Store, follower journal.Follower) (j *journal.Journal, step func()) {
	t.Helper()
	clock := clockAt(now)
	j = journal.New(journal.Options{
		Store: store, Writer: "standby", Cluster: "cluster-1", Clock: clock, Log: logr.Discard(), Follower: follower,
	})
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
		waitFor(t, clock.HasWaiters)
	}
	rests()
	return j, func() { clock.Step(5 * time.Second); rests() }
}

// waitFor waits until something is so.
func waitFor(t testing.TB, is func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		return is(), nil
	})
	if err != nil {
		t.Fatal(err)
	}
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
			told := &listener{}
			j, step := standby(t, store, told)
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
			told.knows(t, got)
			if told.begun != int(c.lists) {
				t.Errorf("the follower has begun %d times", told.begun)
			}
			appended(t, j, &journal.Batch{Time: now, Changes: holds(4711, now)})
			told.knows(t, state(t, store.memory))
		})
	}
}

// fails lets a standby look while the store does not answer, if it does not.
func (s *asked) fails(t *rapid.T, standby *journal.Journal) {
	if s.failing == 0 {
		return
	}
	if err := journal.Look(context.Background(), standby); !errors.Is(err, errNoAnswer) {
		t.Fatalf("got %v", err)
	}
}

// A standby reads what was appended, and no more: not all names, and nothing anew
// because blocks were merged, however the leader merges, and whenever it looks.
func TestAStandbyReadsWhatIsNew(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		store := &asked{memory: newMemory()}
		clock := clockAt(now)
		told := &listener{}
		j := journal.New(journal.Options{Store: store, Writer: "standby", Cluster: "cluster-1", Clock: clock, Log: logr.Discard(), Follower: told})
		look := func() {
			if err := journal.Look(context.Background(), j); err != nil {
				rt.Fatal(err)
			}
		}
		leader, _ := opened(t, store.memory, "a")
		look()
		batches := rapid.IntRange(1, 30).Draw(rt, "batches")
		unseen, compacted, looks := 0, 0, 1
		for n := range batches {
			appended(t, leader, &journal.Batch{Time: now, Changes: holds(n%17, now-int64(n%3), now+int64(n))})
			unseen++
			// A minute is from one compaction to another, and looks are 5 s apart.
			if n-compacted >= 12 && rapid.Bool().Draw(rt, "compact") {
				compacted = n
				if _, err := leader.Compact(context.Background()); err != nil {
					rt.Fatal(err)
				}
			}
			if unseen > 5 || rapid.Bool().Draw(rt, "look") {
				clock.Step(5 * time.Second)
				store.failing = rapid.IntRange(0, unseen+1).Draw(rt, "failing")
				store.fails(rt, j)
				look()
				unseen, looks = 0, looks+1
				if looks%8 == 0 {
					told.knows(t, state(t, store.memory))
				}
			}
		}
		if told.begun != 1 || store.lists != 1 || store.keys > 1+looks/60 || store.gets > batches+3*looks+store.keys*batches {
			rt.Fatalf("%d batches, %d looks: it began %d times, listed all blocks %d times and all names %d times, and read %d blocks",
				batches, looks, told.begun, store.lists, store.keys, store.gets)
		}
		got, err := j.Load(context.Background())
		if err != nil {
			rt.Fatal(err)
		}
		same(t, state(t, store.memory), got)
		told.knows(t, got)
		if told.begun != 1 {
			rt.Fatalf("taking over it began anew")
		}
	})
}

// What a standby has missed for long may be merged and deleted: it looks at all names.
func TestAStandbyThatWasAway(t *testing.T) {
	store := newMemory()
	leader, _ := opened(t, store, "a")
	told := &listener{}
	clock := clockAt(now)
	j := journal.New(journal.Options{Store: store, Writer: "standby", Cluster: "cluster-1", Clock: clock, Log: logr.Discard(), Follower: told})
	for range 3 {
		for n := range 20 {
			appended(t, leader, &journal.Batch{Time: now, Changes: holds(n, now)})
		}
		for range 2 {
			if _, err := leader.Compact(t.Context()); err != nil {
				t.Fatal(err)
			}
			appended(t, leader, &journal.Batch{Time: now})
		}
		clock.Step(time.Minute)
		if err := journal.Look(t.Context(), j); err != nil {
			t.Fatal(err)
		}
		told.knows(t, state(t, store))
	}
}

// listener is a follower that adds up what it is told as anybody would.
type listener struct {
	begun    int
	unknown  bool // it was told of something, and not that this was all
	segments map[usage.SegmentKey]usage.Change
	others   []usage.Change
	coverage []usage.Stretch
	seals    []journal.Seal
}

func (l *listener) Begin() {
	*l = listener{begun: l.begun + 1, segments: map[usage.SegmentKey]usage.Change{}}
}

func (l *listener) Committed(batch *journal.Batch) {
	l.unknown = true
	for _, change := range batch.Changes {
		switch {
		case !change.HasKey():
			l.others = append(l.others, change)
		case change.Kind == usage.Void:
			delete(l.segments, change.Key())
		default:
			l.segments[change.Key()] = change
		}
	}
	l.coverage = append(l.coverage, batch.Coverage...)
	l.seals = append(l.seals, batch.Seals...)
}

func (l *listener) Current() { l.unknown = false }

// knows fails unless the listener was told what the state is.
func (l *listener) knows(t *testing.T, want *journal.State) {
	t.Helper()
	if l.unknown {
		t.Error("it was not told that this was all")
	}
	got := &journal.State{Segments: append(slices.Collect(maps.Values(l.segments)), l.others...), Coverage: l.coverage, Seals: l.seals}
	of := &journal.State{Segments: slices.Clone(want.Segments), Coverage: want.Coverage, Seals: want.Seals}
	for _, s := range []*journal.State{got, of} {
		slices.SortFunc(s.Segments, func(a, b usage.Change) int {
			return cmp.Or(cmp.Compare(a.Kind, b.Kind), a.Compare(b.Segment))
		})
	}
	same(t, of, got)
}

func TestAWriterTellsItsFollower(t *testing.T) {
	told := &listener{}
	store := newMemory()
	j := journal.New(journal.Options{
		Store: store, Writer: "a", Cluster: "cluster-1", Clock: clockAt(now), Log: logr.Discard(), Follower: told,
	})
	if _, err := j.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, batch := range work() {
		appended(t, j, batch)
		told.knows(t, state(t, store))
	}
	if told.begun != 1 {
		t.Errorf("it has begun %d times", told.begun)
	}
}

func TestAStandbyOfADamagedJournal(t *testing.T) {
	store := six(t)
	j, step := standby(t, store, nil)
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
