// Package restclient makes a bare REST client for the operator's own API group.
package restclient

import (
	"net/http"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// New is a client without a rate limit of its own: the API server's priority
// and fairness governs. It leaves the configuration as it is.
func New(config *rest.Config, httpClient *http.Client) (*rest.RESTClient, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	config = rest.CopyConfig(config)
	config.APIPath = "/apis"
	config.GroupVersion = &v1alpha1.GroupVersion
	config.ContentType = runtime.ContentTypeJSON
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.QPS = -1
	return rest.RESTClientForConfigAndClient(config, httpClient)
}
