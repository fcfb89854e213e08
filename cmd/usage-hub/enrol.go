package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/audit"
	"github.com/usage-operator/usage-operator/internal/hub"
	"github.com/usage-operator/usage-operator/internal/hub/verification"
)

const aboutEnrol = `Make the hub know a cluster, and print the token that its operator proves with
to be that cluster. The token is kept nowhere: only its SHA-256 is.

A cluster that is enrolled already is refused: it may be a clone of the other.
--rotate prints a new token for it. The tokens that it had are good for --grace
more, so that the operator can be given the new one meanwhile.

Usage:
  usage-hub enrol UID --name NAME [flags]
  usage-hub enrol UID --rotate [flags]

Examples:
  usage-hub enrol 6d0f5f0e-2c0b-4c8c-9a51-0f0f3a1d5f10 --name eu-1 >token
  usage-hub enrol 6d0f5f0e-2c0b-4c8c-9a51-0f0f3a1d5f10 --rotate --grace 0s
`

func (p *program) enrol(ctx context.Context, args []string) (int, error) {
	o := p.flags("enrol", aboutEnrol)
	name := o.String("name", "", "What people call the cluster.")
	rotate := o.Bool("rotate", false, "Replace the token of a cluster that is enrolled.")
	grace := o.Duration("grace", 24*time.Hour, "How long the tokens are good that are replaced.")
	if err := o.parse(args, "UID"); err != nil {
		return exitFailed, err
	}
	cluster, err := hub.ParseCluster(o.Arg(0))
	switch {
	case err != nil:
		return exitFailed, &misuse{err}
	case !*rotate && *name == "":
		return exitFailed, &misuse{errors.New("no name: say --name")}
	case *grace < 0:
		return exitFailed, &misuse{errors.New("--grace is less than nothing")}
	}
	s, err := o.open(ctx)
	if err != nil {
		return exitFailed, err
	}
	defer s.Close()
	var token string
	if *rotate {
		token, err = s.Rotate(ctx, cluster, int64(grace.Seconds()))
	} else {
		token, err = s.Enrol(ctx, cluster, *name)
	}
	if err != nil {
		return exitFailed, err
	}
	if _, err := fmt.Fprintln(p.stdout, token); err != nil {
		return exitFailed, fmt.Errorf("the cluster has a token that was not printed, and is kept nowhere: usage-hub enrol %s --rotate prints another: %w", cluster, err)
	}
	return exitDone, nil
}

const aboutVerify = `Tell whether the hub's ledger of a cluster adds up. Nothing is written.

  1. Every block must be what its digest says, and name the digest of the one
     before it, from the first to the one that the hub says is the last.
  2. The rows of segments, seals and coverage must be what the blocks say.
  3. The rows are added up and cut to every interval that the cluster sealed.
     Their digest, chained to that of the interval before, must be what the
     cluster sealed it with.

The seal that is printed is the cluster's own: usage-operator verify --seal says
there whether it has sealed its intervals with it.

It reads the whole ledger of the cluster, as it is at one moment, into memory.

Usage:
  usage-hub verify UID [flags]

Exit status:
  0  all of it adds up
  1  there is a difference
  2  something could not be read; or the flags are wrong
`

func (p *program) verify(ctx context.Context, args []string) (int, error) {
	o := p.flags("verify", aboutVerify)
	output := o.StringP("output", "o", "text", "text or json.")
	if err := o.parse(args, "UID"); err != nil {
		return exitFailed, err
	}
	cluster, err := hub.ParseCluster(o.Arg(0))
	if err != nil {
		return exitFailed, &misuse{err}
	}
	if *output != "text" && *output != "json" {
		return exitFailed, &misuse{fmt.Errorf("--output=%s: want text or json", *output)}
	}
	s, err := o.open(ctx)
	if err != nil {
		return exitFailed, err
	}
	defer s.Close()
	report, err := verification.Verify(ctx, s, cluster, clock.RealClock{}, audit.Progress(p.stderr, clock.RealClock{}))
	if err != nil {
		return exitFailed, err
	}
	status := exitDone
	if !report.OK() {
		status = exitDifference
	}
	if *output == "text" {
		return status, report.Write(p.stdout)
	}
	encoder := json.NewEncoder(p.stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return status, encoder.Encode(report)
}
