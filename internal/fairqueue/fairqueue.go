// Package fairqueue admits work by its weight, fairly among the flows that it
// belongs to: it is start-time fair queueing, with a queue for each flow.
//
// What is admitted never weighs more than the limits say, all together and of one
// flow. Of the flows that wait, and are below their limit, the one is next that has
// been admitted least, by weight; its first in line waits until there is room, and
// nothing overtakes it, however light. So a flow with a thousand requests waiting
// delays one with a single request by no more than what is admitted already.
//
// API priority and fairness of k8s.io/apiserver deals flows to a fixed number of
// queues by shuffle sharding, for it has to queue for flows without number. Here all
// flows are known, and few wait at a time: each has a queue of its own, which is
// there while it is used, so that no two flows share one by chance.
package fairqueue

import (
	"context"
	"errors"
	"sync"
)

// Limits are a Queue's.
type Limits struct {
	// Total and Flow are what may be admitted at a time: by weight, all together and
	// of one flow. More than Flow weighs as much as Flow.
	Total, Flow int64
	// Waiting and FlowWaiting are how many may wait, all together and of one flow; 0 is any number.
	Waiting, FlowWaiting int
}

// ErrFull is that as many wait already as may.
var ErrFull = errors.New("too much is waiting already")

// Queue admits work. It is safe for concurrent use.
type Queue struct {
	limits Limits

	mu       sync.Mutex
	admitted int64
	waiting  int
	virtual  int64            // the tag of what was admitted last from a queue
	arrived  uint64           // how many flows have begun to wait
	flows    map[string]*flow // those of which something waits or is admitted
}

// flow is those who ask in one name.
type flow struct {
	name     string
	admitted int64
	waiting  []*waiter // first come, first served
	// tag is by how much the flow has been admitted when its first in line is, on the
	// scale of virtual time; order decides between flows with the same tag.
	tag   int64
	order uint64
}

type waiter struct {
	weight int64
	ready  chan struct{} // closed once it is admitted
}

// Share is what was admitted. It is not safe for concurrent use.
type Share struct {
	queue  *Queue
	flow   *flow
	weight int64
}

// New is a queue that is empty.
func New(limits Limits) *Queue {
	limits.Flow = min(limits.Flow, limits.Total)
	return &Queue{limits: limits, flows: map[string]*flow{}}
}

// Acquire waits until the flow may have something of that weight. The error is
// ErrFull at once, or the context's.
func (q *Queue) Acquire(ctx context.Context, name string, weight int64) (*Share, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, w, err := q.enqueue(name, weight)
	if err != nil {
		return nil, err
	}
	select {
	case <-w.ready:
	case <-ctx.Done():
		if !q.abandon(f, w) {
			(&Share{queue: q, flow: f, weight: w.weight}).Release() // it has been admitted meanwhile
		}
		return nil, ctx.Err()
	}
	return &Share{queue: q, flow: f, weight: w.weight}, nil
}

func (q *Queue) enqueue(name string, weight int64) (*flow, *waiter, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f := q.flows[name]
	if q.limits.Waiting > 0 && q.waiting >= q.limits.Waiting || f != nil && q.limits.FlowWaiting > 0 && len(f.waiting) >= q.limits.FlowWaiting {
		return nil, nil, ErrFull
	}
	if f == nil {
		f = &flow{name: name}
		q.flows[name] = f
	}
	if len(f.waiting) == 0 {
		// Time that it did not use is not saved up.
		f.tag = max(f.tag, q.virtual)
		f.order = q.arrived
		q.arrived++
	}
	w := &waiter{weight: max(1, min(weight, q.limits.Flow)), ready: make(chan struct{})}
	f.waiting = append(f.waiting, w)
	q.waiting++
	q.dispatch()
	return f, w, nil
}

// abandon takes out one who waits; false: it was admitted.
func (q *Queue) abandon(f *flow, w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range f.waiting {
		if f.waiting[i] == w {
			f.waiting = append(f.waiting[:i:i], f.waiting[i+1:]...)
			q.waiting--
			q.forget(f)
			q.dispatch() // it may have been the one that the others waited for
			return true
		}
	}
	return false
}

// dispatch admits what there is room for.
func (q *Queue) dispatch() {
	for {
		f := q.next()
		if f == nil || q.admitted+f.waiting[0].weight > q.limits.Total {
			return
		}
		w := f.waiting[0]
		f.waiting = f.waiting[1:]
		q.waiting--
		q.admitted += w.weight
		f.admitted += w.weight
		q.virtual = f.tag
		f.tag += w.weight
		close(w.ready)
	}
}

// next is the flow that is to be admitted next, if any is below its limit.
func (q *Queue) next() *flow {
	var first *flow
	for _, f := range q.flows {
		if len(f.waiting) == 0 || f.admitted+f.waiting[0].weight > q.limits.Flow {
			continue
		}
		if first == nil || f.tag < first.tag || f.tag == first.tag && f.order < first.order {
			first = f
		}
	}
	return first
}

// forget drops a flow that has nothing left.
func (q *Queue) forget(f *flow) {
	if len(f.waiting) == 0 && f.admitted == 0 && q.flows[f.name] == f {
		delete(q.flows, f.name)
	}
}

// Weight is what the share weighs now.
func (s *Share) Weight() int64 { return s.weight }

// Shrink has the share weigh no more than that, and admits others for the rest.
func (s *Share) Shrink(to int64) {
	if s == nil || to >= s.weight {
		return
	}
	q := s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	less := s.weight - max(0, to)
	s.weight -= less
	q.admitted -= less
	s.flow.admitted -= less
	q.forget(s.flow)
	q.dispatch()
}

// Release gives the share back. What is given back already stays so.
func (s *Share) Release() { s.Shrink(0) }

// Load is what weighs how much now.
type Load struct {
	Admitted int64 // by weight
	Waiting  int
	Flows    int // of which something waits or is admitted
}

// Load tells how much there is.
func (q *Queue) Load() Load {
	q.mu.Lock()
	defer q.mu.Unlock()
	return Load{Admitted: q.admitted, Waiting: q.waiting, Flows: len(q.flows)}
}
