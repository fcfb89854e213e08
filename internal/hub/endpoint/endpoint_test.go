package endpoint_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/internal/hub"
	"github.com/usage-operator/usage-operator/internal/hub/endpoint"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/test/postgres"
)

const (
	here  = hub.Cluster("00000000-0000-4000-8000-000000000001")
	there = hub.Cluster("00000000-0000-4000-8000-000000000002")
)

// world is a hub that serves, with two clusters.
type world struct {
	*testing.T
	server   *postgres.Server
	location string
	store    *hub.Store
	clock    *clocktesting.FakeClock
	endpoint *endpoint.Endpoint
	address  string
	tokens   map[hub.Cluster]string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, server: postgres.Start(t), clock: clocktesting.NewFakeClock(time.Unix(1795284000, 0)), tokens: map[hub.Cluster]string{}}
	w.location = w.server.Database(t, "hub")
	var err error
	if w.store, err = hub.Open(t.Context(), w.location, w.clock); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.store.Close)
	w.endpoint = endpoint.New(endpoint.Options{Ledgers: w.store, Clock: w.clock, Log: logr.Discard(), AtOnce: 2, Patience: time.Minute})
	server := httptest.NewServer(w.endpoint)
	t.Cleanup(server.Close)
	w.address = server.URL
	return w
}

func (w *world) migrate() *world {
	w.Helper()
	err := w.store.Migrate(w.Context())
	for _, cluster := range []hub.Cluster{here, there} {
		if err == nil {
			w.tokens[cluster], err = w.store.Enrol(w.Context(), cluster, "a name")
		}
	}
	if err != nil {
		w.Fatal(err)
	}
	return w
}

// answer is what was answered.
type answer struct {
	status                          int
	header                          http.Header
	body                            string
	Title, Type, Detail, Next, Head string
}

