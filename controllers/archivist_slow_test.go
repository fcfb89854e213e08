package controllers

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/internal/archive"
	"github.com/usage-operator/usage-operator/internal/collector"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/steadyclock"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// slowPast is an archive that answers once it is allowed to.
type slowPast struct {
	archive.Past
	asked  atomic.Int32
	answer chan error
}

func (p *slowPast) Recall(ctx context.Context, said *journal.Archived, from int64, day func(*journal.Batch) error, open func(*usage.Change)) error {
	p.asked.Add(1)
	select {
	case err := <-p.answer:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	return p.Past.Recall(ctx, said, from, day, open)
}

// A bucket that does not answer when the journal is to be cut delays no entry of the
// journal; people are told if it refuses; and once it answers, the journal is cut.
func TestAnArchiveThatIsSlowDelaysNoEntry(t *testing.T) {
	const days = 2
	store, began, seals := sealedDays(t, days)
	blocks := store.blocksInMemory
	folder := "file://" + t.TempDir()
	past := &slowPast{Past: archive.Past{Options: archive.Options{URL: folder, Cluster: "cluster"}}, answer: make(chan error)}
	clock := clocktesting.NewFakeClock(began.Now())
	steady := steadyclock.New(clock, nil)
	written := journal.New(journal.Options{Store: store, Writer: "a", Cluster: "cluster", Clock: steady, Log: logr.Discard(), Past: past, Cuts: true})
	var events []string
	archivist := &Archivist{
		Log: logr.Discard(), Clock: clock, Sealed: NewSealed(), Written: written,
		Journal:  archive.Journal{Store: listedBlocks{blocksInMemory{}, store.lists}, Clock: clock, Log: logr.Discard()},
		Announce: func(a announcement) { events = append(events, a.kind+" "+a.reason) },
		Open: func(ctx context.Context) (*archive.Archive, error) {
			return archive.Open(ctx, archive.Options{URL: folder, Cluster: "cluster", Writes: true})
		},
	}
	maps.Copy(archivist.Journal.Store.(listedBlocks).blocksInMemory, blocks) // as it was before the operator started
	archivist.Sealed.Add(seals...)
	succeed(t, errors.Join(archivist.catchUp(t.Context())))
	health := &Health{Archivist: archivist}
	k := &Keeper{
		Collector: collector.New(collector.Options{Clock: steady, Mapper: meta.NewDefaultRESTMapper(nil), Log: logr.Discard()}),
		Journal:   written, Clock: steady, Schedule: Schedule{Interval: 3600, Flush: 1, SealTimeout: 600}, Sealed: archivist.Sealed, Health: health,
		TakeUp: func(context.Context) error { return nil }, Says: archivist.Says, Log: logr.Discard(),
	}
	ctx, cancel := context.WithCancel(t.Context())
	succeed(t, k.begin(ctx))
	defer k.Collector.Wait()
	defer cancel()
	barrier := make(chan passage)
	keep := func() uint64 { return aMinute(ctx, t, k, clock, barrier) }
	keep()
	if !written.ToRecall() {
		t.Fatal("the journal does not say that the days are archived")
	}

	try := func(answers ...error) (err, uncut error) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			err, uncut = archivist.catchUp(ctx)
			archivist.kept(uncut)
		}()
		eventually(t, "the archive is asked", func() bool { return past.asked.Load() > 0 })
		past.asked.Store(0)
		least := uint64(1)
		for range 10 {
			least = min(least, keep())
		}
		if least == 0 {
			t.Error("nothing is written while the archive does not answer")
		}
		for _, answer := range answers {
			past.answer <- answer
		}
		<-done
		return err, uncut
	}
	refused := errors.New("slow down")
	if _, uncut := try(refused); !errors.Is(uncut, refused) {
		t.Errorf("got %v", uncut)
	}
	if said := health.finding().message; !strings.Contains(said, "slow down") || strings.Contains(said, "not archived") || health.finding().reason != "" {
		t.Errorf("the meters say %q", said)
	}
	if err, uncut := try(nil); err != nil || uncut != nil {
		t.Fatal(err, uncut)
	}
	keep() // merges
	keep() // and something follows what was merged
	cut := saysLeftOut(blocks)
	if want := "Warning JournalNotCut, Normal JournalCut"; !cut || written.ToRecall() || health.finding().message != "" || strings.Join(events, ", ") != want {
		t.Errorf("cut: %t; %q, events %q, want %s", cut, health.finding().message, events, want)
	}
}

// aMinute lets a minute pass, and is how many entries were written.
func aMinute(ctx context.Context, t *testing.T, k *Keeper, clock *clocktesting.FakeClock, barrier chan passage) uint64 {
	t.Helper()
	before := k.Journal.Size().Sequence
	for range 60 {
		clock.Step(time.Second)
		for again := true; again; {
			if err := k.keep(ctx, barrier); err != nil {
				t.Fatal(err)
			}
			if again = k.waiting; again {
				k.passed(<-barrier)
			}
		}
	}
	return k.Journal.Size().Sequence - before
}

// saysLeftOut tells whether a block says that something was left out of it.
func saysLeftOut(blocks blocksInMemory) bool {
	for _, stored := range blocks {
		if strings.Contains(string(stored.Spec), `"leftOut"`) {
			return true
		}
	}
	return false
}

func succeed(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
