package controllers

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes/fake"
	clientgotesting "k8s.io/client-go/testing"
)

// authority signs certificates.
type authority struct {
	test *testing.T
	own  *x509.Certificate
	key  crypto.Signer
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{test: t}
	made := a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.own, a.key = made.Leaf, made.PrivateKey.(crypto.Signer)
	return a
}

func (a *authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.own.Raw}))
}

// sign signs with the authority's key; the first one with its own.
func (a *authority) sign(template *x509.Certificate) *tls.Certificate {
	a.test.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.test.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	if template.NotAfter.IsZero() {
		template.NotAfter = noon.AddDate(1000, 0, 0)
	}
	parent, signer := a.own, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.test.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.test.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) client(name string, groups ...string) *tls.Certificate {
	a.test.Helper()
	return a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name, Organization: groups}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// known is a cluster that publishes what it is told to.
func known(told *[]string, objects ...runtime.Object) (*clientCA, *fake.Clientset) {
	clients := fake.NewClientset(objects...)
	return &clientCA{
		configMaps: clients.CoreV1().ConfigMaps(metav1.NamespaceSystem),
		log:        funcr.New(func(_, line string) { *told = append(*told, line) }, funcr.Options{}),
	}, clients
}

func published(text string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: clientCAConfigMap},
		Data:       map[string]string{clientCAKey: text},
	}
}

