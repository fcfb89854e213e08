package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usageapi"
)

const (
	serveResources = 10_000
	// serveTenants are how many have them when everybody's hours are read, a page at a time.
	serveTenants = 1000
	// serveLoad is how many requests there are for one tenant's days, and serveAtOnce, by how many connections.
	serveLoad, serveAtOnce = 20_000, 50
	// serveRequest asks for the month, by a window size and with something more.
	serveRequest = `{"window_size":%q,"starting_on":%q,"ending_before":%q%s}`
)

// benchmarkServe reads a month by hour through the usage API, page by page, and then has fifty clients ask at once for
// a tenant's days.
func benchmarkServe(ctx context.Context, s *settings) ([]Figure, error) {
	resources, load := serveResources, serveLoad
	if s.quick {
		resources, load = resources/10, load/10
	}
	streamed, err := serveStream(ctx, s, resources)
	if err != nil {
		return nil, err
	}
	answered, err := serveUnderLoad(ctx, s, resources, load)
	return append(streamed, answered...), err
}

func monthRequest(size, more string) string {
	return fmt.Sprintf(serveRequest, size, time.Unix(reportMonth.Start, 0).UTC().Format(time.RFC3339), time.Unix(reportMonth.End, 0).UTC().Format(time.RFC3339), more)
}

// served is what a child that serves has to tell.
type served struct {
	// Before and Peak are the resident memory when the ledger was loaded, and the most since, in bytes.
	Before, Peak float64
}

func serveStream(ctx context.Context, s *settings, resources int) ([]Figure, error) {
	var rates, memory []float64
	var rows, pages int
	for range s.rounds {
		server, err := startServer(ctx, resources, max(1, resources/serveTenants))
		if err != nil {
			return nil, err
		}
		stop := s.tell.during("reading a month by hour", func() string { return fmt.Sprintf("%d rows", rows) })
		start := time.Now()
		rows, pages, err = server.readAll(ctx, monthRequest("hour", ""), func(n int) { rows = n })
		took := time.Since(start).Seconds()
		stop()
		told, endErr := server.end()
		if err := errors.Join(err, endErr); err != nil {
			return nil, err
		}
		rates, memory = append(rates, float64(rows)/took), append(memory, (told.Peak-told.Before)/(1<<20))
	}
	work := fmt.Sprintf("POST /v1/usage: a month by hour of %s resources, page by page", quantity(float64(resources)))
	rate := newFigure(work, "rows/s", rates, nil).atLeast(50_000)
	rate.Notes = map[string]float64{"rows": float64(rows), "pages": float64(pages)}
	s.tell.say("%s rows on %d pages: %s rows/s, %.0f MiB more than before", quantity(float64(rows)), pages, quantity(rate.Ours), median(memory))
	return []Figure{rate, newFigure(work+": resident memory, beyond that of the loaded ledger", "MiB", memory, nil)}, nil
}

func serveUnderLoad(ctx context.Context, s *settings, resources, load int) ([]Figure, error) {
	defer s.tell.during("fifty clients ask at once", nil)()
	folder, err := os.MkdirTemp("", "bench-serve-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	hey := filepath.Join(folder, "hey")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", hey, "github.com/rakyll/hey").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build hey: %w\n%s", err, out)
	}
	var p99s, rates []float64
	for range s.rounds {
		server, err := startServer(ctx, resources, 0)
		if err != nil {
			return nil, err
		}
		took, rate, err := server.load(ctx, hey, load, monthRequest("day", `,"customer_ids":["`+tenantName(0)+`"]`))
		_, endErr := server.end()
		if err := errors.Join(err, endErr); err != nil {
			return nil, err
		}
		p99s, rates = append(p99s, at(took, 0.99)), append(rates, rate)
	}
	f := newFigure(fmt.Sprintf("POST /v1/usage: a tenant's month by day (1,000 resources), %d connections: p99", serveAtOnce), "milliseconds", p99s, nil).atMost(50)
	f.Notes = map[string]float64{"requestsPerSecond": median(rates)}
	s.tell.say("p99 %.1f ms at %s requests/s", f.Ours, quantity(median(rates)))
	return []Figure{f}, nil
}

// server is a child that serves the usage API.
type server struct {
	*follower
	url    string
	client *http.Client
}

// startServer returns when the child has loaded the ledger of so many resources: of tenants with a thousand each or,
// unless each is 0, with as many.
func startServer(ctx context.Context, resources, each int) (*server, error) {
	f, err := startChild(ctx, sideServe, strconv.Itoa(resources), strconv.Itoa(each))
	if err != nil {
		return nil, err
	}
	if !f.out.Scan() {
		f.end()
		return nil, errors.New("it has ended before it served")
	}
	return &server{follower: f, url: f.out.Text(), client: &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}}, nil
}

