package source

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
)

// While a source catches up, changes come faster than they are handed on. They
// wait for each other: a removal has no time of its own, and what was written
// just after it bounds it as well as what was written before.

// backlogPatience is how long what waits goes on to wait when nothing else comes.
const backlogPatience = 200 * time.Millisecond

// receive takes an event from the watch.
func (s *Source) receive(event arrival) error {
	if s.since == nil {
		return s.deliver(event)
	}
	if event.Type == watch.Error {
		if err := s.flush(); err != nil {
			return err
		}
		return apierrors.FromObject(event.Object)
	}
	s.backlog = append(s.backlog, event)
	object, ok := event.Object.(*unstructured.Unstructured)
	if ok && len(s.backlog) < watchAhead && Revision(object.GetResourceVersion()) < s.target {
		return nil
	}
	return s.flush()
}

// flush hands on what waits.
func (s *Source) flush() error {
	events := s.backlog
	s.backlog = nil
	var coming []Change
	for _, event := range events {
		if object, ok := event.Object.(*unstructured.Unstructured); ok && event.Type != watch.Bookmark {
			coming = append(coming, s.change(event.Type, object))
		}
	}
	s.coming(coming)
	for _, event := range events {
		if err := s.deliver(event); err != nil {
			return err
		}
	}
	return nil
}

// coming announces changes that nobody saw, before they are handed on.
func (s *Source) coming(changes []Change) {
	if len(changes) > 1 {
		s.handler.Coming(changes)
	}
}

// waits is over when what waits has waited for long enough; never, when nothing does.
func (s *Source) waits(ctx context.Context) (over <-chan time.Time, stop func()) {
	if len(s.backlog) == 0 || ctx.Err() != nil {
		return nil, func() {}
	}
	timer := s.clock.NewTimer(backlogPatience)
	return timer.C(), func() { timer.Stop() }
}
