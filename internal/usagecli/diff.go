package usagecli

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// diff is kubectl usage diff.
func (c *cli) diff() *cobra.Command {
	var (
		asked    scope
		at, then when
		out      format
		most     int
	)
	command := &cobra.Command{
		Use:   "diff [deployments|namespaces|resources]",
		Short: "Show what changed most from one time to another.",
		Long: `Show what changed most from one time to another, of each dimension.

Without --against-from it is compared with the time of the same length before;
this month so far, with as much of the last month; and --last-month, with the
month before.`,
		Example:   "  # This month so far, with as much of the last.\n  kubectl usage diff\n\n  kubectl usage diff namespaces -A --last 7d\n\n  # The first week of November, with that of October.\n  kubectl usage diff --from 2026-11-01 --to 2026-11-08 \\\n    --against-from 2026-10-01 --against-to 2026-10-08",
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
			spec.GroupBy = topKeys[kind]
			older, newer, err := c.compared(cmd.Context(), &at, &then, spec)
			if err != nil {
				return err
			}
			changes := changesOf(older, newer)
			shown := out.name == "table" || out.name == "wide"
			t := diffTable(changes, kind, most, shown)
			switch {
			case isObject(out.name):
				err = c.printObject(out.name, map[string]any{"from": older.Window, "to": newer.Window, "changes": changes})
			case out.name == "csv":
				err = c.printCSV(t)
			default:
				err = c.printTable(t, out.name == "wide")
			}
			if err != nil {
				return err
			}
			return c.diffFoot(older, newer, changes, shown)
		},
	}
	command.Flags().IntVar(&most, "most", 10, "How many of each dimension.")
	asked.addFlags(command.Flags())
	at.addFlags(command.Flags())
	command.Flags().StringVar(&then.from, "against-from", "", "The first second of the time to compare with.")
	command.Flags().StringVar(&then.to, "against-to", "", "The first second after it. With as much time, if there is --against-from alone.")
	out.addFlag(command)
	return command
}

// compared asks for both times. Of one that goes on there are figures up to some moment, and it is
// compared up to there: else what is not counted yet would be shown as used no more.
func (c *cli) compared(ctx context.Context, at, then *when, spec *v1alpha1.ClusterUsageReportSpec) (older, newer *answered, err error) {
	before, now := *spec, c.now()
	if err := against(at, then, spec, &before, now, now); err != nil {
		return nil, nil, err
	}
	if newer, err = c.ask(ctx, spec); err != nil {
		return nil, nil, err
	}
	if until := newer.covered(); !until.IsZero() && until.Before(newer.Window.EndTime.Time) {
		newer.Window.EndTime = metav1.Time{Time: until}
		if err := against(at, then, spec, &before, now, until); err != nil {
			return nil, nil, err
		}
	}
	older, err = c.ask(ctx, &before)
	return older, newer, err
}

// against makes both specs windows with bounds: the one asked for, up to a moment, and the one
// that it is compared with.
func against(at, then *when, spec, before *v1alpha1.ClusterUsageReportSpec, now, until time.Time) error {
	start, end, err := at.moments(now)
	if err != nil {
		return err
	}
	until = until.UTC().Truncate(time.Second)
	if end.After(until) && start.Before(until) {
		end = until // so much of the month has passed
	}
	zone, err := at.location()
	if err != nil {
		return err
	}
	from, to := at.before(start, end, zone)
	switch {
	case then.from != "":
		if from, err = moment(then.from, now, zone); err != nil {
			return misused("--against-from: %v", err)
		}
		to = from.Add(end.Sub(start))
		if then.to != "" {
			if to, err = moment(then.to, now, zone); err != nil {
				return misused("--against-to: %v", err)
			}
		}
		if !from.Before(to) {
			return misused("--against-from: %s is not before %s", from.Format(time.RFC3339), to.Format(time.RFC3339))
		}
	case then.to != "":
		return misused("there is --against-to without --against-from: say where the window begins")
	}
	for _, w := range []struct {
		of       *v1alpha1.ClusterUsageReportSpec
		from, to time.Time
	}{{spec, start, end}, {before, from, to}} {
		w.of.Period, w.of.StartingOn, w.of.EndingBefore = nil, &metav1.Time{Time: w.from.UTC()}, &metav1.Time{Time: w.to.UTC()}
	}
	return nil
}

// before is the time that one is compared with: as much of it just before, or the month before.
func (w *when) before(start, end time.Time, zone *time.Location) (from, to time.Time) {
	if w.last != "" || w.from != "" {
		return start.Add(-end.Sub(start)), start
	}
	month := timeline.Period(start.Unix()-1, timeline.Month, 0, zone)
	from, to = time.Unix(month.Start, 0), time.Unix(month.End, 0)
	if so := from.Add(end.Sub(start)); !w.lastMonth && so.Before(to) {
		to = so
	}
	return from, to
}

