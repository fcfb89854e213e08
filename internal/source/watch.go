package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/clock"
)

const (
	// pageSize bounds what a list holds in memory: 250 objects of 20 KiB are 5 MiB.
	pageSize = 250
	// watchTimeout is how long one watch request lasts before it is renewed.
	watchTimeout = 480 * time.Second
	// watchAhead is how many events wait while a list is handed on between two of
	// them: an API server ends a watch whose events are not taken.
	watchAhead = 256
)

// errStalled means that another watch brought what this one does not.
var errStalled = errors.New("the watch does not deliver what has happened")

// watch hands on changes until the watch ends; nil when it ended without saying why.
func (s *Source) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.seen, s.backlog = nil, nil
	w, err := s.client.Watch(ctx, watchFrom(s.Position().ResourceVersion, watchTimeout))
	if err != nil {
		return err
	}
	defer w.Stop()
	events := s.ahead(ctx, w.ResultChan())
	if s.since != nil {
		target := s.target
		go func() { _ = s.hasten(ctx, target) }() // in vain only if the watch ends
	}
	due, stop := s.checks.timer(s.clock, s.options.CheckEvery)
	defer func() { stop() }()
	for {
		s.settle(s.clock.Now())
		var err error
		over, enough := s.waits(ctx)
		select {
		case <-s.wake:
			err = s.replay(ctx)
		case <-due:
			go s.freshen(ctx)
		case <-s.fresh:
			s.check(ctx)
			due, stop = s.checks.timer(s.clock, s.options.CheckEvery)
		case g := <-s.glances:
			err = s.take(g, len(events)+len(s.backlog) > 0)
		case <-over:
			err = s.flush()
		case arrived, open := <-events:
			if !open {
				enough()
				return s.flush()
			}
			err = s.receive(arrived)
		}
		enough()
		if err != nil {
			return err
		}
	}
}

func watchFrom(resourceVersion string, timeout time.Duration) metav1.ListOptions {
	seconds := int64(timeout.Seconds())
	return metav1.ListOptions{ResourceVersion: resourceVersion, AllowWatchBookmarks: true, TimeoutSeconds: &seconds}
}

// arrival is an event, and when it came.
type arrival struct {
	watch.Event
	at time.Time
}

