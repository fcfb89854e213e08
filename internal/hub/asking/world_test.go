package asking_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/hub"
	"github.com/usage-operator/usage-operator/internal/hub/asking"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/timelines"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
	"github.com/usage-operator/usage-operator/test/postgres"
)

// hour0 is 2026-11-21T18:00:00Z.
const hour0, hour = 1795284000, 3600

// fatal is what fails a test, or a draw of one.
type fatal interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// blocks is a journal's store in memory.
type blocks map[journal.Key]journal.Stored

func (b blocks) Create(_ context.Context, key journal.Key, spec []byte) error {
	b[key] = journal.Stored{Key: key, Spec: slices.Clone(spec)}
	return nil
}

func (b blocks) Get(_ context.Context, key journal.Key) (journal.Stored, error) {
	stored, there := b[key]
	if !there {
		return stored, journal.ErrNotFound
	}
	return stored, nil
}

func (b blocks) Keys(context.Context) ([]journal.Key, error) {
	return slices.Collect(maps.Keys(b)), nil
}

func (b blocks) List(_ context.Context, each func(journal.Stored) error) error {
	for _, key := range slices.SortedFunc(maps.Keys(b), func(x, y journal.Key) int { return cmp.Compare(x.From, y.From) }) {
		if err := each(b[key]); err != nil {
			return err
		}
	}
	return nil
}

func (b blocks) Delete(_ context.Context, key journal.Key) error {
	delete(b, key)
	return nil
}

// cluster is an operator with its journal, and what it answers itself.
type cluster struct {
	name    string
	uid     hub.Cluster
	blocks  blocks
	journal *journal.Journal
	line    timelines.Follower
	own     http.Handler
	sent    uint64
}

// Loaded and Snapshot are usageapi.Ledger's.
func (c *cluster) Loaded() bool                 { return true }
func (c *cluster) Snapshot() *timeline.Snapshot { return c.line.Snapshot() }

// operator is who may see all, as an operator's API server would say.
type operator struct{}

func (operator) AuthenticateRequest(*http.Request) (*authenticator.Response, bool, error) {
	return &authenticator.Response{User: &user.DefaultInfo{Name: "finance"}}, true, nil
}

func (operator) Authorize(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
	return authorizer.DecisionAllow, "", nil
}

// world is a hub, and clusters.
type world struct {
	clock *clocktesting.FakePassiveClock
	store *hub.Store
	fleet *asking.Fleet
	hub   http.Handler
	all   []*cluster

	location string
}

var numbers atomic.Int64

func newWorld(t fatal, db string) *world {
	t.Helper()
	w := &world{clock: clocktesting.NewFakePassiveClock(time.Unix(hour0, 0)), fleet: &asking.Fleet{}, location: db}
	var err error
	if w.store, err = hub.Open(context.Background(), db, w.clock); err != nil {
		t.Fatal(err)
	}
	w.ask(1_000_000)
	return w
}

// ask has the hub answer, with so many segments in memory.
func (w *world) ask(segments int) {
	mux := http.NewServeMux()
	asking.New(asking.Options{
		Store: w.store, Fleet: func() *asking.Fleet { return w.fleet }, Clock: w.clock, Log: logr.Discard(), Segments: segments, AtOnce: 4,
		RequestsPerSecond: 1_000_000, Timeout: time.Minute, Observe: func(string, int, time.Duration) {},
	}).Routes(mux)
	w.hub = mux
}

func (w *world) add(t fatal, name string) *cluster {
	t.Helper()
	c := &cluster{
		name: name, uid: hub.Cluster(fmt.Sprintf("%08x-0000-4000-8000-%012x", os.Getpid(), numbers.Add(1))),
		blocks: blocks{}, line: timelines.New(),
	}
	c.line.Begin()
	c.line.Publish()
	c.journal = journal.New(journal.Options{
		Store: c.blocks, Writer: name, Cluster: string(c.uid), Clock: clocktesting.NewFakeClock(w.clock.Now().Add(1000 * time.Hour)), Log: logr.Discard(), Follower: c.line,
	})
	if _, err := c.journal.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Enrol(context.Background(), c.uid, name); err != nil {
		t.Fatal(err)
	}
	c.own = usageapi.New(usageapi.Options{
		Ledger: c, Authenticator: operator{}, Authorizer: operator{}, Clock: w.clock, Log: logr.Discard(),
		Namespaces: func(context.Context, labels.Selector) ([]timeline.NamespaceRef, error) { return nil, nil },
		Meters:     func(context.Context) ([]v1alpha1.UsageMeter, error) { return nil, nil },
		Reports:    func(context.Context, string) (*usageapi.Kept, error) { return &usageapi.Kept{}, nil },

		RequestsPerSecond: 1_000_000, Timeout: time.Minute, Observe: func(string, int, time.Duration) {},
	}).Handler()
	w.all = append(w.all, c)
	return c
}