// change is what a group used in one time, and in another, and how well each is known. A side
// that is unknown is "".
type change struct {
	Metric         string                             `json:"metric"`
	Group          map[string]v1alpha1.AttributeValue `json:"group"`
	Before         string                             `json:"before"`
	BeforeAccuracy v1alpha1.Accuracy                  `json:"beforeAccuracy"`
	After          string                             `json:"after"`
	AfterAccuracy  v1alpha1.Accuracy                  `json:"afterAccuracy"`
	// Change is what it used more, exactly, in ExactUnit; "" where a side is unknown.
	Change    string `json:"change"`
	Unit      string `json:"unit"`
	ExactUnit string `json:"exactUnit"`

	older, newer *wire.Row
	by           *big.Int
}

// changesOf pairs rows of two reports with the same keys, and orders the changes by metric,
// the largest first, whatever its sign. A group that has no row used nothing, in the time that is
// known.
func changesOf(older, newer *answered) []*change {
	found := map[string]*change{}
	list := []*change{}
	of := func(row *wire.Row) *change {
		key := fmt.Sprint(metric(row), row.Unit, row.Group)
		if found[key] == nil {
			found[key] = &change{Metric: metric(row), Group: row.Group, Unit: row.Unit, ExactUnit: row.ExactUnit}
			list = append(list, found[key])
		}
		return found[key]
	}
	for i := range older.Rows {
		of(&older.Rows[i]).older = &older.Rows[i]
	}
	for i := range newer.Rows {
		of(&newer.Rows[i]).newer = &newer.Rows[i]
	}
	list = slices.DeleteFunc(list, func(x *change) bool { return x.Unit == "" }) // that nothing is known
	for _, x := range list {
		x.pair(older, newer)
	}
	slices.SortStableFunc(list, func(a, b *change) int {
		return cmp.Or(cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Unit, b.Unit), new(big.Int).Abs(b.size()).Cmp(new(big.Int).Abs(a.size())))
	})
	return list
}

// absent is what a group without a row has used: nothing, as far as the time is known.
func (a *answered) absent() *wire.Row {
	row := wire.Row{ReportRow: v1alpha1.ReportRow{Quantity: "0", Exact: "0", Accuracy: v1alpha1.AccuracyExact}}
	switch t := a.told(); {
	case len(a.Rows) == 1 && a.Rows[0].Unit == "": // which says that nothing is known
		row.Quantity, row.Exact, row.Accuracy = "", "", v1alpha1.AccuracyPartial
	case t.percent != "" && t.percent != "100":
		row.Accuracy = v1alpha1.AccuracyPartial
	}
	return &row
}

func (x *change) pair(older, newer *answered) {
	x.older, x.newer = cmp.Or(x.older, older.absent()), cmp.Or(x.newer, newer.absent())
	x.Before, x.BeforeAccuracy = x.older.Quantity, x.older.Accuracy
	x.After, x.AfterAccuracy = x.newer.Quantity, x.newer.Accuracy
	before, after := exact(x.older), exact(x.newer)
	if before != nil && after != nil {
		x.by = new(big.Int).Sub(after, before)
		x.Change = x.by.String()
	}
}

// accuracy is that of the change: of the side that is known less well.
func (x *change) accuracy() v1alpha1.Accuracy {
	for _, a := range []v1alpha1.Accuracy{v1alpha1.AccuracyPartial, v1alpha1.AccuracyEstimated} {
		if x.BeforeAccuracy == a || x.AfterAccuracy == a {
			return a
		}
	}
	return v1alpha1.AccuracyExact
}

func (x *change) size() *big.Int { return cmp.Or(x.by, new(big.Int)) }

// amount is the change as people read it; "" where it is unknown.
func (x *change) amount() string {
	if x.by == nil {
		return ""
	}
	amount, err := usage.ParseAmount(new(big.Int).Abs(x.by).String())
	if err != nil {
		return ""
	}
	return sign(x.by) + unitOf(x.ExactUnit).Hours(amount, changeDigits)
}

// unit is for people, beside the metric.
func (x *change) unit() string { return besides(string(x.Group["dimension"]), x.Unit) }

// changeDigits are those after the point of a change.
const changeDigits = 6

func sign(n *big.Int) string {
	switch n.Sign() {
	case -1:
		return "-"
	case 1:
		return "+"
	}
	return ""
}

// unitOf is the unit that an exact unit is of: "millicore-second" of cores.
func unitOf(exactUnit string) usage.Unit {
	base := strings.TrimSuffix(exactUnit, "-second")
	if u := usage.Unit(base); u.Base() == base {
		return u
	}
	return usage.Unit(strings.TrimPrefix(base, "milli"))
}

// percent is the change in percent of what was used before.
func (x *change) percent() string {
	if x.by == nil {
		return "-"
	}
	if before := exact(x.older); before != nil && before.Sign() != 0 {
		return strings.TrimPrefix(sign(x.by), "-") + share(x.by, before)
	}
	return "-"
}

