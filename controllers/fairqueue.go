package controllers

import (
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// fairQueue is a round-robin queue of reconcile requests by namespace: namespaces take
// turns, each with one request, however many wait in the others. Cluster-scoped objects
// count as one namespace. Within a namespace the order is first in, first out.
//
// It implements workqueue.Queue, which calls it from one goroutine at a time.
type fairQueue struct {
	turns   []string // namespaces in which something waits, each once
	waiting map[string][]reconcile.Request
	size    int
}

func newFairQueue() *fairQueue { return &fairQueue{waiting: map[string][]reconcile.Request{}} }

// Touch is called for a request that waits already, which keeps its place.
func (q *fairQueue) Touch(reconcile.Request) {}

// Push adds a request that does not wait yet.
func (q *fairQueue) Push(r reconcile.Request) {
	if len(q.waiting[r.Namespace]) == 0 {
		q.turns = append(q.turns, r.Namespace)
	}
	q.waiting[r.Namespace] = append(q.waiting[r.Namespace], r)
	q.size++
}

// Len is how many requests wait.
func (q *fairQueue) Len() int { return q.size }

// Pop removes and returns the next request; the queue is not empty.
func (q *fairQueue) Pop() reconcile.Request {
	namespace := q.turns[0]
	q.turns = q.turns[1:]
	r := q.waiting[namespace][0]
	q.size--
	if rest := q.waiting[namespace][1:]; len(rest) > 0 {
		q.waiting[namespace] = rest
		q.turns = append(q.turns, namespace)
	} else {
		delete(q.waiting, namespace)
	}
	return r
}

// fairly returns options with which a controller uses a fairQueue.
func fairly(o controller.Options) controller.Options {
	type request = reconcile.Request
	o.NewQueue = func(name string, limiter workqueue.TypedRateLimiter[request]) workqueue.TypedRateLimitingInterface[request] {
		fair := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[request]{Name: name, Queue: newFairQueue()})
		return workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[request]{
			Name:          name,
			DelayingQueue: workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[request]{Name: name, Queue: fair}),
		})
	}
	return o
}
