package apiserver

import (
	"fmt"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// Commit writes an object as it is now, and returns its revision. What it says of
// its times is the caller's: the request was made some time ago. It may not be
// changed afterwards.
func (s *Server) Commit(k Kind, what watch.EventType, object map[string]any) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.kind(k)
	s.revision++
	e := event{revision: s.revision, what: what, key: keyOf(object), object: shallow(object)}
	e.object["metadata"].(map[string]any)["resourceVersion"] = text(s.revision)
	e.visible = at.arrives(time.Duration(2_000_000 + s.drawn(at, forDelay, s.revision).Int64N(250_000_000)))
	if at.versions[e.key] == nil {
		i, _ := slices.BinarySearch(at.sorted, e.key)
		at.sorted = slices.Insert(at.sorted, i, e.key)
	}
	at.versions[e.key] = append(at.versions[e.key], len(at.log))
	at.log = append(at.log, e)
	at.tell()
	return s.revision
}

// arrives is when what is sent to the watch cache now is in it: after all that was
// sent before. Called under the lock.
func (k *kind) arrives(delay time.Duration) time.Time {
	at := time.Now().Add(delay)
	if at.Before(k.held) {
		at = k.held.Add(delay)
	}
	if !at.After(k.visible) {
		at = k.visible.Add(time.Microsecond)
	}
	k.visible = at
	return at
}

func keyOf(object map[string]any) string {
	metadata := object["metadata"].(map[string]any)
	namespace, _ := metadata["namespace"].(string)
	return fmt.Sprintf("%s/%s", namespace, metadata["name"])
}

// shallow is a copy of an object whose metadata may be changed.
func shallow(object map[string]any) map[string]any {
	out := make(map[string]any, len(object))
	maps.Copy(out, object)
	metadata := map[string]any{}
	maps.Copy(metadata, object["metadata"].(map[string]any))
	out["metadata"] = metadata
	return out
}

// whole is the version as a client gets it that reads this version of its kind.
func (e *event) whole(as schema.GroupVersion) *unstructured.Unstructured {
	out := shallow(e.object)
	out["apiVersion"] = as.String()
	return &unstructured.Unstructured{Object: out}
}

// metadata is the version's metadata as a client gets it. Called under the lock.
func (e *event) metadata() *metav1.PartialObjectMetadata {
	if e.partial == nil {
		e.partial = &metav1.PartialObjectMetadata{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(map[string]any{"metadata": e.object["metadata"]}, e.partial); err != nil {
			panic(err) // the world made an object that is none
		}
	}
	out := *e.partial
	return &out
}

// at is the number in the log of the key's version at the revision; -1: none. Called under the lock.
func (k *kind) at(key string, revision uint64) int {
	versions := k.versions[key]
	for _, version := range slices.Backward(versions) {
		if e := &k.log[version]; e.revision <= revision {
			if e.what == watch.Deleted {
				return -1
			}
			return version
		}
	}
	return -1
}