func (s *server) end() (told served, err error) {
	s.say(saidStop)
	if s.out.Scan() {
		err = json.Unmarshal(s.out.Bytes(), &told)
	}
	s.follower.end()
	return told, err
}

// readAll reads all pages, and counts their rows.
func (s *server) readAll(ctx context.Context, body string, counted func(int)) (rows, pages int, err error) {
	next := ""
	for {
		page, err := s.page(ctx, next, body)
		if err != nil {
			return 0, 0, err
		}
		pages++
		rows += bytes.Count(page, []byte(`"billable_metric_id"`))
		counted(rows)
		_, cursor, found := bytes.Cut(page[max(0, len(page)-16<<10):], []byte(`"next_page":`))
		if !found {
			return 0, 0, fmt.Errorf("a page without next_page: %.200s", page)
		}
		var value *string
		if err := json.Unmarshal(bytes.TrimRight(cursor, "}\n"), &value); err != nil {
			return 0, 0, err
		}
		if value == nil {
			return rows, pages, nil
		}
		next = "?next_page=" + *value
	}
}

func (s *server) page(ctx context.Context, next, body string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/usage"+next, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer bench")
	response, err := s.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.500s", response.Status, text)
	}
	return text, err
}

// load has hey ask so many times, and returns how long the answers took, in milliseconds, in order.
func (s *server) load(ctx context.Context, hey string, requests int, body string) (took []float64, perSecond float64, err error) {
	start := time.Now()
	out, err := exec.CommandContext(ctx, hey, "-n", strconv.Itoa(requests), "-c", strconv.Itoa(serveAtOnce), "-o", "csv",
		"-m", http.MethodPost, "-T", "application/json", "-H", "Authorization: Bearer bench", "-d", body, s.url+"/v1/usage").Output()
	if err != nil {
		return nil, 0, fmt.Errorf("hey: %w", err)
	}
	perSecond = float64(requests) / time.Since(start).Seconds()
	lines, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
	if err != nil || len(lines) != requests+1 {
		return nil, 0, fmt.Errorf("hey answered with %d lines, %w: want %d", len(lines), err, requests+1)
	}
	status := slices.Index(lines[0], "status-code")
	for _, line := range lines[1:] {
		seconds, err := strconv.ParseFloat(line[0], 64)
		if err != nil || line[status] != "200" {
			return nil, 0, fmt.Errorf("an answer was %q, %w: want 200", line, err)
		}
		took = append(took, 1000*seconds)
	}
	slices.Sort(took)
	return took, perSecond, nil
}

// runServe serves the usage API from a ledger that is made up, to whoever asks.
func runServe(_ context.Context, args []string) error {
	if len(args) != 2 {
		return errNotByHand
	}
	resources, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	each, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	tenant := tenantNumber
	if each > 0 {
		tenant = func(resource int) int { return resource / each }
	}
	ledger := &loaded{newHoldings(resources).timelineOf(tenant)}
	api := usageapi.New(usageapi.Options{
		Ledger: ledger, Authenticator: everybody{}, Authorizer: everybody{}, Clock: clock.RealClock{}, Log: logr.Discard(),
		RequestsPerSecond: 1e9, Timeout: time.Minute, Observe: func(string, int, time.Duration) {},
		Namespaces: func(context.Context, labels.Selector) ([]timeline.NamespaceRef, error) {
			return ledger.Snapshot().Namespaces(), nil
		},
	})
	listening := httptest.NewUnstartedServer(api.Handler())
	listening.TLS = &tls.Config{NextProtos: []string{"http/1.1"}}
	listening.StartTLS()
	defer listening.Close()
	told := served{Before: residentBytes()}
	peaks := watchMemory()
	stop, err := profileCPU()
	if err != nil {
		return err
	}
	fmt.Println(saidReady)
	fmt.Println(listening.URL)
	if lines := bufio.NewScanner(os.Stdin); !lines.Scan() || lines.Text() != saidStop {
		return errNotByHand
	}
	stop()
	told.Peak, _ = peaks()
	return json.NewEncoder(os.Stdout).Encode(told)
}

// loaded is a ledger that is there.
type loaded struct{ *timeline.Timeline }

func (*loaded) Loaded() bool { return true }

// everybody may do everything. In the operator, both are asked of the API server once a minute, and are in a map.
type everybody struct{}

func (everybody) AuthenticateRequest(*http.Request) (*authenticator.Response, bool, error) {
	return &authenticator.Response{User: &user.DefaultInfo{Name: "bench"}}, true, nil
}

func (everybody) Authorize(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
	return authorizer.DecisionAllow, "", nil
}
