package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/spf13/pflag"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/usage-operator/usage-operator/internal/audit/verification"
)

// What verify ends with.
const (
	exitVerified   = 0
	exitDifference = 1
	exitUnreadable = 2
)

const aboutVerify = verification.About + `
Usage:
  usage-operator verify [flags]

Exit status:
` + verification.ExitStatuses + `
Examples:
  usage-operator verify
  usage-operator verify --interval-from 2026-11-01T00:00:00Z \
    --interval-to 2026-12-01T00:00:00Z
  usage-operator verify -o json | jq .firstDifference

Flags:
`

// verify runs the command, and returns its exit status.
func verify(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	v, err := parseVerification(args, stdout)
	if errors.Is(err, pflag.ErrHelp) {
		return exitVerified
	}
	if err != nil {
		fmt.Fprintf(stderr, "usage-operator verify: %v\nSee usage-operator verify --help.\n", err)
		return exitUnreadable
	}
	whole, err := runVerification(ctx, v, stdout, stderr)
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "usage-operator verify: %v\n", err)
		return exitUnreadable
	case !whole:
		return exitDifference
	}
	return exitVerified
}

func parseVerification(args []string, help io.Writer) (*verification.Verification, error) {
	v := &verification.Verification{}
	flags := pflag.NewFlagSet("usage-operator verify", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.Usage = func() { fmt.Fprint(help, aboutVerify+usages(flags)) }
	flags.StringVar(&v.Namespace, "namespace", "usage-system", "The operator's own namespace, with the journal.")
	v.AddFlags(flags)
	if kubeconfig := flag.Lookup("kubeconfig"); kubeconfig != nil {
		flags.AddGoFlag(kubeconfig)
	}
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unknown argument %q: there are flags only", flags.Arg(0))
	}
	return v, v.Check()
}

// runVerification verifies the cluster of the kubeconfig.
func runVerification(ctx context.Context, v *verification.Verification, stdout, stderr io.Writer) (whole bool, err error) {
	config, err := ctrl.GetConfig()
	if err != nil {
		return false, fmt.Errorf("no cluster to talk to: set --kubeconfig or KUBECONFIG: %w", err)
	}
	config.UserAgent = "usage-operator/" + version + " verify"
	return v.Run(ctx, config, stdout, stderr)
}
