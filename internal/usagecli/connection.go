package usagecli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// connection is to the usage API.
type connection struct {
	client *http.Client // its transport shows who asks
	base   *url.URL
	// certified is that a certificate says who asks, and no token.
	certified bool
	// hub is that it is to a hub.
	hub bool
	// directly is that no API server is on the way.
	directly bool
	// told are the headers of the last answer.
	told http.Header
	// within is how long one request may take; 0: as long as it takes.
	within time.Duration
}

const (
	// service is the usage API's, and port is its port's name.
	service, port = "usage-api", "https"
	// proxied is how the API server's proxy names them.
	proxied = "https:" + service + ":" + port
)

// connect reaches the usage API: with --usage-api directly; with a token that is good
// for the usage API alone through the API server's proxy, where nobody can verify who
// answers; with another token, or a client certificate, through a port-forward. A token
// goes through the proxy, too, where there is no right to that, and it is said.
func (c *cli) connect(ctx context.Context) (*connection, error) {
	if c.hub.address != "" {
		return c.connectToHub()
	}
	config, err := c.config.ToRESTConfig()
	if err != nil {
		return nil, noCluster(err)
	}
	if c.server == "" && os.Getenv(serverVariable) != "" { // its certificate goes with it
		c.server, c.serverCertificate = os.Getenv(serverVariable), cmp.Or(c.serverCertificate, os.Getenv(certificateVariable))
	}
	if err := c.findOperator(ctx, config); err != nil {
		return nil, err
	}
	to, err := c.connectAs(ctx, config)
	if err == nil {
		to.within = config.Timeout
	}
	return to, err
}

func (c *cli) connectAs(ctx context.Context, config *rest.Config) (*connection, error) {
	own, err := ownToken(config)
	if err != nil {
		return nil, err
	}
	token, err := own(ctx)
	if err != nil {
		return nil, err
	}
	if token == "" {
		return c.connectWithCertificate(ctx, config)
	}
	if c.server != "" {
		if c.insecure {
			c.sent(fullPower, c.server, "use --usage-api-certificate-authority with what the ConfigMap "+wire.CAConfigMap+" has")
		}
		return c.connectDirectly(own, nil)
	}
	alone, err := c.boundTo(ctx, config, token)
	switch {
	case err == nil:
		return c.connectByProxy(config, alone)
	case !errors.Is(err, errNotBound):
		return nil, err
	}
	if !c.throughProxy {
		to, err := c.connectByPortForward(ctx, config, own, nil)
		if err == nil && c.insecure {
			c.sent(fullPower, "a pod behind the Service "+service, "leave out --insecure-skip-usage-api-verify")
		}
		switch {
		case err == nil:
			return to, nil
		case !apierrors.IsForbidden(err) || c.completing:
			return nil, fmt.Errorf("%w; --through-proxy sends %s through the API server to what answers there, which nothing verifies", err, fullPower)
		}
		c.sent(fullPower, fmt.Sprintf("what answers behind the Service %s in namespace %s", service, c.operator),
			"have the right to create serviceaccounts/token of your own service account, or the Role usage-operator-usage-api-port-forwarder; "+
				"--through-proxy accepts it")
	}
	return c.connectByProxy(config, own)
}

// connectByProxy has the API server pass requests on.
func (c *cli) connectByProxy(config *rest.Config, token credential) (*connection, error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, err
	}
	shown := *client // client-go has one default client for all
	shown.CheckRedirect = stay
	shown.Transport = &showing{orDefault(client.Transport), base, wire.TokenHeader, token}
	return &connection{client: &shown, base: base.JoinPath("api", "v1", "namespaces", c.operator, "services", proxied, "proxy")}, nil
}

func orDefault(transport http.RoundTripper) http.RoundTripper {
	if transport == nil {
		return http.DefaultTransport
	}
	return transport
}

func (c *cli) connectWithCertificate(ctx context.Context, config *rest.Config) (*connection, error) {
	mine, err := certificateOf(config)
	switch {
	case err != nil:
		return nil, fmt.Errorf("your kubeconfig's user cannot log in: %w", err)
	case mine == nil:
		return nil, errors.New("your kubeconfig's user has no token and no client certificate, and the usage API knows who you are by one of them: " +
			"add --token=$(kubectl create token SERVICEACCOUNT), or choose another user with --user")
	case c.server != "":
		return c.connectDirectly(nil, mine)
	}
	return c.connectByPortForward(ctx, config, nil, mine)
}

// connectDirectly shows a token, or a certificate.
func (c *cli) connectDirectly(token credential, mine certificate) (*connection, error) {
	base, err := url.Parse(c.server)
	if err != nil || base.Scheme != "https" || base.Host == "" {
		return nil, misused("--usage-api=%s: want an address such as https://localhost:8444", c.server)
	}
	//nolint:gosec // only when the person says --insecure-skip-usage-api-verify
	settings := &tls.Config{InsecureSkipVerify: c.insecure, GetClientCertificate: mine}
	if c.serverCertificate != "" {
		text, err := os.ReadFile(c.serverCertificate)
		if err != nil {
			return nil, fmt.Errorf("--usage-api-certificate-authority: %w", err)
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--usage-api-certificate-authority: there is no certificate in %s", c.serverCertificate)
		}
	}
	to := connected(base, &http.Transport{TLSClientConfig: settings}, token)
	to.directly = true
	return to, nil
}

