package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// witness sees objects go, and claims bound, through watches of its own.
type witness struct {
	mu    sync.Mutex
	gone  map[string]int64 // by UID; seconds since the epoch
	bound map[string]int64 // likewise: as the first version of the claim that is bound says
	err   error
}

func newWitness() *witness { return &witness{gone: map[string]int64{}, bound: map[string]int64{}} }

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
		go w.look(ctx, kind.Kind, events, func(e watch.Event, now int64) {
			if object, ok := e.Object.(metav1.Object); ok && e.Type == watch.Deleted {
				w.gone[string(object.GetUID())] = now
			}
		})
	}
	return nil
}

// followClaims watches claims until ctx is done. The volume controller writes a claim again after it is bound (that it
// is used now), under the same name: only the first version that is bound says since when it is.
func (w *witness) followClaims(ctx context.Context, cluster client.WithWatch) error {
	list := &corev1.PersistentVolumeClaimList{}
	if err := cluster.List(ctx, list); err != nil {
		return err
	}
	from := &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}}
	events, err := cluster.Watch(ctx, &corev1.PersistentVolumeClaimList{}, from)
	if err != nil {
		return err
	}
	go w.look(ctx, "PersistentVolumeClaim", events, func(e watch.Event, _ int64) {
		claim, ok := e.Object.(*corev1.PersistentVolumeClaim)
		if !ok || claim.Status.Phase != corev1.ClaimBound || w.bound[uid(claim)] != 0 {
			return
		}
		at, err := written(claim, "kube-controller-manager")
		if err != nil {
			w.err = err
		}
		w.bound[uid(claim)] = at
	})
	return nil
}

// look takes each event in under the lock, until ctx is done.
func (w *witness) look(ctx context.Context, kind string, events watch.Interface, take func(e watch.Event, now int64)) {
	defer events.Stop()
	for e := range events.ResultChan() {
		now := time.Now().Unix()
		w.mu.Lock()
		take(e, now)
		w.mu.Unlock()
	}
	if ctx.Err() == nil {
		w.mu.Lock()
		w.err = fmt.Errorf("the demo's own watch of %s has ended", kind)
		w.mu.Unlock()
	}
}

// sawBound is when the claim was bound; 0 when it was not yet.
func (w *witness) sawBound(uid string) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bound[uid], w.err
}

// saw is when the object was seen to go; 0 when it was not yet.
func (w *witness) saw(uid string) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gone[uid], w.err
}
