package apiserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// futureWait is how long the server waits for its watch cache to come to a revision.
	futureWait = 3 * time.Second
	// progressWait is how long it takes to hear from etcd how far its watch is.
	progressWait = 100 * time.Millisecond
)

// errReset is what became of requests that the server was busy with when it ended.
var errReset = errors.New("read tcp: connection reset by peer")

// page is a part of a list: numbers in the kind's log.
type page struct {
	revision  uint64
	next      string // the continue token
	remaining *int64
	items     []int
}

// list answers a list. each is called under the lock with every version in it.
func (s *Server) list(ctx context.Context, k *kind, namespace string, opts metav1.ListOptions, each func(*event)) (*page, error) {
	answer, err := s.request(ctx, k)
	if err != nil {
		return nil, err
	}
	p, err := s.lookUp(ctx, k, namespace, opts, each)
	if late := answer(); late != nil {
		return nil, late
	}
	return p, err
}

func (s *Server) lookUp(ctx context.Context, k *kind, namespace string, opts metav1.ListOptions, each func(*event)) (*page, error) {
	q, err := parse(k, namespace, opts)
	if err != nil {
		return nil, err
	}
	fromEtcd := false
	switch s.mu.Lock(); q.read {
	case readConsistent:
		q.revision = s.revision
	case readExact:
		fromEtcd = q.revision < k.oldest || q.single
	}
	s.mu.Unlock()
	if !fromEtcd {
		switch err := s.fresh(ctx, k, q.revision); {
		case err == nil:
		case q.read == readConsistent && apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge):
			fromEtcd = true // the watch cache lags behind
		default:
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case fromEtcd && q.read == readConsistent:
		q.revision = s.revision
	case fromEtcd && q.revision < s.compacted:
		return nil, q.compacted()
	case q.read != readExact:
		q.revision = k.cached(time.Now())
	}
	return k.page(&q, each), nil
}

// page is the part of a list that is asked for, as of the query's revision. Called under the lock.
func (k *kind) page(q *query, each func(*event)) *page {
	p := &page{revision: q.revision}
	var rest int64
	for _, key := range k.sorted {
		if key <= q.after || !q.matches(key) {
			continue
		}
		i := k.at(key, q.revision)
		switch {
		case i < 0:
		case q.limit > 0 && int64(len(p.items)) == q.limit:
			if rest == 0 {
				p.next = token(text(p.revision), k.log[p.items[len(p.items)-1]].key)
			}
			rest++
		default:
			p.items = append(p.items, i)
			each(&k.log[i])
		}
	}
	if rest > 0 && !q.selects {
		p.remaining = &rest
	}
	return p
}

// fresh waits until the kind's watch cache has come to the revision. Where no event
// says that it has, etcd is asked how far its watch is.
func (s *Server) fresh(ctx context.Context, k *kind, revision uint64) error {
	end := time.Now().Add(futureWait)
	s.mu.Lock()
	epoch := s.epoch
	if k.cached(time.Now()) < revision && revision <= s.revision {
		k.marks = append(k.marks, mark{revision: s.revision, visible: k.arrives(progressWait)})
		k.tell()
	}
	s.mu.Unlock()
	for {
		s.mu.Lock()
		now := time.Now()
		reached, due, changed, over := k.cached(now), k.reaches(revision, end), k.changed, s.epoch != epoch
		s.mu.Unlock()
		switch {
		case over:
			return errReset
		case reached >= revision:
			return nil
		case !now.Before(end):
			return tooLarge(revision, reached)
		}
		if err := wait(ctx, due.Sub(now), changed); err != nil {
			return err
		}
	}
}

func tooLarge(revision, current uint64) error {
	err := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", revision, current), 1)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version"}}
	return err
}

// get answers a Get.
func (s *Server) get(ctx context.Context, k *kind, namespace, name string, each func(*event)) error {
	answer, err := s.request(ctx, k)
	if err != nil {
		return err
	}
	s.mu.Lock()
	i := k.at(namespace+"/"+name, s.revision)
	if i >= 0 {
		each(&k.log[i])
	}
	s.mu.Unlock()
	if err := answer(); err != nil {
		return err
	}
	if i < 0 {
		return apierrors.NewNotFound(k.GroupVersionResource().GroupResource(), name)
	}
	return nil
}
