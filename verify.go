package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/usage-operator/usage-operator/internal/audit"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/usageblocks"
	"github.com/usage-operator/usage-operator/internal/restclient"
)

// What verify ends with.
const (
	exitVerified   = 0
	exitDifference = 1
	exitUnreadable = 2
)

const aboutVerify = `Verify that the ledger in a cluster adds up, by reading all of it and computing
it again. Nothing is written.

  1. Every UsageBlock of the journal is read. Its digest must be that of its
     content, and the block after it must name that digest, from the first block
     to the last, without a gap.
  2. The segments that the blocks add up to are cut to every sealed interval. Their
     digest, chained to that of the interval before, must be what the interval was
     sealed with.
  3. Every Final UsageRecord of every namespace is computed again from its interval,
     and must be what the API server has, field by field. A record that is not there
     any more is no difference: records are pruned. One that no sealed interval
     explains is. Open records are not final, and left out.

The first difference is named: where it is, which field, what was expected and
what was found. Of the others, it is said how many there are.

Who can rewrite the whole journal can make one that adds up. To rule that out,
keep the seal that is printed somewhere else. It stands for its interval and all
intervals before: later, --seal says whether they are still what they were.

It needs the right to list usageblocks in the operator's namespace, and
usagerecords in all namespaces.

Usage:
  usage-operator verify [flags]

Exit status:
  0  all of it adds up
  1  there is a difference
  2  something could not be read; or the flags are wrong

Examples:
  usage-operator verify
  usage-operator verify --interval-from 2026-11-01T00:00:00Z --interval-to 2026-12-01T00:00:00Z
  usage-operator verify -o json | jq .firstDifference

Flags:
`

// verification is the command line of verify.
type verification struct {
	namespace string
	from, to  int64
	seal      journal.Digest
	output    string
}

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
	report, err := v.run(ctx, stderr)
	if err == nil {
		err = v.write(report, stdout)
	}
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "usage-operator verify: %v\n", err)
		return exitUnreadable
	case !report.OK():
		return exitDifference
	}
	return exitVerified
}

func parseVerification(args []string, help io.Writer) (*verification, error) {
	v := &verification{}
	var from, to, seal string
	flags := pflag.NewFlagSet("usage-operator verify", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.Usage = func() { fmt.Fprint(help, aboutVerify+flags.FlagUsagesWrapped(100)) }
	flags.StringVar(&v.namespace, "namespace", "usage-system", "The operator's own namespace, with the journal.")
	flags.StringVar(&from, "interval-from", "", "Compute again only intervals that start then or later: 2026-11-21T20:00:00Z. The journal is read as a whole all the same.")
	flags.StringVar(&to, "interval-to", "", "Compute again only intervals that end then or earlier.")
	flags.StringVar(&seal, "seal", "", "A seal that an earlier run printed: it must still be there.")
	flags.StringVarP(&v.output, "output", "o", "text", "text or json.")
	if kubeconfig := flag.Lookup("kubeconfig"); kubeconfig != nil {
		flags.AddGoFlag(kubeconfig)
	}
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unknown argument %q: there are flags only", flags.Arg(0))
	}
	if v.output != "text" && v.output != "json" {
		return nil, fmt.Errorf("--output=%s: want text or json", v.output)
	}
	var err error
	if v.from, err = moment("interval-from", from, math.MinInt64); err != nil {
		return nil, err
	}
	if v.to, err = moment("interval-to", to, math.MaxInt64); err != nil {
		return nil, err
	}
	if seal == "" {
		return v, nil
	}
	if v.seal, err = journal.ParseDigest(seal); err != nil {
		return nil, fmt.Errorf("--seal: %w", err)
	}
	return v, nil
}

// moment is a time in seconds since the epoch; unset where there is none.
func moment(name, text string, unset int64) (int64, error) {
	if text == "" {
		return unset, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, fmt.Errorf("--%s=%s: want a time such as 2026-11-21T20:00:00Z", name, text)
	}
	return t.Unix(), nil
}

// run verifies the cluster of the kubeconfig.
func (v *verification) run(ctx context.Context, stderr io.Writer) (*audit.Report, error) {
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("no cluster to talk to: set --kubeconfig or KUBECONFIG: %w", err)
	}
	config.UserAgent = "usage-operator/" + version + " verify"
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	blocks, err := usageblocks.New(config, httpClient, v.namespace)
	if err != nil {
		return nil, err
	}
	records, err := restclient.New(config, httpClient)
	if err != nil {
		return nil, err
	}
	return audit.Verify(ctx, audit.Input{
		Blocks: blocks, Records: audit.ClusterRecords(records), Namespace: v.namespace, From: v.from, To: v.to, Seal: v.seal,
		Clock: clock.RealClock{}, Progress: audit.Progress(stderr, clock.RealClock{}),
	})
}

func (v *verification) write(report *audit.Report, stdout io.Writer) error {
	if v.output == "text" {
		return report.Write(stdout)
	}
	encoder := json.NewEncoder(stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(report)
}
