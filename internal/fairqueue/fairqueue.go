// Package fairqueue admits work by its weight, fairly among the flows that it
// belongs to: start-time fair queueing, with a queue for each flow.
//
// The admitted weight never exceeds the limits, in total and of one flow. Of the
// flows that wait and are below their limit, the one that has been admitted the least
// weight is next. Its first waiter waits until there is room, and no lighter one
// overtakes it. So a flow with a thousand waiting requests delays a flow with a
// single one by no more than what is admitted already; and by no more than a moment if
// the work that runs yields regularly, see Share.Yield.
//
// A spare part of the total is for flows that begin: those that have nothing, and did not
// wait to go on. However many flows take all that they can get, one that comes finds that
// part, or waits for others that begin.
//
// API priority and fairness of k8s.io/apiserver assigns flows to a fixed number of
// queues by shuffle sharding, because the number of its flows is unbounded. Here few
// flows wait at a time: each has a queue of its own, which exists while it is used,
// so that no two flows share one.
package fairqueue

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
)

// Limits bound a Queue.
type Limits struct {
	// Total and Flow are the weights that may be admitted at a time, in total and of
	// one flow. A heavier request counts as one of weight Flow.
	Total, Flow int64
	// Spare is how much of Total is for flows that begin.
	Spare int64
	// Waiting and FlowWaiting are how many requests may wait, in total and of one flow;
	// 0: no limit.
	Waiting, FlowWaiting int
}

// elastic is the divisor for what of the free spare part is admitted to what can do with less.
const elastic = 4

// ErrFull means that as many requests wait already as the limits allow.
var ErrFull = errors.New("too much is waiting already")

// Queue admits work. It is safe for concurrent use.
type Queue struct {
	limits Limits

	mu       sync.Mutex
	admitted int64 // all of it
	spare    int64 // what of that is in the spare part
	waiting  int
	virtual  int64            // the latest start tag of the waiters that have been admitted
	arrived  uint64           // how many flows have begun to wait
	flows    map[string]*flow // those that have waiting or admitted requests
	idle     map[string]int64 // the tags of flows that have none, if they are after virtual
}

// mostIdle is how many idle flows are known at most: of more, those are forgotten that have been
// admitted least.
const mostIdle = 1024

// flow is the requests of one name.
type flow struct {
	name     string
	admitted int64
	waiting  []*waiter // those that go on, and then the others: first come, first served
	// tag is the start tag of the flow's first waiter, in virtual time: the weight that
	// the flow has been admitted before it. order decides between flows of equal tags.
	tag   int64
	order uint64
}

type waiter struct {
	weight int64
	least  int64         // what does in the spare part
	again  bool          // it goes on with something
	spare  bool          // it is admitted into the spare part
	ready  chan struct{} // closed once it is admitted
}

// Share is an admitted weight, until it is released. It is not safe for concurrent use.
type Share struct {
	queue  *Queue
	flow   *flow
	weight int64
	spare  bool
}

func (q *Queue) share(f *flow, w *waiter) *Share {
	return &Share{queue: q, flow: f, weight: w.weight, spare: w.spare}
}

// New returns an empty queue.
func New(limits Limits) *Queue {
	limits.Flow = min(limits.Flow, limits.Total-limits.Spare)
	return &Queue{limits: limits, flows: map[string]*flow{}, idle: map[string]int64{}}
}

// Acquire waits until a request of that weight is admitted to the flow. It fails with
// ErrFull at once if too many wait, and with the context's error when that is done.
func (q *Queue) Acquire(ctx context.Context, name string, weight int64) (*Share, error) {
	return q.acquire(ctx, name, &waiter{weight: weight, least: weight})
}

// AcquireElastic is Acquire for what can do with less: in the spare part it is admitted a
// quarter of what is free there, or least. So what begins finds room there, with many others.
func (q *Queue) AcquireElastic(ctx context.Context, name string, weight, least int64) (*Share, error) {
	return q.acquire(ctx, name, &waiter{weight: weight, least: least})
}

