package usagecli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// credential gives what a request shows, as Authorization has it.
type credential func(context.Context) (string, error)

// showing is a transport that shows a token with each request, and to one server only.
type showing struct {
	http.RoundTripper
	to     *url.URL
	header string
	token  credential
}

// RoundTrip is http.RoundTripper's.
func (s *showing) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Scheme != s.to.Scheme || request.URL.Host != s.to.Host {
		return nil, fmt.Errorf("no token is shown to %s://%s, which is not the usage API", request.URL.Scheme, request.URL.Host)
	}
	text, err := s.token(request.Context())
	if err != nil {
		return nil, &noWay{err}
	}
	request = request.Clone(request.Context())
	request.Header.Set(s.header, text)
	return s.RoundTripper.RoundTrip(request)
}

// ownToken is what the kubeconfig's user shows to the API server: its token, a file of one, or one that a login plugin
// gives; each time, for they change. It gives "" for a client certificate.
func ownToken(config *rest.Config) (credential, error) {
	settings, err := config.TransportConfig()
	if err != nil {
		return nil, err
	}
	wrapped, err := transport.HTTPWrappersForConfig(settings, lookout{})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (string, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://nowhere.invalid", http.NoBody)
		if err != nil {
			return "", err
		}
		response, err := wrapped.RoundTrip(request)
		if err != nil {
			return "", fmt.Errorf("your kubeconfig's user cannot log in: %w", err)
		}
		return response.Header.Get("Authorization"), response.Body.Close()
	}, nil
}

// lookout sends nothing, and answers with the token that would have been sent.
type lookout struct{}

// RoundTrip is http.RoundTripper's.
func (lookout) RoundTrip(request *http.Request) (*http.Response, error) {
	seen := http.Header{"Authorization": request.Header.Values("Authorization")}
	return &http.Response{StatusCode: http.StatusOK, Header: seen, Body: http.NoBody, Request: request}, nil
}

const (
	// boundFor is how long a token lasts that is asked for: the shortest that the API server gives.
	boundFor = 10 * time.Minute
	// boundAnew is how much of that is left when another is asked for.
	boundAnew = 2 * time.Minute
	// askFor is how long the API server may take to give one.
	askFor = 10 * time.Second
)

// errNotBound is that the API server gives no token for the usage API alone.
var errNotBound = errors.New("there is no token for the usage API alone")

// bound is a credential of a service account that is good for the usage API alone, and not for long.
type bound struct {
	accounts corev1client.ServiceAccountInterface
	name     string
	now      func() time.Time

	mu    sync.Mutex
	text  string
	until time.Time
}

// boundTo asks for a token for the usage API alone. It gives errNotBound where the user is no service account, or may not
// ask for one.
func (c *cli) boundTo(ctx context.Context, config *rest.Config, authorization string) (credential, error) {
	_, token, _ := strings.Cut(authorization, " ")
	namespace, name, is := wire.ClaimsOf(token).ServiceAccount()
	if !is {
		return nil, errNotBound
	}
	core, err := corev1client.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	if _, err := core.ConfigMaps(c.operator).Get(ctx, wire.CAConfigMap, metav1.GetOptions{}); apierrors.IsNotFound(err) {
		return nil, errNotBound // the operator is older than such tokens
	}
	b := &bound{accounts: core.ServiceAccounts(namespace), name: name, now: c.now}
	_, err = b.token(ctx)
	return b.token, err
}

// token is the one that there is, or a new one.
func (b *bound) token(ctx context.Context) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if now.Before(b.until) {
		return b.text, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	lasts := int64(boundFor / time.Second)
	given, err := b.accounts.CreateToken(ctx, b.name, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: []string{wire.Audience}, ExpirationSeconds: &lasts},
	}, metav1.CreateOptions{})
	switch {
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err):
		return "", errNotBound
	case err != nil:
		return "", fmt.Errorf("the API server gives no token for the usage API: %w", err)
	case !wire.ClaimsOf(given.Status.Token).Named():
		return "", errNotBound // it is for something else, or nobody can tell
	}
	b.text, b.until = "Bearer "+given.Status.Token, now.Add(boundFor-boundAnew)
	return b.text, nil
}

// sent says, once, what is sent to whom where nobody verifies who that is.
func (c *cli) sent(what, to, instead string) {
	if c.unsaid {
		return
	}
	c.unsaid = true
	fmt.Fprintf(c.ErrOut, "note: %s goes to %s, and nothing verifies that this is the operator: %s\n", what, to, instead)
}

// fullPower is a token that is not for the usage API alone.
const fullPower = "your token, which is good for all that you may do in this cluster,"
