package apiserver

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// Kind is a kind that the server serves.
type Kind struct {
	schema.GroupVersionKind
	Resource   string // in the plural
	Namespaced bool
}

// GroupVersionResource is the kind's resource.
func (k Kind) GroupVersionResource() schema.GroupVersionResource {
	return k.GroupVersion().WithResource(k.Resource)
}

// firstRevision is what a cluster that has run for a while is at.
const firstRevision = 1000

// Server is the model. It is safe for concurrent use.
type Server struct {
	seed uint64

	mu        sync.Mutex
	kinds     map[schema.GroupResource]*kind
	order     []*kind
	revision  uint64
	compacted uint64 // lists of what is before are expired
	epoch     int    // counts restarts
	down      time.Time
	throttled time.Time
	slow      time.Time
}

// kind is what is kept of one kind.
type kind struct {
	Kind
	served   []string // versions; none: the kind is not there
	number   uint64   // among the kinds, for what is drawn
	log      []event
	versions map[string][]int // by key, in the log
	sorted   []string         // keys, in etcd's order
	changed  chan struct{}    // closed, and replaced, when watches have something to look at
	requests uint64           // so far, for what is drawn

	// The watch cache.
	held    time.Time // until then it gets nothing from etcd
	visible time.Time // when the last event arrives in it
	marks   []mark    // etcd's notes of progress that are on their way to it
	reached uint64    // by notes of progress that have arrived
	oldest  uint64    // watches cannot begin before, and lists of what is before are etcd's
	cuts    int       // how often its watches were cut
	cut     error     // with what; nil: they just end
}

// event is one change, a version of an object.
type event struct {
	revision uint64
	what     watch.EventType
	key      string
	object   map[string]any
	visible  time.Time // when the watch cache has it
	partial  *metav1.PartialObjectMetadata
}

// mark is a note of progress, and when the watch cache has it.
type mark struct {
	revision uint64
	visible  time.Time
}

// New is a server of these kinds that has no object yet.
func New(seed uint64, kinds ...Kind) *Server {
	s := &Server{seed: seed, kinds: map[schema.GroupResource]*kind{}, revision: firstRevision, compacted: firstRevision}
	for i, k := range kinds {
		made := &kind{
			Kind: k, served: []string{k.Version}, number: uint64(i + 1), versions: map[string][]int{}, changed: make(chan struct{}),
			oldest: firstRevision, reached: firstRevision,
		}
		s.kinds[k.GroupVersionResource().GroupResource()] = made
		s.order = append(s.order, made)
	}
	return s
}

// Revision is the newest there is.
func (s *Server) Revision() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision
}

// drawn is chance for the number-th thing of a purpose that happens to the kind.
func (s *Server) drawn(k *kind, purpose, number uint64) *rand.Rand {
	return rand.New(rand.NewPCG(s.seed^purpose<<56, k.number<<40|number))
}

const (
	forDelay uint64 = iota + 1
	forRequest
	forWatch
)

// Compact lets etcd forget what was before the present. Watch caches have it still,
// until they forget it, or the server is restarted.
func (s *Server) Compact() { s.CompactTo(s.Revision()) }

// CompactTo lets etcd forget what was before the revision.
func (s *Server) CompactTo(revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.compacted = max(s.compacted, revision)
}

// Forget lets every watch cache forget what was before the present, as busy ones do.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.order {
		k.oldest = s.revision
	}
}

// ForgetKind lets the watch cache of a kind forget all that was before the present: each
// kind has its own, and what changes most is forgotten first.
func (s *Server) ForgetKind(k Kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kind(k).oldest = s.revision
}

// Serve lets the kind be served in these versions, the first of which is preferred;
// with none, its definition is gone, and the caller has removed its objects. It is
// served anew: watches end, and the watch cache begins with what there is.
func (s *Server) Serve(k Kind, versions ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.kind(k)
	at.served = versions
	if len(versions) > 0 {
		at.Version = versions[0]
	}
	at.cuts++
	at.cut = nil
	at.begin(s.revision)
	at.tell()
}

// Restart ends every watch, and the server answers nothing until it is up again,
// some time later; then its watch caches begin with what there is.
func (s *Server) Restart(away time.Duration) {
	s.mu.Lock()
	s.epoch++
	s.down = time.Now().Add(away)
	s.tellAll()
	s.mu.Unlock()
	time.AfterFunc(away, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, k := range s.order {
			k.begin(s.revision)
		}
		s.tellAll()
	})
}

// begin lets the kind's watch cache begin with what there is at the revision.
// Called under the lock.
func (k *kind) begin(revision uint64) {
	k.oldest, k.reached, k.marks = revision, revision, nil
	k.held, k.visible = time.Time{}, time.Time{}
	for i := range k.log { // they are in it from the start
		k.log[i].visible = time.Time{}
	}
}

// Away lets the server answer nothing for a time; watches go on.
func (s *Server) Away(d time.Duration) { s.until(&s.down, d) }

// Throttle lets the server answer most requests with 429 for a time.
func (s *Server) Throttle(d time.Duration) { s.until(&s.throttled, d) }

// Slow lets answers take seconds for a time.
func (s *Server) Slow(d time.Duration) { s.until(&s.slow, d) }

func (s *Server) until(what *time.Time, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*what = time.Now().Add(d)
}

// Hold lets the kind's watch cache get nothing from etcd for a time: lists are
// up to date, and watches are not.
func (s *Server) Hold(k Kind, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kind(k).held = time.Now().Add(d)
}

// Cut ends the kind's watches: with the error, or, when that is nil, in silence.
func (s *Server) Cut(k Kind, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.kind(k)
	at.cuts++
	at.cut = err
	at.tell()
}

func (s *Server) kind(k Kind) *kind { return s.kinds[k.GroupVersionResource().GroupResource()] }

func (s *Server) tellAll() {
	for _, k := range s.order {
		k.tell()
	}
}

// tell wakes the kind's watches. Called under the lock.
func (k *kind) tell() {
	close(k.changed)
	k.changed = make(chan struct{})
}

// request is a request on its way to the server: it fails as the server does. What
// it returns takes the rest of the time that the answer takes.
func (s *Server) request(ctx context.Context, k *kind) (answer func() error, err error) {
	s.mu.Lock()
	k.requests++
	chance := s.drawn(k, forRequest, k.requests)
	slow := time.Now().Before(s.slow)
	s.mu.Unlock()
	latency := func() time.Duration {
		d := 100_000 + chance.Int64N(4_000_000)
		if slow {
			d = 200_000_000 + chance.Int64N(3_000_000_000)
		}
		return time.Duration(d)
	}
	if err := pause(ctx, latency()); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	switch {
	case now.Before(s.down):
		return nil, errors.New("dial tcp: connect: connection refused")
	case now.Before(s.throttled) && chance.IntN(3) > 0:
		return nil, apierrors.NewTooManyRequests("the server is overloaded", 1)
	}
	return func() error { return pause(ctx, latency()) }, nil
}

func pause(ctx context.Context, d time.Duration) error { return wait(ctx, d, nil) }

// wait waits for a time, or until something has changed.
func wait(ctx context.Context, d time.Duration, changed <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func text(revision uint64) string { return strconv.FormatUint(revision, 10) }

func expired(what string) error { return apierrors.NewResourceExpired(what) }
