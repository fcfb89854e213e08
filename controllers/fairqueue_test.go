package controllers

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// However much one namespace has waiting, each of the others has its turn before
// that has its next; in a namespace what came first is first; nothing is lost.
func TestNamespacesTakeTurns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := newFairQueue()
		waiting := map[string][]reconcile.Request{} // the oracle
		since := map[string]map[string]int{}        // turns of others while a namespace waits
		count := 0
		for n := range rapid.IntRange(1, 200).Draw(t, "steps") {
			if count == 0 || rapid.Bool().Draw(t, "push") {
				namespace := rapid.SampledFrom([]string{"", "a", "b", "c", "red"}).Draw(t, "namespace")
				r := reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: fmt.Sprint(n)}}
				if len(waiting[namespace]) == 0 {
					since[namespace] = map[string]int{}
				}
				waiting[namespace] = append(waiting[namespace], r)
				q.Push(r)
				count++
				continue
			}
			got := q.Pop()
			count--
			of := waiting[got.Namespace]
			if len(of) == 0 || of[0] != got {
				t.Fatalf("got %v, of %v", got, of)
			}
			waiting[got.Namespace] = of[1:]
			for namespace, turns := range since {
				if namespace == got.Namespace || len(waiting[namespace]) == 0 {
					continue
				}
				if turns[got.Namespace]++; turns[got.Namespace] > 1 {
					t.Fatalf("%q had %d turns while %q waited", got.Namespace, turns[got.Namespace], namespace)
				}
			}
			since[got.Namespace] = map[string]int{}
			if q.Len() != count {
				t.Fatalf("%d wait: want %d", q.Len(), count)
			}
		}
	})
}

// The controllers' queue is fair, and still has each object once, also while it is worked on.
func TestAFairQueueHasEachOnce(t *testing.T) {
	limiter := workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]()
	q := fairly(controller.Options{}).NewQueue("test", limiter)
	defer q.ShutDown()
	r := func(namespace, name string) reconcile.Request {
		return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}
	}
	for range 2 {
		for n := range 3 {
			q.Add(r("red", fmt.Sprint(n)))
		}
		q.Add(r("blue", "0"))
	}
	first, _ := q.Get()
	q.Add(first) // meanwhile
	second, _ := q.Get()
	if q.Len() != 2 || first != r("red", "0") || second != r("blue", "0") {
		t.Errorf("got %v and %v, and %d wait", first, second, q.Len())
	}
	q.Done(first)
	if q.Len() != 3 {
		t.Errorf("%d wait: it was added while it was worked on", q.Len())
	}
}
