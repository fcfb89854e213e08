package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/usage-operator/usage-operator/internal/hub/sender"
	"github.com/usage-operator/usage-operator/internal/journal/usageblocks"
)

const aboutSend = `Send the journal of a cluster to a hub, in order, from where the hub has come
to. Nothing is kept here: it may be ended and started at any moment.

The cluster is the one that it runs in, or that the kubeconfig says. It needs
the right to get and list usageblocks in the operator's namespace, and to get
the namespace kube-system, whose UID is the cluster's.

Usage:
  usage-hub send --url URL --token-file FILE [flags]
`

// sending is what is to be sent where.
type sending struct {
	sender.Place
	kubeconfig, namespace, probeAddress string
}

func (p *program) send(ctx context.Context, args []string) (int, error) {
	o, v := p.bare("send", aboutSend), sending{}
	o.StringVar(&v.URL, "url", "", "The hub's, such as https://hub.example.org:8443.")
	o.StringVar(&v.CAFile, "ca", "", "The file with the certificates that signed the hub's; those that the system trusts if it is not said.")
	o.StringVar(&v.TokenFile, "token-file", "", "The file with the token that usage-hub enrol printed. It is read for each request: it may be rotated.")
	o.BoolVar(&v.Plain, "plain-http", false, "Let the URL be one of http: the token is sent as it is. For something in between that has TLS.")
	o.StringVar(&v.kubeconfig, "kubeconfig", "", "The kubeconfig of the cluster.")
	o.StringVar(&v.namespace, "namespace", "usage-system", "The operator's own namespace, with the journal.")
	o.StringVar(&v.probeAddress, "probe-address", "", "Where to listen for /healthz and /metrics; empty: nowhere.")
	if err := o.parse(args); err != nil {
		return exitFailed, err
	}
	err := v.CheckURL()
	switch {
	case errors.Is(err, sender.ErrPlain):
		return exitFailed, &misuse{fmt.Errorf("--url=%s: %w: say --plain-http if it is to be", v.URL, err)}
	case err != nil:
		return exitFailed, &misuse{fmt.Errorf("--url=%s: %w", v.URL, err)}
	case v.TokenFile == "":
		return exitFailed, &misuse{errors.New("no token: say --token-file")}
	}
	return exitDone, v.run(ctx)
}

// run sends until ctx is done.
func (v *sending) run(ctx context.Context) error {
	config, err := v.config()
	if err != nil {
		return fmt.Errorf("no cluster to talk to: %w", err)
	}
	config.UserAgent = "usage-hub/" + version + " send"
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	blocks, err := usageblocks.New(config, httpClient, v.namespace)
	if err != nil {
		return err
	}
	kube, err := kubernetes.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return err
	}
	system, err := kube.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("the cluster's UID: %w", err)
	}
	log := zap.New()
	log.Info("sending", "version", version, "cluster", system.UID, "hub", v.URL)
	at := sender.New(sender.Options{Blocks: blocks, Hub: v.Client(string(system.UID)), Clock: clock.RealClock{}, Log: log})
	if v.probeAddress != "" {
		end, err := v.probes(ctx, at)
		if err != nil {
			return err
		}
		defer end()
	}
	at.Run(ctx)
	return nil
}

// probes serves what a kubelet and Prometheus ask.
func (v *sending) probes(ctx context.Context, at *sender.Sender) (end func(), err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", v.probeAddress)
	if err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(at)
	routes := http.NewServeMux()
	routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	routes.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: routes, ReadHeaderTimeout: headerPatience, IdleTimeout: idlePatience}
	go func() { _ = server.Serve(listener) }() // until it is closed
	return func() { _ = server.Close() }, nil
}

func (v *sending) config() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = v.kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
}
