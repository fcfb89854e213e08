package usagecli

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	requestx509 "k8s.io/apiserver/pkg/authentication/request/x509"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// authority signs client certificates.
type authority struct {
	own *x509.Certificate
	key crypto.Signer
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	der, key := a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	own, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.own, a.key = own, key
	return a
}

// sign signs with the authority's key; the first one with its own.
func (a *authority) sign(t *testing.T, template *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotAfter = big.NewInt(1), noon().AddDate(1000, 0, 0)
	parent, signer := a.own, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

// server is a certificate for names, as a server has it.
func (a *authority) server(t *testing.T, names ...string) tls.Certificate {
	t.Helper()
	der, key := a.sign(t, &x509.Certificate{DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// pem is what others verify by.
func (a *authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.own.Raw}))
}

// client is a certificate and its key, as files have them.
func (a *authority) client(t *testing.T, name string) (crt, key []byte) {
	t.Helper()
	der, private := a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
}

// forwarding is a cluster with port-forwards, to pods that know who has a
// certificate of the authority. It speaks SPDY alone, as an old one does. What goes
// wrong depends on the operator's namespace.
type forwarding struct {
	*httptest.Server
	api    *httptest.Server // the pod
	opened atomic.Int32     // port-forwards
}

func newForwarding(t *testing.T, a *authority) *forwarding {
	t.Helper()
	options := requestx509.DefaultVerifyOptions()
	options.Roots = x509.NewCertPool()
	options.Roots.AddCert(a.own)
	f := &forwarding{api: httptest.NewUnstartedServer(usageAPI(authenticator.RequestFunc(requestx509.New(options, requestx509.CommonNameUserConversion).AuthenticateRequest)))}
	f.api.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, Certificates: []tls.Certificate{a.server(t, "usage-api.usage-system.svc")}}
	f.api.StartTLS()
	t.Cleanup(f.api.Close)
	f.Server = httptest.NewTLSServer(f.routes(a.pem()))
	t.Cleanup(f.Close)
	return f
}

// routes are those that port-forwards need, and what the operator has published.
func (f *forwarding) routes(published string) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/namespaces/{namespace}/configmaps/usage-api-ca", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]string{"ca.crt": published}})
	})
	mux.HandleFunc("GET /apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices", f.slices)
	mux.HandleFunc("/api/v1/namespaces/{namespace}/pods/{pod}/portforward", f.portForward)
	return mux
}

func (f *forwarding) slices(w http.ResponseWriter, r *http.Request) {
	namespace := r.PathValue("namespace")
	if namespace == "hidden" {
		refuse(w, "endpointslices")
		return
	}
	pod := func(name string, ready *bool) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{Conditions: discoveryv1.EndpointConditions{Ready: ready}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: name}}
	}
	slice := discoveryv1.EndpointSlice{
		Ports:     []discoveryv1.EndpointPort{{Name: new("metrics"), Port: new(int32(8443))}, {Name: new("https"), Port: new(int32(8444))}},
		Endpoints: []discoveryv1.Endpoint{pod("starting", new(false)), {}},
	}
	if namespace != "unready" && r.URL.Query().Get("labelSelector") == "kubernetes.io/service-name=usage-api" {
		slice.Endpoints = append(slice.Endpoints, pod("lost", nil), pod("ready", new(true)))
	}
	answer(w, http.StatusOK, discoveryv1.EndpointSliceList{Items: []discoveryv1.EndpointSlice{{}, slice}})
}

func (f *forwarding) portForward(w http.ResponseWriter, r *http.Request) {
	namespace, pod := r.PathValue("namespace"), r.PathValue("pod")
	switch {
	case namespace == "barred":
		refuse(w, "pods/portforward")
	case r.Method == http.MethodGet: // a WebSocket
		w.WriteHeader(http.StatusBadRequest)
	case pod != "ready":
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "its node is gone")
	default:
		f.kubelet(w, r, namespace == "deaf")
	}
}

// kubelet opens a connection to the usage API once it has been asked for both streams.
func (f *forwarding) kubelet(w http.ResponseWriter, r *http.Request, deaf bool) {
	if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardProtocolV1Name}); err != nil {
		return
	}
	streams := make(chan httpstream.Stream, 2)
	upgraded := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(stream httpstream.Stream, _ <-chan struct{}) error {
		streams <- stream
		return nil
	})
	if upgraded == nil {
		return
	}
	defer upgraded.Close()
	f.opened.Add(1)
	said, data := <-streams, <-streams
	if data.Headers().Get(corev1.StreamType) != corev1.StreamTypeData || data.Headers().Get(corev1.PortHeader) != "8444" || deaf {
		fmt.Fprint(said, "connection refused")
		_, _ = said.Close(), data.Close()
		<-upgraded.CloseChan()
		return
	}
	pod, err := net.Dial("tcp", f.api.Listener.Addr().String())
	if err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(pod, data)
		_ = pod.Close()
	}()
	_, _ = io.Copy(data, pod)
}

