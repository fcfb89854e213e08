package usagecli

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// jwtFor is a token of the service account web for an audience; the number tells tokens apart.
func jwtFor(audience string, number int) string {
	claims := fmt.Sprintf(`{"sub":"system:serviceaccount:shop:web","aud":[%q],"n":%d}`, audience, number)
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

// witnessed is a cluster in which tokens for the usage API are given to who may have them, and that remembers what its
// usage API was shown, and through what.
type witnessed struct {
	*forwarding
	mayAsk bool

	mu     sync.Mutex
	given  int
	asked  authenticationv1.TokenRequestSpec
	byPort []string // what was shown through a port-forward
	byName []string // what was shown through the proxy
}

// newWitnessed has pods whose certificate the authority has signed; published is what clients verify by.
func newWitnessed(t *testing.T, pods *authority, published string, mayAsk, mayForward bool) *witnessed {
	t.Helper()
	w := &witnessed{forwarding: &forwarding{}, mayAsk: mayAsk}
	see := func(list *[]string) http.Handler {
		return usageAPI(authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			*list = append(*list, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
			return &authenticator.Response{User: &user.DefaultInfo{Name: "shop"}}, true, nil
		}))
	}
	byPort, byName := see(&w.byPort), see(&w.byName)
	w.api = httptest.NewUnstartedServer(byPort)
	w.api.TLS = &tls.Config{Certificates: []tls.Certificate{pods.server(t, "usage-api.usage-system.svc")}}
	w.api.StartTLS()
	t.Cleanup(w.api.Close)
	mux := w.routes(published)
	const proxy = "/api/v1/namespaces/usage-system/services/https:usage-api:https/proxy"
	mux.Handle(proxy+"/", http.StripPrefix(proxy, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r.Header.Del("Authorization")
		byName.ServeHTTP(rw, r)
	})))
	mux.HandleFunc("POST /api/v1/namespaces/shop/serviceaccounts/web/token", w.giveToken)
	w.Server = httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/portforward") && !mayForward {
			refuse(rw, "pods/portforward")
			return
		}
		mux.ServeHTTP(rw, r)
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *witnessed) giveToken(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.mayAsk {
		refuse(rw, "serviceaccounts/token")
		return
	}
	text, _ := io.ReadAll(r.Body)
	object, _, err := clientgoscheme.Codecs.UniversalDeserializer().Decode(text, nil, nil)
	request, is := object.(*authenticationv1.TokenRequest)
	if err != nil || !is {
		rw.WriteHeader(http.StatusBadRequest)
		return
	}
	w.given++
	w.asked = request.Spec
	request.Kind, request.APIVersion = "TokenRequest", "authentication.k8s.io/v1"
	request.Status.Token = jwtFor(request.Spec.Audiences[0], w.given)
	answer(rw, http.StatusCreated, request)
}

// A token that is good for more than the usage API goes to nobody who is not verified, unless it is said.
func TestTokensGoToTheOperator(t *testing.T) {
	operators, strangers := newAuthority(t), newAuthority(t)
	account := jwtFor("https://kubernetes.default.svc", 0)
	alone := jwtFor(wire.Audience, 1)
	for name, c := range map[string]struct {
		token              string
		mayAsk, mayForward bool
		pods               *authority
		flags              string
		byPort, byName     string // which token is shown there; "": none
		fails, says        string
	}{
		"a service account that may ask for a token": {token: account, mayAsk: true, mayForward: true, byName: alone},
		"one that may not, and may port-forward":     {token: account, mayForward: true, byPort: account},
		"one that may neither":                       {token: account, byName: account, says: "note: your token, which is good for all"},
		"one that may neither, and accepts it":       {token: account, flags: "--through-proxy", byName: account},
		"a person who may port-forward":              {token: "opaque", mayAsk: true, mayForward: true, byPort: "opaque"},
		"a person who may not":                       {token: "opaque", byName: "opaque", says: "Service usage-api in namespace usage-system"},
		"another server in a pod":                    {token: "opaque", mayForward: true, pods: strangers, fails: "certificate signed by unknown authority"},
		"another server, and nobody verifies": {
			token: "opaque", mayForward: true, pods: strangers, flags: "--insecure-skip-usage-api-verify", byPort: "opaque",
			says: "note: your token, which is good for all",
		},
	} {
		pods := operators
		if c.pods != nil {
			pods = c.pods
		}
		server := newWitnessed(t, pods, operators.pem(), c.mayAsk, c.mayForward)
		as := map[string]any{"token": c.token}
		args := append(strings.Fields(c.flags+" list "+november), "--kubeconfig="+kubeconfigOf(t, server.Server, as, "shop"))
		status, out, stderr := runPlainly(args...)
		if c.fails != "" {
			if status != exitFailed || !strings.Contains(stderr, c.fails) {
				t.Errorf("%s: status %d: %s%s", name, status, out, stderr)
			}
		} else if status != exitDone || !strings.Contains(out, "web-1") {
			t.Errorf("%s: status %d: %s%s", name, status, out, stderr)
		}
		if (c.says != "") != strings.Contains(stderr, "note:") || !strings.Contains(stderr, c.says) || strings.Count(stderr, "note:") > 1 {
			t.Errorf("%s: it says %q, want %q", name, stderr, c.says)
		}
		for where, shown := range map[string]struct {
			got  []string
			want string
		}{"through a port-forward": {server.byPort, c.byPort}, "through the proxy": {server.byName, c.byName}} {
			if (len(shown.got) > 0) != (shown.want != "") {
				t.Errorf("%s: %d tokens are shown %s", name, len(shown.got), where)
			}
			for _, got := range shown.got {
				if got != shown.want {
					t.Errorf("%s: %q is shown %s, want %q", name, got, where, shown.want)
				}
			}
		}
	}
}