// connected shows a token where there is one; otherwise the transport shows a certificate.
func connected(base *url.URL, through http.RoundTripper, token credential) *connection {
	if token != nil {
		through = &showing{through, base, "Authorization", token}
	}
	return &connection{client: &http.Client{Transport: through, CheckRedirect: stay}, base: base, certified: token == nil}
}

// stay follows no redirect: who asks is shown to the usage API, and it has no other address.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// certificate gives the one that there is now, as tls.Config has it.
type certificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)

// certificateOf is the kubeconfig's user's: from files, from the kubeconfig itself,
// or from a login plugin. It is nil where there is none.
func certificateOf(config *rest.Config) (certificate, error) {
	settings, err := rest.TLSConfigFor(config)
	if err != nil || settings == nil || settings.GetClientCertificate == nil {
		return nil, err
	}
	shown, err := settings.GetClientCertificate(&tls.CertificateRequestInfo{})
	if err != nil || len(shown.Certificate) == 0 {
		return nil, err
	}
	return settings.GetClientCertificate, nil
}

var errNoAnswer = errors.New("no answer in time")

// ask makes a request, and reads the answer into an object.
func (c *connection) ask(ctx context.Context, method, path string, query url.Values, body, into any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	if c.within > 0 {
		var done context.CancelFunc
		ctx, done = context.WithTimeoutCause(ctx, c.within, errNoAnswer)
		defer done()
	}
	target := c.base.JoinPath(path)
	target.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.client.Do(request)
	if none, is := errors.AsType[*noWay](err); is {
		return none
	}
	if err != nil && errors.Is(context.Cause(ctx), errNoAnswer) {
		return fmt.Errorf("the usage API did not answer within %s (--request-timeout): does the operator run, and answer?", c.within)
	}
	if err != nil {
		return c.unreached(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return &url.Error{Op: "the usage API's answer ended early", URL: target.String(), Err: err}
	}
	if response.StatusCode == http.StatusUnauthorized {
		return c.unknown()
	}
	if response.StatusCode != http.StatusOK {
		return refusal(response.StatusCode, answer)
	}
	c.told = response.Header
	return json.Unmarshal(answer, into)
}

// unknown is that the one who asks is not known to what answers.
func (c *connection) unknown() error {
	if c.certified {
		return errors.New("the usage API does not take your client certificate: check that it is this cluster's and has not expired, " +
			"and that the operator's log has no line about client certificates; or add --token=$(kubectl create token SERVICEACCOUNT)")
	}
	if c.hub {
		return errors.New("the hub does not know your token: ask for one that its fleet file has (--hub-token-file)")
	}
	return errors.New("this cluster does not know your token, or it has expired: log in again, or add --token=$(kubectl create token SERVICEACCOUNT)")
}

// withoutIt is what can be seen without the operator: first what tenants may see, too.
const withoutIt = "kubectl get usagerecords -o wide shows what it has recorded, and when (OBSERVED); " +
	"who may list usagemeters sees there when it was last heard of (SEEN)"

// refusal is what the usage API says, or the API server in front of it.
func refusal(status int, answer []byte) error {
	var said struct {
		Message, Kind string
		Code          any // a text of the usage API's, a number of the API server's
	}
	if json.Unmarshal(answer, &said) != nil || said.Message == "" {
		return fmt.Errorf("the usage API answers %d %s: %.200s", status, http.StatusText(status), strings.TrimSpace(string(answer)))
	}
	if said.Kind != "Status" {
		switch {
		case status == http.StatusForbidden:
			return &refused{said.Message}
		case said.Code == wire.NoSuchName:
			return misused("%s", unnamed(said.Message))
		case status == http.StatusBadRequest:
			return misused("%s", said.Message)
		}
		return errors.New(said.Message)
	}
	switch status {
	case http.StatusForbidden:
		return fmt.Errorf("the API server does not let you reach the usage API: %s: ask for a role that may get and create services/proxy of usage-api, or use --usage-api", said.Message)
	case http.StatusNotFound, http.StatusServiceUnavailable:
		return fmt.Errorf("there is no usage API behind the API server: %s: is the operator installed, and in which namespace (--operator-namespace)? does it run? %s", said.Message, withoutIt)
	}
	return errors.New(said.Message)
}

// unnamed is a message without the parameter that it begins with, whose name is not a flag's.
func unnamed(message string) string {
	if name, what, is := strings.Cut(message, ": "); is && !strings.ContainsAny(name, ` "`) {
		return what
	}
	return message
}

// unreached is that no request reaches the usage API, and what can be seen without it.
func (c *connection) unreached(err error) error {
	if c.directly && errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("nothing answers at %s: does the operator run? %s", c.base.Host, withoutIt)
	}
	if c.hub {
		return fmt.Errorf("the hub cannot be reached: %w", err)
	}
	return fmt.Errorf("the usage API cannot be reached: %w", err)
}