// commit has the operator write.
func (c *cluster) commit(t fatal, batch *journal.Batch) {
	t.Helper()
	if err := c.journal.Append(context.Background(), batch); err != nil {
		t.Fatal(err)
	}
}

// send brings the hub what it has not.
func (c *cluster) send(t fatal, w *world) {
	t.Helper()
	err := c.blocks.List(context.Background(), func(stored journal.Stored) error {
		if stored.Key.To <= c.sent {
			return nil
		}
		if _, err := w.store.Append(context.Background(), c.uid, stored); err != nil {
			return fmt.Errorf("block %s: %w", stored.Key, err)
		}
		c.sent = stored.Key.To
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// reader makes one who may ask, whose token is his name.
func (w *world) reader(name string, sees ...asking.Grant) {
	sum := sha256.Sum256([]byte(name))
	w.fleet.Readers = append(w.fleet.Readers, asking.Reader{Name: name, TokenSHA256: []string{hex.EncodeToString(sum[:])}, Sees: sees})
}

// answer is what somebody is answered.
type answer struct {
	status int
	header http.Header
	body   string
}

func request(h http.Handler, method, path, token, body string) *answer {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return &answer{w.Code, w.Header(), w.Body.String()}
}

// report asks the hub for a report.
func (w *world) report(t fatal, token, spec string) *wire.FleetReport {
	t.Helper()
	got := request(w.hub, "POST", "/v1alpha1/report", token, spec)
	if got.status != http.StatusOK {
		t.Fatalf("%s\n%d %s", spec, got.status, got.body)
	}
	out := &wire.FleetReport{}
	if err := json.Unmarshal([]byte(got.body), out); err != nil {
		t.Fatal(err)
	}
	return out
}

// refusal is how the hub refuses a report.
func (w *world) refusal(token, spec string) string {
	got := request(w.hub, "POST", "/v1alpha1/report", token, spec)
	var said struct{ Code, Message string }
	_ = json.Unmarshal([]byte(got.body), &said)
	return fmt.Sprintf("%d %s: %s", got.status, said.Code, said.Message)
}

// holds is that something is held from a moment on.
func holds(name, namespace, deployment string, dimension usage.Dimension, level, start, end int64) usage.Change {
	object := usage.Object{APIVersion: "v1", Kind: "Thing", Name: name, UID: "uid-" + name}
	c := usage.Change{Segment: usage.Segment{
		Meter: "vm", Dimension: dimension, Level: level,
		Subject: &usage.Subject{
			ResourceType: "vm", Resource: object, Instance: object, Region: "eu-1",
			Account:    usage.Account{Namespace: namespace, NamespaceUID: "uid-" + namespace, Deployment: deployment},
			Attributes: usage.NewAttributes(map[string]string{"class": "fast"}),
		},
		Start: usage.Boundary{At: start, Evidence: usage.Observed},
	}}
	if end > 0 {
		c.End = usage.Boundary{At: end, Evidence: usage.Observed}
	}
	return c
}

var vcpu, memory = usage.Dimension{Name: "vcpu", Unit: usage.Core}, usage.Dimension{Name: "memory", Unit: usage.Byte}

// meters are a meter that sees everything from a moment on.
func meters(since int64) []journal.Meter {
	return []journal.Meter{{Name: "vm", Version: "1", ResourceType: "vm", Kind: "Thing", Since: since, Dimensions: []usage.Dimension{vcpu, memory}, Listed: true}}
}

func database(t *testing.T, server *postgres.Server) string {
	t.Helper()
	location := server.Database(t, fmt.Sprintf("asking-%d", numbers.Add(1)))
	s, err := hub.Open(t.Context(), location, clocktesting.NewFakePassiveClock(time.Unix(hour0, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return location
}
