package conformance

import (
	"fmt"
	"math/rand/v2"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/usage-operator/usage-operator/test/simulate/apiserver"
)

// act is one thing that happens in a session, and what the real API server answered.
type act struct {
	script int
	writes int // so many were done before
	read   *read
	server string // what happens to the API server
	at     int    // a compaction's: the number of a write
	answer string
}

func (a act) String() string {
	if a.read == nil {
		return a.server
	}
	return fmt.Sprintf("script %d, after %d writes: %s", a.script, a.writes, a.read)
}

// draw is what a script reads next.
func (s *session) draw(script int, r *rand.Rand) read {
	k := compared[r.IntN(len(compared))]
	slot := script*4 + r.IntN(4)
	out := read{resource: k.GroupVersionResource(), partial: r.IntN(2) == 0, slot: slot, version: unset}
	if k == gadgets {
		out.resource = s.gadgets[r.IntN(len(s.gadgets))]
	}
	switch r.IntN(14) {
	case 0, 1, 2, 3:
		out.what, out.version = "watch", s.before(k, r)
	case 4:
		out.what, out.resource, out.partial = "get", k.GroupVersionResource(), true
		if k == gadgets {
			out.resource = s.gadgets[0]
		}
		out.name = fmt.Sprintf("passing%d", r.IntN(20))
		if k.Namespaced {
			out.namespace = []string{"default", "kube-public"}[r.IntN(2)]
		}
		return out
	case 5:
		out.what, out.useToken, out.pages = "list", true, 1+r.IntN(2)
		if k, known := s.resources[slot]; known {
			out.resource, out.partial, out.limit = k.resource, k.partial, k.limit
		}
		return out
	default:
		out.what = "list"
		s.drawList(&out, k, r)
	}
	if out.what == "watch" {
		out.events = s.after(k, out.version)
		if out.events == 0 { // of what is too old, an error comes
			out.what, out.version = "list", unset
		}
	}
	return out
}

func (s *session) drawList(out *read, k apiserver.Kind, r *rand.Rand) {
	switch r.IntN(6) {
	case 0: // as of now
	case 1:
		out.version, out.fresh = any0, true
	case 2:
		out.version, out.fresh, out.match = s.some(r), true, metav1.ResourceVersionMatchNotOlderThan
	case 3: // not older than, or, with a limit, of the revision
		out.version, out.fresh = s.some(r), true
	default:
		out.version, out.match = s.some(r), metav1.ResourceVersionMatchExact
	}
	if r.IntN(2) == 0 {
		out.limit, out.pages = 1+r.Int64N(4), 1+r.IntN(3)
		s.resources[out.slot] = *out
	}
	switch r.IntN(6) {
	case 0:
		out.fields = fmt.Sprintf("metadata.name=passing%d", r.IntN(20))
	case 1:
		// With a limit the real one answers an empty second page.
		if k.Namespaced && out.limit == 0 {
			out.fields = "metadata.namespace=default"
		}
	case 2:
		if k.Namespaced && out.partial {
			out.namespace = "kube-public"
		}
	}
	switch r.IntN(25) {
	case 0:
		out.version, out.match = any0, metav1.ResourceVersionMatchExact
	case 1:
		out.version, out.match = unset, metav1.ResourceVersionMatchNotOlderThan
	case 2:
		out.version, out.match = wrong, ""
	case 3:
		out.resource.Version = "v9"
	case 4:
		out.resource = schema.GroupVersionResource{Group: out.resource.Group, Version: out.resource.Version, Resource: "nothings"}
	}
}

// some is the number of a write of the session, one that is read.
func (s *session) some(r *rand.Rand) int {
	for {
		i := s.first + r.IntN(len(s.writes)-s.first)
		if s.writes[i].kind != noise {
			return i
		}
	}
}

// before is a write of the session before the kind's last.
func (s *session) before(k apiserver.Kind, r *rand.Rand) int {
	i := s.some(r)
	for range 20 {
		if s.after(k, i) > 0 {
			break
		}
		i = s.some(r)
	}
	return i
}

// after is how often the kind was written after a write.
func (s *session) after(k apiserver.Kind, i int) int {
	n := 0
	for _, w := range s.writes[i+1:] {
		if w.kind == k {
			n++
		}
	}
	return n
}

// definition is the gadgets' CustomResourceDefinition, with these versions.
func definition(versions ...string) map[string]any {
	var list []any
	for _, v := range versions {
		list = append(list, map[string]any{
			"name": v, "served": true, "storage": v == "v1",
			"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
		})
	}
	return map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": gadgets.Resource + "." + gadgets.Group},
		"spec": map[string]any{
			"group": gadgets.Group, "scope": "Namespaced", "versions": list,
			"names": map[string]any{"kind": gadgets.Kind, "listKind": gadgets.Kind + "List", "plural": gadgets.Resource, "singular": strings.ToLower(gadgets.Kind)},
		},
	}
}
