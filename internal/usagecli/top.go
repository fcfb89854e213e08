package usagecli

import (
	"cmp"
	"context"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// topKeys are what rows are grouped by, by what is ranked.
var topKeys = map[string][]v1alpha1.GroupKey{
	"namespaces":  {"namespace", "resourceType"},
	"deployments": {"namespace", "deployment", "resourceType"},
	"resources":   {"namespace", "resource", "resourceType"},
}

// top is kubectl usage top.
func (c *cli) top() *cobra.Command {
	var (
		asked scope
		at    when
		out   format
		most  int
	)
	command := &cobra.Command{
		Use:       "top [deployments|namespaces|resources]",
		Short:     "Show who used most, of each dimension.",
		Example:   "  kubectl usage top namespaces -A --last 7d\n  kubectl usage top resources --type vm --dimension vcpu",
		ValidArgs: []string{"deployments", "namespaces", "resources"},
		RunE: func(cmd *cobra.Command, args []string) error {
			kind := "deployments"
			if len(args) == 1 {
				kind = groupKinds[strings.ToLower(args[0])]
			}
			if topKeys[kind] == nil || len(args) > 1 {
				return misused("want deployments, namespaces or resources: not %q", strings.Join(args, " "))
			}
			if most < 1 {
				return misused("--most=%d: want at least 1", most)
			}
			spec, err := c.spec(&asked, &at, &out)
			if err != nil {
				return err
			}
			spec.GroupBy = c.keyed(topKeys[kind]...)
			answer, others, err := c.askTop(cmd.Context(), spec, most)
			if err != nil {
				return err
			}
			if done, err := c.forPrograms(out.name, answer, texts(spec.GroupBy)...); done {
				return err
			}
			answer.Rows = answer.sinceMetering()
			if err := c.printTable(ranked(answer, others, kind), out.name == "wide"); err != nil {
				return err
			}
			return c.foot(answer, answer.Rows)
		},
	}
	command.Flags().IntVar(&most, "most", 10, "How many of each dimension.")
	asked.addFlags(command.Flags())
	at.addFlags(command.Flags())
	out.addFlag(command, parquetFile)
	return command
}

// askTop reads the rows of a report with the most of each metric, and what the others add
// up to. An operator that knows no ranking gives pages of all rows, and they are ranked here.
func (c *cli) askTop(ctx context.Context, spec *v1alpha1.ClusterUsageReportSpec, most int) (*answered, []wire.Others, error) {
	at, err := c.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	spec.Limit = rowsAtOnce
	found := &wire.FleetReport{}
	if err := at.ask(ctx, http.MethodPost, "v1alpha1/report", url.Values{"top": {strconv.Itoa(most)}}, c.question(spec), found); err != nil {
		return nil, nil, err
	}
	answer := answerTo(spec, found)
	if answer.NextPage != "" {
		if answer, err = c.ask(ctx, spec); err != nil {
			return nil, nil, err
		}
	}
	answer.Rows = largest(answer.Rows, most)
	return answer, found.Others, nil
}

// largest are the rows with the most, of each metric in order.
func largest(rows []wire.Row, most int) []wire.Row {
	slices.SortStableFunc(rows, func(a, b wire.Row) int {
		first, second := cmp.Or(exact(&a), new(big.Int)), cmp.Or(exact(&b), new(big.Int))
		return cmp.Or(cmp.Compare(metric(&a), metric(&b)), cmp.Compare(a.Unit, b.Unit), second.Cmp(first))
	})
	var kept []wire.Row
	n := 0
	for i := range rows {
		if i > 0 && metric(&rows[i]) == metric(&rows[i-1]) && rows[i].Unit == rows[i-1].Unit {
			n++
		} else {
			n = 0
		}
		if n < most {
			kept = append(kept, rows[i])
		}
	}
	return kept
}

func ranked(a *answered, others []wire.Others, kind string) *table {
	fleet := ofFleet(a.Rows)
	t := &table{columns: append(fleet.columns(), column{name: "METRIC", cuts: true}, column{name: "NAMESPACE", cuts: true})}
	if kind != "namespaces" {
		t.columns = append(t.columns, column{name: strings.ToUpper(strings.TrimSuffix(kind, "s")), cuts: true})
	}
	t.columns = append(t.columns, column{name: "USAGE", right: true}, column{name: "UNIT", cuts: true}, column{name: "SHARE", right: true})
	whole := map[string]*big.Int{}
	for i := range a.Totals {
		total := &a.Totals[i]
		n, _ := new(big.Int).SetString(total.Exact, 10)
		whole[total.ResourceType+"."+total.Dimension+total.Unit] = n
	}
	for i := range a.Rows {
		row := &a.Rows[i]
		cells := append(fleet.cells(row), metric(row), string(row.Group["namespace"]))
		if kind != "namespaces" {
			cells = append(cells, string(row.Group[strings.TrimSuffix(kind, "s")]))
		}
		t.add(append(cells, quantity(row), besidesMetric(row), share(exact(row), whole[metric(row)+row.Unit]))...)
		if i == len(a.Rows)-1 || metric(&a.Rows[i+1]) != metric(row) || a.Rows[i+1].Unit != row.Unit {
			addOthers(t, others, row, whole[metric(row)+row.Unit], kind, fleet)
		}
	}
	return t
}

// addOthers adds a line for what the rows of a metric add up to that are not shown.
func addOthers(t *table, others []wire.Others, last *wire.Row, whole *big.Int, kind string, fleet fleet) {
	for i := range others {
		o := &others[i]
		if o.ResourceType+"."+o.Dimension != metric(last) || o.Unit != last.Unit {
			continue
		}
		rest := wire.Row{ReportRow: v1alpha1.ReportRow{Quantity: o.Quantity, Exact: o.Exact, Unit: o.Unit, Accuracy: o.Accuracy}}
		cells := append(fleet.cells(&rest), metric(last), fmt.Sprintf("(%d others)", o.Count))
		if kind != "namespaces" {
			cells = append(cells, "")
		}
		t.add(append(cells, quantity(&rest), besidesMetric(last), share(exact(&rest), whole))...)
	}
}

// share is a part of the whole in percent.
func share(part, whole *big.Int) string {
	if part == nil || whole == nil || whole.Sign() == 0 {
		return "-"
	}
	ratio := new(big.Rat).SetFrac(new(big.Int).Mul(part, big.NewInt(100)), whole)
	return ratio.FloatString(1) + "%"
}
