package attribution

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// NodeOf reads what the graph needs of an object.
func NodeOf(object *unstructured.Unstructured) Node { return Node{} }
