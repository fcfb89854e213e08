package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/usage-operator/usage-operator/internal/archive"
	"github.com/usage-operator/usage-operator/internal/archive/restoring"
)

const aboutArchive = `List, verify, export and restore the days in an archive. Nothing is written to
it, and only restore needs a cluster.

Usage:
  usage-operator archive list --archive URL [flags]
  usage-operator archive verify --archive URL [flags]
  usage-operator archive export --archive URL [--from DAY] [--to DAY] [flags]
  usage-operator archive restore --archive URL [--dry-run] [flags]

list says what there is of each day.

verify reads every day's file, and makes sure that it is what its manifest says,
that each manifest is the one that the next was written after, and that the
segments in it amount to every seal of the day. It prints the last seal:
usage-operator verify --seal says whether the cluster's journal has it, too.

export writes what was held on each of the days as CSV, one line for each
segment, and the corrections that these days' files have. base_unit_seconds adds
up.

restore writes all days into the empty journal of the kubeconfig's cluster, and
proves each of them first. Every interval keeps its seal. The operator must not
run meanwhile: afterwards it goes on from the end of the last day, and what came
since is Estimated, or Unknown if the archive is of another cluster. A restore
that was interrupted is given again, and goes on.

Exit status:
  0  the archive is whole
  1  it is not: the first difference is named, and what to do
  2  it could not be read; or the arguments are wrong

Examples:
  usage-operator archive list --archive file:///var/lib/usage
  usage-operator archive verify \
    --archive 's3://usage?region=eu-central-1&prefix=prod/'
  usage-operator archive export --archive file:///var/lib/usage \
    --from 2026-11-01 --to 2026-11-30 > usage.csv
  usage-operator archive restore --archive file:///var/lib/usage --dry-run

Flags:
`

// archives runs the command, and returns its exit status.
func archives(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := &archiveCommand{}
	err := c.parse(args, stdout)
	if errors.Is(err, pflag.ErrHelp) {
		return exitVerified
	}
	if err != nil {
		fmt.Fprintf(stderr, "usage-operator archive: %v\nSee usage-operator archive --help.\n", err)
		return exitUnreadable
	}
	if err := c.run(ctx, stdout); err != nil {
		fmt.Fprintf(stderr, "usage-operator archive %s: %v\n", c.command, err)
		if archive.IsProblem(err) {
			return exitDifference
		}
		return exitUnreadable
	}
	return exitVerified
}

// archiveCommand is what is asked for.
type archiveCommand struct {
	command, location, cluster, output string
	// namespace, budget and dryRun are of a restore.
	namespace string
	budget    size
	dryRun    bool
	// from and to are the first and the last day that is exported.
	from, to archive.Day
}

func (c *archiveCommand) parse(args []string, help io.Writer) error {
	flags := pflag.NewFlagSet("usage-operator archive", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.Usage = func() { fmt.Fprint(help, aboutArchive+usages(flags)) }
	flags.StringVar(&c.location, "archive", "", "Where the archive is: the operator's `URL`.")
	flags.StringVar(&c.cluster, "cluster", "", "The `UID` of the cluster's namespace kube-system, which the archive must be of. Empty: any.")
	flags.StringVarP(&c.output, "output", "o", "text", "text or json.")
	from := flags.String("from", "", "The first `DAY` that is exported: 2026-11-01. Empty: the archive's first.")
	to := flags.String("to", "", "The last `DAY` that is exported. Empty: the archive's last.")
	flags.StringVar(&c.namespace, "namespace", "usage-system", "The operator's own namespace, into whose journal is restored.")
	c.budget = 1 << 30
	flags.Var(&c.budget, "journal-budget", "How many `bytes` the restored journal may take in etcd: the operator's. 0: any.")
	flags.BoolVar(&c.dryRun, "dry-run", false, "Say what would be restored, and write nothing.")
	if kubeconfig := flag.Lookup("kubeconfig"); kubeconfig != nil {
		flags.AddGoFlag(kubeconfig)
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 || !slices.Contains([]string{"list", "verify", "export", "restore"}, flags.Arg(0)) {
		return fmt.Errorf("%q: want list, verify, export or restore", flags.Args())
	}
	var err error
	if c.from, err = dayOr("from", *from, math.MinInt64); err != nil {
		return err
	}
	if c.to, err = dayOr("to", *to, math.MaxInt64); err != nil {
		return err
	}
	c.command = flags.Arg(0)
	if c.output != "text" && c.output != "json" {
		return fmt.Errorf("--output=%s: want text or json", c.output)
	}
	if err := archive.CheckURL(c.location); err != nil {
		return fmt.Errorf("--archive: %w", err)
	}
	return nil
}

// dayOr is the day that a flag names; unset where it names none.
func dayOr(name, text string, unset archive.Day) (archive.Day, error) {
	if text == "" {
		return unset, nil
	}
	day, err := archive.ParseDay(text)
	if err != nil {
		return 0, fmt.Errorf("--%s: %w", name, err)
	}
	return day, nil
}

func (c *archiveCommand) run(ctx context.Context, stdout io.Writer) error {
	if c.command == "restore" {
		return c.restore(ctx, stdout)
	}
	a, err := archive.Open(ctx, archive.Options{URL: c.location, Cluster: c.cluster})
	if err != nil {
		return err
	}
	defer a.Close()
	switch c.command {
	case "list":
		return c.list(ctx, a, stdout)
	case "export":
		return a.Export(ctx, stdout, c.from, c.to)
	}
	var last *archive.Manifest
	size, err := a.Verify(ctx, func(m *archive.Manifest) { last = m })
	if err != nil {
		return err
	}
	if c.output == "json" {
		return json.NewEncoder(stdout).Encode(size)
	}
	if last == nil {
		_, err = fmt.Fprintln(stdout, "the archive has no day yet")
		return err
	}
	first, end, _ := a.Days()
	_, err = fmt.Fprintf(stdout, "verified %d days, %s to %s: %d rows in %d bytes, of the cluster %s\nseal %s\n",
		size.Chapters, first, end, size.Rows, size.Bytes, last.Cluster, last.Sealed[len(last.Sealed)-1].Digest)
	return err
}

// restore restores into the kubeconfig's cluster.
func (c *archiveCommand) restore(ctx context.Context, stdout io.Writer) error {
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("no cluster to talk to: set --kubeconfig or KUBECONFIG: %w", err)
	}
	config.UserAgent = "usage-operator/" + version + " archive restore"
	return restoring.Run(ctx, config, restoring.Options{
		Namespace: c.namespace, Lease: leaseName, Archive: archive.Options{URL: c.location, Cluster: c.cluster},
		Budget: int64(c.budget), DryRun: c.dryRun, Writer: archive.RestoredBy + "_" + string(uuid.NewUUID()), Clock: clock.RealClock{},
	}, stdout)
}

// list writes what the manifests say.
func (c *archiveCommand) list(ctx context.Context, a *archive.Archive, stdout io.Writer) error {
	table := tabwriter.NewWriter(stdout, 0, 0, 3, ' ', 0)
	lines := json.NewEncoder(stdout)
	if c.output == "text" {
		fmt.Fprintln(table, "DAY\tINTERVALS\tROWS\tBYTES\tFILE")
	}
	first, last, _ := a.Days()
	for day := first; day <= last; day = day.Next() {
		m, _, err := a.Manifest(ctx, day)
		if err != nil {
			return err
		}
		if c.output == "json" {
			if err := lines.Encode(m); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%s\n", day, len(m.Sealed), m.Segments.Rows, m.Segments.Size, m.Segments.Name)
	}
	return table.Flush()
}
