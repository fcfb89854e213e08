package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// An API server that was restarted cannot say what happened before: its watches
// answer 410. But etcd keeps every revision for minutes, whoever restarts, and
// a list can be had of each (resourceVersionMatch=Exact). So the states at some
// revisions are compared, and where an object differs, its own history is
// walked: an object's resourceVersion is the revision of its last change, and
// what was there one revision earlier says when it had changed before. Only
// when an object went, nothing says; that is bisected.

const (
	// historyRequests bounds what one reconstruction asks for. Beyond, a list is
	// kinder to the API server.
	historyRequests = 8000
	// historyPage is how many objects' metadata one page has.
	historyPage = 500
	// historyWorkers is how many requests are made at a time.
	historyWorkers = 8
	// Between the two ends, states are listed so that about sampledObjects are
	// read in all: the more states, the less can come and go unseen.
	sampledObjects         = 40_000
	minSamples, maxSamples = 8, 128
	// handedOn is how many whole objects are held at a time.
	handedOn = 32
)

// errHistory means that the history does not say what happened, and trying
// again would not help.
var errHistory = errors.New("the history does not say what happened")

// state is what is known of an object at a revision; zero when it is not there.
type state struct {
	uid      types.UID
	revision uint64 // of its last change
}

func (s state) there() bool { return s.uid != "" }

// stretch is a time after from, up to and including to, in which an object changed.
type stretch struct {
	key           string
	from, to      uint64
	before, after state
}

// past is a change that was found.
type past struct {
	key      string
	revision uint64
	change   watch.EventType
}

// history reads the metadata of one kind as it was.
type history struct {
	client Client
	left   atomic.Int64 // requests that may still be made

	mu    sync.Mutex
	found []past
}