// ask asks the hub.
func (w *world) ask(method, path, token string, body io.Reader) answer {
	w.Helper()
	request, err := http.NewRequestWithContext(w.Context(), method, w.address+path, body)
	if err != nil {
		w.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	got, err := http.DefaultClient.Do(request)
	if err != nil {
		w.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		w.Fatal(err)
	}
	a := answer{status: got.StatusCode, header: got.Header, body: string(text)}
	var problem struct {
		Title, Type, Detail, Next string
		Status                    int
	}
	if a.status != http.StatusOK {
		if err := json.Unmarshal(text, &problem); err != nil || problem.Status != a.status || a.header.Get("Content-Type") != "application/problem+json" {
			w.Errorf("%s %s: no problem of RFC 9457: %v, %s: %s", method, path, err, a.header, text)
		}
		a.Title, a.Type, a.Detail, a.Next = problem.Title, problem.Type, problem.Detail, problem.Next
	}
	return a
}

func (w *world) put(cluster hub.Cluster, token string, block journal.Stored) answer {
	w.Helper()
	return w.ask(http.MethodPut, fmt.Sprintf("/v1alpha1/clusters/%s/blocks/%s", cluster, block.Key), token, bytes.NewReader(block.Spec))
}

// want compares an answer with a status and a title.
func (w *world) want(what string, a answer, status int, title string) {
	w.Helper()
	if a.status != status || a.Title != title || status != http.StatusOK && (a.Detail == "" || a.Next == "" || a.Type != "urn:usage-hub:"+title) {
		w.Errorf("%s: %d %s: %s, want %d %s, with what to do", what, a.status, a.Title, a.body, status, title)
	}
}

// blocks are a journal's store, in memory.
type blocks map[journal.Key]journal.Stored

func (b blocks) Create(_ context.Context, key journal.Key, spec []byte) error {
	b[key] = journal.Stored{Key: key, Spec: spec}
	return nil
}

func (b blocks) Get(_ context.Context, key journal.Key) (journal.Stored, error) { return b[key], nil }
func (b blocks) Keys(context.Context) ([]journal.Key, error)                    { return nil, nil }
func (b blocks) List(context.Context, func(journal.Stored) error) error         { return nil }
func (b blocks) Delete(context.Context, journal.Key) error                      { return nil }

// history is a journal of a cluster, with as many blocks.
func (w *world) history(cluster hub.Cluster, n int) []journal.Stored {
	w.Helper()
	b := blocks{}
	j := journal.New(journal.Options{Store: b, Writer: "w", Cluster: string(cluster), Clock: w.clock, Log: logr.Discard()})
	if _, err := j.Load(w.Context()); err != nil {
		w.Fatal(err)
	}
	var out []journal.Stored
	for i := range n {
		if err := j.Append(w.Context(), &journal.Batch{Time: 1795280000 + int64(i)}); err != nil {
			w.Fatal(err)
		}
		out = append(out, b[journal.Key{From: uint64(i) + 1, To: uint64(i) + 1}])
	}
	return out
}

// A block is acknowledged once it is there, and as often as it is sent by the same words.
func TestAppend(t *testing.T) {
	w := newWorld(t).migrate()
	history := w.history(here, 2)
	first := w.put(here, w.tokens[here], history[0])
	w.want("the first", first, http.StatusOK, "")
	w.want("the second", w.put(here, w.tokens[here], history[1]), http.StatusOK, "")
	if again := w.put(here, w.tokens[here], history[0]); again.status != http.StatusOK || again.body != first.body {
		t.Errorf("a replay is answered with %d %s, and it was %s", again.status, again.body, first.body)
	}
	head := w.ask(http.MethodGet, "/v1alpha1/clusters/"+string(here), w.tokens[here], nil)
	if !strings.Contains(head.body, `"sequence":2`) || !strings.Contains(head.body, `"counted":2`) {
		t.Errorf("the head is %s", head.body)
	}
	empty := w.ask(http.MethodGet, "/v1alpha1/clusters/"+string(there), w.tokens[there], nil)
	if want := `{"cluster":"` + string(there) + `","sequence":0,"digest":"","counted":0}`; strings.TrimSpace(empty.body) != want {
		t.Errorf("the head of nothing is %s, want %s", empty.body, want)
	}
}

// Each refusal has its name, its status, and what to do; and who has no token learns nothing.
func TestRefusalsAreProblems(t *testing.T) {
	w := newWorld(t).migrate()
	history, foreign := w.history(here, 3), w.history(there, 1)
	token, path := w.tokens[here], "/v1alpha1/clusters/"+string(here)
	for _, wrong := range []string{"", "usage-hub-", "nonsense", w.tokens[there], token + "x", strings.ToUpper(token)} {
		w.want("the token "+wrong, w.put(here, wrong, history[0]), http.StatusUnauthorized, "Unauthorized")
	}
	unknown := w.put("00000000-0000-4000-8000-0000000000ff", token, history[0])
	w.want("a cluster that is not enrolled", unknown, http.StatusUnauthorized, "Unauthorized")
	if known := w.put(there, token, history[0]); strings.ReplaceAll(known.body, string(there), "") != strings.ReplaceAll(unknown.body, "00000000-0000-4000-8000-0000000000ff", "") {
		t.Errorf("it is said which clusters are enrolled: %s, %s", known.body, unknown.body)
	}
	w.want("no UID", w.ask(http.MethodGet, "/v1alpha1/clusters/..%2f", token, nil), http.StatusUnauthorized, "Unauthorized")
	w.want("no path", w.ask(http.MethodGet, "/v1/clusters", token, nil), http.StatusNotFound, "NotFound")
	w.want("no method", w.ask(http.MethodDelete, path, token, nil), http.StatusNotFound, "NotFound")
	w.want("no name", w.ask(http.MethodPut, path+"/blocks/1", token, bytes.NewReader(history[0].Spec)), http.StatusUnprocessableEntity, "Damaged")
	w.want("of another cluster", w.put(here, token, foreign[0]), http.StatusUnprocessableEntity, "OtherCluster")
	w.want("no JSON", w.put(here, token, journal.Stored{Key: history[0].Key, Spec: []byte("{")}), http.StatusUnprocessableEntity, "Damaged")
	large := journal.Stored{Key: history[0].Key, Spec: bytes.Repeat([]byte(" "), hub.MaxBytes+1)}
	w.want("too large", w.put(here, token, large), http.StatusRequestEntityTooLarge, "TooLarge")
	w.want("ahead", w.put(here, token, history[2]), http.StatusConflict, "Gap")
	w.want("the first", w.put(here, token, history[0]), http.StatusOK, "")
	w.clock.Step(time.Second)
	fork := journal.Stored{Key: history[1].Key, Spec: bytes.Replace(history[1].Spec, []byte(`"writer":"w"`), []byte(`"writer":"x"`), 1)}
	w.want("a flipped byte", w.put(here, token, fork), http.StatusUnprocessableEntity, "Damaged")
}

// A token that was replaced is good for the grace that was said, and no longer.
func TestRotation(t *testing.T) {
	w := newWorld(t).migrate()
	head := func(token string) int {
		return w.ask(http.MethodGet, "/v1alpha1/clusters/"+string(here), token, nil).status
	}
	rotate := func(grace int64) string {
		token, err := w.store.Rotate(t.Context(), here, grace)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	first := w.tokens[here]
	second := rotate(60)
	w.clock.Step(59 * time.Second)
	if head(first) != http.StatusOK || head(second) != http.StatusOK {
		t.Error("a token is good for nothing within its grace")
	}
	w.clock.Step(time.Second)
	if head(first) != http.StatusUnauthorized || head(second) != http.StatusOK {
		t.Error("a token is good after its grace")
	}
	third := rotate(0)
	if head(second) != http.StatusUnauthorized || head(third) != http.StatusOK {
		t.Error("a token is good that was replaced at once")
	}
	if _, err := w.store.Rotate(t.Context(), "00000000-0000-4000-8000-0000000000ff", 0); err == nil || !strings.Contains(err.Error(), "NotEnrolled") {
		t.Errorf("a cluster that is not enrolled: %v", err)
	}
	if _, err := w.store.Enrol(t.Context(), here, "another"); err == nil || !strings.Contains(err.Error(), "enrolled already") {
		t.Errorf("a cluster that is enrolled: %v", err)
	}
}

// gated are ledgers in which the appends of one cluster wait.
type gated struct {
	*hub.Store
	entered, gate chan struct{}
}

func (g *gated) Append(ctx context.Context, cluster hub.Cluster, block journal.Stored) (hub.Ack, error) {
	if cluster == here {
		g.entered <- struct{}{}
		<-g.gate
	}
	return g.Store.Append(ctx, cluster, block)
}

// Of one cluster a block is taken in at a time, and others are not kept waiting by it.
func TestOneOfACluster(t *testing.T) {
	w := newWorld(t).migrate()
	g := &gated{Store: w.store, entered: make(chan struct{}), gate: make(chan struct{})}
	server := httptest.NewServer(endpoint.New(endpoint.Options{Ledgers: g, Clock: w.clock, Log: logr.Discard(), AtOnce: 2, Patience: time.Minute}))
	t.Cleanup(server.Close)
	w.address = server.URL
	history, others := w.history(here, 1), w.history(there, 1)
	done := make(chan answer)
	go func() { done <- w.put(here, w.tokens[here], history[0]) }()
	<-g.entered
	second := w.put(here, w.tokens[here], history[0])
	w.want("a second", second, http.StatusTooManyRequests, "Busy")
	w.want("another cluster's", w.put(there, w.tokens[there], others[0]), http.StatusOK, "")
	close(g.gate)
	w.want("the first", <-done, http.StatusOK, "")
}

// A database that is down, has no schema, or cannot be written to: a refusal that passes,
// and nothing of what the database said.
func TestTheDatabaseIsAway(t *testing.T) {
	w := newWorld(t)
	ready := func() int {
		got := httptest.NewRecorder()
		w.endpoint.Probes().ServeHTTP(got, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
		if body := got.Body.String(); body != "ok\n" && body != "not ready\n" {
			t.Errorf("it says to anybody: %s", body)
		}
		return got.Code
	}
	if ready() != http.StatusServiceUnavailable {
		t.Error("it is ready without a schema")
	}
	w.migrate()
	history, token := w.history(here, 3), w.tokens[here]
	if ready() != http.StatusOK {
		t.Error("it is not ready")
	}
	w.want("the first", w.put(here, token, history[0]), http.StatusOK, "")
	away := func(what string) {
		t.Helper()
		a := w.put(here, token, history[1])
		w.want(what, a, http.StatusServiceUnavailable, "Unavailable")
		if a.header.Get("Retry-After") == "" || strings.Contains(a.body, "SQLSTATE") {
			t.Errorf("%s: %s %s", what, a.header, a.body)
		}
	}
	w.server.Kill(t)
	away("down")
	if ready() != http.StatusServiceUnavailable {
		t.Error("it is ready without a database")
	}
	w.server.Run(t)
	w.want("up again", w.put(here, token, history[1]), http.StatusOK, "")

	admin, err := pgx.Connect(t.Context(), w.location)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	do := func(statement string) {
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	do("ALTER TABLE blocks ADD CONSTRAINT full_disk CHECK (sequence < 3) NOT VALID")
	history[1] = history[2]
	away("it does not write")
	do("ALTER TABLE blocks DROP CONSTRAINT full_disk")
	do("ALTER DATABASE hub SET default_transaction_read_only = on")
	w.server.Kill(t) // connections that there are can write
	w.server.Run(t)
	away("a connection that was lost")
	away("read-only")
}

// Each metric is on the page, by its name, and named as Prometheus wants it.
func TestMetrics(t *testing.T) {
	w := newWorld(t).migrate()
	w.want("the first", w.put(here, w.tokens[here], w.history(here, 1)[0]), http.StatusOK, "")
	got := httptest.NewRecorder()
	w.endpoint.Probes().ServeHTTP(got, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	text := got.Body.String()
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	for _, line := range []string{
		`usage_hub_appends_total{outcome="Acknowledged"} 1`, "usage_hub_database_up 1",
		`usage_hub_chain_sequence{cluster="` + string(here) + `"} 1`, `usage_hub_chain_sequence{cluster="` + string(there) + `"} 0`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("there is no %s:\n%s", line, text)
		}
	}
	page, err := os.ReadFile("../../../docs/fleet.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, cells := range regexp.MustCompile(`(?m)^# TYPE (\w+) (\w+)$`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(string(page), "| `"+cells[1]+"` | "+cells[2]+" |") {
			t.Errorf("docs/fleet.md does not have %s, a %s", cells[1], cells[2])
		}
	}
}