// Resume is Acquire for what goes on with something: it waits in front of what of its flow
// begins, and has nothing of the spare part.
func (q *Queue) Resume(ctx context.Context, name string, weight int64) (*Share, error) {
	return q.acquire(ctx, name, &waiter{weight: weight, least: weight, again: true})
}

func (q *Queue) acquire(ctx context.Context, name string, w *waiter) (*Share, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := q.enqueue(name, w)
	if err != nil {
		return nil, err
	}
	select {
	case <-w.ready:
	case <-ctx.Done():
		if !q.abandon(f, w) {
			q.share(f, w).Release() // it has been admitted meanwhile
		}
		return nil, ctx.Err()
	}
	return q.share(f, w), nil
}

func (q *Queue) enqueue(name string, w *waiter) (*flow, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f := q.flows[name]
	if q.limits.Waiting > 0 && q.waiting >= q.limits.Waiting || f != nil && q.limits.FlowWaiting > 0 && len(f.waiting) >= q.limits.FlowWaiting {
		return nil, ErrFull
	}
	if f == nil {
		f = &flow{name: name, tag: q.idle[name]}
		q.flows[name] = f
		delete(q.idle, name)
	}
	w.weight = max(1, min(w.weight, q.limits.Flow))
	w.least = max(1, min(w.least, w.weight))
	q.wait(f, w)
	q.dispatch()
	return f, nil
}

// wait puts a waiter into its flow: behind those that go on with something, if it does.
func (q *Queue) wait(f *flow, w *waiter) {
	if len(f.waiting) == 0 {
		q.begins(f)
	}
	w.ready = make(chan struct{})
	at := len(f.waiting)
	if w.again {
		at = 0
		for at < len(f.waiting) && f.waiting[at].again {
			at++
		}
	}
	f.waiting = slices.Insert(f.waiting, at, w)
	q.waiting++
}

// abandon removes a waiter; false: it has been admitted.
func (q *Queue) abandon(f *flow, w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range f.waiting {
		if f.waiting[i] == w {
			f.waiting = append(f.waiting[:i:i], f.waiting[i+1:]...)
			q.waiting--
			q.forget(f)
			q.dispatch() // others may have waited behind it
			return true
		}
	}
	return false
}

// dispatch admits waiters as long as there is room.
func (q *Queue) dispatch() {
	for {
		f, spare := q.next()
		if f == nil {
			return
		}
		w := f.waiting[0]
		f.waiting = f.waiting[1:]
		q.waiting--
		if w.spare = spare; spare {
			w.weight = min(w.weight, max(w.least, (q.limits.Spare-q.spare)/elastic))
			q.spare += w.weight
		}
		q.admitted += w.weight
		f.admitted += w.weight
		q.virtual = max(q.virtual, f.tag)
		f.tag += w.weight
		close(w.ready)
	}
}

// next is the flow whose first waiter is admitted now, and whether into the spare part; nil:
// there is no room for the one that is next. Flows that begin do not wait for it, unless it
// begins itself.
func (q *Queue) next() (f *flow, spare bool) {
	f = q.first(func(f *flow) bool { return f.admitted+f.waiting[0].weight <= q.limits.Flow })
	switch {
	case f == nil:
		return nil, false
	case q.admitted-q.spare+f.waiting[0].weight <= q.limits.Total-q.limits.Spare:
		return f, false
	case f.begins() && q.hasSpare(f):
		return f, true
	case f.begins():
		return nil, false
	}
	if f = q.first((*flow).begins); f != nil && q.hasSpare(f) {
		return f, true
	}
	return nil, false
}

// begins tells whether the flow has nothing, and its first waiter goes on with nothing.
func (f *flow) begins() bool { return f.admitted == 0 && !f.waiting[0].again }

func (q *Queue) hasSpare(f *flow) bool { return q.spare+f.waiting[0].least <= q.limits.Spare }

// first is the flow with the least tag of those that wait and are eligible; nil: none is.
func (q *Queue) first(eligible func(*flow) bool) *flow {
	var first *flow
	for _, f := range q.flows {
		if len(f.waiting) == 0 || !eligible(f) {
			continue
		}
		if first == nil || f.tag < first.tag || f.tag == first.tag && f.order < first.order {
			first = f
		}
	}
	return first
}