// bridge goes on where the watch cannot.
func (s *Source) bridge(ctx context.Context) error {
	if s.options.Latest {
		s.lost = true
		return nil
	}
	before := s.Position().ResourceVersion
	how, err := s.reconstruct(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err == nil || s.Position().ResourceVersion != before {
		s.attempts = 0
	}
	if err == nil {
		s.how = max(s.how, how)
		return nil
	}
	s.attempts++
	if expired(err) || errors.Is(err, errHistory) || s.attempts >= maxAttempts {
		s.attempts, s.lost = 0, true
		return nil
	}
	return fmt.Errorf("reconstruct what happened since resourceVersion %s: %w", before, err)
}

// maxAttempts is how often a reconstruction may fail before the source lists instead.
const maxAttempts = 5

// reconstruct hands on what happened between the position and now, and tells
// whether that is all of it.
func (s *Source) reconstruct(ctx context.Context) (Bridge, error) {
	h := &history{client: s.metadata}
	h.left.Store(historyRequests)
	now, err := h.list(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return Relisted, err
	}
	objects := uint64(len(now.Items))
	if rest := now.GetRemainingItemCount(); rest != nil && *rest > 0 {
		objects += uint64(*rest)
	}
	from, to := Revision(s.Position().ResourceVersion), Revision(now.GetResourceVersion())
	if from == 0 || to <= from {
		return Reconstructed, nil
	}
	revisions := samples(from, to, objects)
	stretches, err := h.compare(ctx, revisions)
	if err != nil {
		return Relisted, err
	}
	if err := inParallel(ctx, len(stretches), func(ctx context.Context, i int) error {
		return h.walk(ctx, stretches[i])
	}); err != nil {
		return Relisted, err
	}
	slices.SortFunc(h.found, func(a, b past) int {
		return cmp.Or(cmp.Compare(a.revision, b.revision), cmp.Compare(a.key, b.key))
	})
	if err := s.handOn(ctx, h.found); err != nil {
		return Relisted, err
	}
	s.progress(strconv.FormatUint(to, 10), s.clock.Now())
	if uint64(len(revisions)) <= to-from {
		return Sampled, nil
	}
	return Reconstructed, nil
}

// samples are the revisions to list: both ends, and some in between.
func samples(from, to, objects uint64) []uint64 {
	n := min(to-from, 1+min(max(sampledObjects/max(objects, 1), minSamples), maxSamples))
	revisions := make([]uint64, 0, n+1)
	for i := range n {
		revisions = append(revisions, from+(to-from)*i/n)
	}
	return append(revisions, to)
}

// handOn hands on whole objects, as they were when they changed.
func (s *Source) handOn(ctx context.Context, changes []past) error {
	h := &history{client: s.client}
	h.left.Store(int64(len(changes)))
	for some := range slices.Chunk(changes, handedOn) {
		objects := make([]*unstructured.Unstructured, len(some))
		if err := inParallel(ctx, len(some), func(ctx context.Context, i int) (err error) {
			objects[i], err = h.object(ctx, some[i])
			return err
		}); err != nil {
			return err
		}
		coming := make([]Change, len(some))
		for i, object := range objects {
			coming[i] = Change{Type: some[i].change, Object: object, Replayed: true}
		}
		s.coming(coming)
		now := s.clock.Now()
		for _, change := range coming {
			s.handler.Changed(change, now)
			s.came(change.Object.GetResourceVersion(), now)
		}
	}
	return nil
}

// object is the object as it was after the change, or before it was deleted.
func (h *history) object(ctx context.Context, p past) (*unstructured.Unstructured, error) {
	at := p.revision
	if p.change == watch.Deleted {
		at--
	}
	object, err := h.get(ctx, p.key, at)
	switch {
	case err != nil:
		return nil, err
	case object == nil:
		return nil, fmt.Errorf("%w: %s is not there at resourceVersion %d", errHistory, p.key, at)
	case p.change == watch.Deleted:
		object.SetResourceVersion(strconv.FormatUint(p.revision, 10))
	}
	return object, nil
}

// walk finds the changes in the stretch, the last one first.
func (h *history) walk(ctx context.Context, s stretch) error {
	for s.before != s.after {
		var err error
		var change past
		earlier := s.before
		switch {
		case !s.after.there():
			if change.revision, earlier, err = h.end(ctx, s); err != nil {
				return err
			}
			change.change = watch.Deleted
		case s.after.revision <= s.from || s.after.revision > s.to:
			return fmt.Errorf("%w: %s has resourceVersion %d at %d, and not at %d", errHistory, s.key, s.after.revision, s.to, s.from)
		default:
			change.revision, change.change = s.after.revision, watch.Added
			if s.after.revision-1 > s.from {
				if earlier, err = h.at(ctx, s.key, s.after.revision-1); err != nil {
					return err
				}
			}
			if earlier.there() {
				change.change = watch.Modified
			}
		}
		change.key = s.key
		h.mu.Lock()
		h.found = append(h.found, change)
		h.mu.Unlock()
		s.to, s.after = change.revision-1, earlier
	}
	return nil
}

// end finds the revision at which the object went, and what it was before.
func (h *history) end(ctx context.Context, s stretch) (uint64, state, error) {
	there, last, gone := s.from, s.before, s.to
	for gone-there > 1 {
		middle := there + (gone-there)/2
		now, err := h.at(ctx, s.key, middle)
		switch {
		case err != nil:
			return 0, state{}, err
		case now.there():
			there, last = middle, now
		default:
			gone = middle
		}
	}
	return gone, last, nil
}

// at is the object's state at the revision.
func (h *history) at(ctx context.Context, key string, revision uint64) (state, error) {
	object, err := h.get(ctx, key, revision)
	if object == nil || err != nil {
		return state{}, err
	}
	return stateOf(object), nil
}

func stateOf(object *unstructured.Unstructured) state {
	return state{uid: object.GetUID(), revision: Revision(object.GetResourceVersion())}
}

// get is the object as it was at the revision; nil when it was not there.
func (h *history) get(ctx context.Context, key string, revision uint64) (*unstructured.Unstructured, error) {
	namespace, name, _ := strings.Cut(key, "/")
	opts := exactly(strconv.FormatUint(revision, 10))
	opts.FieldSelector = "metadata.name=" + name
	if namespace != "" {
		opts.FieldSelector += ",metadata.namespace=" + namespace
	}
	page, err := h.list(ctx, opts)
	if err != nil || len(page.Items) == 0 {
		return nil, err
	}
	return &page.Items[0], nil
}

// list asks the API server, as long as that may be done.
func (h *history) list(ctx context.Context, opts metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	if h.left.Add(-1) < 0 {
		return nil, fmt.Errorf("%w within %d requests", errHistory, historyRequests)
	}
	page, err := h.client.List(ctx, opts)
	if apierrors.IsBadRequest(err) || apierrors.IsInvalid(err) {
		err = fmt.Errorf("%w: %w", errHistory, err) // an API server that keeps no history
	}
	return page, err
}

// inParallel calls do for each number below n, some at a time, until one fails.
func inParallel(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(n, historyWorkers) {
		group.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}
