// Package verification is the command that verifies a cluster's ledger, as the
// operator and kubectl usage have it.
package verification

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/archive"
	"github.com/usage-operator/usage-operator/internal/audit"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/usageblocks"
	"github.com/usage-operator/usage-operator/internal/restclient"
)

// About says what the command does.
const About = `Verify that the ledger in a cluster adds up, by reading all of it and computing
it again. Nothing is written.

  1. Every UsageBlock of the journal is read. Its digest must be that of its
     content, and the block after it must name that digest, from the first block
     to the last, without a gap.
     What a journal has left out since the archive has it is read from there:
     --archive says where that is, and your own credentials have to do.
  2. The segments that the blocks add up to are cut to every sealed interval.
     Their digest, chained to that of the interval before, must be what the
     interval was sealed with.
  3. Every Final UsageRecord of every namespace is computed again from its
     interval, and must be what the API server has, field by field. A record
     that is not there any more is no difference: records are pruned. One that
     no sealed interval explains is. Open records are not final, and left out.
  4. Every UsageReport and ClusterUsageReport is computed again from the ledger
     as it was at the report's seal, and its figures must be what its status
     says. One that has none, or chooses namespaces by labels, is left out.

The first difference is named: where it is, which field, what was expected and
what was found. Of the others, it is said how many there are.

Who can rewrite the whole journal can make one that adds up. To rule that out,
keep the seal that is printed somewhere else. It stands for its interval and all
intervals before: later, --seal says whether they are still what they were.

It needs the right to list usageblocks in the operator's namespace,
usagerecords and usagereports in all namespaces, clusterusagereports and
namespaces.
`

// ExitStatuses says what the command ends with.
const ExitStatuses = `  0  all of it adds up
  1  there is a difference
  2  something could not be read; or the flags are wrong
`

// Verification is what is asked for.
type Verification struct {
	// Namespace is the operator's own, with the journal.
	Namespace string
	// from, to, seal and archive are flags as they were given.
	from, to, seal, archive, output string
}

// AddFlags adds what says which intervals are recomputed, and how it is told.
func (v *Verification) AddFlags(flags *pflag.FlagSet) {
	flags.StringVar(&v.from, "interval-from", "", "Compute again only intervals that start then or later: 2026-11-21T20:00:00Z. The journal is read as a whole all the same.")
	flags.StringVar(&v.to, "interval-to", "", "Compute again only intervals that end then or earlier.")
	flags.StringVar(&v.seal, "seal", "", "A seal that an earlier run printed: it must still be there.")
	flags.StringVar(&v.archive, "archive", "", "Where the archive is, which a journal needs that was cut: the operator's `URL`.")
	flags.StringVarP(&v.output, "output", "o", "text", "text or json.")
}

// Check says what is wrong with the flags, if anything is.
func (v *Verification) Check() error {
	_, err := v.input()
	return err
}

func (v *Verification) input() (in audit.Input, err error) {
	if v.output != "text" && v.output != "json" {
		return in, fmt.Errorf("--output=%s: want text or json", v.output)
	}
	if in.From, err = moment("interval-from", v.from, math.MinInt64); err != nil {
		return in, err
	}
	if in.To, err = moment("interval-to", v.to, math.MaxInt64); err != nil {
		return in, err
	}
	if v.archive != "" {
		if err = archive.CheckURL(v.archive); err != nil {
			return in, fmt.Errorf("--archive: %w", err)
		}
		in.Past = archive.Past{Options: archive.Options{URL: v.archive}}
	}
	if v.seal != "" {
		if in.Seal, err = journal.ParseDigest(v.seal); err != nil {
			return in, fmt.Errorf("--seal: %w", err)
		}
	}
	return in, nil
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

// Run verifies the cluster, writes what it found to stdout and how it gets on to
// stderr, and tells whether all of it adds up.
func (v *Verification) Run(ctx context.Context, config *rest.Config, stdout, stderr io.Writer) (whole bool, err error) {
	in, err := v.input()
	if err != nil {
		return false, err
	}
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return false, err
	}
	if in.Blocks, err = usageblocks.New(config, httpClient, v.Namespace); err != nil {
		return false, err
	}
	records, err := restclient.New(config, httpClient)
	if err != nil {
		return false, err
	}
	in.Reports = audit.ClusterReports(records)
	in.Records, in.Namespace = audit.ClusterRecords(records), v.Namespace
	in.Clock, in.Progress = clock.RealClock{}, audit.Progress(stderr, clock.RealClock{})
	report, err := audit.Verify(ctx, in)
	if err != nil {
		return false, err
	}
	if v.output == "text" {
		return report.OK(), report.Write(stdout)
	}
	encoder := json.NewEncoder(stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return report.OK(), encoder.Encode(report)
}
