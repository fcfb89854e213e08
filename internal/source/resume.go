package source

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ErrFuture means that the API server has not come to the source's position
// yet: its etcd is another one, or was restored from a backup. A watch from
// there would wait in silence, and miss all that happens meanwhile.
var ErrFuture = errors.New("the position is in the API server's future: its etcd was replaced or restored")

// reallyGone is how often a kind has to be missing before the source gives its
// position up: an API server that just started may not serve all kinds yet.
const reallyGone = 5

// advance brings the source to where it can watch, and does one watch.
func (s *Source) advance(ctx context.Context) error {
	err := s.step(ctx)
	switch {
	case !apierrors.IsNotFound(err):
		s.missing = 0
	case !s.lost:
		s.interrupted()
		if s.missing++; s.missing < reallyGone {
			return nil
		}
		s.lost = true // the kind was removed, and its objects with it
	}
	return err
}

func (s *Source) step(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	began := s.clock.Now()
	err := s.watch(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err == nil && s.clock.Since(began) >= watchTimeout-time.Second {
		s.renewed = true
		return nil
	}
	s.interrupted()
	if expired(err) {
		return s.bridge(ctx)
	}
	return err
}

// interrupted notes where the source stopped to look live.
func (s *Source) interrupted() {
	if at := s.Position(); s.since == nil && at.ResourceVersion != "" {
		s.since, s.how = &at, Watched
		s.behind.Store(true)
		s.unsaid.Store(true)
	}
}

// begin sees to it that the handler knows what there was at the position, and
// that the watch can go on there.
func (s *Source) begin(ctx context.Context) error {
	if s.renewed {
		s.renewed = false
		return nil
	}
	if !s.lost {
		if err := s.aim(ctx); err != nil || s.seeded {
			return err
		}
		err := s.list(ctx, List{Origin: Check, After: s.since.Time, ResourceVersion: s.since.ResourceVersion})
		switch {
		case expired(err), apierrors.IsBadRequest(err), apierrors.IsInvalid(err): // nobody knows how it was
			s.lost = true
		case err != nil:
			return err
		}
		s.seeded = true
	}
	if s.lost {
		if err := s.relist(ctx); err != nil {
			return err
		}
	}
	return s.aim(ctx)
}

// aim finds out how far the kind has come: what happens later happens while the
// source looks.
func (s *Source) aim(ctx context.Context) error {
	current, err := s.Current(ctx)
	if err != nil {
		return err
	}
	at := s.Position().ResourceVersion
	if Newer(at, current) {
		s.interrupted()
		s.lost = true
		return fmt.Errorf("%w: the source is at resourceVersion %s, the API server at %s", ErrFuture, at, current)
	}
	s.target = Revision(current)
	return nil
}

// relist lists what there is now; or, where the API server still knows how it was
// after the position was forgotten, what there was then, so that nothing later is lost.
func (s *Source) relist(ctx context.Context) error {
	list := List{Origin: First}
	if s.since != nil {
		list = List{Origin: Resumed, After: s.since.Time}
		oldest, err := s.oldest(ctx)
		if err != nil {
			return err
		}
		if oldest != 0 {
			list.ResourceVersion = strconv.FormatUint(oldest, 10)
		}
	}
	err := s.list(ctx, list)
	if expired(err) && list.ResourceVersion != "" { // forgotten while it was read
		list.ResourceVersion = ""
		err = s.list(ctx, list)
	}
	if err != nil {
		return err
	}
	s.lost, s.seeded = false, true
	if list.ResourceVersion != "" {
		s.how = Watched // from there on; what was before, the list has told
		return nil
	}
	s.how = Relisted
	s.resumed(s.clock.Now())
	return nil
}

// oldest is the oldest revision after the position of which the kind's state can
// be had; 0 where that is no older than now. A position is forgotten when etcd is
// compacted, which it is to some revision of minutes ago.
func (s *Source) oldest(ctx context.Context) (uint64, error) {
	if s.options.Latest {
		return 0, nil
	}
	current, err := s.Current(ctx)
	if err != nil {
		return 0, err
	}
	gone, there := Revision(s.since.ResourceVersion), Revision(current)
	if gone == 0 || there <= gone {
		return 0, nil // it was never there, or etcd is another one
	}
	for there-gone > 1 {
		middle := gone + (there-gone)/2
		opts := exactly(strconv.FormatUint(middle, 10))
		opts.Limit = 1
		switch _, err := s.metadata.List(ctx, opts); {
		case expired(err):
			gone = middle
		case apierrors.IsBadRequest(err) || apierrors.IsInvalid(err):
			return 0, nil // an API server that keeps no history
		case err != nil:
			return 0, err
		default:
			there = middle
		}
	}
	if there == Revision(current) {
		return 0, nil
	}
	return there, nil
}

// resumed tells that the source looks live again, if it did not.
func (s *Source) resumed(now time.Time) {
	if s.since == nil {
		return
	}
	from := *s.since
	s.since = nil
	s.behind.Store(false)
	s.handler.Resumed(s.how, from, now)
	s.unsaid.Store(false)
	s.came(s.Position().ResourceVersion, now)
}

// list hands on every object, a page at a time, all as of one resourceVersion.
func (s *Source) list(ctx context.Context, list List) error {
	list.Began = s.clock.Now()
	s.handler.Listing(list)
	opts := metav1.ListOptions{}
	if list.ResourceVersion != "" {
		opts = exactly(list.ResourceVersion)
	}
	for opts.Limit = pageSize; ; {
		page, err := s.client.List(ctx, opts)
		if err != nil {
			return err
		}
		now := s.clock.Now()
		list.Shows = Revision(page.GetResourceVersion())
		for i := range page.Items {
			s.handler.Item(list, &page.Items[i], now)
		}
		if page.GetContinue() == "" {
			s.handler.Listed(list, page.GetResourceVersion(), now)
			if list.Origin == First || list.Origin == Resumed {
				s.arrived(page.GetResourceVersion(), list.Began)
			}
			return nil
		}
		opts = metav1.ListOptions{Limit: pageSize, Continue: page.GetContinue()}
	}
}

// arrived notes where a list has brought the source. What happened before the
// list began, it shows.
func (s *Source) arrived(resourceVersion string, began time.Time) {
	s.seen, s.target = nil, 0
	s.came(resourceVersion, began)
}

// exactly asks for the state at the resourceVersion.
func exactly(resourceVersion string) metav1.ListOptions {
	return metav1.ListOptions{ResourceVersion: resourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchExact}
}

func expired(err error) bool { return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) }
