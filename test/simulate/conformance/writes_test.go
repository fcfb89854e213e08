package conformance

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/usage-operator/usage-operator/test/simulate/apiserver"
)

func kindOf(group, kind, resource string, namespaced bool) apiserver.Kind {
	k := apiserver.Kind{Resource: resource, Namespaced: namespaced}
	k.Group, k.Version, k.Kind = group, "v1", kind
	return k
}

var (
	namespaces  = kindOf("", "Namespace", "namespaces", false)
	deployments = kindOf("apps", "Deployment", "deployments", true)
	claims      = kindOf("", "PersistentVolumeClaim", "persistentvolumeclaims", true)
	gadgets     = kindOf("test.example.com", "Gadget", "gadgets", true)
	noise       = kindOf("coordination.k8s.io", "Lease", "leases", true)

	compared = []apiserver.Kind{namespaces, deployments, claims, gadgets}
)

// written is a write as it came out.
type written struct {
	kind     apiserver.Kind
	what     watch.EventType
	object   map[string]any
	revision uint64
}

// recorder writes to the real API server, and notes what comes of it.
type recorder struct {
	t       *testing.T
	client  dynamic.Interface
	writes  []written
	objects map[apiserver.Kind]map[string]*unstructured.Unstructured // what is there, by namespace and name
	watches map[apiserver.Kind]watch.Interface
	noises  int
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("after a minute: not yet: %s", what)
		}
	}
}

// begin notes what is there, in the order in which it was written last.
func (w *recorder) begin() {
	w.objects, w.watches = map[apiserver.Kind]map[string]*unstructured.Unstructured{}, map[apiserver.Kind]watch.Interface{}
	for _, k := range compared {
		w.objects[k] = map[string]*unstructured.Unstructured{}
		list := w.look(k)
		for i := range list.Items {
			w.note(k, watch.Added, &list.Items[i])
		}
	}
	slices.SortFunc(w.writes, func(a, b written) int { return int(int64(a.revision) - int64(b.revision)) })
}

// look begins to watch the kind, and returns what is there.
func (w *recorder) look(k apiserver.Kind) *unstructured.UnstructuredList {
	w.t.Helper()
	var list *unstructured.UnstructuredList
	until(w.t, "the watch cache has been filled", func() (ready bool) { // of a kind that was installed just now
		var err error
		if list, err = w.client.Resource(k.GroupVersionResource()).List(w.t.Context(), metav1.ListOptions{}); err == nil {
			w.watches[k], err = w.client.Resource(k.GroupVersionResource()).Watch(context.Background(), metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
		}
		if err != nil && !apierrors.IsTooManyRequests(err) {
			w.t.Fatal(err)
		}
		return err == nil
	})
	return list
}

func (w *recorder) note(k apiserver.Kind, what watch.EventType, o *unstructured.Unstructured) {
	revision, err := strconv.ParseUint(o.GetResourceVersion(), 10, 64)
	if err != nil {
		w.t.Fatal(err)
	}
	key := o.GetNamespace() + "/" + o.GetName()
	content := o.Object
	if before := w.objects[k][key]; what == watch.Deleted && before != nil && before.GetDeletionTimestamp() == nil {
		content = before.DeepCopy().Object // as the simulator has it: what was there last
	}
	w.writes = append(w.writes, written{kind: k, what: what, object: content, revision: revision})
	if w.objects[k][key] = o; what == watch.Deleted {
		delete(w.objects[k], key)
	}
}

// happened waits for n events of the kind, which the writes before have made.
func (w *recorder) happened(k apiserver.Kind, n int) {
	w.t.Helper()
	late := time.NewTimer(3 * patience)
	defer late.Stop()
	for range n {
		select {
		case event := <-w.watches[k].ResultChan():
			o, ok := event.Object.(*unstructured.Unstructured)
			if !ok {
				w.t.Fatalf("the recorder's watch of %s: %v", k.Resource, event)
			}
			w.note(k, event.Type, o)
		case <-late.C:
			w.t.Fatalf("the recorder waits for an event of %s", k.Resource)
		}
	}
}

// disturb writes something that nobody reads.
func (w *recorder) disturb() {
	w.t.Helper()
	w.noises++
	lease := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
		"metadata": map[string]any{"generateName": "noise-", "namespace": "default"},
	}}
	made, err := w.client.Resource(noise.GroupVersionResource()).Namespace("default").Create(w.t.Context(), lease, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	revision, err := strconv.ParseUint(made.GetResourceVersion(), 10, 64)
	if err != nil {
		w.t.Fatal(err)
	}
	w.writes = append(w.writes, written{kind: noise, what: watch.Added, object: made.Object, revision: revision})
}

