package usagecli

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// sizes are those of a chart's windows.
var sizes = []string{"hour", "day", "week", "month"}

// chart is kubectl usage chart.
func (c *cli) chart() *cobra.Command {
	var (
		asked scope
		at    when
		out   format
		by    string
		ascii bool
	)
	command := &cobra.Command{
		Use:   "chart [deployment/NAME | namespace/NAME]",
		Short: "Draw what was used, window by window.",
		Example: `  kubectl usage chart deployment/web --by day
  kubectl usage chart --by hour --last 24h --type vm --dimension vcpu`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return misused("want one of deployment/NAME and namespace/NAME, or neither: there are %d arguments", len(args))
			}
			if !slices.Contains(sizes, by) {
				return misused("--by=%s: want one of %s", by, strings.Join(sizes, ", "))
			}
			spec, err := c.spec(&asked, &at, &out)
			if err != nil {
				return err
			}
			if err := narrow(spec, args); err != nil {
				return err
			}
			spec.WindowSize, spec.Zeros, spec.GroupBy = v1alpha1.WindowSize(by), v1alpha1.ZerosFill, []v1alpha1.GroupKey{"resourceType"}
			answer, err := c.ask(cmd.Context(), spec)
			if err != nil {
				return err
			}
			if done, err := c.forPrograms(out.name, answer, texts(spec.GroupBy)...); done {
				return err
			}
			answer.Rows = answer.sinceMetering()
			zone, err := time.LoadLocation(spec.TimeZone)
			if err != nil {
				zone = time.UTC
			}
			if _, err := fmt.Fprint(c.Out, c.bars(answer, by, zone, ascii)); err != nil {
				return err
			}
			if slices.ContainsFunc(answer.Rows, answer.goesOn) {
				fmt.Fprintf(c.ErrOut, "\n%s  not over, or not final: %s\n", unfinished, answer.asOf())
			}
			return c.foot(answer, answer.Rows)
		},
	}
	command.ValidArgsFunction = c.suggest(false, func(group map[string]string) string {
		if group["deployment"] == "" {
			return ""
		}
		return "deployment/" + group["deployment"]
	}, "namespace", "deployment")
	command.Flags().StringVar(&by, "by", "day", "How long a bar's window is: hour, day, week, month.")
	command.Flags().BoolVar(&ascii, "ascii", false, "Draw with # alone.")
	asked.addFlags(command.Flags())
	at.addFlags(command.Flags())
	out.addFlag(command, parquetFile)
	return command
}

// narrow has the report count what the argument names.
func narrow(spec *v1alpha1.ClusterUsageReportSpec, args []string) error {
	if len(args) == 0 {
		return nil
	}
	kind, name, found := strings.Cut(args[0], "/")
	switch {
	case !found || name == "":
		return misused("%s: want deployment/NAME or namespace/NAME", args[0])
	case groupKinds[strings.ToLower(kind)] == "deployments":
		spec.Filters.Deployments = values([]string{name})
	case groupKinds[strings.ToLower(kind)] == "namespaces":
		spec.Filters.Namespaces = values([]string{name})
	default:
		return misused("%s: want deployment/NAME or namespace/NAME", args[0])
	}
	return nil
}

var layouts = map[string]string{"hour": "2006-01-02 15:04", "day": "Mon 2006-01-02", "week": "2006-01-02", "month": "2006-01"}

// unfinished marks a window whose figure may still change.
const unfinished = "+"

// goesOn tells whether a row's window is not sealed as a whole, and its figure may still change.
func (a *answered) goesOn(row wire.Row) bool {
	return row.Quantity != "" && (a.SealedTime == nil || a.SealedTime.Before(&row.EndTime))
}

// bars draws a metric after the other.
func (c *cli) bars(answer *answered, by string, zone *time.Location, ascii bool) string {
	rows := answer.Rows
	series := map[string][]*wire.Row{}
	var metrics []string
	for i := range rows {
		m := metric(&rows[i]) + " " + rows[i].Unit
		if series[m] == nil {
			metrics = append(metrics, m)
		}
		series[m] = append(series[m], &rows[i])
	}
	slices.Sort(metrics)
	columns, _ := c.room()
	var out strings.Builder
	for i, m := range metrics {
		if i > 0 {
			out.WriteString("\n")
		}
		name, unit, _ := strings.Cut(m, " ")
		title := plain(name)
		if dimension := string(series[m][0].Group["dimension"]); isCount(dimension, unit) {
			title += ", in " + plain(usage.Count.SpokenHours(dimension))
		} else if unit != "" { // nothing is known of anything
			title += ", in " + plain(unit) + "s"
		}
		if title != "" {
			out.WriteString(c.paint(bold, title) + "\n")
		}
		most, width, marks := new(big.Int), 0, false
		shown := c.collapsed(&out, series[m], by, zone)
		for _, row := range shown {
			if n := exact(row); n != nil && n.Cmp(most) > 0 {
				most = n
			}
			width = max(width, utf8.RuneCountInString(quantity(row)))
			marks = marks || answer.goesOn(*row)
		}
		for _, row := range shown {
			label := row.StartTime.In(zone).Format(layouts[by])
			room := max(8, columns-utf8.RuneCountInString(label)-width-4)
			mark := ""
			if marks {
				mark, room = " ", room-1
			}
			if answer.goesOn(*row) {
				mark = unfinished
			}
			line := fmt.Sprintf("%s  %*s%s  %s", label, width, quantity(row), mark, c.paint(trust[row.Accuracy], bar(exact(row), most, room, ascii)))
			out.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	return out.String()
}

// collapsed writes one line for the windows at the beginning of which nothing is known, if
// there are several, and gives the others.
func (c *cli) collapsed(out *strings.Builder, rows []*wire.Row, by string, zone *time.Location) []*wire.Row {
	n := 0
	for n < len(rows) && rows[n].Quantity == "" {
		n++
	}
	if n < 2 {
		return rows
	}
	fmt.Fprintf(out, "%s to %s: unknown\n", rows[0].StartTime.In(zone).Format(layouts[by]), rows[n-1].EndTime.In(zone).Format(layouts[by]))
	return rows[n:]
}

// eighths are the ends of bars.
var eighths = []string{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"}

// bar is as long as part is of most.
func bar(part, most *big.Int, room int, ascii bool) string {
	if part == nil || most.Sign() == 0 {
		return ""
	}
	scale := int64(8)
	if ascii {
		scale = 1
	}
	n := new(big.Int).Mul(part, big.NewInt(int64(room)*scale))
	long := int(n.Add(n, new(big.Int).Rsh(most, 1)).Div(n, most).Int64())
	if long == 0 && part.Sign() > 0 {
		long = 1 // something is not nothing
	}
	if ascii {
		return strings.Repeat("#", long)
	}
	return strings.Repeat("█", long/8) + eighths[long%8]
}
