// Package proxy stands between a client and a real API server, and does what networks and other servers do: it delays,
// it loses answers and events, it cuts and refuses connections.
package proxy

import (
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// errLost ends a connection instead of an answer.
var errLost = errors.New("the answer is lost")

// Proxy is a server by HTTPS. What it does to whom can be changed at any time.
type Proxy struct {
	server *httptest.Server
	// own sends requests of clients without a token of their own, as whoever the proxy was started for.
	own, anonymous http.RoundTripper

	mu      sync.Mutex
	refuses bool
	lose    func(*http.Request) bool
	drop    func(Event) bool
	delay   time.Duration // of watch events
	late    func(*http.Request) time.Duration
	lost    int
	dropped int
}

// Start stands before the API server of the configuration, whose identity is that of clients without a token.
func Start(upstream *rest.Config) (*Proxy, error) {
	target, _, err := rest.DefaultServerUrlFor(upstream)
	if err != nil {
		return nil, err
	}
	p := &Proxy{}
	if p.own, err = rest.TransportFor(upstream); err != nil {
		return nil, err
	}
	if p.anonymous, err = rest.TransportFor(rest.AnonymousClientConfig(upstream)); err != nil {
		return nil, err
	}
	forward := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { p.rewrite(r, target) },
		Transport:      roundTripper(p.send),
		ModifyResponse: p.answer,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler) // the API server's own connection broke, or is to have broken
		},
		FlushInterval: -1,
	}
	p.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.isRefusing() {
			panic(http.ErrAbortHandler)
		}
		forward.ServeHTTP(w, r)
	}))
	p.server.EnableHTTP2 = true
	p.server.StartTLS()
	return p, nil
}

// Close cuts all connections and ends.
func (p *Proxy) Close() {
	p.server.CloseClientConnections()
	p.server.Close()
}

// Through is the configuration, by way of the proxy. Its token or impersonation stays as it is; a client certificate,
// which cannot be handed on, is replaced by the proxy's own identity.
func (p *Proxy) Through(config *rest.Config) *rest.Config {
	through := rest.CopyConfig(config)
	through.Host = p.server.URL
	through.TLSClientConfig = rest.TLSClientConfig{CAData: p.CertificateAuthority()}
	return through
}

// URL is where it serves.
func (p *Proxy) URL() string { return p.server.URL }

// CertificateAuthority is what its clients have to trust, as PEM.
func (p *Proxy) CertificateAuthority() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw})
}

// Refuse ends every connection that is there or comes, as long as it is on.
func (p *Proxy) Refuse(on bool) {
	p.mu.Lock()
	p.refuses = on
	p.mu.Unlock()
	if on {
		p.Cut()
	}
}

// Cut ends the connections that are there.
func (p *Proxy) Cut() { p.server.CloseClientConnections() }

// LoseAnswers makes the answers to these requests never come back: the API server has done what they ask for.
func (p *Proxy) LoseAnswers(to func(*http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lose = to
}

// Lost is how many answers were lost.
func (p *Proxy) Lost() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

// DelayAnswers brings an answer so much later: what it says is stale by then.
func (p *Proxy) DelayAnswers(by func(*http.Request) time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.late = by
}

// DelayWatches brings every event of a watch, of those under way too, so much later.
func (p *Proxy) DelayWatches(by time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = by
}

// DropEvents makes these events of watches, of those under way too, never arrive.
func (p *Proxy) DropEvents(these func(Event) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop = these
}

// Dropped is how many events were dropped.
func (p *Proxy) Dropped() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dropped
}

func (p *Proxy) isRefusing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refuses
}

func (p *Proxy) rewrite(r *httputil.ProxyRequest, target *url.URL) {
	r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, ""
	if isWatch(r.In) {
		r.Out.Header["Accept"] = withoutProtobuf(r.In.Header.Values("Accept"))
	}
}

// withoutProtobuf leaves the forms that can be read event by event: JSON, in lines.
func withoutProtobuf(accepted []string) []string {
	var json []string
	for form := range strings.SplitSeq(strings.Join(accepted, ","), ",") {
		if strings.Contains(form, "json") {
			json = append(json, form)
		}
	}
	if len(json) == 0 {
		return []string{"application/json"}
	}
	return []string{strings.Join(json, ",")}
}

func isWatch(r *http.Request) bool {
	watch := r.URL.Query().Get("watch")
	return watch == "true" || watch == "1"
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip is the function itself.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// send asks the API server.
func (p *Proxy) send(r *http.Request) (*http.Response, error) {
	next := p.own
	if r.Header.Get("Authorization") != "" {
		next = p.anonymous
	}
	response, err := next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if p.loses(r) {
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		return nil, errLost
	}
	return response, p.wait(r)
}

func (p *Proxy) loses(r *http.Request) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	loses := p.lose != nil && p.lose(r)
	if loses {
		p.lost++
	}
	return loses
}

// wait delays an answer.
func (p *Proxy) wait(r *http.Request) error {
	p.mu.Lock()
	var delay time.Duration
	if p.late != nil {
		delay = p.late(r)
	}
	p.mu.Unlock()
	if delay <= 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-r.Context().Done():
		return r.Context().Err()
	}
}

// answer puts a watch's events under the proxy's rules.
func (p *Proxy) answer(response *http.Response) error {
	if isWatch(response.Request) && response.StatusCode == http.StatusOK {
		response.Body = p.stream(response.Request.URL.Path, response.Body)
	}
	return nil
}
