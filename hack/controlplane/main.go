// Command controlplane builds a real Kubernetes control plane from Go modules, and starts and stops it on this machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/usage-operator/usage-operator/test/buildcache"
	"github.com/usage-operator/usage-operator/test/controlplane"
)

const help = `Builds a real Kubernetes control plane from Go modules, and starts and stops it on this machine.

usage: go run ./hack/controlplane COMMAND [flags]

commands:
  build    build etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl, etcdctl and kwok,
           whichever are missing; the first time takes some minutes
  up       build what is missing, start everything in the background, wait until it is ready, and print how to use it
  down     stop what up started, and remove its state
  status   show which components run; exits with 1 when one does not
  assets   print the folder with the built programs, for KUBEBUILDER_ASSETS

flags of up, down and status:
  --dir FOLDER   where the state is: certificates, kubeconfigs, data, logs (default .control-plane in this checkout)

flags of up:
  --nodes N      how many nodes to add, which kwok plays (default 2)

environment:
  USAGE_OPERATOR_CACHE   where built programs are kept (default: usage-operator in the user's cache folder);
                         450 MB for a set of versions, which can be removed at any time
  KUBEBUILDER_ASSETS     a folder with programs to prefer; only what is missing in it is built
`

var errNotRunning = errors.New("not all components run")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(help)
	case errors.Is(err, errNotRunning):
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return flag.ErrHelp
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.Usage = func() {} // main prints the help
	nodes, dir := 2, ""
	if args[0] == "up" {
		flags.IntVar(&nodes, "nodes", nodes, "")
	}
	flags.StringVar(&dir, "dir", dir, "")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see --help", flags.Arg(0))
	}
	dir, err := stateDir(dir)
	if err != nil {
		return err
	}
	switch args[0] {
	case "build":
		_, err := controlplane.Build(ctx, os.Stderr)
		return err
	case "assets":
		return assets(ctx)
	case "up":
		return up(ctx, dir, nodes)
	case "down":
		return down(ctx, dir)
	case "status":
		return status(dir)
	case "help", "-h", "-help", "--help":
		return flag.ErrHelp
	}
	return fmt.Errorf("there is no command %q; see --help", args[0])
}

// stateDir is in the checkout, so that two of them side by side have a control plane each.
func stateDir(chosen string) (string, error) {
	if chosen != "" {
		return filepath.Abs(chosen)
	}
	checkout, err := buildcache.Checkout()
	if err != nil {
		return "", err
	}
	return filepath.Join(checkout, ".control-plane"), nil
}

func assets(ctx context.Context) error {
	dir, err := controlplane.AssetsDir(ctx)
	if err != nil {
		return err
	}
	fmt.Println(dir)
	return nil
}
