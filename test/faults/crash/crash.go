// Package crash ends an operator at any one of its writes to the API server. What an operator knows for good is what
// it has written there: one whose requests come through no more, from a write on, has died at that write, as kill -9
// would have it.
package crash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// ErrDead is what every request gets once the operator has died.
var ErrDead = errors.New("the operator is dead")

// Point is a moment at which an operator dies. The zero value is none.
type Point struct {
	Write int  // the number of the write, from 1
	After bool // the API server has done it; otherwise it was never sent
}

func (p Point) String() string {
	switch {
	case p.Write == 0:
		return "never"
	case p.After:
		return fmt.Sprintf("after write %d", p.Write)
	}
	return fmt.Sprintf("before write %d", p.Write)
}

// Life is an operator's connection to the API server.
type Life struct {
	point Point
	ctx   context.Context // done when it is dead
	end   context.CancelFunc

	mu     sync.Mutex
	writes []string
}

// New is a life that ends at the point.
func New(point Point) *Life {
	ctx, end := context.WithCancel(context.Background())
	return &Life{point: point, ctx: ctx, end: end}
}

// Wrap is for rest.Config.WrapTransport.
func (l *Life) Wrap(next http.RoundTripper) http.RoundTripper { return &transport{life: l, next: next} }

// Writes are those that were begun, as "POST usagerecords/name".
func (l *Life) Writes() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.writes...)
}

// Dead is closed when the operator has died.
func (l *Life) Dead() <-chan struct{} { return l.ctx.Done() }

// Kill ends the life between two writes.
func (l *Life) Kill() { l.end() }

type transport struct {
	life *Life
	next http.RoundTripper
}

// RoundTrip sends the request, unless the operator is dead or dies now.
func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if t.life.ctx.Err() != nil {
		return nil, ErrDead
	}
	if isWrite(request) {
		switch dies := t.life.count(request); {
		case dies && !t.life.point.After:
			t.life.end()
			return nil, ErrDead
		case dies:
			// Nobody hears the answer, but the API server gets the whole of it.
			if response, err := t.next.RoundTrip(request.WithContext(context.WithoutCancel(request.Context()))); err == nil {
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
			t.life.end()
			return nil, ErrDead
		}
	}
	return t.send(request)
}

// send ends with the life, whatever it has sent by then.
func (t *transport) send(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(request.Context())
	stop := context.AfterFunc(t.life.ctx, cancel)
	response, err := t.next.RoundTrip(request.WithContext(ctx))
	if err != nil {
		stop()
		cancel()
		return nil, err
	}
	response.Body = &body{ReadCloser: response.Body, closed: func() { stop(); cancel() }}
	return response, nil
}

type body struct {
	io.ReadCloser
	closed func()
}

func (b *body) Close() error {
	defer b.closed()
	return b.ReadCloser.Close()
}

// count notes a write, and tells whether it is the last.
func (l *Life) count(request *http.Request) (last bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes = append(l.writes, request.Method+" "+what(request.URL.Path))
	return len(l.writes) == l.point.Write
}

// isWrite tells what changes the ledger's world: not leases, events, and questions about access.
func isWrite(request *http.Request) bool {
	switch request.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		return false
	}
	resource, _, _ := strings.Cut(what(request.URL.Path), "/")
	return resource != "leases" && resource != "events" && !strings.HasSuffix(resource, "reviews")
}

// what a path is about: "usagerecords/name".
func what(path string) string {
	elements := strings.Split(strings.Trim(path, "/"), "/")
	switch elements[0] {
	case "api":
		elements = elements[min(2, len(elements)):]
	case "apis":
		elements = elements[min(3, len(elements)):]
	}
	if len(elements) > 2 && elements[0] == "namespaces" {
		elements = elements[2:]
	}
	return strings.Join(elements, "/")
}
