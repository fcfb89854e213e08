package controllers

import (
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// fairQueue is what waits to be reconciled, namespace by namespace: each has one
// turn, and then the next one has, however much waits in the others. What is of the
// whole cluster counts as a namespace. Within one, what came first is first.
//
// It is a workqueue.Queue, which calls it by one goroutine at a time.
type fairQueue struct {
	turns   []string // namespaces in which something waits, each once
	waiting map[string][]reconcile.Request
	size    int
}

func newFairQueue() *fairQueue { return &fairQueue{waiting: map[string][]reconcile.Request{}} }

// Touch is told of what waits already.
func (q *fairQueue) Touch(reconcile.Request) {}

// Push adds what does not wait yet.
func (q *fairQueue) Push(r reconcile.Request) {
	if len(q.waiting[r.Namespace]) == 0 {
		q.turns = append(q.turns, r.Namespace)
	}
	q.waiting[r.Namespace] = append(q.waiting[r.Namespace], r)
	q.size++
}

// Len is how much waits.
func (q *fairQueue) Len() int { return q.size }

// Pop is what is next. There is something.
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

// fairly has a controller take its objects from a fairQueue.
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
