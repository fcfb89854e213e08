package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
	"github.com/usage-operator/usage-operator/test/buildcache"
	"github.com/usage-operator/usage-operator/test/controlplane"
	"github.com/usage-operator/usage-operator/test/crds"
)

// How the operator is run: intervals of a minute instead of an hour, so that a demo sees some of them end.
const (
	interval    = 60 // seconds
	liveRefresh = 10 * time.Second
)

// stage is where the demo takes place: a control plane, and the operator as a process.
type stage struct {
	console
	checkout, dir string
	programs      string // the folder in which they are
	keep          bool
	plane         *controlplane.ControlPlane
	cluster       client.WithWatch // the administrator's
	usageAPI      string           // the address that the operator answers at
	nodes         int              // that there are from the beginning
	// more are flags of the operator, found out once there is a control plane; nil: none.
	more func(context.Context) ([]string, error)
}

// props is what another run of the demo needs to know of this one's processes.
type props struct {
	OperatorPID int `json:"operatorPID"`
	PagePID     int `json:"pagePID,omitempty"`
}

// openStage takes the folder .demo, in which no other demo may be running.
func openStage(ctx context.Context, out console, keep bool) (_ *stage, unlock func(), err error) {
	s, unlock, err := lockStage(ctx, out)
	if err != nil {
		return nil, nil, err
	}
	s.keep = keep
	if err := s.clear(); err != nil {
		unlock()
		return nil, nil, err
	}
	return s, unlock, nil
}

// clear removes what an earlier demo left behind.
func (s *stage) clear() error {
	if s.inUse() {
		return errors.New("a demo that was kept is still running: `make demo-down` ends it")
	}
	return errors.Join(os.RemoveAll(s.dir), os.MkdirAll(s.dir, 0o700))
}

func lockStage(ctx context.Context, out console) (*stage, func(), error) {
	return lockFolder(ctx, out, ".demo")
}

func lockFolder(ctx context.Context, out console, name string) (*stage, func(), error) {
	checkout, err := buildcache.Checkout()
	if err != nil {
		return nil, nil, err
	}
	cache, err := buildcache.Dir()
	if err != nil {
		return nil, nil, err
	}
	s := &stage{console: out, checkout: checkout, dir: filepath.Join(checkout, name), programs: filepath.Join(checkout, name)}
	unlock, err := buildcache.Lock(ctx, filepath.Join(cache, "locks", buildcache.Key(s.dir)), os.Stderr)
	return s, unlock, err
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

func (s *stage) operator() string { return filepath.Join(s.programs, "usage-operator") }

// plugin is kubectl usage, which kubectl finds in that folder.
func (s *stage) plugin() string { return filepath.Join(s.programs, "bin/kubectl-usage") }

func (s *stage) pageLog() string { return s.path("page.log") }

func (s *stage) operatorLog() string { return s.path("operator.log") }

// inUse tells whether a process of an earlier demo runs.
func (s *stage) inUse() bool {
	if p := s.readProps(); runs(p.OperatorPID, s.operator()) || runs(p.PagePID, s.plugin()) {
		return true
	}
	plane, err := controlplane.Attach(s.path("control-plane"), io.Discard)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(plane.Components(), plane.Running)
}

func (s *stage) readProps() (p props) {
	if text, err := os.ReadFile(s.path("state.json")); err == nil {
		_ = json.Unmarshal(text, &p) // what cannot be read names no process
	}
	return p
}

func (s *stage) writeProps(p props) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return os.WriteFile(s.path("state.json"), append(text, '\n'), 0o600)
}

// build builds all programs. What has been built before is kept in a cache, and costs a moment.
func (s *stage) build(ctx context.Context) error {
	s.title("What is needed, built from Go modules")
	operator := buildcache.Program{
		Label: "usage-operator", Module: s.checkout, Package: ".", LinkerFlags: "-X main.version=demo",
	}
	if err := operator.Build(ctx, s.operator(), s.progress()); err != nil {
		return err
	}
	plugin := buildcache.Program{Label: "kubectl usage", Module: s.checkout, Package: "./cmd/kubectl-usage"}
	if err := errors.Join(os.MkdirAll(filepath.Dir(s.plugin()), 0o700), plugin.Build(ctx, s.plugin(), s.progress())); err != nil {
		return err
	}
	if _, err := crds.Build(ctx, s.progress()); err != nil {
		return err
	}
	if _, err := controlplane.Build(ctx, s.progress()); err != nil {
		return err
	}
	s.say("  the operator, its kubectl plugin, a control plane, and the CRDs of KubeVirt,\n  Karpenter, Cluster API and Gateway API")
	return nil
}

