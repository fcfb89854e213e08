package usagecli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	discoveryclient "k8s.io/client-go/kubernetes/typed/discovery/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/utils/ptr"
)

// noWay is that the usage API cannot be reached by a port-forward, and what to do.
type noWay struct{ error }

func noWayFor(format string, args ...any) error { return &noWay{fmt.Errorf(format, args...)} }

// orElse is what somebody may do who may not port-forward.
const orElse = "ask for the Role usage-operator-usage-api-port-forwarder there, or use --token or --usage-api"

// connectByPortForward speaks TLS to a pod behind the usage API, so that it sees
// the certificate itself.
func (c *cli) connectByPortForward(config *rest.Config, mine certificate) (*connection, error) {
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
	return &connection{
		base: &url.URL{Scheme: "https", Host: service},
		client: &http.Client{Timeout: config.Timeout, Transport: &http.Transport{
			DialContext: forward.dial,
			// The pod's certificate is one that the operator makes for itself, which nobody knows. That it is the right pod is
			// vouched for by the API server, which is verified, and by the kubelet that it asks. Whoever sits in between cannot use
			// what he is shown: a client certificate signs one connection, with one server.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true, GetClientCertificate: mine},
		}},
	}, nil
}

// forwarder reaches the pods behind the usage API through the API server.
type forwarder struct {
	config    *rest.Config
	namespace string
	slices    discoveryclient.EndpointSliceInterface
	pods      *url.URL
}

// endpoint is a port of a pod.
type endpoint struct {
	pod  string
	port int32
}

// dial connects with the first pod that can be reached.
func (f *forwarder) dial(ctx context.Context, _, _ string) (net.Conn, error) {
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
		return nil, noWayFor("no pod behind the Service %s in namespace %s is ready: is the operator installed, and in which namespace (--operator-namespace)?", service, f.namespace)
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
	forbidden := false
	overSPDY := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, pod)
	dialer := portforward.NewFallbackDialerForStreaming(webSocket, overSPDY, func(err error) bool {
		refused := &httpstream.UpgradeFailureError{}
		forbidden = errors.As(err, &refused) && apierrors.IsForbidden(refused.Cause)
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	upgraded, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
	switch {
	case err != nil && forbidden:
		return nil, noWayFor("you may not port-forward to the pod %s in namespace %s: %s: %w", to.pod, f.namespace, orElse, err)
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
