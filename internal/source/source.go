// Package source lists and watches one kind and hands each object on as it
// arrives; it keeps none.
//
// An informer would not do: it relists on every start, so that what happened in
// between is lost, and it holds whole objects where the ledger needs a hundred
// bytes of each.
package source

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/clock"
)

// Origin says why a list was made.
type Origin uint8

const (
	// First: nothing was known before.
	First Origin = iota
	// Resumed: the watch broke and could not go on where it was.
	Resumed
	// Replay: somebody new wants to see every object; the watch goes on undisturbed.
	Replay
)

// List is one pass over all objects of the kind.
type List struct {
	Origin Origin
	// After is when the watch last delivered something; zero before the first list.
	After time.Time
	// Began is when the list was asked for: it shows nothing older.
	Began time.Time
	// For is whom a Replay is for.
	For any
}

// Handler takes what a source delivers. Calls come one at a time, in order. An
// object is the handler's to read during the call, and nobody's after it.
type Handler interface {
	// Listing begins a list. One that fails midway begins again.
	Listing(list List)
	// Item is one object of a list.
	Item(list List, object *unstructured.Unstructured, now time.Time)
	// Listed ends a list: what was not an item of it does not exist at resourceVersion.
	Listed(list List, resourceVersion string, now time.Time)
	// Changed is one change, as the watch delivers it: Added, Modified or
	// Deleted.
	Changed(change watch.EventType, object *unstructured.Unstructured, now time.Time)
	// Progress tells that nothing else has happened up to resourceVersion.
	Progress(resourceVersion string, now time.Time)
	// Failed tells why the source does not get on. It goes on trying.
	Failed(err error)
}

// Client reads one kind. Lists come in pages.
type Client interface {
	List(ctx context.Context, opts metav1.ListOptions) (*unstructured.UnstructuredList, error)
	Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error)
}

const (
	// pageSize bounds what a list holds in memory: 250 objects of 20 KiB are 5 MiB.
	pageSize = 250
	// watchSeconds is how long one watch request lasts before it is renewed.
	watchSeconds = 480
)

// Source follows one kind. Make it with New, and run it once.
type Source struct {
	client  Client
	handler Handler
	clock   clock.Clock

	mu      sync.Mutex
	replays []any         // asked for, and not begun
	wake    chan struct{} // has room for one: there are replays

	resourceVersion string    // "" before the first list, and when it expired
	position        time.Time // when resourceVersion was delivered
}

// New is a source that hands what client reads to handler.
func New(client Client, handler Handler, clock clock.Clock) *Source {
	return &Source{client: client, handler: handler, clock: clock, wake: make(chan struct{}, 1)}
}

// Replay asks for a list on behalf of somebody new. It returns at once; the
// items come between two changes, and what the list has already shown comes
// again as older changes: whoever asked ignores those.
func (s *Source) Replay(whom any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replays = append(s.replays, whom)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// replay does the lists that were asked for. Those that fail stay asked for.
func (s *Source) replay(ctx context.Context) error {
	for {
		s.mu.Lock()
		if len(s.replays) == 0 {
			s.mu.Unlock()
			return nil
		}
		whom := s.replays[0]
		s.replays = s.replays[1:]
		s.mu.Unlock()
		if _, err := s.list(ctx, List{Origin: Replay, After: s.position, For: whom}); err != nil {
			s.Replay(whom)
			return err
		}
	}
}

// Run lists, then watches, until ctx is done.
func (s *Source) Run(ctx context.Context) {
	backoff := newBackoff()
	for ctx.Err() == nil {
		before := s.position
		err := s.advance(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil || s.position.After(before):
			backoff = newBackoff()
		}
		if err != nil {
			s.handler.Failed(err)
		}
		if err != nil || s.position.Equal(before) {
			s.pause(ctx, backoff.Step())
		}
	}
}

func newBackoff() wait.Backoff {
	return wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 8, Cap: 15 * time.Second}
}

func (s *Source) pause(ctx context.Context, d time.Duration) {
	timer := s.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C():
	}
}

// advance does one list, when there is no position, and one watch.
func (s *Source) advance(ctx context.Context) error {
	if s.resourceVersion == "" {
		list := List{Origin: First, After: s.position}
		if !s.position.IsZero() {
			list.Origin = Resumed
		}
		resourceVersion, err := s.list(ctx, list)
		if err != nil {
			return err
		}
		s.resourceVersion = resourceVersion
	}
	err := s.watch(ctx)
	switch {
	case apierrors.IsResourceExpired(err) || apierrors.IsGone(err):
		s.resourceVersion = "" // too old to go on from: list again
		return nil
	case apierrors.IsNotFound(err):
		s.resourceVersion = "" // the kind was removed, and its objects with it
	}
	return err
}

// list hands on every object, a page at a time, all as of one resourceVersion.
func (s *Source) list(ctx context.Context, list List) (string, error) {
	opts := metav1.ListOptions{Limit: pageSize}
	list.Began = s.clock.Now()
	s.handler.Listing(list)
	for {
		page, err := s.client.List(ctx, opts)
		if err != nil {
			return "", err
		}
		now := s.clock.Now()
		for i := range page.Items {
			s.handler.Item(list, &page.Items[i], now)
		}
		if page.GetContinue() == "" {
			if list.Origin != Replay {
				s.position = now
			}
			s.handler.Listed(list, page.GetResourceVersion(), now)
			return page.GetResourceVersion(), nil
		}
		opts.Continue = page.GetContinue()
	}
}

// watch hands on changes until the watch ends; nil when it ended in the ordinary way.
func (s *Source) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	timeout := int64(watchSeconds)
	w, err := s.client.Watch(ctx, metav1.ListOptions{
		ResourceVersion: s.resourceVersion, AllowWatchBookmarks: true, TimeoutSeconds: &timeout,
	})
	if err != nil {
		return err
	}
	defer w.Stop()
	for {
		select {
		case <-s.wake:
			if err := s.replay(ctx); err != nil {
				return err
			}
		case event, open := <-w.ResultChan():
			if !open {
				return nil
			}
			if err := s.deliver(event); err != nil {
				return err
			}
		}
	}
}

func (s *Source) deliver(event watch.Event) error {
	if event.Type == watch.Error {
		return apierrors.FromObject(event.Object)
	}
	object, ok := event.Object.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("the watch delivered a %T: want an object", event.Object)
	}
	now := s.clock.Now()
	s.resourceVersion = object.GetResourceVersion()
	if event.Type == watch.Bookmark {
		s.handler.Progress(s.resourceVersion, now)
	} else {
		s.handler.Changed(event.Type, object, now)
	}
	s.position = now
	return nil
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
