package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/watch"
)

const (
	// reachPatience is how long the watch has to bring what was asked for. On a
	// kind that changes it does.
	reachPatience = 300 * time.Millisecond
	// glanceTimeout is how long a short watch lasts. An API server sends a
	// bookmark two seconds before a watch ends.
	glanceTimeout = 3 * time.Second
)

// waiter waits for a revision.
type waiter struct {
	revision uint64
	reached  chan struct{}
}

// Reach returns when the source has delivered everything up to resourceVersion.
//
// A kind where nothing happens gets a bookmark a minute. Reach does not wait for
// that: a second, short watch from the same position gets one within seconds.
func (s *Source) Reach(ctx context.Context, resourceVersion string) error {
	if err := s.hasten(ctx, Revision(resourceVersion)); err != nil {
		return fmt.Errorf("wait for resourceVersion %s, at %s: %w", resourceVersion, s.Position().ResourceVersion, err)
	}
	return nil
}

func (s *Source) hasten(ctx context.Context, revision uint64) error {
	w := s.await(revision)
	defer s.leave(w)
	for patience := reachPatience; ; {
		before := s.Position().ResourceVersion
		timer := s.clock.NewTimer(patience)
		select {
		case <-w.reached:
			timer.Stop()
			return nil
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C():
		}
		// A watch that catches up brings it by itself: a glance would have the API
		// server send all of that a second time, when it has most to do.
		if s.Position().ResourceVersion != before {
			continue
		}
		select {
		case <-w.reached:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-s.glance():
		}
		if s.stopped() {
			return errors.New("the source has stopped")
		}
		patience = min(2*patience, glanceTimeout)
	}
}

func (s *Source) stopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ctx != nil && s.ctx.Err() != nil
}

// await is told when the source has come to the revision.
func (s *Source) await(revision uint64) *waiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &waiter{revision: revision, reached: make(chan struct{})}
	if revision <= Revision(s.position.ResourceVersion) && !s.unsaid.Load() {
		close(w.reached)
	} else {
		s.waiters[w] = struct{}{}
	}
	return w
}

func (s *Source) leave(w *waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiters, w)
}

// glance is what a short watch saw.
type glance struct {
	from    string // where it began
	last    uint64 // the last change in it; that of from when there is none
	through string // nothing else happened up to here
}

// glance begins a short watch, or joins the one under way. The channel is closed
// when it is over.
func (s *Source) glance() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.glancing != nil {
		return s.glancing
	}
	over := make(chan struct{})
	from := s.position.ResourceVersion
	if s.ctx == nil || from == "" {
		close(over)
		return over
	}
	s.glancing = over
	ctx, cancel := context.WithTimeout(s.ctx, 2*glanceTimeout)
	go func() {
		defer func() {
			cancel()
			s.mu.Lock()
			s.glancing = nil
			s.mu.Unlock()
			close(over)
		}()
		if g, ok := s.look(ctx, from); ok {
			select {
			case s.glances <- g:
			case <-ctx.Done():
			}
		}
	}()
	return over
}

// look watches until a bookmark comes, which none does when nothing happens
// after the last change. If the watch fails, the other one has the same trouble,
// and says so.
func (s *Source) look(ctx context.Context, from string) (glance, bool) {
	g := glance{from: from, last: Revision(from)}
	// An API server's cache of a kind where nothing happens stays where it was,
	// and so do its bookmarks, until somebody wants to know what is current.
	if _, err := s.Current(ctx); err != nil {
		return g, false
	}
	w, err := s.metadata.Watch(ctx, watchFrom(from, glanceTimeout))
	if err != nil {
		return g, false
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		object, ok := event.Object.(interface{ GetResourceVersion() string })
		switch {
		case event.Type == watch.Error || !ok:
			return g, false
		case event.Type == watch.Bookmark:
			g.through = object.GetResourceVersion()
			return g, true
		default:
			g.through = object.GetResourceVersion()
			g.last = Revision(g.through)
		}
	}
	return g, g.through != ""
}

// take takes in a glance. What it saw, the watch delivers; from there on,
// nothing has happened up to the glance's bookmark.
func (s *Source) take(g glance, busy bool) error {
	at := Revision(s.Position().ResourceVersion)
	if Revision(g.from) > at || Revision(g.through) <= at {
		return nil
	}
	if s.seen != nil && s.seen.from == g.from && !busy {
		return errStalled // seconds have passed, and the watch has not moved
	}
	s.seen = &g
	return nil
}