// diffTable has a line for each of the largest changes of each metric, and one for the others.
// People see marks of how well a figure is known; csv has all changes, and the accuracies.
func diffTable(changes []*change, kind string, most int, people bool) *table {
	t := &table{columns: []column{{name: "METRIC", cuts: true}, {name: "NAMESPACE", cuts: true}}}
	name := strings.TrimSuffix(kind, "s")
	if kind != "namespaces" {
		t.columns = append(t.columns, column{name: strings.ToUpper(name), cuts: true})
	}
	percent := "%"
	if !people {
		percent = "percent"
	}
	t.columns = append(t.columns, column{name: "BEFORE", right: true, sparse: true}, column{name: "AFTER", right: true}, column{name: "CHANGE", right: true}, column{name: percent, right: true, spare: true}, column{name: "UNIT", cuts: true})
	if !people {
		t.columns = append(t.columns, column{name: "exact_change"}, column{name: "exact_unit"}, column{name: "before_accuracy"}, column{name: "after_accuracy"})
	}
	for same := range chunksOf(changes) {
		for i, x := range same {
			if i == most && people {
				addRest(t, same[most:], kind)
				break
			}
			cells := []string{x.Metric, string(x.Group["namespace"])}
			if kind != "namespaces" {
				cells = append(cells, string(x.Group[name]))
			}
			if people {
				t.add(append(cells, quantity(x.older), quantity(x.newer), marked(x.amount(), x.accuracy()), x.percent(), x.unit())...)
				continue
			}
			percent := strings.TrimSuffix(x.percent(), "%")
			if percent == "-" { // as all that is unknown is in csv
				percent = ""
			}
			t.add(append(cells, x.Before, x.After, x.amount(), percent, x.Unit, x.Change, x.ExactUnit, string(x.BeforeAccuracy), string(x.AfterAccuracy))...)
		}
	}
	return t
}

// chunksOf are the changes of one metric each.
func chunksOf(changes []*change) iter.Seq[[]*change] {
	return func(yield func([]*change) bool) {
		for len(changes) > 0 {
			n := 1
			for n < len(changes) && changes[n].Metric == changes[0].Metric && changes[n].Unit == changes[0].Unit {
				n++
			}
			if !yield(changes[:n]) {
				return
			}
			changes = changes[n:]
		}
	}
}

// addRest adds a line for what the changes add up to that are not shown.
func addRest(t *table, rest []*change, kind string) {
	sum := &change{Metric: rest[0].Metric, Unit: rest[0].Unit, ExactUnit: rest[0].ExactUnit, by: new(big.Int)}
	least := v1alpha1.AccuracyExact
	for _, x := range rest {
		if worse := x.accuracy(); worse == v1alpha1.AccuracyPartial || least == v1alpha1.AccuracyExact {
			least = worse
		}
		if x.by == nil {
			sum.by = nil
			break
		}
		sum.by.Add(sum.by, x.by)
	}
	cells := []string{sum.Metric, fmt.Sprintf("(%d others)", len(rest))}
	if kind != "namespaces" {
		cells = append(cells, "")
	}
	t.add(append(cells, "", "", marked(sum.amount(), least), "", rest[0].unit())...)
}

// diffFoot says which times are compared, and how well they are known. Programs see that in each
// change, and people who run them, why there is none.
func (c *cli) diffFoot(older, newer *answered, changes []*change, people bool) error {
	if !people && len(changes) > 0 {
		return nil
	}
	var sides []wire.Row
	for _, x := range changes {
		sides = append(sides, *x.older, *x.newer)
	}
	var text strings.Builder
	text.WriteString(marks(sides))
	for _, side := range []struct {
		name string
		of   *answered
	}{{"Before", older}, {"After", newer}} {
		text.WriteString(side.name + " is " + between(&side.of.Window.StartTime, &side.of.Window.EndTime))
		t := side.of.told()
		t.begun = !side.of.Window.StartTime.After(c.now())
		switch {
		case len(changes) == 0 || t.isUnknown():
			text.WriteString(". " + strings.TrimSuffix(t.nothing("Nothing was used", between(&side.of.Window.StartTime, &side.of.Window.EndTime)), ".\n"))
		case t.percent != "" && t.percent != "100":
			fmt.Fprintf(&text, ", of which %s%% are known: %s", t.percent, t.why())
		}
		text.WriteString(".\n")
	}
	if t := newer.told(); newer.everywhere && !t.isUnknown() {
		text.WriteString(t.ofWhatIsSeen(""))
	}
	if end := &newer.Window.EndTime; len(changes) > 0 && (newer.SealedTime == nil || newer.SealedTime.Before(end)) {
		text.WriteString(newer.reaches())
	}
	_, err := fmt.Fprint(c.ErrOut, "\n"+text.String())
	return err
}
