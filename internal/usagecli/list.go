package usagecli

import (
	"cmp"
	"math/big"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// list is kubectl usage list.
func (c *cli) list() *cobra.Command {
	var (
		asked scope
		at    when
		out   format
		by    string
	)
	command := &cobra.Command{
		Use:   "list",
		Short: "Show what was used, by resource.",
		Example: `  kubectl usage list                            # this month, in your namespace
  kubectl usage list -A --last 24h --type vm
  kubectl usage list --deployment web -o csv > web.csv
  kubectl usage list -A --last-month --by day -o focus-csv > focus.csv`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			spec, err := c.spec(&asked, &at, &out)
			if err != nil {
				return err
			}
			if by != "none" && (out.name == "table" || out.name == "wide") || !slices.Contains(append([]string{"none"}, sizes...), by) {
				return misused("--by=%s: want one of %s, with -o csv, parquet, focus-csv, json or yaml", by, strings.Join(sizes, ", "))
			}
			spec.WindowSize, spec.GroupBy = v1alpha1.WindowSize(by), []v1alpha1.GroupKey{"namespace", "resourceType", "resource", "deployment"}
			if out.name == focusCSV {
				spec.GroupBy = focusKeys
			}
			answer, err := c.ask(cmd.Context(), spec)
			if err != nil {
				return err
			}
			if out.name == focusCSV {
				c.sayNothing(answer)
				return c.printFocus(answer.Rows)
			}
			if done, err := c.forPrograms(out.name, answer, "namespace", "resourceType", "resource", "resourceUID", "deployment"); done {
				return err
			}
			rows := answer.sinceMetering()
			if err := c.printTable(byResource(rows), out.name == "wide"); err != nil {
				return err
			}
			return c.foot(answer, rows)
		},
	}
	command.Flags().StringVar(&by, "by", "none", "Cut the time into windows, for programs: hour, day, week, month.")
	asked.addFlags(command.Flags())
	at.addFlags(command.Flags())
	out.addFlag(command, parquetFile, focusCSV)
	return command
}

// forPrograms writes a report as programs read it, if that is asked for; keys are
// what its rows are told apart by.
func (c *cli) forPrograms(f string, a *answered, keys ...string) (done bool, err error) {
	if f != "table" && f != "wide" {
		c.sayNothing(a)
	}
	switch f {
	case "csv":
		return true, c.printCSV(rowTable(a.Rows, keys...))
	case "parquet":
		return true, c.printParquet(a.Rows, keys...)
	case "json", "yaml":
		return true, c.printObject(f, a)
	}
	return false, nil
}

func texts(keys []v1alpha1.GroupKey) []string {
	out := make([]string, len(keys))
	for i, key := range keys {
		out[i] = string(key)
	}
	return out
}

// spec is a report of what a command line asks for.
func (c *cli) spec(asked *scope, at *when, out *format) (*v1alpha1.ClusterUsageReportSpec, error) {
	if err := out.validate(); err != nil {
		return nil, err
	}
	window, err := at.window(c.now())
	if err != nil {
		return nil, err
	}
	filters, err := c.filters(asked)
	if err != nil {
		return nil, err
	}
	return &v1alpha1.ClusterUsageReportSpec{ReportWindow: *window, Filters: filters}, nil
}

// byResource is a table with a line for each resource.
func byResource(rows []wire.Row) *table {
	t := &table{columns: []column{{name: "NAMESPACE", cuts: true}, {name: "TYPE", cuts: true}, {name: "NAME", cuts: true}, {name: "DEPLOYMENT", cuts: true}, {name: "USAGE", wraps: true}, {name: "UID", wide: true}}}
	var before string
	for i := range rows {
		row := &rows[i]
		g := row.Group
		words := inFull(string(g["dimension"]), quantity(row), row.Unit)
		same := strings.Join([]string{string(g["namespaceUID"]), string(g["resourceType"]), string(g["resourceUID"]), string(g["resource"]), string(g["deployment"])}, "\x00")
		if same == before {
			last := t.rows[len(t.rows)-1]
			last[4] += ", " + words
			continue
		}
		before = same
		t.add(string(g["namespace"]), string(g["resourceType"]), string(g["resource"]), string(g["deployment"]), words, string(g["resourceUID"]))
	}
	return t
}

// inFull is so much of a dimension: memory 16 GiB-hour, 2 listener-hour.
func inFull(dimension, quantity, unit string) string {
	if quantity == "unknown" {
		return strings.TrimSpace(dimension + " unknown")
	}
	if counted, is := strings.CutSuffix(unit, "-hour"); is && counted == dimension {
		return quantity + " " + spoken(counted)
	}
	return dimension + " " + quantity + " " + unit
}

