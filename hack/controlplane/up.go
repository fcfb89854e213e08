package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/usage-operator/usage-operator/test/buildcache"
	"github.com/usage-operator/usage-operator/test/controlplane"
)

func up(ctx context.Context, dir string, nodes int) error {
	unlock, err := lock(ctx, dir)
	if err != nil {
		return err
	}
	defer unlock()

	running, err := attach(dir)
	if err != nil {
		return err
	}
	if running != nil && len(stopped(running)) == 0 {
		fmt.Println("the control plane is up already")
		explain(running)
		return nil
	}
	if running != nil {
		fmt.Fprintf(os.Stderr, "removing what is left of an earlier one, without %q, in %s\n", stopped(running), dir)
		if err := remove(running); err != nil {
			return err
		}
	}
	return start(ctx, dir, nodes)
}

func start(ctx context.Context, dir string, nodes int) error {
	if err := claim(dir); err != nil {
		return err
	}
	started, err := controlplane.Start(ctx, controlplane.Options{
		Dir:      dir,
		Nodes:    nodes,
		Detached: true,
		Progress: os.Stderr,
	})
	if err != nil {
		return err
	}
	fmt.Println("the control plane is up")
	explain(started)
	return nil
}

// ignoreEverything keeps the state folder, whichever it is, out of Git.
const ignoreEverything = "*\n"

// claim makes the state folder, and refuses one with things in it that are not ours, because down removes it.
func claim(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	ignore := filepath.Join(dir, ".gitignore")
	if len(entries) > 0 && !buildcache.Exists(ignore) {
		return fmt.Errorf("%s has other things in it; choose another folder with --dir", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(ignore, []byte(ignoreEverything), 0o644)
}

func down(ctx context.Context, dir string) error {
	unlock, err := lock(ctx, dir)
	if err != nil {
		return err
	}
	defer unlock()
	running, err := attach(dir)
	if err != nil {
		return err
	}
	if running == nil {
		fmt.Println("no control plane is up, for there is no state in", dir)
		return nil
	}
	fmt.Fprintln(os.Stderr, "stopping the control plane")
	if err := remove(running); err != nil {
		return err
	}
	fmt.Println("the control plane is down; its state in", dir, "is removed")
	return nil
}

func remove(cp *controlplane.ControlPlane) error {
	if err := cp.Stop(); err != nil {
		return err
	}
	return os.RemoveAll(cp.Dir())
}

func status(dir string) error {
	cp, err := attach(dir)
	if err != nil {
		return err
	}
	if cp == nil {
		fmt.Println("no control plane is up; `go run ./hack/controlplane up` starts one")
		return errNotRunning
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, component := range cp.Components() {
		process := "stopped"
		if pid := cp.PID(component); pid != 0 {
			process = fmt.Sprintf("process %d", pid)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", component, process, cp.LogFile(component))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(stopped(cp)) > 0 {
		return errNotRunning
	}
	explain(cp)
	return nil
}

// attach returns nil when there is no control plane.
func attach(dir string) (*controlplane.ControlPlane, error) {
	cp, err := controlplane.Attach(dir, io.Discard)
	if errors.Is(err, controlplane.ErrNoControlPlane) {
		return nil, nil
	}
	return cp, err
}

func stopped(cp *controlplane.ControlPlane) []string {
	var names []string
	for _, component := range cp.Components() {
		if !cp.Running(component) {
			names = append(names, component)
		}
	}
	return names
}

// lock keeps two commands from working on one control plane. The lock's file is not in the state folder, which comes
// and goes, nor in the checkout.
func lock(ctx context.Context, dir string) (unlock func(), err error) {
	cache, err := buildcache.Dir()
	if err != nil {
		return nil, err
	}
	return buildcache.Lock(ctx, filepath.Join(cache, "locks", buildcache.Key(dir)), os.Stderr)
}

func explain(cp *controlplane.ControlPlane) {
	flag := ""
	if own, err := stateDir(""); err != nil || own != cp.Dir() {
		flag = " --dir " + cp.Dir()
	}
	fmt.Printf(`
  use it:    export KUBECONFIG=%s
  kubectl:   %s
  logs:      %s
  stop it:   go run ./hack/controlplane down%s
`, cp.Kubeconfig(), cp.Binaries().Path("kubectl"), filepath.Join(cp.Dir(), "logs"), flag)
}
