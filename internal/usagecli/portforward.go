package usagecli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	discoveryclient "k8s.io/client-go/kubernetes/typed/discovery/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/utils/ptr"

	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// noWay is that the usage API cannot be reached by a port-forward, and what to do.
type noWay struct{ error }

// Unwrap is errors.Unwrap's.
func (n *noWay) Unwrap() error { return n.error }

func noWayFor(format string, args ...any) error { return &noWay{fmt.Errorf(format, args...)} }

// orElse is what somebody may do who may not port-forward.
const orElse = "ask for the Role usage-operator-usage-api-port-forwarder there, or use --token or --usage-api"

// connectByPortForward speaks TLS to a pod behind the usage API, so that the pod sees
// the certificate, if that says who asks, and is verified by what the operator has
// published. A token is shown to nobody else. The error is that there is no way.
func (c *cli) connectByPortForward(ctx context.Context, config *rest.Config, token credential, mine certificate) (*connection, error) {
	slices, err := discoveryclient.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, err
	}
	forward := &forwarder{
		config: config, namespace: c.operator, slices: slices.EndpointSlices(c.operator),
		pods: base.JoinPath("api", "v1", "namespaces", c.operator, "pods"),
	}
	// It is found out now, so that there may be another way.
	first, err := forward.dial(ctx, "", "")
	if err != nil {
		return nil, err
	}
	forward.first.Store(&first)
	//nolint:gosec // only when the person says --insecure-skip-usage-api-verify
	settings := &tls.Config{GetClientCertificate: mine, InsecureSkipVerify: c.insecure, ServerName: wire.Names(c.operator)[0]}
	if !c.insecure {
		if settings.RootCAs, err = c.published(ctx, config); err != nil {
			return nil, errors.Join(err, first.Close())
		}
	}
	to := connected(&url.URL{Scheme: "https", Host: service}, &http.Transport{DialContext: forward.dial, TLSClientConfig: settings}, token)
	to.client.Timeout = config.Timeout
	return to, nil
}

// published are the authorities that the usage API is verified by, as the operator has
// published them, and the API server says so.
func (c *cli) published(ctx context.Context, config *rest.Config) (*x509.CertPool, error) {
	core, err := corev1client.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	bundle, err := core.ConfigMaps(c.operator).Get(ctx, wire.CAConfigMap, metav1.GetOptions{})
	if err != nil {
		return nil, noWayFor("the usage API cannot be verified: %w: is the operator up to date? --insecure-skip-usage-api-verify does not verify it", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(bundle.Data[wire.CAKey])) {
		return nil, noWayFor("the usage API cannot be verified: there is no certificate in the ConfigMap %s in namespace %s", wire.CAConfigMap, c.operator)
	}
	return pool, nil
}

// forwarder reaches the pods behind the usage API through the API server.
type forwarder struct {
	config    *rest.Config
	namespace string
	slices    discoveryclient.EndpointSliceInterface
	pods      *url.URL
	first     atomic.Pointer[net.Conn] // the one that was tried
}

// endpoint is a port of a pod.
type endpoint struct {
	pod  string
	port int32
}

// dial connects with the first pod that can be reached.
func (f *forwarder) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if tried := f.first.Swap(nil); tried != nil {
		return *tried, nil
	}
	ready, err := f.ready(ctx)
	if err != nil {
		return nil, err
	}
	for _, to := range ready {
		var reached net.Conn
		if reached, err = f.forward(to); err == nil {
			return reached, nil
		}
	}
	return nil, err
}

// ready are the pods that the Service would send a request to.
func (f *forwarder) ready(ctx context.Context) ([]endpoint, error) {
	list, err := f.slices.List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service})
	if apierrors.IsForbidden(err) {
		return nil, noWayFor("you may not look for the usage API's pods in namespace %s: %s: %w", f.namespace, orElse, err)
	}
	if err != nil {
		return nil, noWayFor("the usage API's pods cannot be looked for: %w", err)
	}
	var found []endpoint
	for i := range list.Items {
		found = append(found, behind(&list.Items[i])...)
	}
	if len(found) == 0 {
		return nil, noWayFor("no pod behind the Service %s in namespace %s is ready: is the operator installed, and in which namespace (--operator-namespace)? does it run? %s", service, f.namespace, withoutIt)
	}
	return found, nil
}

