package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/usage-operator/usage-operator/internal/connlimit"
	"github.com/usage-operator/usage-operator/internal/hub"
	"github.com/usage-operator/usage-operator/internal/hub/asking"
	"github.com/usage-operator/usage-operator/internal/hub/endpoint"
)

const aboutServe = `Take in what clusters' operators send, over HTTPS, and answer who asks. Any
number of replicas may serve one database: they keep nothing but what they have
read there.

  PUT  /v1alpha1/clusters/UID/blocks/NAME   appends a block
  GET  /v1alpha1/clusters/UID               says how far the hub has come

Both need the cluster's token: Authorization: Bearer TOKEN.

  POST /v1alpha1/report                     a report over the fleet
  GET  /v1alpha1/clusters                   the clusters that there are
  any  /clusters/CLUSTER/PATH               what the cluster's operator answers

These need a reader's token, and show what the fleet file lets that reader see:
without one none may ask. docs/fleet.md says what is in it; usage-hub token
makes a token.

The certificate and the fleet file are read again when they change.

On --probe-address, without TLS: /healthz, /readyz and /metrics.

Usage:
  usage-hub serve --tls-cert FILE --tls-key FILE [flags]
`

// How long things may take.
const (
	headerPatience = 10 * time.Second
	idlePatience   = 2 * time.Minute
	// endPatience is how long requests may go on that there are when it is to end.
	endPatience = 20 * time.Second
)

// serving is how it is to serve.
type serving struct {
	address, probeAddress string
	certificate, key      string
	plain                 bool
	atOnce                int
	patience              time.Duration
	fleet                 string
	segments, asksAtOnce  int
	asksPerSecond         float64
}

func (p *program) serve(ctx context.Context, args []string) (int, error) {
	o, v := p.flags("serve", aboutServe), serving{}
	o.StringVar(&v.address, "address", ":8443", "Where to listen.")
	o.StringVar(&v.probeAddress, "probe-address", ":8081", "Where to listen for probes and for metrics.")
	o.StringVar(&v.certificate, "tls-cert", "", "The file with the certificate, and those that signed it.")
	o.StringVar(&v.key, "tls-key", "", "The file with its key.")
	o.BoolVar(&v.plain, "plain-http", false, "Serve without TLS: tokens are sent as they are. For something in front that has TLS.")
	o.IntVar(&v.atOnce, "at-once", 16, "How many blocks are written at once, of different clusters: each takes some MiB of memory, and a connection to the database. There are four more for all else.")
	o.DurationVar(&v.patience, "patience", 30*time.Second, "How long a request may take.")
	o.StringVar(&v.fleet, "fleet", "", "The file that says who may ask, and which customers have which namespaces.")
	o.IntVar(&v.segments, "segments", 5_000_000, "How many segments of ledgers are kept in memory to answer from, of 60 to 270 bytes each. A cluster that has more cannot be asked about.")
	o.IntVar(&v.asksAtOnce, "asks-at-once", 4, "How many questions are answered at once, of one reader half of them; some 200 MiB each at most.")
	o.Float64Var(&v.asksPerSecond, "asks-per-second", 10, "How many questions one reader may ask a second; twice as many at once.")
	if err := o.parse(args); err != nil {
		return exitFailed, err
	}
	switch {
	case v.plain == (v.certificate != "" || v.key != "") || !v.plain && (v.certificate == "" || v.key == ""):
		return exitFailed, &misuse{errors.New("say --tls-cert and --tls-key, or --plain-http")}
	case v.atOnce < 1 || v.patience <= 0 || v.segments < 1 || v.asksAtOnce < 1 || v.asksPerSecond <= 0:
		return exitFailed, &misuse{errors.New("--at-once, --patience, --segments, --asks-at-once and --asks-per-second have to be more than 0")}
	}
	// The database need not be there yet, nor have the schema: it is not ready until then.
	s, err := hub.OpenFor(ctx, o.database, clock.RealClock{}, v.atOnce+v.asksAtOnce)
	if err != nil {
		return exitFailed, err
	}
	defer s.Close()
	return exitDone, p.listen(ctx, s, v)
}

// listen serves until ctx is done.
func (p *program) listen(ctx context.Context, s *hub.Store, v serving) error {
	log := zap.New()
	fleet, err := asking.OpenFile(v.fleet, clock.RealClock{}, log)
	if err != nil {
		return err
	}
	var e *endpoint.Endpoint
	answers := asking.New(asking.Options{
		Store: s, Fleet: fleet.Fleet, Clock: clock.RealClock{}, Log: log, Segments: v.segments, AtOnce: v.asksAtOnce,
		RequestsPerSecond: v.asksPerSecond, Timeout: v.patience,
		Observe: func(what string, status int, took time.Duration) { e.Answered(what, status, took) },
	})
	e = endpoint.New(endpoint.Options{Ledgers: s, Clock: clock.RealClock{}, Log: log, AtOnce: v.atOnce, Patience: v.patience, Asking: answers.Routes})
	inner, err := (&net.ListenConfig{}).Listen(ctx, "tcp", v.address)
	if err != nil {
		return err
	}
	bounded := connlimit.Listen(inner, connlimit.Limits{Total: 10_000, Each: 1000, PerSecond: 100, Burst: 500}, clock.RealClock{})
	api := &http.Server{
		Handler: e, ConnState: bounded.ConnState, MaxHeaderBytes: 16 << 10,
		ReadHeaderTimeout: headerPatience, ReadTimeout: v.patience, WriteTimeout: v.patience + headerPatience, IdleTimeout: idlePatience,
	}
	listener := net.Listener(bounded)
	if !v.plain {
		watcher, err := certwatcher.New(v.certificate, v.key)
		if err != nil {
			return fmt.Errorf("the certificate: %w", err)
		}
		go func() {
			if err := watcher.Start(ctx); err != nil {
				log.Error(err, "cannot see when the certificate changes")
			}
		}()
		api.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: watcher.GetCertificate, NextProtos: []string{"h2", "http/1.1"}}
		listener = tls.NewListener(listener, api.TLSConfig)
	}
	probes, err := (&net.ListenConfig{}).Listen(ctx, "tcp", v.probeAddress)
	if err != nil {
		return err
	}
	probing := &http.Server{Handler: e.Probes(), ReadHeaderTimeout: headerPatience, IdleTimeout: idlePatience}
	ended := make(chan error, 2)
	go func() { ended <- api.Serve(listener) }()
	go func() { ended <- probing.Serve(probes) }()
	log.Info("serving", "version", version, "address", inner.Addr().String(), "probes", probes.Addr().String(), "tls", !v.plain)
	if p.ready != nil {
		p.ready(inner.Addr().String(), probes.Addr().String())
	}
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
	defer cancel()
	return errors.Join(err, api.Shutdown(end), probing.Close())
}
