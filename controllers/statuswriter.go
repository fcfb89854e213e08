package controllers

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
)

// statusWriter writes statuses that are large, as reports' are: it is answered
// with the metadata alone, and knows the events of its own writes, for which
// nothing has to be reckoned again.
type statusWriter struct {
	client client.Client

	mu      sync.Mutex
	written map[types.UID]string // the resource version of the last write, or of what was found right
}

func newStatusWriter(c client.Client) *statusWriter {
	return &statusWriter{client: c, written: map[types.UID]string{}}
}

// write sets fields of the object, by their paths. It fails with a Conflict if the
// object has changed since it was read.
func (w *statusWriter) write(ctx context.Context, object client.Object, fields map[string]any) error {
	kind, err := w.client.GroupVersionKindFor(object)
	if err != nil {
		return err
	}
	operations := []map[string]any{
		// Not "test", whose failure is an Invalid: the API server compares the version that an object claims.
		{"op": "replace", "path": "/metadata/resourceVersion", "value": object.GetResourceVersion()},
	}
	for _, path := range slices.Sorted(maps.Keys(fields)) {
		operations = append(operations, map[string]any{"op": "add", "path": path, "value": fields[path]})
	}
	patch, err := json.Marshal(operations)
	if err != nil {
		return err
	}
	answer := &metav1.PartialObjectMetadata{}
	answer.SetGroupVersionKind(kind)
	answer.Namespace, answer.Name = object.GetNamespace(), object.GetName()
	if err := w.client.Status().Patch(ctx, answer, client.RawPatch(types.JSONPatchType, patch)); err != nil {
		return err
	}
	w.found(answer)
	return nil
}

// found notes that the object's status, as it is now, is what it should be.
func (w *statusWriter) found(object client.Object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.written[object.GetUID()] = object.GetResourceVersion()
}

// isOurs tells whether the object is as it was written, or found right, last.
func (w *statusWriter) isOurs(object client.Object) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.written[object.GetUID()] == object.GetResourceVersion()
}

// others lets through all events but those of the last write of each object.
func (w *statusWriter) others() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool { return !w.isOurs(e.ObjectNew) },
		DeleteFunc: func(e event.DeleteEvent) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			delete(w.written, e.Object.GetUID())
			return true
		},
	}
}