func behind(slice *discoveryv1.EndpointSlice) []endpoint {
	var found []endpoint
	for _, p := range slice.Ports {
		if ptr.Deref(p.Name, "") != port || p.Port == nil {
			continue
		}
		for _, e := range slice.Endpoints {
			if ptr.Deref(e.Conditions.Ready, true) && e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
				found = append(found, endpoint{e.TargetRef.Name, *p.Port})
			}
		}
	}
	return found
}

// forward connects with a pod: over a WebSocket or, where something in between has
// none, over SPDY.
func (f *forwarder) forward(to endpoint) (net.Conn, error) {
	pod := f.pods.JoinPath(to.pod, "portforward")
	webSocket, err := portforward.NewSPDYOverWebsocketDialerForStreaming(pod, f.config)
	if err != nil {
		return nil, err
	}
	transport, upgrader, err := spdy.RoundTripperFor(f.config)
	if err != nil {
		return nil, err
	}
	var forbidden error
	overSPDY := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, pod)
	dialer := portforward.NewFallbackDialerForStreaming(webSocket, overSPDY, func(err error) bool {
		refused := &httpstream.UpgradeFailureError{}
		if errors.As(err, &refused) && apierrors.IsForbidden(refused.Cause) {
			forbidden = refused.Cause // the error around it does not unwrap
		}
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	upgraded, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
	switch {
	case err != nil && forbidden != nil:
		return nil, noWayFor("you may not port-forward to the pod %s in namespace %s: %s: %w", to.pod, f.namespace, orElse, forbidden)
	case err != nil:
		return nil, noWayFor("the usage API's pod %s cannot be reached by a port-forward: %w: try again, or use --usage-api", to.pod, err)
	}
	opened, err := open(upgraded, to)
	if err != nil {
		return nil, errors.Join(err, upgraded.Close())
	}
	return opened, nil
}

// open asks for the streams of a forwarded connection: of what the kubelet has to
// say, and of the data.
func open(upgraded httpstream.Connection, to endpoint) (net.Conn, error) {
	header := http.Header{}
	header.Set(corev1.PortHeader, strconv.Itoa(int(to.port)))
	header.Set(corev1.PortForwardRequestIDHeader, "0")
	header.Set(corev1.StreamType, corev1.StreamTypeError)
	said, err := upgraded.CreateStream(header)
	if err != nil {
		return nil, err
	}
	if err := said.Close(); err != nil { // nothing is said to the kubelet
		return nil, err
	}
	header.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := upgraded.CreateStream(header)
	if err != nil {
		return nil, err
	}
	return &forwarded{Stream: data, said: said, upgraded: upgraded, to: to}, nil
}

// forwarded is a port-forward's stream as a connection. It has no deadlines: what
// waits for it is given up by closing it.
type forwarded struct {
	httpstream.Stream
	said     io.Reader
	upgraded io.Closer
	to       endpoint
}

// Read reads what the pod sends; or, when that ends, why.
func (f *forwarded) Read(into []byte) (int, error) {
	n, err := f.Stream.Read(into)
	if err == nil {
		return n, nil
	}
	if said, _ := io.ReadAll(f.said); len(said) > 0 {
		err = noWayFor("the usage API's pod %s cannot be reached by a port-forward: %.200s", f.to.pod, said)
	}
	return n, err
}

// Close ends the port-forward.
func (f *forwarded) Close() error { return f.upgraded.Close() }

// LocalAddr and the rest are net.Conn's.
func (f *forwarded) LocalAddr() net.Addr              { return f.to }
func (f *forwarded) RemoteAddr() net.Addr             { return f.to }
func (f *forwarded) SetDeadline(time.Time) error      { return nil }
func (f *forwarded) SetReadDeadline(time.Time) error  { return nil }
func (f *forwarded) SetWriteDeadline(time.Time) error { return nil }

// Network and String are net.Addr's.
func (endpoint) Network() string  { return "portforward" }
func (e endpoint) String() string { return net.JoinHostPort(e.pod, strconv.Itoa(int(e.port))) }
