package sender_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/internal/hub"
	"github.com/usage-operator/usage-operator/internal/hub/endpoint"
	"github.com/usage-operator/usage-operator/internal/hub/sender"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/postgres"
)

const start = 1795284000

var now = clocktesting.NewFakeClock(time.Unix(start, 0))

// blocks are a journal's store, in memory.
type blocks struct {
	mu     sync.Mutex
	stored map[journal.Key]journal.Stored
}

func (b *blocks) Create(_ context.Context, key journal.Key, spec []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
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

func (b *blocks) all() []journal.Stored {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.SortedFunc(maps.Values(b.stored), func(x, y journal.Stored) int {
		return cmp.Or(cmp.Compare(x.Key.From, y.Key.From), cmp.Compare(x.Key.To, y.Key.To))
	})
}

// fatal is what fails a test, or a draw of one.
type fatal interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// cluster is a cluster with a journal, and a hub.
type cluster struct {
	*journal.Journal
	*blocks
	store  *hub.Store
	uid    hub.Cluster
	client *sender.Client
	n      int64
}

// hubs are stores that serve.
type hubs struct {
	server *postgres.Server
	n      int
}

// open is a hub with a database of its own, and its address.
func (h *hubs) open(t *testing.T) (*hub.Store, string) {
	t.Helper()
	h.n++
	s, err := hub.Open(t.Context(), h.server.Database(t, fmt.Sprint("hub-", h.n)), now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(endpoint.New(endpoint.Options{Ledgers: s, Clock: clock.RealClock{}, Log: logr.Discard(), AtOnce: 4, Patience: time.Minute}))
	t.Cleanup(server.Close)
	return s, server.URL
}

var uids int

func newCluster(t fatal, s *hub.Store, url string) *cluster {
	t.Helper()
	uids++
	c := &cluster{blocks: &blocks{stored: map[journal.Key]journal.Stored{}}, store: s, uid: hub.Cluster(fmt.Sprintf("00000000-0000-4000-8000-%012x", uids))}
	token := c.enrol(t, s)
	c.client = &sender.Client{URL: url, Cluster: string(c.uid), Token: func() (string, error) { return token, nil }, HTTP: http.DefaultClient}
	c.Journal = journal.New(journal.Options{Store: c.blocks, Writer: "w", Cluster: string(c.uid), Clock: now, Log: logr.Discard()})
	if _, err := c.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cluster) enrol(t fatal, s *hub.Store) string {
	t.Helper()
	token, err := s.Enrol(context.Background(), c.uid, "a cluster")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// commit appends to the journal.
func (c *cluster) commit(t fatal) {
	t.Helper()
	c.n++
	err := c.Append(context.Background(), &journal.Batch{Time: start - 1000 + c.n, Changes: []usage.Change{{Segment: usage.Segment{
		Subject: &usage.Subject{Resource: usage.Object{UID: fmt.Sprint(c.n)}}, Start: usage.Boundary{At: start, Evidence: usage.Observed},
	}}}})
	if err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) sender() *sender.Sender {
	return sender.New(sender.Options{Blocks: c.blocks, Hub: c.client, Clock: now, Log: logr.Discard()})
}

// kept are the blocks that the hub has.
func (c *cluster) kept(t fatal, s *hub.Store) []journal.Stored {
	t.Helper()
	var kept []journal.Stored
	err := s.View(context.Background(), c.uid, func(v *hub.View) error {
		return v.List(context.Background(), func(b journal.Stored) error { kept = append(kept, b); return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

// finish takes steps until there is nothing to send, or an attempt does not succeed.
func finish(s *sender.Sender) sender.Status {
	for {
		s.Step(context.Background())
		if status := s.Status(); status.Waiting || status.Err != nil {
			return status
		}
	}
}

// reason is why the hub, or the sender itself, refused.
func reason(s sender.Status) string {
	if reason := s.Reason(); reason != "Away" {
		return reason
	}
	return ""
}

// transport counts requests, and does to them what do does.
type transport struct {
	puts int
	do   func(*http.Request) (*http.Response, error)
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPut {
		t.puts++
	}
	if t.do != nil {
		return t.do(r)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// It sends all that there is, waits for more, and goes on after a restart where the hub is.
func TestSendsWhatThereIs(t *testing.T) {
	s, url := (&hubs{server: postgres.Start(t)}).open(t)
	c := newCluster(t, s, url)
	counting := &transport{}
	c.client.HTTP = &http.Client{Transport: counting}
	first := c.sender()
	if status := finish(first); status.Acknowledged != 0 || !status.Known {
		t.Errorf("of nothing, it has sent %+v", status)
	}
	for range 5 {
		c.commit(t)
	}
	status := finish(first)
	if status.Acknowledged != 5 || status.Time != start-1000+5 || counting.puts != 5 || !reflect.DeepEqual(c.kept(t, s), c.all()) {
		t.Errorf("it has sent %+v, in %d requests", status, counting.puts)
	}
	again := c.sender()
	if status := finish(again); status.Acknowledged != 5 || status.Proven {
		t.Errorf("after a restart it has sent %+v: nothing yet says that these are its blocks", status)
	}
	c.commit(t)
	if status := finish(again); !status.Proven || status.Acknowledged != 6 || counting.puts != 6 {
		t.Errorf("after a restart it has sent %+v, in %d requests", status, counting.puts)
	}
}

// What it cannot go on with is said by its name.
func TestRefusals(t *testing.T) {
	h := &hubs{server: postgres.Start(t)}
	s, url := h.open(t)
	want := func(what string, got sender.Status, reasons string) {
		t.Helper()
		if reason(got) != reasons {
			t.Errorf("%s: %v, want %s", what, got.Err, reasons)
		}
	}
	c := newCluster(t, s, url)
	for range 3 {
		c.commit(t)
	}
	at := c.sender()
	token := c.client.Token
	c.client.Token = func() (string, error) { return "usage-hub-wrong", nil }
	want("a wrong token", finish(at), "Unauthorized")
	c.client.Token = func() (string, error) { return "", errors.New("no such file") }
	want("no token", finish(at), "")
	c.client.Token = token
	want("the token", finish(at), "")

	// What is not there, or is no hub.
	c.client.URL = "http://127.0.0.1:1"
	if status := finish(c.sender()); status.Err == nil || reason(status) != "" {
		t.Errorf("no server: %v", status.Err)
	}
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	c.client.URL = other.URL
	want("another server", finish(c.sender()), "OtherAnswer")
	for title, expected := range map[string]string{"no reason": "OtherAnswer", "Strange": "Strange"} {
		strange := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusConflict)
			_, _ = w.Write([]byte(`{"title":"` + title + `", "detail":"\u001b[2J"}`))
		}))
		t.Cleanup(strange.Close)
		c.client.URL = strange.URL
		status := finish(c.sender())
		want("one that says "+title, status, expected)
		if strings.Contains(status.Err.Error(), "\x1b") {
			t.Errorf("%q does something to a terminal", status.Err)
		}
	}
	c.client.URL = url

	// A journal that is restored from an older backup is behind, and then it is a fork.
	third := c.all()[2]
	_ = c.Delete(t.Context(), third.Key)
	want("a journal that ends before", finish(c.sender()), "Behind")
	clone := newCluster(t, s, url)
	clone.client, clone.uid = c.client, c.uid
	clone.Journal = journal.New(journal.Options{Store: clone.blocks, Writer: "clone", Cluster: string(c.uid), Clock: now, Log: logr.Discard()})
	if _, err := clone.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		clone.commit(t)
	}
	want("a clone", finish(clone.sender()), "Forked")
}

// A hub that is restored from an older backup is sent what it lacks, also where that was
// merged meanwhile, with what the hub has, or without.
func TestAnOlderHub(t *testing.T) {
	h := &hubs{server: postgres.Start(t)}
	s, url := h.open(t)
	c := newCluster(t, s, url)
	at := c.sender()
	for range 8 {
		c.commit(t)
	}
	if status := finish(at); status.Acknowledged != 8 {
		t.Fatalf("%+v", status)
	}
	older, olderURL := h.open(t)
	token := c.enrol(t, older)
	c.client.URL, c.client.Token = olderURL, func() (string, error) { return token, nil }
	c.commit(t)
	if status := finish(at); reason(status) != "Gap" || status.Proven {
		t.Errorf("a hub that has less: %+v", status)
	}
	if status := finish(at); status.Err != nil || !reflect.DeepEqual(c.kept(t, older), c.all()) {
		t.Errorf("a hub that has less is sent %d blocks: %v", len(c.kept(t, older)), status.Err)
	}

	for range 3 { // what one call merges, a later one deletes, once something was appended
		if _, err := c.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.commit(t)
	}
	fresh, freshURL := h.open(t)
	token = c.enrol(t, fresh)
	c.client.URL = freshURL
	if status := finish(c.sender()); status.Err != nil || status.Acknowledged != 12 || c.kept(t, fresh)[0].Key.To < 8 {
		t.Errorf("of a merged journal %d blocks are sent: %+v", len(c.kept(t, fresh)), status)
	}
	lagging, laggingURL := h.open(t)
	token = c.enrol(t, lagging)
	c.client.URL = laggingURL
	if _, err := lagging.Append(t.Context(), c.uid, c.kept(t, s)[0]); err != nil {
		t.Fatal(err)
	}
	if status := finish(c.sender()); status.Err != nil || status.Acknowledged != 12 {
		t.Errorf("a hub that has a part of a merged block: %+v", status)
	}
}

// Run sends what is appended while it runs, and ends.
func TestRun(t *testing.T) {
	s, url := (&hubs{server: postgres.Start(t)}).open(t)
	c := newCluster(t, s, url)
	at := sender.New(sender.Options{Blocks: c.blocks, Hub: c.client, Clock: clock.RealClock{}, Log: logr.Discard()})
	ctx, end := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { at.Run(ctx); close(done) }()
	for n := range uint64(20) {
		c.commit(t)
		at.Wake()
		err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
			return at.Status().Acknowledged == n+1, nil
		})
		if err != nil {
			t.Fatalf("block %d: %v, %+v", n+1, err, at.Status())
		}
	}
	end()
	<-done
	if kept := c.kept(t, s); !reflect.DeepEqual(kept, c.all()) {
		t.Errorf("the hub has %d blocks", len(kept))
	}
}

// added is what the hub's rows add up to.
func (c *cluster) added(t fatal) (segments []usage.Change, coverage []usage.Stretch) {
	t.Helper()
	err := c.store.View(context.Background(), c.uid, func(v *hub.View) (err error) {
		segments, err = journal.AddUp(func(each func(*usage.Change)) error {
			return v.Changes(context.Background(), func(_ uint64, change *usage.Change) error { each(change); return nil })
		})
		if err == nil {
			coverage, err = v.Coverage(context.Background())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return segments, coverage
}
