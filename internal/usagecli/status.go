package usagecli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// leaseName is the Lease that the replica holds that meters.
const leaseName = "usage-operator"

// What may pass between a seal and the next, beside the interval itself, and since the leader
// renewed its Lease, before it is a problem.
const (
	sealGrace  = 5 * time.Minute
	leaseGrace = time.Minute
)

// health is what status shows: what the usage API says, and what this program makes of it.
type health struct {
	wire.Status
	// Leader is the replica that meters; "": no replica holds the Lease, or the caller may not read it.
	Leader string `json:"leader,omitempty"`
	// LagSeconds is how long ago the last sealed interval ended.
	LagSeconds int64 `json:"lagSeconds"`
	// Ledger is what the operator says that its ledger takes, and how far the archive and a
	// hub have it; nil: the caller may not read it, or there is none yet.
	Ledger *v1alpha1.UsageLedgerStatus `json:"ledger,omitempty"`
	// Problems are what needs attention, in words.
	Problems []string `json:"problems"`

	unseen string // why there is no Ledger
}

// status is kubectl usage status.
func (c *cli) status() *cobra.Command {
	var out format
	command := &cobra.Command{
		Use: "status", Short: "Show how far the ledger is, and what needs attention.",
		Long: `Show how far the ledger is, and what needs attention: who meters, when an
interval was last sealed, up to when there are figures, the meters that do not
meter, and for who may read UsageLedgers (the ClusterRole
usage-operator-auditor) what the ledger takes and how far the archive and a hub
have it.

Exit status: 0 if all is well, 1 if something needs attention, or the operator
cannot be asked.`,
		Example: "  kubectl usage status\n  kubectl usage status -o json | jq .problems",
		Args:    exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.validate(); err != nil {
				return err
			}
			at, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			h := &health{Problems: []string{}}
			if err := at.ask(cmd.Context(), http.MethodGet, "v1alpha1/status", url.Values{}, nil, &h.Status); err != nil {
				return err
			}
			h.Leader = c.leader(cmd.Context(), h)
			h.judge()
			if h.Ledger, err = c.ledger(cmd.Context()); err != nil {
				h.unseen = err.Error()
			} else if h.Leader == "" {
				h.Leader = h.Ledger.Leader
			}
			h.judgeLedger(c.now())
			if err := c.printHealth(h, out.name); err != nil {
				return err
			}
			if len(h.Problems) > 0 {
				return &outcome{status: exitDifference}
			}
			return nil
		},
	}
	out.addFlag(command)
	return command
}

// leader is the holder of the Lease; a caller who may not read it is told so.
func (c *cli) leader(ctx context.Context, h *health) string {
	config, err := c.config.ToRESTConfig()
	if err != nil {
		return ""
	}
	leases, err := coordinationclient.NewForConfig(config)
	if err != nil {
		return ""
	}
	lease, err := leases.Leases(c.operator).Get(ctx, leaseName, metav1.GetOptions{})
	if err != nil {
		return "" // that is for those who may read leases there
	}
	if lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
		h.Problems = append(h.Problems, "no replica meters: none holds the Lease "+leaseName)
		return ""
	}
	if renewed := lease.Spec.RenewTime; renewed != nil && c.now().Sub(renewed.Time) > leaseGrace {
		h.Problems = append(h.Problems, fmt.Sprintf("no replica meters: %s renewed the Lease %s last at %s",
			*lease.Spec.HolderIdentity, leaseName, renewed.UTC().Format(stampLayout)))
	}
	return *lease.Spec.HolderIdentity
}

// judge lists what needs attention.
func (h *health) judge() {
	now, err := time.Parse(time.RFC3339, h.Now)
	sealed, sealedErr := time.Parse(time.RFC3339, h.Sealed)
	switch {
	case err != nil:
	case h.Sealed == "" || sealedErr != nil:
		h.Problems = append(h.Problems, "no interval is sealed yet")
	default:
		lag := now.Sub(sealed)
		h.LagSeconds = int64(lag / time.Second)
		if interval := time.Duration(h.IntervalSeconds) * time.Second; lag > 2*interval+sealGrace {
			h.Problems = append(h.Problems, fmt.Sprintf("no interval was sealed for %s: they last %s", lag, interval))
		}
	}
	if h.Meters == 0 {
		h.Problems = append(h.Problems, "there is no UsageMeter: nothing is metered")
	}
	for _, m := range h.Attention {
		text := fmt.Sprintf("UsageMeter %s: %s", m.Name, m.Reason)
		if m.Quarantined > 0 {
			text += fmt.Sprintf(", %d objects cannot be read", m.Quarantined)
		}
		if m.Message != "" {
			text += ": " + m.Message
		}
		h.Problems = append(h.Problems, text)
	}
}

func (c *cli) printHealth(h *health, out string) error {
	if isObject(out) {
		return c.printObject(out, h)
	}
	t := &table{columns: []column{{name: "WHAT"}, {name: "STATE", wraps: true}}}
	leader := h.Leader
	if leader == "" {
		leader = "unknown: you may not read the Lease, or no replica holds it"
	}
	t.add("leader", leader)
	t.add("metering began", h.MeteringBegan)
	t.add("sealed up to", h.Sealed)
	t.add("lag", (time.Duration(h.LagSeconds) * time.Second).String())
	t.add("figures up to", h.Known)
	t.add("meters", fmt.Sprintf("%d, %d of which need attention", h.Meters, len(h.Attention)))
	h.addLedger(t)
	t.add("problems", fmt.Sprint(len(h.Problems)))
	if out == "csv" {
		return c.printCSV(t)
	}
	if err := c.printTable(t, out == "wide"); err != nil {
		return err
	}
	if len(h.Problems) == 0 {
		return nil
	}
	var text strings.Builder
	for _, problem := range h.Problems {
		text.WriteString(c.paint(red, "! "+plain(problem)) + "\n")
	}
	_, err := fmt.Fprint(c.Out, "\n"+text.String())
	return err
}
