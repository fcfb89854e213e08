// Command demo shows the operator at work: on a real control plane of its own it plays a small cloud for two minutes,
// and compares what the records say with what it has done.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

const help = `Shows the operator at work on a real control plane of its own, in about four minutes.

usage: go run ./hack/demo [--keep]
       go run ./hack/demo down
       go run ./hack/demo [--keep] fleet
       go run ./hack/demo fleet-down

It builds what is missing, starts a control plane and the operator, plays a small cloud for two minutes (virtual
machines, pods with volumes, load balancers, node pools), and compares every total of the UsageRecords with what it
did. It ends with 0 when they are the same, and stops all that it started.

  --keep      leave everything running at the end, to play with
  down        stop what --keep left running
  fleet-down  stop a fleet that --keep left running
  fleet       show two clusters and a hub that has the ledgers of both, in
              about five minutes: what the hub answers of each is what its own
              operator does. It needs PostgreSQL's programs (hack/postgres.sh)

Its files are in .demo of this checkout, and those of the fleet in .demo-fleet.
`

// patience bounds a run once everything is built. One takes three to four minutes.
const patience = 10 * time.Minute

var errNotStopped = errors.New("not all that was started could be stopped")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)                     // a second Ctrl-C ends it at once
	log.SetLogger(logr.Discard())                    // what goes wrong is an error that is returned
	rest.SetDefaultWarningHandler(rest.NoWarnings{}) // of old versions of others' CRDs
	switch err := run(ctx, os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(help)
	case err != nil && ctx.Err() != nil && !errors.Is(err, errNotStopped):
		fmt.Fprintln(os.Stderr, "demo: interrupted; everything that it started is stopped")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.Usage = func() {} // main prints the help
	keep := flags.Bool("keep", false, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	out := console{os.Stdout}
	switch {
	case flags.NArg() == 0:
		return show(ctx, out, *keep)
	case flags.NArg() == 1 && flags.Arg(0) == "down":
		return down(ctx, out)
	case flags.NArg() == 1 && flags.Arg(0) == "fleet":
		return showFleet(ctx, out, *keep)
	case flags.NArg() == 1 && flags.Arg(0) == "fleet-down":
		return fleetDown(ctx, out)
	}
	return fmt.Errorf("unexpected arguments %q; see --help", flags.Args())
}

// show runs the demo, and stops what it started unless that is to be kept.
func show(ctx context.Context, out console, keep bool) (err error) {
	stage, unlock, err := openStage(ctx, out, keep)
	if err != nil {
		return err
	}
	defer unlock()
	if err := stage.build(ctx); err != nil {
		return err
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("the demo has taken longer than %s", patience))
	defer cancel()
	ctx, fail := context.WithCancelCause(withOrphanage(ctx))
	defer fail(nil)

	defer func() {
		if err != nil || !keep {
			if failed := stage.strike(err == nil); failed != nil {
				err = errors.Join(err, fmt.Errorf("%w; try `make demo-down`", errNotStopped), failed)
			}
		}
	}()
	if err := stage.set(ctx, fail); err != nil {
		return explained(ctx, err)
	}
	if err := perform(ctx, stage); err != nil {
		return explained(ctx, err)
	}
	out.say("")
	out.say("Everything is as the script says, %s after all was built.", time.Since(begun).Round(time.Second))
	if keep {
		return stage.explain(ctx)
	}
	return nil
}

// explained puts the cause of a cancelled context in the place of "context canceled".
func explained(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w\nit was about to: %w", cause, err)
	}
	return err
}

// withOrphanage is a context that ends when this process loses its parent: `go run` does not pass on a SIGTERM.
func withOrphanage(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	parent := os.Getppid()
	go func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				if os.Getppid() != parent {
					cancel(errors.New("the process that started the demo has ended"))
				}
			}
		}
	}()
	return ctx
}
