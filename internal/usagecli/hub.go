package usagecli

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// hubOf is a hub to ask, instead of a cluster's operator.
type hubOf struct {
	address, tokenFile, certificate string
	clusters                        []string
}

// Variables that say the same as flags, but for hubToken: a token is no flag's, for others see these.
const (
	hubVariable            = "USAGE_HUB"
	hubToken               = "USAGE_HUB_TOKEN" //nolint:gosec // a name, no secret
	hubCertificateVariable = "USAGE_HUB_CERTIFICATE_AUTHORITY"
)

func (h *hubOf) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&h.address, "hub", "", "Ask a hub of many clusters, at its URL: https://hub.example.org:8443")
	flags.StringVar(&h.tokenFile, "hub-token-file", "", "A file with your token for --hub, if $"+hubToken+" has none.")
	flags.StringVar(&h.certificate, "hub-certificate-authority", "", "A file with the certificates that --hub's is checked against, if not the system's.")
	flags.StringSliceVar(&h.clusters, "hub-cluster", nil, "Of the hub's clusters, these: names or UIDs. With one, nearly all commands work as in that cluster.")
}

var (
	// overFleet are the commands that ask about several clusters of a hub, and overOne those that ask about one.
	overFleet = []string{"list", "top"}
	overOne   = []string{"list", "top", "diff", "idle", "chart", "get", "explain"}
	offline   = []string{"version", "completion"}
)

// check refuses what a hub cannot answer.
func (h *hubOf) check(command string) error {
	switch {
	case h.address == "" && len(h.clusters) > 0:
		return misused("--hub-cluster: say which hub: --hub=URL")
	case h.address == "" || slices.Contains(offline, command):
		return nil
	case !slices.Contains(overOne, command):
		return misused("--hub: a hub has no answer to %s: there are %s", command, strings.Join(overOne, ", "))
	case len(h.clusters) != 1 && !slices.Contains(overFleet, command):
		return misused("--hub: %s is about one cluster: say which: --hub-cluster=NAME", command)
	}
	return nil
}

// overFleet tells whether rows are told apart by cluster.
func (c *cli) overFleet() bool { return c.hub.address != "" && len(c.hub.clusters) != 1 }

// keyed are keys by which rows are told apart, the cluster included.
func (c *cli) keyed(keys ...v1alpha1.GroupKey) []v1alpha1.GroupKey {
	if c.overFleet() {
		return append([]v1alpha1.GroupKey{wire.Cluster}, keys...)
	}
	return keys
}

// question is what is asked of who is connected.
func (c *cli) question(spec *v1alpha1.ClusterUsageReportSpec) any {
	if !c.overFleet() {
		return spec
	}
	of := &wire.FleetSpec{ReportWindow: spec.ReportWindow, Filters: &wire.FleetFilters{Clusters: values(c.hub.clusters)}}
	if spec.Filters != nil {
		of.Filters.ClusterReportFilters = *spec.Filters
	}
	return of
}

// connectToHub reaches a hub: the fleet, or one of its clusters.
func (c *cli) connectToHub() (*connection, error) {
	base, err := url.Parse(c.hub.address)
	if err != nil || base.Scheme != "https" || base.Host == "" {
		return nil, misused("--hub=%s: want a URL such as https://hub.example.org:8443", c.hub.address)
	}
	if len(c.hub.clusters) == 1 {
		base = base.JoinPath("clusters", c.hub.clusters[0])
	}
	within, err := clientcmd.ParseTimeout(cmp.Or(*c.config.Timeout, "0"))
	if err != nil {
		return nil, misused("--request-timeout=%s: %v", *c.config.Timeout, err)
	}
	if c.hub.tokenFile == "" && os.Getenv(hubToken) == "" {
		return nil, misused("a hub knows who you are by a token: say --hub-token-file, or set $%s", hubToken)
	}
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if file := cmp.Or(c.hub.certificate, os.Getenv(hubCertificateVariable)); file != "" {
		text, err := os.ReadFile(file) //nolint:gosec // the person's own
		if err != nil {
			return nil, fmt.Errorf("--hub-certificate-authority: %w", err)
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--hub-certificate-authority: there is no certificate in %s", file)
		}
	}
	to := connected(base, &http.Transport{TLSClientConfig: settings, Proxy: http.ProxyFromEnvironment}, c.hub.token)
	to.hub, to.within = true, within
	return to, nil
}

// token is what is shown to the hub.
func (h *hubOf) token(context.Context) (string, error) {
	token := os.Getenv(hubToken)
	if h.tokenFile != "" {
		text, err := os.ReadFile(h.tokenFile)
		if err != nil {
			return "", fmt.Errorf("--hub-token-file: %w", err)
		}
		token = string(text)
	}
	return "Bearer " + strings.TrimSpace(token), nil
}

// silent says of a hub's answer which clusters it has not heard of for a while.
func silent(clusters []wire.FleetCluster) string {
	var text strings.Builder
	for i := range clusters {
		if of := &clusters[i]; of.Behind {
			fmt.Fprintf(&text, "%s: known up to %s; what came since is not counted\n", of.Name, cmp.Or(of.Known, "nothing yet"))
		}
	}
	return text.String()
}

// coveredByAll is up to when all clusters of a hub that a report is about have figures, within its window.
func (a *answered) coveredByAll() time.Time {
	until := a.Window.EndTime.Time
	for i := range a.clusters {
		if known := stated(a.clusters[i].Known); known.Before(until) {
			until = known
		}
	}
	if until.Before(a.Window.StartTime.Time) {
		return a.Window.StartTime.Time
	}
	return until
}

// fleet tells whether rows are told apart by cluster: then a table's first column has it.
type fleet bool

func ofFleet(rows []wire.Row) fleet {
	return fleet(slices.ContainsFunc(rows, func(row wire.Row) bool { _, is := row.Group[wire.Cluster]; return is }))
}

func (f fleet) columns() []column {
	if f {
		return []column{{name: "CLUSTER", cuts: true}}
	}
	return nil
}

func (f fleet) cells(row *wire.Row) []string {
	if f {
		return []string{string(row.Group[wire.Cluster])}
	}
	return nil
}
