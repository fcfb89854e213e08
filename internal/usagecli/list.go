package usagecli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
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
  kubectl usage list -A --last-month --by day -o focus-csv > focus.csv
  kubectl usage list --hub https://hub.example.org:8443 --last-month -o csv`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			spec, err := c.spec(&asked, &at, &out)
			if err != nil {
				return err
			}
			if by != "none" && (out.name == "table" || out.name == "wide") || !slices.Contains(append([]string{"none"}, sizes...), by) {
				return misused("--by=%s: want one of %s, with -o csv, parquet, focus-csv, json or yaml", by, strings.Join(sizes, ", "))
			}
			spec.WindowSize, spec.GroupBy = v1alpha1.WindowSize(by), c.keyed("namespace", "resourceType", "resource", "deployment")
			switch {
			case out.name == focusCSV && c.overFleet():
				return misused("-o focus-csv is about one cluster: say which: --hub-cluster=NAME")
			case out.name == focusCSV:
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
			if done, err := c.forPrograms(out.name, answer, texts(c.keyed("namespace", "resourceType", "resource", "resourceUID", "deployment"))...); done {
				return err
			}
			if out.name == "name" {
				c.sayNothing(answer)
				return c.printNames(answer.Rows)
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
	out.addFlag(command, parquetFile, focusCSV, "name")
	return command
}

// printNames writes each resource once, as get and explain take it: vm/db-0.
func (c *cli) printNames(rows []wire.Row) error {
	before := ""
	for i := range rows {
		g := rows[i].Group
		name := string(g["resourceType"] + "/" + g["resource"])
		same := string(g["namespaceUID"]+"/"+g["resourceUID"]) + name
		if g["resource"] == "" || same == before {
			continue
		}
		before = same
		if _, err := fmt.Fprintln(c.Out, plain(name)); err != nil {
			return err
		}
	}
	return nil
}

// forPrograms writes a report as programs read it, if that is asked for; keys are
// what its rows are told apart by.
func (c *cli) forPrograms(f string, a *answered, keys ...string) (done bool, err error) {
	if f != "table" && f != "wide" {
		c.sayNothing(a)
	}
	switch {
	case f == "csv":
		return true, c.printCSV(rowTable(a.Rows, keys...))
	case f == parquetFile:
		return true, c.printParquet(a.Rows, keys...)
	case isObject(f):
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
	fleet := ofFleet(rows)
	t := &table{columns: append(fleet.columns(), []column{{name: "NAMESPACE", cuts: true}, {name: "TYPE", cuts: true}, {name: "NAME", cuts: true}, {name: "DEPLOYMENT", cuts: true}, {name: "USAGE", wraps: true, figures: true}, {name: "UID", wide: true}}...)}
	var before string
	for i := range rows {
		row := &rows[i]
		g := row.Group
		words := inFull(string(g["dimension"]), quantity(row), row.Unit)
		same := strings.Join([]string{string(g["clusterUID"]), string(g["namespaceUID"]), string(g["resourceType"]), string(g["resourceUID"]), string(g["resource"]), string(g["deployment"])}, "\x00")
		if same == before {
			last := t.rows[len(t.rows)-1]
			last[len(last)-2] += ", " + words
			continue
		}
		before = same
		t.add(append(fleet.cells(row), string(g["namespace"]), string(g["resourceType"]), string(g["resource"]), string(g["deployment"]), words, string(g["resourceUID"]))...)
	}
	return t
}

// inFull is so much of a dimension: memory 16 GiB-hour, 2 listener-hours, 1 VM-hours allocated.
func inFull(dimension, quantity, unit string) string {
	if quantity == "unknown" {
		return strings.TrimSpace(dimension + " unknown")
	}
	if isCount(dimension, unit) {
		return quantity + " " + usage.Count.SpokenHours(dimension)
	}
	return dimension + " " + quantity + " " + unit
}

// isCount tells whether a dimension's unit is that of a count: what is counted.
func isCount(dimension, unit string) bool { return unit == usage.Count.HourUnit(dimension) }

// besides is a unit for a line that names the dimension: it says what is counted.
func besides(dimension, unit string) string {
	if isCount(dimension, unit) {
		return "hour"
	}
	return unit
}

// besidesMetric is a row's unit in a table with its dimension.
func besidesMetric(row *wire.Row) string { return besides(string(row.Group["dimension"]), row.Unit) }

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
