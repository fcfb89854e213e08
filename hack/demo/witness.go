package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// witness sees objects go, through watches of its own.
type witness struct {
	mu   sync.Mutex
	gone map[string]int64 // by UID; seconds since the epoch
	err  error
}

func newWitness() *witness { return &witness{gone: map[string]int64{}} }

// follow watches these kinds until ctx is done.
func (w *witness) follow(ctx context.Context, cluster client.WithWatch, kinds ...schema.GroupVersionKind) error {
	for _, kind := range kinds {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		if err := cluster.List(ctx, list); err != nil {
			return err
		}
		from := &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}}
		events, err := cluster.Watch(ctx, list.DeepCopy(), from)
		if err != nil {
			return err
		}
		go w.look(ctx, kind, events)
	}
	return nil
}

func (w *witness) look(ctx context.Context, kind schema.GroupVersionKind, events watch.Interface) {
	defer events.Stop()
	for e := range events.ResultChan() {
		now := time.Now().Unix()
		object, ok := e.Object.(metav1.Object)
		if !ok || e.Type != watch.Deleted {
			continue
		}
		w.mu.Lock()
		w.gone[string(object.GetUID())] = now
		w.mu.Unlock()
	}
	if ctx.Err() == nil {
		w.mu.Lock()
		w.err = fmt.Errorf("the demo's own watch of %s has ended", kind.Kind)
		w.mu.Unlock()
	}
}

// saw is when the object was seen to go; 0 when it was not yet.
func (w *witness) saw(uid string) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gone[uid], w.err
}
