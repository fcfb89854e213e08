package restclient_test

import (
	"net/http"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/usage-operator/usage-operator/internal/restclient"
)

func TestAClientIsOfTheGroupAndHasNoLimit(t *testing.T) {
	config := &rest.Config{Host: "https://example.com", QPS: 5}

	client, err := restclient.New(config, http.DefaultClient)

	if err != nil {
		t.Fatal(err)
	}
	got := client.Get().Namespace("shop").Resource("usagerecords").URL().String()
	if want := "https://example.com/apis/metering.usage-operator.dev/v1alpha1/namespaces/shop/usagerecords"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if limit := client.GetRateLimiter(); limit != nil {
		t.Errorf("it has a rate limit: %v", limit)
	}
	if config.QPS != 5 || config.GroupVersion != nil {
		t.Errorf("the configuration has changed: %v", config)
	}
}
