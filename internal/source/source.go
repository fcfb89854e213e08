// Package source lists and watches one kind and hands each object on as it
// arrives; it keeps none.
//
// An informer would not do: it relists on every start, so that what happened in
// between is lost, and it holds whole objects where the ledger needs a hundred
// bytes of each. A source goes on at the position where it, or the process
// before it, stopped: by the watch, or by the history that etcd keeps, or, when
// that is compacted, by a list to compare with.
package source

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/clock"
)

// Position is how far a source has come: it has delivered everything up to
// ResourceVersion, and with it everything that happened before Time, but for
// what the API server had not sent yet.
type Position struct {
	ResourceVersion string
	Time            time.Time
}

// Origin says why a list was made.
type Origin uint8

const (
	// First: nothing was known before.
	First Origin = iota
	// Resumed: what happened in between is lost; what the list shows tells how it ended.
	Resumed
	// Replay: somebody new wants to see every object; the watch goes on undisturbed.
	Replay
	// Check: the state exactly at the position that the source has reached. Where
	// it differs from what the handler knows, something was missed.
	Check
)

// List is one pass over all objects of the kind.
type List struct {
	Origin Origin
	// After is when the source was last live; zero before the first list.
	After time.Time
	// Began is when the list was asked for. It shows nothing older, unless it is of
	// a ResourceVersion.
	Began time.Time
	// For is whom a Replay is for.
	For any
	// ResourceVersion is the revision of the past that the list shows: a Check, a Replay
	// that was asked for at the position, and a Resumed one where what there was is known
	// from then on. Empty: it shows what there is now.
	ResourceVersion string
	// Shows is the revision of what an Item shows; 0 before the first of them.
	Shows uint64
}

// Bridge says how a source got over a time in which it did not look.
type Bridge uint8

const (
	// Watched: the watch replayed every change.
	Watched Bridge = iota
	// Reconstructed: every change was found in etcd's history.
	Reconstructed
	// Sampled: the changes were found in etcd's history. What came and went between
	// two of its revisions that were looked at is missing.
	Sampled
	// Relisted: what there is now was compared with what there was before.
	Relisted
)

func (b Bridge) String() string {
	return [...]string{"Watched", "Reconstructed", "Sampled", "Relisted"}[b]
}

// Change is one change of an object.
type Change struct {
	// Type is Added, Modified or Deleted.
	Type watch.EventType
	// Object is the object after the change, or before it was deleted. In either
	// case its resourceVersion is the revision of the change.
	Object *unstructured.Unstructured
	// Replayed tells that it happened while nobody looked.
	Replayed bool
}

// Handler takes what a source delivers. Calls come one at a time, in order. An
// object is the handler's to read during the call, and nobody's after it.
type Handler interface {
	// Listing begins a list. One that fails midway begins again, but for a
	// Check: that may be given up, and then it is not Listed.
	Listing(list List)
	// Item is one object of a list.
	Item(list List, object *unstructured.Unstructured, now time.Time)
	// Listed ends a list: what was not an item of it does not exist at resourceVersion.
	Listed(list List, resourceVersion string, now time.Time)
	// Coming announces what is Changed next, where nobody saw it: what their
	// objects say of their times bounds those that say nothing.
	Coming(changes []Change)
	// Changed is one change. They come in the order of their revisions.
	Changed(change Change, now time.Time)
	// Progress tells that nothing else has happened up to resourceVersion.
	Progress(resourceVersion string, now time.Time)
	// Resumed tells that the source looks live again, after it had not since from;
	// or since a Resumed list of a revision, where one was Listed meanwhile.
	Resumed(how Bridge, from Position, now time.Time)
	// Failed tells why the source does not get on. It goes on trying. When the
	// kind is not found, it is not installed, and none of its objects exists:
	// what comes next, if it is installed again, is a list.
	Failed(err error)
}

// Client reads one kind. Lists come in pages.
type Client interface {
	List(ctx context.Context, opts metav1.ListOptions) (*unstructured.UnstructuredList, error)
	Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error)
}

// Options say how a source goes about it.
type Options struct {
	// From is where an earlier source stopped: this one checks what was known
	// then, and goes on there. Without a resourceVersion, in the middle of a list,
	// it lists again. Without anything the source begins with a First list.
	From Position
	// CheckEvery is how often the source comes to where the kind is, and lists the
	// state there for comparison; 0 is never.
	CheckEvery time.Duration
	// Metadata reads the same kind's metadata alone: less to send, where that is
	// all that is asked for. Without it the source's client does.
	Metadata Client
	// Latest tells that only the newest state matters: where the watch cannot go
	// on, the source lists again, and does not look into the history.
	Latest bool
}

