package apiserver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

const (
	// bookmarkEvery is how often an idle watch gets a bookmark.
	bookmarkEvery = time.Minute
	// lastBookmark is how long before its end a watch gets one.
	lastBookmark = 2 * time.Second
	// longWatch is how long a watch lasts that does not say.
	longWatch = 30 * time.Minute
)

// watching is a watch.
type watching struct {
	out    chan watch.Event
	cancel context.CancelFunc
	epoch  int
	cuts   int
	from   uint64
	end    time.Time
	mark   time.Time // when the next bookmark is due
}

func (w *watching) Stop()                          { w.cancel() }
func (w *watching) ResultChan() <-chan watch.Event { return w.out }

// watch answers a watch; form gives a version, or a bookmark's metadata, the
// client's form, under the lock.
func (s *Server) watch(ctx context.Context, k *kind, opts metav1.ListOptions, form func(*event) runtime.Object) (watch.Interface, error) {
	answer, err := s.request(ctx, k)
	if err != nil {
		return nil, err
	}
	from, err := strconv.ParseUint(opts.ResourceVersion, 10, 64)
	if err != nil {
		return nil, apierrors.NewBadRequest("the model watches from a revision")
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &watching{out: make(chan watch.Event), cancel: cancel, from: from, end: time.Now().Add(longWatch)}
	if opts.TimeoutSeconds != nil {
		w.end = time.Now().Add(time.Duration(*opts.TimeoutSeconds) * time.Second)
	}
	s.mu.Lock()
	chance := s.drawn(k, forWatch, k.requests)
	w.epoch, w.cuts = s.epoch, k.cuts
	tooOld := from < k.oldest
	s.mu.Unlock()
	if err := answer(); err != nil {
		cancel()
		return nil, err
	}
	w.mark = time.Now().Add(bookmarkEvery - time.Duration(chance.Int64N(int64(bookmarkEvery/10))))
	if early := w.end.Add(-lastBookmark); early.Before(w.mark) {
		w.mark = early
	}
	go func() {
		defer close(w.out)
		defer cancel()
		if tooOld {
			w.fail(ctx, expired(fmt.Sprintf("too old resource version: %d", from)))
			return
		}
		s.serve(ctx, k, w, form)
	}()
	return w, nil
}

// serve sends what the watch is to be told, until it ends.
func (s *Server) serve(ctx context.Context, k *kind, w *watching, form func(*event) runtime.Object) {
	for {
		s.mu.Lock()
		now := time.Now()
		over, cut := w.epoch != s.epoch || w.cuts != k.cuts, k.cut
		next, due := k.next(w.from), w.mark
		var tell *watch.Event
		switch {
		case over:
		case next != nil && !next.visible.After(now):
			tell, w.from = &watch.Event{Type: next.what, Object: form(next)}, next.revision
		case !now.Before(w.end):
			over, cut = true, nil
		case !now.Before(w.mark):
			w.mark = now.Add(bookmarkEvery)
			if early := w.end.Add(-lastBookmark); early.Before(w.mark) && now.Before(early) {
				w.mark = early
			}
			if reached := k.cached(now); reached >= w.from {
				tell = &watch.Event{Type: watch.Bookmark, Object: form(&event{object: map[string]any{
					"apiVersion": k.GroupVersion().String(), "kind": k.Kind.Kind,
					"metadata": map[string]any{"resourceVersion": text(reached)},
				}})}
			}
		}
		if next != nil && next.visible.Before(due) {
			due = next.visible
		}
		if w.end.Before(due) {
			due = w.end
		}
		changed := k.changed
		s.mu.Unlock()
		switch {
		case over:
			if cut != nil {
				w.fail(ctx, cut)
			}
			return
		case tell != nil:
			if !w.send(ctx, *tell) {
				return
			}
			continue
		case !now.Before(due):
			continue
		}
		if wait(ctx, due.Sub(now), changed) != nil {
			return
		}
	}
}

func (w *watching) send(ctx context.Context, event watch.Event) bool {
	select {
	case w.out <- event:
		return true
	case <-ctx.Done():
		return false
	}
}

func (w *watching) fail(ctx context.Context, err error) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		status = apierrors.NewInternalError(err)
	}
	said := status.Status()
	w.send(ctx, watch.Event{Type: watch.Error, Object: &said})
}

// next is the first event after the revision; nil: there is none. Called under the lock.
func (k *kind) next(revision uint64) *event {
	i := sort.Search(len(k.log), func(i int) bool { return k.log[i].revision > revision })
	if i == len(k.log) {
		return nil
	}
	return &k.log[i]
}

// cached is how far the kind's watch cache has come. Called under the lock.
func (k *kind) cached(now time.Time) uint64 {
	for len(k.marks) > 0 && !k.marks[0].visible.After(now) {
		k.reached = max(k.reached, k.marks[0].revision)
		k.marks = k.marks[1:]
	}
	reached := k.reached
	for _, v := range slices.Backward(k.log) {
		if !v.visible.After(now) {
			return max(reached, v.revision)
		}
	}
	return reached
}

// reaches is when the kind's watch cache will have come to the revision, as far as
// that is on its way; at the latest the moment end. Called under the lock.
func (k *kind) reaches(revision uint64, end time.Time) time.Time {
	at := end
	if next := k.next(revision - 1); next != nil && next.visible.Before(at) {
		at = next.visible
	}
	for _, m := range k.marks {
		if m.revision >= revision && m.visible.Before(at) {
			at = m.visible
		}
	}
	return at
}
