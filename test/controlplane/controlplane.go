// Package controlplane runs a real Kubernetes control plane on this machine: etcd, kube-apiserver,
// kube-controller-manager, kube-scheduler, and kwok in place of the kubelets.
//
// Everything is built from Go modules that are pinned in hack/controlplane, so that a machine needs nothing but Go.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// The components' names, which are also the names of their programs.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Kwok              = "kwok"
)

// Everything is all components, in the order in which they start.
func Everything() []string {
	return []string{Etcd, APIServer, ControllerManager, Scheduler, Kwok}
}

// APIOnly is an API server and its store: objects can be written and read, and no controller acts on them.
func APIOnly() []string {
	return []string{Etcd, APIServer}
}

// Options says what to start. Its zero value is everything, in a temporary folder, without nodes.
type Options struct {
	// Dir holds the state: certificates, kubeconfigs, etcd's data, logs. It must be absent or hold no control plane.
	// Empty means a temporary folder, which Stop removes.
	Dir string
	// Components are the names of those to start; nil means Everything.
	Components []string
	// Nodes is how many nodes to add, which kwok plays.
	Nodes int
	// EtcdUnsafeNoFsync saves most of etcd's disk time. What etcd has acknowledged survives the death of its process
	// all the same, but not that of the machine.
	EtcdUnsafeNoFsync bool
	// ExtraArgs are flags per component, put after ours, so that they win.
	ExtraArgs map[string][]string
	// Detached components outlive this process. Others die with it: on Linux however it ends, elsewhere by Stop alone.
	Detached bool
	// Progress is told what takes long; nil means nobody.
	Progress io.Writer
}

// ControlPlane is a control plane that was started, here or (see Attach) by another process.
type ControlPlane struct {
	dir       string
	temporary bool
	detached  bool
	progress  io.Writer
	binaries  Binaries
	pki       *pki

	mu    sync.Mutex // guards state and processes
	state state
	// processes holds those that this process started; the rest are known by state alone.
	processes map[string]*process
}

// Start builds what is missing, starts the components, and returns when all of them are ready and the nodes are too.
// ctx bounds the start only. When it fails, what it had started has been stopped.
func Start(ctx context.Context, options Options) (_ *ControlPlane, err error) {
	if options.Progress == nil {
		options.Progress = io.Discard
	}
	if options.Components == nil {
		options.Components = Everything()
	}
	binaries, err := Build(ctx, options.Progress)
	if err != nil {
		return nil, err
	}
	cp, err := prepare(options, binaries)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			// The folder stays: the logs in it say what went wrong.
			cp.temporary = false
			err = errors.Join(err, cp.Stop())
		}
	}()
	if err := cp.startAll(ctx); err != nil {
		return nil, err
	}
	if err := cp.AddNodes(ctx, options.Nodes); err != nil {
		return nil, err
	}
	return cp, nil
}

// prepare writes everything that the components read.
func prepare(options Options, binaries Binaries) (*ControlPlane, error) {
	if err := checkNames(options); err != nil {
		return nil, err
	}
	cp := &ControlPlane{
		dir:       options.Dir,
		detached:  options.Detached,
		progress:  options.Progress,
		binaries:  binaries,
		processes: map[string]*process{},
	}
	if cp.dir == "" {
		dir, err := os.MkdirTemp("", "control-plane-")
		if err != nil {
			return nil, err
		}
		cp.dir, cp.temporary = dir, true
	}
	var err error
	if cp.dir, err = filepath.Abs(cp.dir); err != nil {
		return nil, err
	}
	if hasState(cp.dir) {
		return nil, fmt.Errorf("%s holds the state of a control plane already; stop that one, or choose another folder", cp.dir)
	}
	if err := os.MkdirAll(filepath.Join(cp.dir, "logs"), 0o700); err != nil {
		return nil, err
	}
	ports, err := freePorts(portsNeeded)
	if err != nil {
		return nil, err
	}
	cp.state = newState(options, binaries, ports)
	if cp.pki, err = newPKI(cp.path("pki")); err != nil {
		return nil, err
	}
	if err := cp.writeKubeconfigs(); err != nil {
		return nil, err
	}
	return cp, cp.state.save(cp.dir)
}

func checkNames(options Options) error {
	asked := slices.Clone(options.Components)
	for name := range options.ExtraArgs {
		asked = append(asked, name)
	}
	for _, name := range asked {
		if !slices.Contains(Everything(), name) {
			return fmt.Errorf("there is no component %q; there are %q", name, Everything())
		}
	}
	if options.Nodes > 0 && !slices.Contains(options.Components, Kwok) {
		return fmt.Errorf("%d nodes were asked for, but not %s, which plays them", options.Nodes, Kwok)
	}
	return nil
}

func (cp *ControlPlane) startAll(ctx context.Context) error {
	// The API server needs etcd to become ready, and the others need the API server; these need not wait for each other.
	for _, names := range [][]string{{Etcd}, {APIServer}, {ControllerManager, Scheduler, Kwok}} {
		names = slices.DeleteFunc(names, func(name string) bool { return !slices.Contains(cp.state.Components, name) })
		if err := inParallel(names, func(name string) error { return cp.StartComponent(ctx, name) }); err != nil {
			return err
		}
	}
	if slices.Contains(cp.state.Components, ControllerManager) {
		// Without its service account no pod can be created in a namespace.
		return cp.waitForServiceAccount(ctx, "default", "default")
	}
	return nil
}

// Stop stops all components, waits until they are gone, and removes the folder if it was a temporary one.
func (cp *ControlPlane) Stop() error {
	if cp == nil {
		return nil
	}
	var failed []error
	for _, names := range [][]string{{ControllerManager, Scheduler, Kwok}, {APIServer}, {Etcd}} {
		failed = append(failed, inParallel(names, cp.StopComponent))
	}
	if cp.temporary {
		failed = append(failed, os.RemoveAll(cp.dir))
	}
	return errors.Join(failed...)
}

// Dir is the state folder.
func (cp *ControlPlane) Dir() string { return cp.dir }

// Binaries are the programs that it runs.
func (cp *ControlPlane) Binaries() Binaries { return cp.binaries }

// Components are the names of the components that it was started with.
func (cp *ControlPlane) Components() []string { return slices.Clone(cp.state.Components) }

// LogFile is where a component's output goes.
func (cp *ControlPlane) LogFile(component string) string {
	return cp.path("logs", component+".log")
}

// RESTConfig is the administrator's. It is the caller's to change.
func (cp *ControlPlane) RESTConfig() *rest.Config { return cp.restConfig(cp.pki.admin) }

// Kubeconfig is the path of the administrator's kubeconfig.
func (cp *ControlPlane) Kubeconfig() string { return cp.path("kubeconfig") }

func (cp *ControlPlane) path(elements ...string) string {
	return filepath.Join(append([]string{cp.dir}, elements...)...)
}

func (cp *ControlPlane) clientset() (kubernetes.Interface, error) {
	return kubernetes.NewForConfig(cp.RESTConfig())
}

// inParallel returns the errors of all calls.
func inParallel(names []string, call func(name string) error) error {
	failed := make([]error, len(names))
	group := sync.WaitGroup{}
	for i, name := range names {
		group.Go(func() { failed[i] = call(name) })
	}
	group.Wait()
	return errors.Join(failed...)
}
