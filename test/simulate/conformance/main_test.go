package conformance

import (
	"context"
	"flag"
	"net/http"
	"os"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/usage-operator/usage-operator/test/controlplane"
)

var (
	sessionsFlag = flag.Int("conformance.sessions", 2, "how many sessions, each with a compaction and a restart of the API server")
	scriptsFlag  = flag.Int("conformance.scripts", 105, "how many scripts there are in a session")
	seedFlag     = flag.Uint64("conformance.seed", 1, "the seed of the first session")
)

var plane *controlplane.ControlPlane

func TestMain(m *testing.M) {
	flag.Parse()
	options := controlplane.Options{Components: controlplane.APIOnly()}
	os.Exit(controlplane.Main(m, options, func(_ context.Context, started *controlplane.ControlPlane) error {
		plane = started
		return nil
	}))
}

func config() *rest.Config {
	c := rest.CopyConfig(plane.RESTConfig())
	c.QPS = -1
	// What the server says counts, and not what client-go makes of it: it asks ten times
	// again where an answer says when to.
	c.Wrap(func(next http.RoundTripper) http.RoundTripper { return once{next} })
	return c
}

// once takes away what an answer says of when to ask again.
type once struct{ http.RoundTripper }

func (o once) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := o.RoundTripper.RoundTrip(request)
	if response != nil {
		response.Header.Del("Retry-After")
	}
	return response, err
}

// realClients are new ones each time: connections end with the API server.
func realClients(t *testing.T) (dynamic.Interface, metadata.Interface) {
	t.Helper()
	whole, err := dynamic.NewForConfig(config())
	if err != nil {
		t.Fatal(err)
	}
	partial, err := metadata.NewForConfig(config())
	if err != nil {
		t.Fatal(err)
	}
	return whole, partial
}

// systemNamespaces are those that an API server makes by itself, some time after it is ready.
func systemNamespaces(t *testing.T, client dynamic.Interface) {
	t.Helper()
	until(t, "the system's namespaces are there", func() bool {
		list, err := client.Resource(namespaces.GroupVersionResource()).List(t.Context(), metav1.ListOptions{})
		return err == nil && len(list.Items) >= 4
	})
}