// set starts everything. fail is called when the operator ends by itself.
func (s *stage) set(ctx context.Context, fail context.CancelCauseFunc) (err error) {
	s.title("A control plane: etcd, Kubernetes, and kwok for kubelets")
	s.plane, err = controlplane.Start(ctx, controlplane.Options{
		Dir:               s.path("control-plane"),
		EtcdUnsafeNoFsync: true,
		Detached:          s.keep,
		Nodes:             s.nodes,
		Progress:          s.progress(),
	})
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	s.cluster, err = client.NewWithWatch(s.plane.RESTConfig(), client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	s.title("The operator, with no more rights than its own service account has")
	if err := s.install(ctx); err != nil {
		return err
	}
	if err := s.startOperator(ctx, fail); err != nil {
		return err
	}
	return s.waitUntilMetering(ctx)
}

func (s *stage) startOperator(ctx context.Context, fail context.CancelCauseFunc) error {
	kubeconfig := s.path("operator.kubeconfig")
	if err := s.plane.ServiceAccountKubeconfig(ctx, operatorNamespace, operatorName, kubeconfig); err != nil {
		return err
	}
	probes, err := freeAddress()
	if err != nil {
		return err
	}
	metrics, err := freeAddress()
	if err != nil {
		return err
	}
	if s.usageAPI, err = freeAddress(); err != nil {
		return err
	}
	var more []string
	if s.more != nil {
		if more, err = s.more(ctx); err != nil {
			return err
		}
	}
	command := exec.Command(s.operator(), append(more,
		"--kubeconfig="+kubeconfig,
		"--namespace="+operatorNamespace,
		fmt.Sprintf("--interval=%ds", interval),
		fmt.Sprintf("--live-refresh=%s", liveRefresh),
		"--leader-elect",
		"--install-meters",
		"--health-probe-bind-address="+probes,
		"--metrics-bind-address="+metrics,
		"--usage-api-bind-address="+s.usageAPI,
		"--log-format=console",
	)...)
	command.Dir = s.dir
	if err := launch(command, s.operatorLog(), s.keep); err != nil {
		return fmt.Errorf("start the operator: %w", err)
	}
	go func() {
		err := command.Wait()
		fail(fmt.Errorf("the operator has ended by itself: %w\nthe end of %s:\n%s", orNothing(err), s.operatorLog(), tail(s.operatorLog())))
	}()
	s.say("  usage-operator --interval=%ds --live-refresh=%s --install-meters", interval, liveRefresh)
	return s.writeProps(props{OperatorPID: command.Process.Pid})
}

// directly are the variables by which the plugin asks the operator itself, for no Service of the cluster leads to a
// process: its address, and a file of what it is verified by, which the operator publishes.
func (s *stage) directly(ctx context.Context) ([]string, error) {
	published := &corev1.ConfigMap{}
	if err := s.cluster.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: wire.CAConfigMap}, published); err != nil {
		return nil, fmt.Errorf("read what the usage API is verified by: %w", err)
	}
	file := s.path("usage-api-ca.crt")
	if err := os.WriteFile(file, []byte(published.Data[wire.CAKey]), 0o600); err != nil {
		return nil, err
	}
	return []string{"USAGE_OPERATOR_API=https://" + s.usageAPI, "USAGE_OPERATOR_API_CERTIFICATE_AUTHORITY=" + file}, nil
}

// freeAddress is a loopback address on which nothing listens.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// stop ends the processes that run.
func (s *stage) stop() error {
	p := s.readProps()
	return errors.Join(end(p.PagePID, s.plugin()), end(p.OperatorPID, s.operator()), s.plane.Stop())
}

// strike stops everything that was started. What tells why something failed stays.
func (s *stage) strike(succeeded bool) error {
	s.say("")
	s.say("Stopping the operator and the control plane.")
	failed := s.stop()
	if failed != nil {
		return failed
	}
	if !succeeded {
		s.say("The logs are in %s.", s.dir)
		return os.Remove(s.operator())
	}
	return os.RemoveAll(s.dir)
}

// down stops what an earlier demo left running.
func down(ctx context.Context, out console) error {
	s, unlock, err := lockStage(ctx, out)
	if err != nil {
		return err
	}
	defer unlock()
	running := s.inUse()
	if running {
		out.say("Stopping the demo.")
	}
	s.plane, err = controlplane.Attach(s.path("control-plane"), io.Discard)
	if err != nil && !errors.Is(err, controlplane.ErrNoControlPlane) {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return err
	}
	if !running {
		out.say("No demo is running.")
		return nil
	}
	out.say("It is down, and its files in %s are removed.", s.dir)
	return nil
}