// Who is asked for usage cannot have the token sent elsewhere.
func TestATokenFollowsNoRedirect(t *testing.T) {
	var shown int
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request) { shown++ }))
	defer elsewhere.Close()
	server := httptest.NewTLSServer(http.RedirectHandler(elsewhere.URL, http.StatusFound))
	defer server.Close()
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	token := func(context.Context) (string, error) { return "Bearer secret", nil }
	to := connected(base, server.Client().Transport, token)
	if err := to.ask(t.Context(), http.MethodGet, "v1alpha1/usage", nil, nil, &struct{}{}); err == nil || !strings.Contains(err.Error(), "302") {
		t.Errorf("a redirect is answered by %v", err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, elsewhere.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := to.client.Transport.RoundTrip(request); err == nil || !strings.Contains(err.Error(), "not the usage API") { //nolint:bodyclose // there is none
		t.Errorf("a request to elsewhere: %v", err)
	}
	if shown > 0 {
		t.Error("a request came to where the redirect leads")
	}
}

// Only who may not port-forward goes through the proxy: not who meets a failure.
func TestATokenIsNotShownToWhatCannotBeVerified(t *testing.T) {
	server := newWitnessed(t, newAuthority(t), "", false, true)
	status, _, stderr := runPlainly(append(strings.Fields("list "+november), "--kubeconfig="+kubeconfigOf(t, server.Server, map[string]any{"token": "opaque"}, "shop"))...)
	if status != exitFailed || !strings.Contains(stderr, "cannot be verified") || !strings.Contains(stderr, "--through-proxy") {
		t.Errorf("status %d: %s", status, stderr)
	}
	if len(server.byName)+len(server.byPort) > 0 {
		t.Error("the token was shown")
	}
}

// A command that runs for long asks for a token again before the last has ended.
func TestABoundTokenIsAskedForAgain(t *testing.T) {
	operators := newAuthority(t)
	server := newWitnessed(t, operators, operators.pem(), true, false)
	now := noon()
	c := &cli{config: genericclioptions.NewConfigFlags(true), now: func() time.Time { return now }, operator: "usage-system"}
	*c.config.KubeConfig = kubeconfig(t, server.Server, jwtFor("https://kubernetes.default.svc", 0), "shop")
	to, err := c.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]int{0: 1, boundFor - boundAnew - time.Second: 1} {
		now = noon().Add(after)
		if err := to.ask(t.Context(), http.MethodGet, "ui/session", nil, nil, &struct{}{}); err != nil || server.given != want {
			t.Errorf("after %s: %d tokens were asked for, want %d (%v)", after, server.given, want, err)
		}
	}
	now = noon().Add(boundFor - boundAnew)
	if err := to.ask(t.Context(), http.MethodGet, "ui/session", nil, nil, &struct{}{}); err != nil || server.given != 2 {
		t.Errorf("%d tokens were asked for, want 2 (%v)", server.given, err)
	}
	if got := server.asked; len(got.Audiences) != 1 || got.Audiences[0] != wire.Audience || *got.ExpirationSeconds != int64(boundFor/time.Second) {
		t.Errorf("it was asked for %v", got)
	}
	server.mayAsk = false
	now = now.Add(boundFor)
	if err := to.ask(t.Context(), http.MethodGet, "ui/session", nil, nil, &struct{}{}); err == nil {
		t.Error("a token that has ended is shown")
	}
}