// abbreviations are words of names of dimensions that people write otherwise.
var abbreviations = map[string]string{"vm": "VM", "ip": "IP", "vpc": "VPC", "gpu": "GPU"}

// spoken is the unit of what is counted as people say it: VM-hours allocated, public IP-hours.
// The machine's own name is in what is for programs.
func spoken(counted string) string {
	words := strings.Split(counted, "_")
	for i, word := range words {
		words[i] = cmp.Or(abbreviations[word], word)
	}
	state := ""
	if last := len(words) - 1; last > 0 && (words[last] == "allocated" || words[last] == "retained") {
		words, state = words[:last], " "+words[last]
	}
	return strings.Join(words, " ") + "-hours" + state
}

// rowTable has a line for each row, as it is, for programs.
func rowTable(rows []wire.Row, keys ...string) *table {
	t := &table{columns: []column{{name: "start_time"}, {name: "end_time"}}}
	for _, key := range append(slices.Clone(keys), "dimension") {
		t.columns = append(t.columns, column{name: key})
	}
	for _, name := range []string{"quantity", "unit", "exact", "exact_unit", "accuracy"} {
		t.columns = append(t.columns, column{name: name})
	}
	for i := range rows {
		row := &rows[i]
		cells := []string{row.StartTime.UTC().Format(stampLayout), row.EndTime.UTC().Format(stampLayout)}
		for _, key := range append(slices.Clone(keys), "dimension") {
			cells = append(cells, string(row.Group[key]))
		}
		t.add(append(cells, row.Quantity, row.Unit, row.Exact, row.ExactUnit, string(row.Accuracy))...)
	}
	return t
}

const stampLayout = "2006-01-02T15:04:05Z07:00"

// top is kubectl usage top.
func (c *cli) top() *cobra.Command {
	var (
		asked scope
		at    when
		out   format
		most  int
	)
	kinds := map[string][]v1alpha1.GroupKey{
		"namespaces":  {"namespace", "resourceType"},
		"deployments": {"namespace", "deployment", "resourceType"},
		"resources":   {"namespace", "resource", "resourceType"},
	}
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
			if kinds[kind] == nil || len(args) > 1 {
				return misused("want deployments, namespaces or resources: not %q", strings.Join(args, " "))
			}
			if most < 1 {
				return misused("--most=%d: want at least 1", most)
			}
			spec, err := c.spec(&asked, &at, &out)
			if err != nil {
				return err
			}
			spec.GroupBy = kinds[kind]
			answer, err := c.ask(cmd.Context(), spec)
			if err != nil {
				return err
			}
			answer.Rows = largest(answer.Rows, most)
			if done, err := c.forPrograms(out.name, answer, texts(spec.GroupBy)...); done {
				return err
			}
			answer.Rows = answer.sinceMetering()
			if err := c.printTable(ranked(answer, kind), out.name == "wide"); err != nil {
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

func ranked(a *answered, kind string) *table {
	t := &table{columns: []column{{name: "METRIC", cuts: true}, {name: "NAMESPACE", cuts: true}}}
	if kind != "namespaces" {
		t.columns = append(t.columns, column{name: strings.ToUpper(strings.TrimSuffix(kind, "s")), cuts: true})
	}
	t.columns = append(t.columns, column{name: "USAGE", right: true}, column{name: "UNIT"}, column{name: "SHARE", right: true})
	whole := map[string]*big.Int{}
	for i := range a.Totals {
		total := &a.Totals[i]
		n, _ := new(big.Int).SetString(total.Exact, 10)
		whole[total.ResourceType+"."+total.Dimension+total.Unit] = n
	}
	for i := range a.Rows {
		row := &a.Rows[i]
		cells := []string{metric(row), string(row.Group["namespace"])}
		if kind != "namespaces" {
			cells = append(cells, string(row.Group[strings.TrimSuffix(kind, "s")]))
		}
		t.add(append(cells, quantity(row), row.Unit, share(exact(row), whole[metric(row)+row.Unit]))...)
	}
	return t
}

// share is a part of the whole in percent.
func share(part, whole *big.Int) string {
	if part == nil || whole == nil || whole.Sign() == 0 {
		return "-"
	}
	ratio := new(big.Rat).SetFrac(new(big.Int).Mul(part, big.NewInt(100)), whole)
	return ratio.FloatString(1) + "%"
}