func refuse(w http.ResponseWriter, what string) {
	answer(w, http.StatusForbidden, apierrors.NewForbidden(corev1.Resource(what), "", nil).Status())
}

func answer(w http.ResponseWriter, status int, object any) {
	switch o := object.(type) {
	case metav1.Status:
		o.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
		object = o
	case discoveryv1.EndpointSliceList:
		o.TypeMeta = metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSliceList"}
		object = o
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(object)
}

// held is how a kubeconfig's user has a certificate.
func held(t *testing.T, crt, key []byte) map[string]map[string]any {
	t.Helper()
	folder := t.TempDir()
	file := func(name string, text []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	credential, err := json.Marshal(map[string]any{
		"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
		"status": map[string]any{"clientCertificateData": string(crt), "clientKeyData": string(key)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]map[string]any{
		"itself": {"client-certificate-data": crt, "client-key-data": key},
		"files":  {"client-certificate": file("tls.crt", crt), "client-key": file("tls.key", key)},
		"a login plugin": {"exec": map[string]any{
			"apiVersion": "client.authentication.k8s.io/v1", "command": "cat", "args": []string{file("credential.json", credential)}, "interactiveMode": "Never",
		}},
	}
}

func TestACertificateIsEnough(t *testing.T) {
	signer := newAuthority(t)
	server := newForwarding(t, signer)
	crt, key := signer.client(t, "shop")
	for where, as := range held(t, crt, key) {
		shop := kubeconfigOf(t, server.Server, as, "shop")
		for _, way := range []string{"", "--usage-api=" + server.api.URL + " --insecure-skip-usage-api-verify "} {
			status, out, stderr := run(append(strings.Fields(way+"list "+november), "--kubeconfig="+shop)...)
			if status != exitDone || !strings.Contains(out, "web-1") {
				t.Errorf("in %s, %s: status %d: %s%s", where, way, status, out, stderr)
			}
			status, out, stderr = run(append(strings.Fields(way+"list -n bank "+november), "--kubeconfig="+shop)...)
			if status != exitFailed || !strings.Contains(stderr, "cannot list resource") {
				t.Errorf("in %s, %s, another's: status %d: %s%s", where, way, status, out, stderr)
			}
		}
		if _, out, stderr := run("__complete", "--kubeconfig="+shop, "get", "vm/web"); !strings.HasPrefix(out, "vm/web-0\nvm/web-1\n") {
			t.Errorf("in %s: completed with %q: %s", where, out, stderr)
		}
	}
	if server.opened.Load() == 0 {
		t.Error("no port-forward was used")
	}
}

func TestACertificateThatIsNotEnough(t *testing.T) {
	signer := newAuthority(t)
	server := newForwarding(t, signer)
	user := func(a *authority) string {
		crt, key := a.client(t, "shop")
		return kubeconfigOf(t, server.Server, held(t, crt, key)["itself"], "shop")
	}
	shop, stranger := user(signer), user(newAuthority(t))
	for _, c := range []struct{ kubeconfig, command, says string }{
		{shop, "list --operator-namespace=hidden", "you may not look for the usage API's pods in namespace hidden: ask for the Role"},
		{shop, "list --operator-namespace=unready", "no pod behind the Service usage-api in namespace unready is ready: is the operator installed, and in which namespace (--operator-namespace)? does it run? kubectl get usagerecords -o wide"},
		{shop, "list --operator-namespace=barred", "you may not port-forward to the pod ready in namespace barred: ask for the Role"},
		{shop, "list --operator-namespace=deaf", "the usage API's pod ready cannot be reached by a port-forward: connection refused"},
		{stranger, "list", "does not take your client certificate"},
		{stranger, "list --insecure-skip-usage-api-verify --usage-api=" + server.api.URL, "does not take your client certificate"},
		{shop, "list --usage-api=" + server.api.URL, "certificate"},
	} {
		status, out, stderr := run(append(strings.Fields(c.command), "--kubeconfig="+c.kubeconfig)...)
		if status != exitFailed || !strings.Contains(stderr, c.says) || out != "" || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: status %d, %q, %s: want one line that says %q", c.command, status, out, stderr, c.says)
		}
	}
}

func TestATokenComesBeforeACertificate(t *testing.T) {
	crt, key := newAuthority(t).client(t, "bank")
	as := held(t, crt, key)["itself"]
	as["token"] = "shop"
	status, out, stderr := run(append(strings.Fields("list "+november), "--kubeconfig="+kubeconfigOf(t, cluster(t), as, "shop"))...)
	if status != exitDone || !strings.Contains(out, "web-1") { // the cluster has a proxy, and no port-forward
		t.Errorf("status %d: %s%s", status, out, stderr)
	}
}