// Source follows one kind. Make it with New, and run it once.
type Source struct {
	client   Client
	metadata Client
	handler  Handler
	clock    clock.Clock
	options  Options
	wake     chan struct{} // has room for one: there are replays
	glances  chan glance   // what short watches saw
	fresh    chan struct{} // the source is where a check finds what it missed

	behind atomic.Bool // since is set
	unsaid atomic.Bool // it is, or the handler has not been told Resumed yet

	mu       sync.Mutex
	ctx      context.Context // of Run; nil before
	position Position
	waiters  map[*waiter]struct{}
	glancing chan struct{} // closed when the short watch under way ends; nil when there is none
	replays  []replay      // asked for, and not begun

	// The rest is Run's alone.
	seeded  bool      // the handler knows what was there at the position
	lost    bool      // the position is of no use: list again
	renewed bool      // the last watch ended in the ordinary way
	since   *Position // where the source stopped to look live; nil when it does
	how     Bridge    // how the way since then was made, so far
	target  uint64    // what happened up to here happened before the source looked again
	seen    *glance   // waits for the watch to come as far
	backlog []arrival // changes that nobody saw, and that wait for each other
	missing int       // how often the kind was not found, one after the other
	checks  checks
	// attempts counts the reconstructions that failed one after the other.
	attempts int
}

// New is a source that hands what client reads to handler.
func New(client Client, handler Handler, clock clock.Clock, options Options) *Source {
	s := &Source{
		client: client, metadata: options.Metadata, handler: handler, clock: clock, options: options,
		wake: make(chan struct{}, 1), glances: make(chan glance), fresh: make(chan struct{}), waiters: map[*waiter]struct{}{},
		position: options.From,
	}
	if s.metadata == nil {
		s.metadata = client
	}
	from := options.From
	if from.ResourceVersion != "" || !from.Time.IsZero() {
		s.since = &from
		s.behind.Store(true)
		s.unsaid.Store(true)
	}
	if from.ResourceVersion == "" {
		s.lost, s.seeded = true, true
	}
	return s
}

// Position is how far the source has come.
func (s *Source) Position() Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.position
}

// Behind tells whether the source still catches up with what happened while it
// did not look.
func (s *Source) Behind() bool { return s.behind.Load() }

// Current is the kind's current resourceVersion: everything that has happened
// has happened up to it.
func (s *Source) Current(ctx context.Context) (string, error) {
	page, err := s.metadata.List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return "", err
	}
	return page.GetResourceVersion(), nil
}

// Run lists, then watches, until ctx is done.
func (s *Source) Run(ctx context.Context) {
	s.mu.Lock()
	s.ctx = ctx
	s.mu.Unlock()
	backoff := newBackoff()
	for ctx.Err() == nil {
		before := s.Position().ResourceVersion
		err := s.advance(ctx)
		if ctx.Err() != nil {
			return
		}
		stuck := s.Position().ResourceVersion == before
		if err == nil || !stuck {
			backoff = newBackoff()
		}
		if err != nil {
			s.handler.Failed(err)
		}
		if err != nil || stuck {
			s.pause(ctx, backoff.Step())
		}
	}
}

func newBackoff() wait.Backoff {
	return wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 8, Cap: 5 * time.Second}
}

func (s *Source) pause(ctx context.Context, d time.Duration) {
	timer := s.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C():
	}
}

// came notes that everything up to resourceVersion was delivered. Who waits for that waits
// also until the handler knows how the stretch in which nobody looked is known.
func (s *Source) came(resourceVersion string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.position.ResourceVersion = resourceVersion
	// While it catches up, what comes next may have happened long before now.
	if s.since == nil && Revision(resourceVersion) >= s.target {
		s.position.Time = now
	}
	if s.unsaid.Load() {
		return
	}
	for w := range s.waiters {
		if w.revision <= Revision(resourceVersion) {
			close(w.reached)
			delete(s.waiters, w)
		}
	}
}

// Newer tells whether resourceVersion a is later than b. Within one cluster
// they are numbers that grow, whatever the kind.
func Newer(a, b string) bool { return Revision(a) > Revision(b) }

// Revision is a resourceVersion as the number that it is; 0 when it is none.
func Revision(resourceVersion string) uint64 {
	n, err := strconv.ParseUint(resourceVersion, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
