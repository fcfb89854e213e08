package hub_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/internal/hub"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/postgres"
)

// hour0 is 2026-11-21T18:00:00Z.
const hour0, hour = 1795284000, 3600

var clock = clocktesting.NewFakePassiveClock(time.Unix(hour0, 0))

// fatal is what fails a test, or a draw of one.
type fatal interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// database is a hub's store, in a database of its own.
func database(t testing.TB, server *postgres.Server) (*hub.Store, string) {
	t.Helper()
	location := server.Database(t, fmt.Sprintf("hub-%d", databases.Add(1)))
	s := open(t, location)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, location
}

var databases, clusters atomic.Int64

func open(t testing.TB, location string) *hub.Store {
	t.Helper()
	s, err := hub.Open(t.Context(), location, clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// uid is a cluster that no test has had.
func uid() hub.Cluster {
	return hub.Cluster(fmt.Sprintf("%08x-0000-4000-8000-%012x", os.Getpid(), clusters.Add(1)))
}

// enrolled is a cluster that the hub knows.
func enrolled(t fatal, s *hub.Store) hub.Cluster {
	t.Helper()
	cluster := uid()
	if _, err := s.Enrol(context.Background(), cluster, "a cluster"); err != nil {
		t.Fatal(err)
	}
	return cluster
}

// blocks is a journal's store in memory.
type blocks struct {
	mu     sync.Mutex
	stored map[journal.Key]journal.Stored
	full   bool // nothing can be written
}

func (b *blocks) Create(_ context.Context, key journal.Key, spec []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.full {
		return fmt.Errorf("no room for block %s", key)
	}
	if _, there := b.stored[key]; there {
		return journal.ErrExists
	}
	b.stored[key] = journal.Stored{Key: key, Spec: slices.Clone(spec)}
	return nil
}

func (b *blocks) Get(_ context.Context, key journal.Key) (journal.Stored, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	stored, there := b.stored[key]
	if !there {
		return stored, journal.ErrNotFound
	}
	return stored, nil
}

func (b *blocks) Keys(context.Context) ([]journal.Key, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.stored)), nil
}

func (b *blocks) List(_ context.Context, each func(journal.Stored) error) error {
	for _, stored := range b.all() {
		if err := each(stored); err != nil {
			return err
		}
	}
	return nil
}

func (b *blocks) Delete(_ context.Context, key journal.Key) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.stored, key)
	return nil
}

// all are the blocks, in order.
func (b *blocks) all() []journal.Stored {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.SortedFunc(maps.Values(b.stored), func(x, y journal.Stored) int {
		return cmp.Or(cmp.Compare(x.Key.From, y.Key.From), cmp.Compare(x.Key.To, y.Key.To))
	})
}

// source is a cluster's operator, as far as a hub knows it: a journal.
type source struct {
	*blocks
	*journal.Journal
	cluster hub.Cluster
	said    []*journal.Batch
}

func newSource(t fatal, cluster hub.Cluster, writer string, has *blocks, said []*journal.Batch) *source {
	t.Helper()
	has.mu.Lock()
	s := &source{blocks: &blocks{stored: map[journal.Key]journal.Stored{}}, cluster: cluster, said: slices.Clone(said)}
	maps.Copy(s.stored, has.stored)
	has.mu.Unlock()
	s.Journal = journal.New(journal.Options{Store: s.blocks, Writer: writer, Cluster: string(cluster), Clock: clocktesting.NewFakeClock(clock.Now()), Log: logr.Discard()})
	if _, err := s.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	return s
}

// commit appends a batch.
func (s *source) commit(t fatal, batch *journal.Batch) {
	t.Helper()
	if err := s.Append(context.Background(), batch); err != nil {
		t.Fatal(err)
	}
	s.said = append(s.said, batch)
}

// holds is a batch in which as many things change.
func holds(from string, n, changes int) *journal.Batch {
	b := &journal.Batch{Time: hour0 - hour + int64(n)}
	for i := range changes {
		b.Changes = append(b.Changes, usage.Change{Kind: usage.Put, Segment: usage.Segment{
			Meter: "vm", Dimension: usage.Dimension{Name: "vcpu", Unit: usage.Core}, Level: int64(1000 * (i + 1)),
			Subject: &usage.Subject{
				Account: usage.Account{Namespace: "shop", Deployment: "web"}, ResourceType: "vm",
				Resource: usage.Object{Name: from, UID: fmt.Sprintf("%s-%d", from, i%3)},
			},
			Start: usage.Boundary{At: hour0 - hour + int64(n), Evidence: usage.Observed},
		}})
	}
	return b
}

// whole is a block of a journal.
func whole(t fatal, stored journal.Stored) *journal.Whole {
	t.Helper()
	b, err := journal.Open(stored)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// redigested is a block that somebody changed, and gave the digest that fits.
func redigested(t fatal, stored journal.Stored) journal.Stored {
	t.Helper()
	var fields map[string]any
	decoder := json.NewDecoder(bytes.NewReader(stored.Spec))
	decoder.UseNumber()
	if err := decoder.Decode(&fields); err != nil {
		t.Fatal(err)
	}
	encoded := func() []byte {
		text, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	delete(fields, "digest")
	fields["digest"] = journal.Digest(sha256.Sum256(encoded())).String()
	stored.Spec = encoded()
	return stored
}

// equal tells whether two lists have the same in them.
func equal[T any](a, b []T) bool { return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b) }
