package usageapi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/fairqueue"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usageapi"
)

// manyNamespaces is a cluster of many namespaces, in which user t3, or a service account of it, may see namespace t3.
type manyNamespaces struct {
	namespaces int
	delay      chan struct{} // a review waits for it; nil: it does not
	reviews    atomic.Int64
	now, most  atomic.Int64 // reviews under way
}

func (c *manyNamespaces) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	name := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	return &authenticator.Response{User: &user.DefaultInfo{Name: name}}, name != "", nil
}

func (c *manyNamespaces) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	c.reviews.Add(1)
	if n := c.now.Add(1); n > c.most.Load() {
		c.most.Store(n)
	}
	defer c.now.Add(-1)
	if c.delay != nil {
		select {
		case <-c.delay:
		case <-ctx.Done():
			return authorizer.DecisionNoOpinion, "", ctx.Err()
		}
	}
	name := strings.TrimPrefix(a.GetUser().GetName(), "system:serviceaccount:")
	name, _, _ = strings.Cut(name, ":")
	if name == "admin" || a.GetNamespace() == name {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

func (c *manyNamespaces) list(_ context.Context, selector labels.Selector) ([]timeline.NamespaceRef, error) {
	var refs []timeline.NamespaceRef
	for i := range c.namespaces {
		if name := fmt.Sprint("t", i); selector.Matches(labels.Set{"name": name}) {
			refs = append(refs, timeline.NamespaceRef{Name: name, UID: "uid-" + name})
		}
	}
	return refs, nil
}

func (c *manyNamespaces) api(line *timeline.Timeline, now clock.PassiveClock) *usageapi.API {
	return usageapi.New(usageapi.Options{
		Ledger: &answers{Timeline: line}, Authenticator: c, Authorizer: c, Clock: now, Log: logr.Discard(), OperatorNamespace: "usage-system",
		RequestsPerSecond: 1e6, Timeout: time.Minute, Observe: func(string, int, time.Duration) {}, Namespaces: c.list,
		Meters: func(context.Context) ([]v1alpha1.UsageMeter, error) { return nil, nil },
	})
}

func (c *manyNamespaces) ask(t *testing.T, h http.Handler, token, url string) int {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, url, http.NoBody)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// Of a user each namespace is reviewed once in a while, a few at a time, however much he asks.
func TestEachNamespaceIsReviewedOnceForAUser(t *testing.T) {
	f := newFixture()
	c := &manyNamespaces{namespaces: 3000}
	h := c.api(f.ledger.Timeline, f.clock).Handler()
	var asking sync.WaitGroup
	for range 10 {
		asking.Go(func() {
			if code := c.ask(t, h, "t3", "/v1/usage"); code != http.StatusOK {
				t.Errorf("status %d", code)
			}
		})
	}
	asking.Wait()
	// For all namespaces at once the authorizer of the API server remembers the answer itself.
	if n := c.reviews.Load(); n != 3000+10 {
		t.Errorf("10 requests of one user caused %d reviews: want 3000, and one of all namespaces for each", n)
	}
	if most := c.most.Load(); most > 8+10 {
		t.Errorf("%d reviews at a time", most)
	}
	before := c.reviews.Load()
	f.clock.SetTime(f.clock.Now().Add(time.Minute))
	if c.ask(t, h, "t3", "/v1/usage"); c.reviews.Load()-before != 3001 {
		t.Errorf("a minute later %d reviews: want that it is asked again", c.reviews.Load()-before)
	}
}

// A tenant's service accounts share how many reviews they cause.
func TestATenantCausesSoManyReviews(t *testing.T) {
	f := newFixture()
	c := &manyNamespaces{namespaces: 3000}
	h := c.api(f.ledger.Timeline, f.clock).Handler()
	refused := 0
	for i := range 20 {
		if code := c.ask(t, h, fmt.Sprint("system:serviceaccount:t3:sa-", i), "/v1/usage"); code == http.StatusTooManyRequests {
			refused++
		}
	}
	if n := c.reviews.Load(); n > 10_000+20 || refused != 17 {
		t.Errorf("20 service accounts caused %d reviews, and %d were refused", n, refused)
	}
	if code := c.ask(t, h, "system:serviceaccount:t3:sa-19", "/v1/usage?project_id=t3"); code != http.StatusOK {
		t.Errorf("one that names his namespace: status %d", code)
	}
	if code := c.ask(t, h, "system:serviceaccount:t4:sa", "/v1/usage"); code != http.StatusOK {
		t.Errorf("another tenant: status %d", code)
	}
}

// What a question leaves out is not reviewed.
func TestWhatIsNotAskedForIsNotReviewed(t *testing.T) {
	f := newFixture()
	c := &manyNamespaces{namespaces: 3000}
	h := c.api(f.ledger.Timeline, f.clock).Handler()
	body := `{"startingOn":"2026-11-20T00:00:00Z","endingBefore":"2026-11-21T00:00:00Z","filters":{"namespaceSelector":{"matchExpressions":[{"key":"name","operator":"In","values":["t3","t4"]}]}}}`
	r := httptest.NewRequest(http.MethodPost, "/v1alpha1/report", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer t3")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK || c.reviews.Load() != 3 {
		t.Errorf("status %d, %d reviews: want one for all namespaces, and one for each of the two: %s", w.Code, c.reviews.Load(), w.Body)
	}
}

// serving is an API behind a real server.
func serving(t *testing.T, api *usageapi.API) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(api.Handler())
	t.Cleanup(server.Close)
	return server
}