// forget drops a flow without waiting and admitted requests. It remembers what a flow has been
// admitted more than others: else one that comes again at once would be in front of what waits.
func (q *Queue) forget(f *flow) {
	if len(f.waiting) > 0 || f.admitted > 0 || q.flows[f.name] != f {
		return
	}
	delete(q.flows, f.name)
	if len(q.flows) == 0 {
		clear(q.idle) // there is none that it would be in front of
		return
	}
	if f.tag > q.virtual {
		q.idle[f.name] = f.tag
	}
	if len(q.idle) >= mostIdle {
		q.forgetIdle()
	}
}

// forgetIdle drops the idle flows that begin as if they were new, and of the others those that
// have been admitted least, so that there is room for as many again.
func (q *Queue) forgetIdle() {
	until := q.virtual
	if tags := slices.Sorted(maps.Values(q.idle)); len(tags) > mostIdle/2 {
		until = max(until, tags[len(tags)-mostIdle/2-1])
	}
	maps.DeleteFunc(q.idle, func(_ string, tag int64) bool { return tag <= until })
}

// Weight is the present weight of the share.
func (s *Share) Weight() int64 { return s.weight }

// Shrink reduces the share to that weight, if it weighs more, and admits others for the rest.
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
	if s.spare {
		q.spare -= less
	}
	s.flow.admitted -= less
	q.forget(s.flow)
	q.dispatch()
}

// Yield gives the share to another flow, if one waits that is below its limit, and waits
// in front of what of its own flow begins until it is admitted again. If no other flow waits, it returns
// at once. A share in the spare part gives that to flows that begin alone, or, unless it may
// stay, to none: it has to find room in the other part. So flows that yield at equal intervals take turns at what they share for longer
// than that. With an error, which is the context's, the share is given back.
func (s *Share) Yield(ctx context.Context, stay bool) error {
	q := s.queue
	w := q.hand(s, stay)
	if w == nil {
		return ctx.Err()
	}
	weight := s.weight
	s.weight = 0
	select {
	case <-w.ready:
		s.weight, s.spare = weight, w.spare
		return nil
	case <-ctx.Done():
	}
	if !q.abandon(s.flow, w) {
		s.weight, s.spare = weight, w.spare // it has been admitted meanwhile
		s.Release()
	}
	return ctx.Err()
}

// hand gives a share's weight to the flows that wait, and has it wait in front of its own;
// nil: it keeps it.
func (q *Queue) hand(s *Share, stay bool) *waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.weight == 0 || (stay || !s.spare) && !q.wanted(s) {
		return nil
	}
	f := s.flow // it is known: it has an admitted share
	w := &waiter{weight: s.weight, least: s.weight, again: true}
	q.wait(f, w)
	f.admitted -= s.weight
	q.admitted -= s.weight
	if s.spare {
		q.spare -= s.weight
	}
	q.dispatch()
	return w
}

// wanted tells whether a flow other than the share's waits for what the share has.
func (q *Queue) wanted(s *Share) bool {
	for _, f := range q.flows {
		if f == s.flow || len(f.waiting) == 0 || f.admitted+f.waiting[0].weight > q.limits.Flow {
			continue
		}
		if !s.spare || f.begins() {
			return true
		}
	}
	return false
}

// begins sets the order of a flow that begins to wait: an idle flow accumulates no credit, and
// what it has been admitted is not forgotten until others have been admitted as much.
func (q *Queue) begins(f *flow) {
	f.tag = max(f.tag, q.virtual)
	f.order = q.arrived
	q.arrived++
}

// Release gives the share back. It may be called more than once.
func (s *Share) Release() { s.Shrink(0) }

// Load is how much a Queue has admitted, and how much waits.
type Load struct {
	Admitted int64 // by weight
	Waiting  int
	Flows    int // with waiting or admitted requests
}

// Load returns the present load.
func (q *Queue) Load() Load {
	q.mu.Lock()
	defer q.mu.Unlock()
	return Load{Admitted: q.admitted, Waiting: q.waiting, Flows: len(q.flows)}
}
