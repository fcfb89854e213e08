package usagecli

import (
	"context"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/term"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// scope is whose usage a command line asks for, and of what.
type scope struct {
	everywhere                     bool
	types, deployments, dimensions []string
	selector                       string
}

func (s *scope) addFlags(flags *pflag.FlagSet) {
	flags.BoolVarP(&s.everywhere, "all-namespaces", "A", false, "All namespaces that you may see.")
	flags.StringVarP(&s.selector, "selector", "l", "", "Only namespaces with these labels, as they have them now: team=a. Of all that you may see.")
	flags.StringSliceVar(&s.types, "type", nil, "Only these resource types: vm, volume, container")
	flags.StringSliceVar(&s.deployments, "deployment", nil, "Only what is under these deployments.")
	flags.StringSliceVar(&s.dimensions, "dimension", nil, "Only these dimensions: vcpu, memory, storage")
}

// filters are the report's.
func (c *cli) filters(s *scope) (*v1alpha1.ClusterReportFilters, error) {
	f := &v1alpha1.ClusterReportFilters{}
	f.ResourceTypes, f.Deployments, f.Dimensions = values(s.types), values(s.deployments), values(s.dimensions)
	if s.selector != "" {
		var err error
		if f.NamespaceSelector, err = metav1.ParseToLabelSelector(s.selector); err != nil {
			return nil, misused("--selector=%s: %v", s.selector, err)
		}
		return f, nil
	}
	if s.everywhere || c.hub.address != "" && *c.config.Namespace == "" {
		return f, nil
	}
	namespace, err := c.namespace()
	if err != nil {
		return nil, err
	}
	f.Namespaces = []v1alpha1.FilterValue{v1alpha1.FilterValue(namespace)}
	return f, nil
}

// namespace is the one of -n, or of the kubeconfig's context.
func (c *cli) namespace() (string, error) {
	namespace, _, err := c.config.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return "", noCluster(err)
	}
	return namespace, nil
}

func noCluster(err error) error {
	return fmt.Errorf("no cluster to ask: %w: set --kubeconfig or KUBECONFIG", err)
}

func values(texts []string) []v1alpha1.FilterValue {
	var out []v1alpha1.FilterValue
	for _, text := range texts {
		out = append(out, v1alpha1.FilterValue(text))
	}
	return out
}

// answered is a report with the rows of all its pages.
type answered struct {
	*wire.Report
	// everywhere tells that it was asked about all namespaces that the caller may see.
	everywhere bool
	// within is the one namespace that it was asked about; "": others, or no one namespace.
	within string
	// made tells that it is the status of a report that has been made.
	made bool
	// clusters are those of a hub that it is about.
	clusters []wire.FleetCluster
}

// answerTo is the answer to a question.
func answerTo(spec *v1alpha1.ClusterUsageReportSpec, report *wire.FleetReport) *answered {
	a := &answered{Report: &report.Report, clusters: report.Clusters}
	if f := spec.Filters; f != nil {
		a.everywhere = len(f.Namespaces) == 0
		if len(f.Namespaces) == 1 {
			a.within = string(f.Namespaces[0])
		}
	}
	return a
}

// rowsAtOnce is how many rows are asked for at a time.
const rowsAtOnce = 1000

// ask reads a report, all its pages.
func (c *cli) ask(ctx context.Context, spec *v1alpha1.ClusterUsageReportSpec) (*answered, error) {
	at, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	progress := c.progress()
	defer progress.end()
	spec.Limit = rowsAtOnce
	var all *answered
	for {
		page := &wire.FleetReport{}
		if err := at.ask(ctx, http.MethodPost, "v1alpha1/report", url.Values{}, c.question(spec), page); err != nil {
			return nil, c.lookedIn(answerTo(spec, page).within, err)
		}
		if all == nil {
			all = answerTo(spec, page)
		} else {
			all.Rows = append(all.Rows, page.Rows...)
		}
		if page.NextPage == "" {
			all.NextPage, all.RowCount = "", new(int64(len(all.Rows)))
			return all, nil
		}
		spec.StartFrom = page.NextPage
		progress.say("%d rows ...", len(all.Rows))
	}
}

// metric is what a row counts, such as vm.vcpu.
func metric(row *wire.Row) string {
	return strings.Trim(string(row.Group["resourceType"])+"."+string(row.Group["dimension"]), ".")
}

// exact is a row's figure; nil where nobody knows.
func exact(row *wire.Row) *big.Int {
	n, ok := new(big.Int).SetString(row.Exact, 10)
	if !ok {
		return nil
	}
	return n
}

// quantity is a row's figure as people read it.
func quantity(row *wire.Row) string { return marked(row.Quantity, row.Accuracy) }

// marked is a figure with the mark of how well it is known; "" is unknown.
func marked(text string, accuracy v1alpha1.Accuracy) string {
	if text == "" {
		return "unknown"
	}
	switch accuracy {
	case v1alpha1.AccuracyEstimated:
		return "~" + text
	case v1alpha1.AccuracyPartial:
		return text + "?"
	}
	return text
}

// marks says what the marks of quantity mean, if there are any.
func marks(rows []wire.Row) string {
	estimated, partial := false, false
	for i := range rows {
		estimated = estimated || rows[i].Accuracy == v1alpha1.AccuracyEstimated
		partial = partial || rows[i].Accuracy == v1alpha1.AccuracyPartial && rows[i].Quantity != ""
	}
	text := ""
	if estimated {
		text += "~  estimated: a moment is known only within bounds\n"
	}
	if partial {
		text += "?  partial: a part of the time was not seen\n"
	}
	return text
}

// progress tells people at a terminal that something goes on.
type progress struct {
	cli   *cli
	start time.Time
	shown bool
}

// patience is how long people wait without being told anything.
const patience = 2 * time.Second

func (c *cli) progress() *progress { return &progress{cli: c, start: c.now()} }

func (p *progress) say(format string, args ...any) {
	if !isTerminal(p.cli.ErrOut) || p.cli.now().Sub(p.start) < patience {
		return
	}
	p.shown = true
	fmt.Fprintf(p.cli.ErrOut, "\r\x1b[K"+format, args...)
}

func (p *progress) end() {
	if p.shown {
		fmt.Fprint(p.cli.ErrOut, "\r\x1b[K")
	}
}

// isTerminal tells whether a stream is one.
func isTerminal(stream any) bool {
	file, is := stream.(interface{ Fd() uintptr })
	return is && term.IsTerminal(int(file.Fd()))
}

// room is how wide the output may be, and whether that is so because of a terminal
// or a flag.
func (c *cli) room() (columns int, limited bool) {
	if c.width > 0 {
		return c.width, true
	}
	if file, is := c.Out.(interface{ Fd() uintptr }); is {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
			return width, true
		}
	}
	return 80, false
}
