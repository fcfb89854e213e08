package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/spf13/pflag"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/usage-operator/usage-operator/internal/installcheck"
)

// What check ends with.
const (
	exitRight = 0
	exitWrong = 1
	exitUsage = 2
)

const aboutCheck = `Check that the operator is installed as it should be, and works. Nothing is
written.

  kinds      the API server serves the operator's own kinds, in the version
             that this program knows
  leader     a replica meters: it has renewed its Lease within a minute
  meters     every UsageMeter meters, waits for a kind that is not installed,
             or was suspended or deleted by a person; none is missing
  usage API  it answers, with a certificate that clients can verify, and has
             figures

A line for each says what was found, and the next one what to do where it is not
as it should be.

It runs with the operator's own service account, in a pod of the operator's
namespace: that is what helm test does.

Usage:
  usage-operator check [flags]

Exit status:
  0  all is as it should be
  1  something is not, or could not be found out
  2  the flags are wrong

Examples:
  helm test usage-operator -n usage-system --logs
  kubectl exec -n usage-system deployment/usage-operator -- \
    /usage-operator check

Flags:
`

// check runs the command, and returns its exit status.
func check(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, err := parseCheck(args, stdout)
	if errors.Is(err, pflag.ErrHelp) {
		return exitRight
	}
	if err != nil {
		fmt.Fprintf(stderr, "usage-operator check: %v\nSee usage-operator check --help.\n", err)
		return exitUsage
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		fmt.Fprintf(stderr, "usage-operator check: no cluster to talk to: run inside one, or set --kubeconfig or KUBECONFIG: %v\n", err)
		return exitWrong
	}
	config.UserAgent = "usage-operator/" + version + " check"
	right, err := c.Run(ctx, config, stdout, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "usage-operator check: %v\n", err)
	}
	if err != nil || !right {
		return exitWrong
	}
	return exitRight
}

func parseCheck(args []string, help io.Writer) (*installcheck.Check, error) {
	c := &installcheck.Check{Clock: clock.RealClock{}}
	flags := pflag.NewFlagSet("usage-operator check", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.Usage = func() { fmt.Fprint(help, aboutCheck+usages(flags)) }
	flags.StringVar(&c.Namespace, "namespace", ownNamespace(), "The operator's own `namespace`.")
	c.AddFlags(flags)
	if kubeconfig := flag.Lookup("kubeconfig"); kubeconfig != nil {
		flags.AddGoFlag(kubeconfig)
	}
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unknown argument %q: there are flags only", flags.Arg(0))
	}
	return c, c.Valid()
}