// change writes something to the kind. What is refused changes nothing.
func (w *recorder) change(k apiserver.Kind, r *rand.Rand) {
	w.t.Helper()
	keys := slices.Sorted(maps.Keys(w.objects[k]))
	keys = slices.DeleteFunc(keys, func(key string) bool { return k == namespaces && !strings.HasPrefix(key, "/passing") })
	if len(keys) == 0 || r.IntN(4) == 0 && len(keys) < 12 {
		w.create(k, r)
		return
	}
	o := w.objects[k][keys[r.IntN(len(keys))]].DeepCopy()
	switch {
	case o.GetDeletionTimestamp() != nil:
		w.finalize(k, o)
	case r.IntN(3) == 0:
		w.remove(k, o)
	default:
		labels := o.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels["touched"] = fmt.Sprint(r.IntN(3)) // at times what it is already: then nothing is written
		o.SetLabels(labels)
		w.put(k, o)
	}
}

func (w *recorder) in(k apiserver.Kind, o *unstructured.Unstructured) dynamic.ResourceInterface {
	if k.Namespaced {
		return w.client.Resource(k.GroupVersionResource()).Namespace(o.GetNamespace())
	}
	return w.client.Resource(k.GroupVersionResource())
}

func (w *recorder) create(k apiserver.Kind, r *rand.Rand) {
	w.t.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{}}}
	o.SetGroupVersionKind(k.GroupVersionKind)
	o.SetName(fmt.Sprintf("passing%d", r.IntN(20)))
	if k.Namespaced {
		o.SetNamespace([]string{"default", "kube-public"}[r.IntN(2)])
	}
	labels := map[string]any{"app": "a"}
	switch k {
	case deployments:
		o.Object["spec"] = map[string]any{
			"selector": map[string]any{"matchLabels": labels},
			"template": map[string]any{"metadata": map[string]any{"labels": labels}, "spec": map[string]any{"containers": []any{map[string]any{"name": "a", "image": "a"}}}},
		}
	case claims:
		o.Object["spec"] = map[string]any{"accessModes": []any{"ReadWriteOnce"}, "resources": map[string]any{"requests": map[string]any{"storage": "1Gi"}}}
	case gadgets:
		if r.IntN(3) == 0 {
			o.SetFinalizers([]string{"test.example.com/kept"})
		}
	}
	_, err := w.in(k, o).Create(w.t.Context(), o, metav1.CreateOptions{})
	switch {
	case apierrors.IsAlreadyExists(err): // it is there
	case err != nil:
		w.t.Fatal(err)
	default:
		w.happened(k, 1)
	}
}

func (w *recorder) put(k apiserver.Kind, o *unstructured.Unstructured) {
	w.t.Helper()
	after, err := w.in(k, o).Update(w.t.Context(), o, metav1.UpdateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	if after.GetResourceVersion() != o.GetResourceVersion() {
		w.happened(k, 1)
	}
}

func (w *recorder) remove(k apiserver.Kind, o *unstructured.Unstructured) {
	w.t.Helper()
	if err := w.in(k, o).Delete(w.t.Context(), o.GetName(), metav1.DeleteOptions{}); err != nil {
		w.t.Fatal(err)
	}
	w.happened(k, 1)
}

// finalize lets an object go that was told to.
func (w *recorder) finalize(k apiserver.Kind, o *unstructured.Unstructured) {
	w.t.Helper()
	var err error
	if o.SetFinalizers(nil); k == namespaces {
		unstructured.RemoveNestedField(o.Object, "spec", "finalizers")
		_, err = w.in(k, o).Update(w.t.Context(), o, metav1.UpdateOptions{}, "finalize")
	} else {
		_, err = w.in(k, o).Update(w.t.Context(), o, metav1.UpdateOptions{})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.happened(k, 1)
}
