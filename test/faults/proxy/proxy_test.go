package proxy

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
)

// upstream is a server that notes what it is asked, and sends the events that it is told to.
type upstream struct {
	*httptest.Server
	events chan string

	mu    sync.Mutex
	asked []string
}

func (u *upstream) seen() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.asked)
}

func start(t *testing.T) (*upstream, *Proxy, *http.Client) {
	t.Helper()
	u := &upstream{events: make(chan string, 10)}
	u.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		u.asked = append(u.asked, fmt.Sprintf("%s %s %s %s", r.Method, r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("Accept")))
		u.mu.Unlock()
		if !isWatch(r) {
			fmt.Fprint(w, "done")
			return
		}
		flusher := http.NewResponseController(w)
		_ = flusher.Flush()
		for {
			select {
			case text := <-u.events:
				_, _ = io.WriteString(w, text+"\n")
				_ = flusher.Flush()
			case <-r.Context().Done():
				return
			}
		}
	}))
	u.EnableHTTP2 = true
	u.StartTLS()
	t.Cleanup(u.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: u.Certificate().Raw})
	p, err := Start(&rest.Config{Host: u.URL, BearerToken: "the proxy's own", TLSClientConfig: rest.TLSClientConfig{CAData: ca}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.CertificateAuthority())
	client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots}}}
	return u, p, client
}

func ask(t *testing.T, client *http.Client, method, url, token, accept string) (*http.Response, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	request.Header.Set("Accept", accept)
	return client.Do(request)
}

func TestItHandsOnWhoAsks(t *testing.T) {
	u, p, client := start(t)
	for _, token := range []string{"", "the client's own"} {
		response, err := ask(t, client, http.MethodPost, p.URL()+"/api/v1/pods", token, "text/plain")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || string(body) != "done" {
			t.Errorf("%q, %v", body, err)
		}
		_ = response.Body.Close()
	}
	want := []string{"POST /api/v1/pods Bearer the proxy's own text/plain", "POST /api/v1/pods Bearer the client's own text/plain"}
	if !slices.Equal(u.seen(), want) {
		t.Errorf("it asked %q", u.seen())
	}
}

func TestALostAnswerHasBeenGiven(t *testing.T) {
	u, p, client := start(t)
	p.LoseAnswers(func(r *http.Request) bool { return r.Method == http.MethodPost })
	if response, err := ask(t, client, http.MethodPost, p.URL()+"/write", "", ""); err == nil {
		_ = response.Body.Close()
		t.Error("the answer came")
	}
	if len(u.seen()) != 1 || p.Lost() != 1 {
		t.Errorf("it asked %q, and lost %d", u.seen(), p.Lost())
	}
	response, err := ask(t, client, http.MethodGet, p.URL()+"/read", "", "")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
}

func TestALateAnswerIsLate(t *testing.T) {
	_, p, client := start(t)
	const delay = 50 * time.Millisecond
	p.DelayAnswers(func(*http.Request) time.Duration { return delay })
	begin := time.Now()
	response, err := ask(t, client, http.MethodGet, p.URL()+"/read", "", "")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if took := time.Since(begin); took < delay {
		t.Errorf("it took %s", took)
	}
}

func TestItRefusesWhileItIsToldTo(t *testing.T) {
	_, p, client := start(t)
	for _, refuse := range []bool{true, false} {
		p.Refuse(refuse)
		response, err := ask(t, client, http.MethodGet, p.URL()+"/read", "", "")
		if err == nil {
			_ = response.Body.Close()
		}
		if (err != nil) != refuse {
			t.Errorf("refusing is %t: %v", refuse, err)
		}
	}
}

func object(kind watch.EventType, name string) string {
	return fmt.Sprintf(`{"type":%q,"object":{"metadata":{"name":%q}}}`, kind, name)
}

func TestWatches(t *testing.T) {
	u, p, client := start(t)
	response, err := ask(t, client, http.MethodGet, p.URL()+"/pods?watch=true", "", "application/vnd.kubernetes.protobuf;as=Table,application/json;as=Table")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if asked := u.seen()[0]; !strings.HasSuffix(asked, " application/json;as=Table") {
		t.Errorf("it asked %s", asked)
	}
	lines := bufio.NewScanner(response.Body)
	next := func(want string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("%q, %v; want %q", lines.Text(), lines.Err(), want)
		}
	}

	u.events <- object(watch.Added, "one")
	next(object(watch.Added, "one"))

	p.DropEvents(func(e Event) bool { return e.Path == "/pods" && e.Type == watch.Deleted && e.Object.Name == "one" })
	u.events <- object(watch.Deleted, "one")
	u.events <- object(watch.Deleted, "two")
	next(object(watch.Deleted, "two"))
	if p.Dropped() != 1 {
		t.Errorf("it dropped %d", p.Dropped())
	}

	const delay = 50 * time.Millisecond
	p.DelayWatches(delay)
	begin := time.Now()
	u.events <- object(watch.Bookmark, "")
	next(object(watch.Bookmark, ""))
	if took := time.Since(begin); took < delay {
		t.Errorf("it came after %s", took)
	}

	p.Cut()
	if lines.Scan() {
		t.Errorf("after the cut it says %q", lines.Text())
	}
}