// ahead takes events as they come, up to a number.
func (s *Source) ahead(ctx context.Context, events <-chan watch.Event) <-chan arrival {
	taken := make(chan arrival, watchAhead)
	go func() {
		defer close(taken)
		for event := range events {
			select {
			case taken <- arrival{Event: event, at: s.clock.Now()}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return taken
}

func (s *Source) deliver(event arrival) error {
	if event.Type == watch.Error {
		return apierrors.FromObject(event.Object)
	}
	object, ok := event.Object.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("the watch delivered a %T: want an object", event.Object)
	}
	now := event.at
	version, at := object.GetResourceVersion(), s.Position().ResourceVersion
	if event.Type != watch.Bookmark {
		s.handler.Changed(s.change(event.Type, object), now)
		if Newer(at, version) {
			version = at // a glance has gone ahead; no API server should send this
		}
		s.came(version, now)
		return nil
	}
	s.progress(version, now)
	return nil
}

func (s *Source) change(what watch.EventType, object *unstructured.Unstructured) Change {
	return Change{Type: what, Object: object, Replayed: Revision(object.GetResourceVersion()) <= s.target}
}

// progress tells that nothing else has happened up to resourceVersion, if that is news.
func (s *Source) progress(resourceVersion string, now time.Time) {
	if Newer(resourceVersion, s.Position().ResourceVersion) {
		s.handler.Progress(resourceVersion, now)
		s.came(resourceVersion, now)
	}
}

// settle draws the conclusions from where the source has come to.
func (s *Source) settle(now time.Time) {
	if s.seen != nil && s.seen.last <= Revision(s.Position().ResourceVersion) {
		s.progress(s.seen.through, now)
		s.seen = nil
	}
	if s.target <= Revision(s.Position().ResourceVersion) {
		s.resumed(now)
	}
}

// replay is a list that was asked for.
type replay struct {
	whom any
	here bool // the state at the source's position, where the API server still has it
}

// Replay asks for a list on behalf of somebody new. It returns at once; the
// items come between two changes, and what the list has already shown comes
// again as older changes: whoever asked ignores those.
func (s *Source) Replay(whom any) { s.ask(replay{whom: whom}) }

// ReplayHere asks for a list of the state at the position that the source has
// reached, so that no change is both in the list and delivered later. Where the API
// server no longer has that state, the list is as of now.
func (s *Source) ReplayHere(whom any) { s.ask(replay{whom: whom, here: true}) }

func (s *Source) ask(asked replay) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replays = append(s.replays, asked)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// ReplayNow makes the lists that were asked for. It is for the handler, during a call
// of Changed: the position is still before that change.
func (s *Source) ReplayNow() error {
	s.mu.Lock()
	ctx := s.ctx
	s.mu.Unlock()
	return s.replay(ctx)
}

// replay does the lists that were asked for. Those that fail stay asked for.
func (s *Source) replay(ctx context.Context) error {
	for {
		s.mu.Lock()
		if len(s.replays) == 0 {
			s.mu.Unlock()
			return nil
		}
		asked := s.replays[0]
		s.replays = s.replays[1:]
		s.mu.Unlock()
		list := List{Origin: Replay, After: s.Position().Time, For: asked.whom}
		if asked.here {
			list.ResourceVersion = s.Position().ResourceVersion
		}
		err := s.list(ctx, list)
		if list.ResourceVersion != "" && (expired(err) || apierrors.IsBadRequest(err) || apierrors.IsInvalid(err)) {
			list.ResourceVersion = ""
			err = s.list(ctx, list)
		}
		if err != nil {
			s.ask(asked)
			return err
		}
	}
}

const (
	// checkAgain is when a check that failed is tried again.
	checkAgain = time.Minute
	// checksFailed is how many checks may fail in a row before it is reported.
	checksFailed = 3
)

// checks are those that the source makes from time to time.
type checks struct {
	next   time.Time // zero before the first watch
	failed int       // in a row
}

// timer is for the next check; it never fires when there are to be none.
func (c *checks) timer(clock clock.Clock, every time.Duration) (<-chan time.Time, func()) {
	if every <= 0 {
		return nil, func() {}
	}
	now := clock.Now()
	if c.next.IsZero() {
		c.next = now.Add(wait.Jitter(every/2, 1)) // not all sources at once
	}
	timer := clock.NewTimer(max(0, c.next.Sub(now)))
	return timer.C(), func() { timer.Stop() }
}

// freshen brings the source to where the kind is now, for the check: after an
// event that never arrived, a position that nothing else moves stays before it.
func (s *Source) freshen(ctx context.Context) {
	// In vain if the watch ends, or lists fail: then the check says so.
	if current, err := s.Current(ctx); err == nil {
		_ = s.hasten(ctx, Revision(current))
	}
	select {
	case s.fresh <- struct{}{}:
	case <-ctx.Done():
	}
}

// check lists the state at the position. The watch waits; a check that fails
// does it no harm.
func (s *Source) check(ctx context.Context) {
	at := s.Position()
	s.checks.next = s.clock.Now().Add(min(checkAgain, s.options.CheckEvery))
	if s.since != nil {
		return // it cannot tell what was missed from what is about to come
	}
	err := s.list(ctx, List{Origin: Check, After: at.Time, ResourceVersion: at.ResourceVersion})
	if err == nil {
		s.checks = checks{next: s.clock.Now().Add(wait.Jitter(s.options.CheckEvery*9/10, 0.2))}
		return
	}
	s.checks.failed++
	if s.checks.failed >= checksFailed && ctx.Err() == nil {
		s.handler.Failed(fmt.Errorf("check what there was at resourceVersion %s, %d times: %w", at.ResourceVersion, s.checks.failed, err))
	}
}
