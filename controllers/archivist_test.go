package controllers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/internal/archive"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// listedBlocks are blocks in memory that can be listed, and how often they were.
type listedBlocks struct {
	blocksInMemory
	lists *atomic.Int32
}

func (b listedBlocks) List(_ context.Context, each func(journal.Stored) error) error {
	b.lists.Add(1)
	for from := uint64(1); from <= uint64(len(b.blocksInMemory)); from++ {
		if err := each(b.blocksInMemory[journal.Key{From: from, To: from}]); err != nil {
			return err
		}
	}
	return nil
}

// midnight is the beginning of 2026-11-20.
const midnight = int64(1795132800)

// sealedDays is a journal in which so many days from midnight on are sealed, at their end.
func sealedDays(t *testing.T, days int64) (listedBlocks, *clocktesting.FakeClock, []journal.Seal) {
	t.Helper()
	store := listedBlocks{blocksInMemory{}, &atomic.Int32{}}
	now := clocktesting.NewFakeClock(time.Unix(midnight+days*86400, 0))
	written := journal.New(journal.Options{Store: store, Writer: "writer", Cluster: "cluster", Clock: now, Log: logr.Discard()})
	if _, err := written.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	var seals []journal.Seal
	var last journal.Digest
	for at := midnight; at < midnight+days*86400; at += 3600 {
		interval := usage.Window{Start: at, End: at + 3600}
		last = ledger.Digest(last, interval, nil, nil)
		seals = append(seals, journal.Seal{Interval: interval, Digest: last})
	}
	if err := written.Append(t.Context(), &journal.Batch{Time: now.Now().Unix(), Seals: seals}); err != nil {
		t.Fatal(err)
	}
	return store, now, seals
}

// The days that are sealed are archived, also after the archive could not be written for
// a while: one event reports it, with the store's own message, and one reports its end.
func TestDaysAreArchivedOnceTheStoreCanBeWritten(t *testing.T) {
	const days = 3
	store, now, seals := sealedDays(t, days)
	place := filepath.Join(t.TempDir(), "volume")
	if err := os.WriteFile(place, nil, 0o600); err != nil { // no directory can be made there
		t.Fatal(err)
	}
	var events []string
	archivist := &Archivist{
		Log: logr.Discard(), Clock: now, Sealed: NewSealed(),
		Journal:  archive.Journal{Store: store, Clock: now, Log: logr.Discard()},
		Announce: func(a announcement) { events = append(events, a.kind+" "+a.reason) },
		Open: func(ctx context.Context) (*archive.Archive, error) {
			return archive.Open(ctx, archive.Options{URL: "file://" + place, Cluster: "cluster", Writes: true})
		},
	}
	health := &Health{Archivist: archivist}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- archivist.Start(ctx) }()
	steps := func(what string, until func() bool) {
		t.Helper()
		eventually(t, what, func() bool { now.Step(archiveEvery); return until() })
	}

	eventually(t, "it waits", now.HasWaiters)
	now.Step(archiveEvery)
	if store.lists.Load() > 1 || health.finding().message != "" {
		t.Errorf("nothing is sealed, and it says %q", health.finding().message)
	}
	archivist.Sealed.Add(seals...)
	steps("the store cannot be written", func() bool { return strings.Contains(health.finding().message, "not a directory") })
	if health.finding().reason != "" {
		t.Error("meters are not ready because of the archive")
	}

	if err := os.Remove(place); err != nil {
		t.Fatal(err)
	}
	steps("it can be written again", func() bool { return health.finding().message == "" })
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if want := []string{"Warning ArchiveUnavailable", "Normal ArchiveAvailable"}; !slices.Equal(events, want) {
		t.Errorf("events %q, want %q", events, want)
	}
	read, err := archive.Open(t.Context(), archive.Options{URL: "file://" + place, Cluster: "cluster"})
	if err != nil {
		t.Fatal(err)
	}
	if size, err := read.Verify(t.Context(), func(*archive.Manifest) {}); err != nil || size.Chapters != days {
		t.Errorf("%+v: %v", size, err)
	}
	if archivist.due() {
		t.Error("there is something to archive, and all is")
	}
	if archivist.Says() != nil {
		t.Error("the journal is to say what is archived, and keeps everything")
	}
	archivist.Sealed.Add(journal.Seal{Interval: usage.Window{Start: midnight + days*86400, End: midnight + days*86400 + 3600}})
	if archivist.due() {
		t.Error("an hour is sealed, and there is a day to archive")
	}
}

// saying is a journal that says what it was given.
type saying struct {
	said   atomic.Pointer[journal.Archived]
	unread atomic.Pointer[error] // why what is archived cannot be read again; nil when it can
}

func (*saying) ToRecall() bool { return false }

func (s *saying) Recall(context.Context) error {
	if why := s.unread.Load(); why != nil {
		return *why
	}
	return nil
}

func (s *saying) Archived() *journal.Archived { return s.said.Load() }

// With --archive-cut the journal is to say what is in the archive, a week at a time, once
// it was proven; and nothing while it says so.
func TestTheJournalIsToSayWhatIsArchived(t *testing.T) {
	const days = 9
	store, now, seals := sealedDays(t, days)
	var journals saying
	folder := "file://" + t.TempDir()
	archivist := &Archivist{
		Log: logr.Discard(), Clock: now, Sealed: NewSealed(), Written: &journals,
		Journal: archive.Journal{Store: store, Clock: now, Log: logr.Discard()},
		Open: func(ctx context.Context) (*archive.Archive, error) {
			return archive.Open(ctx, archive.Options{URL: folder, Cluster: "cluster", Writes: true})
		},
	}
	archivist.Sealed.Add(seals...)
	for _, through := range []int64{7, 9} {
		if err := errors.Join(archivist.catchUp(t.Context())); err != nil {
			t.Fatal(err)
		}
		said := archivist.Says()
		if said == nil || said.Start != midnight || said.End != midnight+through*86400 {
			t.Fatalf("it is to say %+v, want %d days", said, through)
		}
		if archivist.due() {
			t.Error("there is something to do before the journal has said that")
		}
		journals.said.Store(said)
		if archivist.Says() != nil || archivist.due() != (through < days) {
			t.Errorf("%d days are said to be archived: there is something to say, or nothing to do", through)
		}
	}
}

// That the journal is not cut is over once what it waits for can be read again, also where
// nothing new can be archived meanwhile; what was not proven stays so until it is tried again.
func TestTheJournalIsCutAgainWhileNothingCanBeArchived(t *testing.T) {
	_, now, seals := sealedDays(t, 1)
	var journals saying
	journals.unread.Store(new(errors.New("no such object")))
	archivist := &Archivist{
		Log: logr.Discard(), Clock: now, Sealed: NewSealed(), Written: &journals,
		Open: func(context.Context) (*archive.Archive, error) { return nil, errors.New("read only") },
	}
	archivist.Sealed.Add(seals...)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- archivist.Start(ctx) }()
	eventually(t, "it waits", now.HasWaiters)
	for _, want := range []bool{true, false} {
		eventually(t, "the condition says whether the journal is cut", func() bool {
			now.Step(archiveLater)
			said := archivist.finding()
			return strings.Contains(said, "read only") && strings.Contains(said, "the journal keeps days") == want
		})
		journals.unread.Store(nil)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	archivist.notProven = errors.New("other segments")
	if _, uncut := archivist.catchUp(t.Context()); !errors.Is(uncut, archivist.notProven) {
		t.Errorf("got %v", uncut)
	}
}
