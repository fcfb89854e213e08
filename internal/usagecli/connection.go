package usagecli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// connection is to the usage API.
type connection struct {
	client *http.Client
	base   *url.URL
	// shown has the token, in the header that gets there. It is empty where a
	// certificate says who asks.
	shown http.Header
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

// connect reaches the usage API: with --usage-api directly, with a token through the
// API server's proxy, and with a client certificate, which no proxy can pass on,
// through a port-forward.
func (c *cli) connect(ctx context.Context) (*connection, error) {
	config, err := c.config.ToRESTConfig()
	if err != nil {
		return nil, noCluster(err)
	}
	c.findOperator(ctx, config)
	to, err := c.connectAs(config)
	if err == nil {
		to.within = config.Timeout
	}
	return to, err
}

func (c *cli) connectAs(config *rest.Config) (*connection, error) {
	token, err := tokenOf(config)
	if err != nil {
		return nil, err
	}
	if token == "" {
		return c.connectWithCertificate(config)
	}
	if c.server != "" {
		return c.connectDirectly(http.Header{"Authorization": {token}}, nil)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, err
	}
	base = base.JoinPath("api", "v1", "namespaces", c.operator, "services", proxied, "proxy")
	return &connection{client: client, base: base, shown: http.Header{wire.TokenHeader: {token}}}, nil
}

func (c *cli) connectWithCertificate(config *rest.Config) (*connection, error) {
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
	return c.connectByPortForward(config, mine)
}

// connectDirectly shows a token, or a certificate.
func (c *cli) connectDirectly(token http.Header, mine certificate) (*connection, error) {
	base, err := url.Parse(c.server)
	if err != nil || base.Scheme != "https" || base.Host == "" {
		return nil, misused("--usage-api=%s: want an address such as https://localhost:8444", c.server)
	}
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
	return &connection{client: &http.Client{Transport: &http.Transport{TLSClientConfig: settings}}, base: base, shown: token}, nil
}

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

// tokenOf is what the kubeconfig's user shows to the API server: its token, a file
// of one, or one that a login plugin gives. It is "" for a client certificate.
func tokenOf(config *rest.Config) (string, error) {
	settings, err := config.TransportConfig()
	if err != nil {
		return "", err
	}
	seen := &lookout{}
	wrapped, err := transport.HTTPWrappersForConfig(settings, seen)
	if err != nil {
		return "", err
	}
	request, err := http.NewRequest(http.MethodGet, "https://nowhere.invalid", http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := wrapped.RoundTrip(request)
	if err != nil {
		return "", fmt.Errorf("your kubeconfig's user cannot log in: %w", err)
	}
	return seen.header, response.Body.Close()
}

// lookout sends nothing, and sees with which token it would have been sent.
type lookout struct{ header string }

// RoundTrip is http.RoundTripper's.
func (l *lookout) RoundTrip(request *http.Request) (*http.Response, error) {
	l.header = request.Header.Get("Authorization")
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: request}, nil
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
	maps.Copy(request.Header, c.shown)
	response, err := c.client.Do(request)
	if none, is := errors.AsType[*noWay](err); is {
		return none
	}
	if err != nil && errors.Is(context.Cause(ctx), errNoAnswer) {
		return fmt.Errorf("the usage API did not answer within %s (--request-timeout): does the operator run, and answer?", c.within)
	}
	if err != nil {
		return fmt.Errorf("the usage API cannot be reached: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("the usage API's answer ended early: %w", err)
	}
	if response.StatusCode == http.StatusUnauthorized && len(c.shown) == 0 {
		return errors.New("the usage API does not take your client certificate: check that it is this cluster's and has not expired, " +
			"and that the operator's log has no line about client certificates; or add --token=$(kubectl create token SERVICEACCOUNT)")
	}
	if response.StatusCode != http.StatusOK {
		return refusal(response.StatusCode, answer)
	}
	c.told = response.Header
	return json.Unmarshal(answer, into)
}

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
		case status == http.StatusBadRequest, said.Code == wire.NoSuchName:
			return misused("%s", said.Message)
		}
		return errors.New(said.Message)
	}
	switch status {
	case http.StatusForbidden:
		return fmt.Errorf("the API server does not let you reach the usage API: %s: ask for a role that may get and create services/proxy of usage-api, or use --usage-api", said.Message)
	case http.StatusNotFound, http.StatusServiceUnavailable:
		return fmt.Errorf("there is no usage API behind the API server: %s: is the operator installed, and in which namespace (--operator-namespace)?", said.Message)
	}
	return errors.New(said.Message)
}
