package collector

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// TestWhichNamespaceAnObjectIsPutIn looks up the incarnation of a namespace for
// objects that are in it, and for such as are in none and are put there by a meter,
// or because they are nobody's: nodes are older than the operator's namespace.
func TestWhichNamespaceAnObjectIsPutIn(t *testing.T) {
	first := &namespace{uid: "first", created: 1000, terminating: 1900, gone: true}
	c := &Collector{
		Options:    Options{Namespace: "usage-system"},
		namespaces: map[string]namespace{"shop": {uid: "second", created: 2000, before: first}, "usage-system": {uid: "own", created: 3000}},
	}
	for name, object := range map[string]struct {
		in, put string // the object's namespace, and the one that it is put in
		created int64
		want    string
	}{
		"in the present one":                  {"shop", "shop", 2500, "second"},
		"in the former one":                   {"shop", "shop", 1500, "first"},
		"older than any":                      {"shop", "shop", 500, ""},
		"in none, and put in one":             {"", "shop", 2500, "second"},
		"in none, older than the one":         {"", "shop", 1500, "second"},
		"in none, older than any of the name": {"", "shop", 500, "second"},
		"nobody's":                            {"", "", 3500, "own"},
		"nobody's, older than the operator":   {"", "", 500, "own"},
	} {
		t.Run(name, func(t *testing.T) {
			o := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{
				"namespace": object.in, "creationTimestamp": time.Unix(object.created, 0).UTC().Format(time.RFC3339),
			}}}
			put := object.put
			of := c.namespaceUID([]reading{{members: []usage.Member{{Subject: usage.Subject{Account: usage.Account{Namespace: put}}}}}}, o)
			if put == "" {
				put = c.Namespace
			}
			if uid := of(put); uid != object.want {
				t.Errorf("put in %q, want %q", uid, object.want)
			}
		})
	}
}
