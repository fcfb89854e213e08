package journal_test

import (
	"context"
	"testing"

	"github.com/go-logr/logr"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// midnight is the beginning of the day of now.
const midnight = now - 18*3600

// chapter is a journal.Past of one day, which ended at midnight: what ended in it, and
// what went on.
type chapter struct {
	day  journal.Batch
	open []usage.Change
}

func (c *chapter) Recall(_ context.Context, _ *journal.Archived, _ int64, day func(*journal.Batch) error, open func(*usage.Change)) error {
	for i := range c.open {
		open(&c.open[i])
	}
	copied := c.day
	return day(&copied)
}

// aDay is what is said of the day before, and its chapter.
func aDay() ([]*journal.Batch, *chapter) {
	sealed := []journal.Seal{{Interval: usage.Window{Start: midnight - 86400, End: midnight}, Digest: journal.Digest{7}}}
	ended, open := holds(1, midnight-5000, midnight-50), holds(2, midnight-4000)
	said := &journal.Archived{
		Window: usage.Window{Start: midnight - 86400, End: midnight}, Manifest: "manifests/2026-11-20.json", Digest: journal.Digest{8}, Seal: journal.Digest{7},
	}
	return []*journal.Batch{
		{Time: midnight - 5000, Changes: holds(1, midnight-5000)},
		{Time: midnight - 4000, Changes: open},
		{Time: midnight, Changes: ended, Seals: sealed},
		{Time: midnight + 10, Archived: said},
		{Time: midnight + 20, Changes: holds(2, midnight-4000, midnight+20)},
	}, &chapter{journal.Batch{Time: midnight, Changes: ended, Seals: sealed}, open}
}

func cutting(store journal.Store, past journal.Past) *journal.Journal {
	return journal.New(journal.Options{Store: store, Writer: "a", Cluster: "cluster-1", Clock: clockAt(now), Log: logr.Discard(), Past: past, Cuts: true})
}

// A standby that has read what is left out later needs no archive; one that has not reads
// the journal anew, with the archive. Both say what is said by a journal that keeps all.
func TestAStandbyGoesOnAcrossACut(t *testing.T) {
	for read := range 6 {
		batches, past := aDay()
		cut, whole := newMemory(), newMemory()
		leader, plain := cutting(cut, past), open(whole, "a")
		for _, j := range []*journal.Journal{leader, plain} {
			if _, err := j.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var archived journal.Past = past
		if read == len(batches) {
			archived = nil
		}
		standby := cutting(cut, archived)
		for n, batch := range batches {
			if n == read {
				looked(t, standby)
			}
			appended(t, leader, batch)
			appended(t, plain, batch)
		}
		if read == len(batches) {
			looked(t, standby)
		}
		for n := range 2 { // what one has merged, another deletes
			compactedWith(t, leader)
			last := &journal.Batch{Time: midnight + 30 + int64(n)}
			appended(t, leader, last)
			appended(t, plain, last)
		}
		if left, all := leader.Size(), plain.Size(); left.Blocks >= all.Blocks {
			t.Fatalf("%+v, and without a cut %+v", left, all)
		}
		got, err := standby.Load(t.Context())
		if err != nil {
			t.Fatalf("a standby that had read %d entries: %v", read, err)
		}
		want := state(t, whole)
		want.Head = got.Head
		same(t, want, got)
	}
}

// compactedWith compacts, with what the archive has.
func compactedWith(t *testing.T, j *journal.Journal) {
	t.Helper()
	if err := j.Recall(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func looked(t *testing.T, j *journal.Journal) {
	t.Helper()
	if err := journal.Look(t.Context(), j); err != nil {
		t.Fatal(err)
	}
}