// until waits for a condition.
func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, 20*time.Second, true, func(context.Context) (bool, error) { return met(), nil })
	if err != nil {
		t.Fatalf("not within 20 s: %s", what)
	}
}

// When a client goes away, what is done for it ends, and others have its room.
func TestTheWorkOfOneWhoHasGoneEnds(t *testing.T) {
	c := &manyNamespaces{namespaces: 10, delay: make(chan struct{})}
	api := c.api(ledger(), clock.RealClock{})
	server := serving(t, api)
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/v1/usage", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer t3")
	ended := make(chan error)
	go func() {
		answer, err := server.Client().Do(request)
		if err == nil {
			_ = answer.Body.Close()
		}
		ended <- err
	}()
	until(t, "the request is under way", func() bool { return c.now.Load() > 0 && api.Load().Admitted > 0 })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it says %v", err)
	}
	until(t, "nothing is held for it", func() bool { return c.now.Load() == 0 && api.Load() == fairqueue.Load{} })
}

// A client that sends a body slowly has nothing but its own tenant wait; while it is
// waited for, no other is.
func TestABodyThatDoesNotComeHoldsUpNobody(t *testing.T) {
	c := &manyNamespaces{namespaces: 10}
	api := c.api(ledger(), clock.RealClock{})
	server := serving(t, api)
	for range 32 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "POST /v1/usage HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t3\r\nContent-Length: 1000000\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "they have what they may have", func() bool { return api.Load().Waiting > 16 })
	if load := api.Load(); load.Admitted > 16<<20 {
		t.Errorf("one tenant has %d bytes", load.Admitted)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/usage?project_id=t4", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer t4")
	answer, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("another tenant: %s", answer.Status)
	}
}

// A tenant with more waiting than may is told so, and nobody else is.
func TestWhatWaitsIsBounded(t *testing.T) {
	c := &manyNamespaces{namespaces: 10, delay: make(chan struct{})}
	api := c.api(ledger(), clock.RealClock{})
	server := serving(t, api)
	const requests = 150
	var refused, answered atomic.Int64
	var asking sync.WaitGroup
	for i := range requests {
		asking.Go(func() {
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = fmt.Fprintf(conn, "GET /v1/usage HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer system:serviceaccount:t3:sa-%d\r\nConnection: close\r\n\r\n", i)
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Error(err)
				return
			}
			_ = answer.Body.Close()
			switch answer.StatusCode {
			case http.StatusOK:
				answered.Add(1)
			case http.StatusTooManyRequests:
				refused.Add(1)
			default:
				t.Error(answer.Status)
			}
		})
	}
	until(t, "all wait, are under way, or are refused", func() bool {
		load := api.Load()
		return load.Waiting == 64 && refused.Load() >= requests-64-16 && load.Flows == 1
	})
	if code := c.ask(t, api.Handler(), "", "/v1/usage"); code != http.StatusUnauthorized {
		t.Errorf("one without a token: status %d", code)
	}
	close(c.delay)
	asking.Wait()
	if answered.Load()+refused.Load() != requests || answered.Load() <= 64 {
		t.Errorf("%d were answered, %d refused", answered.Load(), refused.Load())
	}
}
