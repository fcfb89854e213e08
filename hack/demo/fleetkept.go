package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/usage-operator/usage-operator/test/controlplane"
	"github.com/usage-operator/usage-operator/test/postgres"
)

// inUse tells whether the hub or a cluster of an earlier demo runs.
func (f *fleet) inUse() bool {
	return runs(f.noted().HubPID, f.hubProgram()) || slices.ContainsFunc(f.clusters, func(c *cluster) bool { return c.inUse() })
}

// clear removes what an earlier demo left behind: also a database, which outlives a demo that was killed.
func (f *fleet) clear() error {
	if f.inUse() {
		return errors.New("a demo that was kept is still running: `make demo-fleet-down` ends it")
	}
	return errors.Join(f.closeDatabase(), os.RemoveAll(f.dir), os.MkdirAll(f.dir, 0o700))
}

func (f *fleet) closeDatabase() error {
	if f.database != nil {
		f.database.Close()
		f.database = nil
		return nil
	}
	return postgres.Remove(f.noted().Database)
}

// stop ends everything that was started: the hub after those that send to it, and its database last.
func (f *fleet) stop() error {
	var failed []error
	for _, c := range f.clusters {
		failed = append(failed, c.stop())
	}
	return errors.Join(append(failed, end(f.noted().HubPID, f.hubProgram()), f.closeDatabase())...)
}

// strike stops everything that was started. What tells why something failed stays.
func (f *fleet) strike(succeeded bool) error {
	f.say("\nStopping the operators, the control planes, the hub and its database.")
	if failed := f.stop(); failed != nil {
		return failed
	}
	if !succeeded {
		f.say("The logs are in %s.", f.dir)
		return nil
	}
	return os.RemoveAll(f.dir)
}

// fleetDown stops what an earlier demo of the fleet left running.
func fleetDown(ctx context.Context, out console) error {
	f, unlock, err := openFleet(ctx, out)
	if err != nil {
		return err
	}
	defer unlock()
	running := f.inUse()
	if running {
		out.say("Stopping the demo.")
	}
	for _, c := range f.clusters {
		c.plane, err = controlplane.Attach(c.path("control-plane"), io.Discard)
		if err != nil && !errors.Is(err, controlplane.ErrNoControlPlane) {
			return err
		}
	}
	if err := errors.Join(f.stop(), os.RemoveAll(f.dir)); err != nil {
		return err
	}
	if !running {
		out.say("No demo of a fleet is running.")
		return nil
	}
	out.say("It is down, and its files in %s are removed.", f.dir)
	return nil
}

// explain says how to play with what goes on running. The variables that it takes are in a file, to be read by a shell.
func (f *fleet) explain() error {
	binaries := f.clusters[0].plane.Binaries()
	programs := []string{filepath.Dir(binaries.Path("kubectl")), filepath.Dir(f.plugin())}
	variables := append(f.variables(), hubDatabase+"="+f.location)
	for _, c := range f.clusters {
		variables = append(variables, c.variable()+"="+c.plane.Kubeconfig())
	}
	file := f.path("environment")
	if err := os.WriteFile(file, []byte(environment(programs, variables)), 0o600); err != nil {
		return err
	}
	f.say("%s", f.manual(file))
	return nil
}

// variable is the one that the environment has for the cluster's kubeconfig: EU_1.
func (c *cluster) variable() string { return strings.ToUpper(strings.ReplaceAll(c.name, "-", "_")) }

// manual is what can be done with what goes on running.
func (f *fleet) manual(environment string) string {
	first, last := f.clusters[0], f.clusters[len(f.clusters)-1]
	return fmt.Sprintf(`
Everything goes on running. To ask the hub, in a shell (bash or zsh):

  . %[1]s

That sets where the hub is, who asks, PATH, and $%[2]s and $%[3]s for the
clusters. For example:

  kubectl usage top namespaces --last 1h              # of both clusters
  kubectl usage list --last 1h --hub-cluster %[4]s     # of one
  kubectl usage explain deployment/web -n shop --last 1h --hub-cluster %[4]s
  kubectl --kubeconfig $%[3]s scale -n shop deployment web --replicas=5
  usage-hub verify %[5]s
  kubectl usage list --hub $USAGE_HUB \
    --hub-token-file %[6]s \
    --hub-certificate-authority %[7]s

To end it: make demo-fleet-down`, quoted(environment), first.variable(), last.variable(), last.name, last.uid,
		quoted(f.path("token")), quoted(f.path("tls.crt")))
}
