package sender_test

import (
	"context"
	"testing"
	"time"

	"github.com/go-logr/logr"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/internal/hub/sender"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/test/postgres"
)

// listing are blocks that count how often they are listed.
type listing struct {
	*blocks
	lists int
}

func (l *listing) Keys(ctx context.Context) ([]journal.Key, error) {
	l.lists++
	return l.blocks.Keys(ctx)
}

// A list reads the whole journal: a sender that has sent all of it lists it once a minute,
// and not as often as it looks for the next entry.
func TestAnIdleSenderDoesNotListTheJournal(t *testing.T) {
	s, url := (&hubs{server: postgres.Start(t)}).open(t)
	c := newCluster(t, s, url)
	for range 9 {
		c.commit(t)
	}
	for range 2 { // what one call merges, a later one deletes, once something was appended
		if _, err := c.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.commit(t)
	}
	counted, clock := &listing{blocks: c.blocks}, clocktesting.NewFakeClock(now.Now())
	at := sender.New(sender.Options{Blocks: counted, Hub: c.client, Clock: clock, Log: logr.Discard()})
	reaches := func(what string, sequence uint64, lists int) {
		t.Helper()
		status := finish(at)
		if status.Err != nil || status.Acknowledged != sequence || counted.lists > lists {
			t.Fatalf("%s: it has sent %+v, with %d lists, want %d, with %d", what, status, counted.lists, sequence, lists)
		}
		counted.lists = 0
	}
	reaches("a merged block, and entries", 11, 2)
	for range 50 {
		clock.Step(time.Second)
		reaches("nothing new", 11, 0)
	}
	for n := range uint64(3) {
		c.commit(t)
		reaches("an entry", 12+n, 0)
	}
	clock.Step(time.Minute)
	reaches("nothing new, a minute later", 14, 1)

	// What is merged and deleted before it is seen is not lost.
	for range 9 {
		c.commit(t)
	}
	for range 2 {
		if _, err := c.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.commit(t)
	}
	if _, err := c.Get(t.Context(), journal.Key{From: 15, To: 15}); err == nil {
		t.Fatal("the entry that comes next is there")
	}
	clock.Step(time.Minute)
	reaches("what was merged meanwhile", 25, 3)
}

// That the journal was restored from an older backup is seen, also while nothing is appended.
func TestAnIdleSenderSeesAJournalThatEndsBefore(t *testing.T) {
	s, url := (&hubs{server: postgres.Start(t)}).open(t)
	c := newCluster(t, s, url)
	for range 5 {
		c.commit(t)
	}
	clock := clocktesting.NewFakeClock(now.Now())
	at := sender.New(sender.Options{Blocks: c.blocks, Hub: c.client, Clock: clock, Log: logr.Discard()})
	if status := finish(at); status.Err != nil || status.Acknowledged != 5 {
		t.Fatalf("%+v", status)
	}
	for _, stored := range c.all()[3:] {
		if err := c.Delete(t.Context(), stored.Key); err != nil {
			t.Fatal(err)
		}
	}
	clock.Step(time.Minute)
	if status := finish(at); reason(status) != "Behind" {
		t.Errorf("a journal that ends before: %v, want Behind", status.Err)
	}
}