func TestWhoAsks(t *testing.T) {
	cluster, stranger := newAuthority(t), newAuthority(t)
	signed, _ := known(new([]string), published(cluster.pem()))
	signed.refresh(t.Context())
	tokens := bearertoken.New(authenticator.TokenFunc(func(_ context.Context, token string) (*authenticator.Response, bool, error) {
		return &authenticator.Response{User: &user.DefaultInfo{Name: "token-of-" + token}}, token == "shop", nil
	}))
	who := callers(tokens, signed.verifyOptions)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, is, err := who.AuthenticateRequest(r)
		if !is || err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, answer.User.GetName(), answer.User.GetGroups())
	}))
	server.TLS = tlsSettings(nil)
	server.StartTLS()
	defer server.Close()

	shop := cluster.client("shop", "tenants")
	for name, c := range map[string]struct {
		certificate *tls.Certificate
		header      map[string]string
		want        string // "" is nobody
	}{
		"a certificate":                       {shop, nil, "shop[tenants system:authenticated]"},
		"another authority's":                 {stranger.client("shop"), nil, ""},
		"an old one":                          {cluster.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "shop"}, NotAfter: noon.AddDate(-10, 0, 0)}), nil, ""},
		"a server's":                          {cluster.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "shop"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}), nil, ""},
		"one without a name":                  {cluster.client(""), nil, ""},
		"nothing":                             {nil, nil, ""},
		"a token":                             {nil, map[string]string{"Authorization": "Bearer shop"}, "token-of-shop[]"},
		"a token beside a certificate":        {cluster.client("bank"), map[string]string{"Authorization": "Bearer shop"}, "token-of-shop[]"},
		"a token through a proxy":             {cluster.client("proxy"), map[string]string{"Authorization": "Bearer shop", "X-Forwarded-For": "10.0.0.1"}, "token-of-shop[]"},
		"a bad token beside a certificate":    {shop, map[string]string{"Authorization": "Bearer bad"}, ""},
		"a password beside a certificate":     {shop, map[string]string{"Authorization": "Basic c2hvcDpzaG9w"}, ""},
		"a proxy's certificate, and for whom": {shop, map[string]string{"X-Forwarded-For": "10.0.0.1"}, ""},
		"a proxy's, and which URL":            {shop, map[string]string{"x-forwarded-uri": "/"}, ""},
		"a proxy's, with nothing to say":      {shop, map[string]string{"X-Forwarded-Host": ""}, ""},
		"a proxy's, by the standard":          {shop, map[string]string{"Forwarded": "for=10.0.0.1"}, ""},
		"a proxy's, by the old one":           {shop, map[string]string{"Via": "1.1 proxy"}, ""},
		"a front proxy's":                     {shop, map[string]string{"X-Remote-User": "bank"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := asked(t, server.URL, c.certificate, c.header); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// asked is as whom a server knows a client; "": not at all.
func asked(t *testing.T, url string, certificate *tls.Certificate, header map[string]string) string {
	t.Helper()
	settings := &tls.Config{InsecureSkipVerify: true}
	if certificate != nil {
		settings.Certificates = []tls.Certificate{*certificate}
	}
	transport := &http.Transport{TLSClientConfig: settings}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheAuthorityIsKeptCurrent(t *testing.T) {
	first, second := newAuthority(t), newAuthority(t)
	var told []string
	signed, clients := known(&told)
	var failing error
	clients.PrependReactor("get", "configmaps", func(clientgotesting.Action) (bool, runtime.Object, error) { return failing != nil, nil, failing })
	configMaps := clients.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	publish := func(text string) func() error {
		return func() error {
			_, err := configMaps.Update(t.Context(), published(text), metav1.UpdateOptions{})
			if apierrors.IsNotFound(err) {
				_, err = configMaps.Create(t.Context(), published(text), metav1.CreateOptions{})
			}
			return err
		}
	}
	fail := func(err error) func() error { return func() error { failing = err; return nil } }
	forbidden := apierrors.NewForbidden(corev1.Resource("configmaps"), clientCAConfigMap, errors.New("no RBAC"))
	const tokensAlone, both = "by tokens alone", "by tokens, and by"
	for _, step := range []struct {
		about   string
		change  func() error
		good    []*authority
		telling string // once
	}{
		{"not there", fail(nil), nil, tokensAlone},
		{"appears", publish(first.pem()), []*authority{first}, both},
		{"is renewed", publish(first.pem() + second.pem()), []*authority{first, second}, ""},
		{"the old one goes", publish(second.pem()), []*authority{second}, ""},
		{"the API server is away", fail(errors.New("connection refused")), []*authority{second}, ""},
		{"it is back", fail(nil), []*authority{second}, ""},
		{"may not be read", fail(forbidden), nil, tokensAlone},
		{"may be read again", fail(nil), []*authority{second}, both},
		{"is emptied", publish(""), nil, tokensAlone},
		{"is filled", publish(first.pem()), []*authority{first}, both},
		{"is nonsense", publish("nonsense"), nil, tokensAlone},
		{"makes sense", publish(first.pem()), []*authority{first}, both},
		{"is deleted", func() error { return configMaps.Delete(t.Context(), clientCAConfigMap, metav1.DeleteOptions{}) }, nil, tokensAlone},
	} {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		told = nil
		for range 3 {
			signed.refresh(t.Context())
		}
		for _, a := range []*authority{first, second} {
			if got, want := trusts(signed, a), slices.Contains(step.good, a); got != want {
				t.Errorf("%s: a certificate is good: %t, want %t", step.about, got, want)
			}
		}
		if step.telling == "" && len(told) > 0 || step.telling != "" && (len(told) != 1 || !strings.Contains(told[0], step.telling)) {
			t.Errorf("%s: told %q, want %q once", step.about, told, step.telling)
		}
	}
}

func trusts(signed *clientCA, a *authority) bool {
	options, is := signed.verifyOptions()
	if !is {
		return false
	}
	options.CurrentTime = noon
	_, err := a.client("shop").Leaf.Verify(options)
	return err == nil
}

func TestTheAuthorityIsReadAtTheStart(t *testing.T) {
	cluster := newAuthority(t)
	signed, _ := known(new([]string), published(cluster.pem()))
	told := make(chan string, 1)
	signed.log = funcr.New(func(_, line string) { told <- line }, funcr.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- signed.Start(ctx) }()
	<-told
	if !trusts(signed, cluster) {
		t.Error("a certificate is not good")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
