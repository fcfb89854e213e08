package usagecli

import (
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// idle is kubectl usage idle.
func (c *cli) idle() *cobra.Command {
	var (
		at  when
		out format
		by  string
	)
	command := &cobra.Command{
		Use:   "idle",
		Short: "Show how much of the capacity was held, and how much idle.",
		Long: `Show what became of the cluster's capacity: held under deployments, held under
none, and idle.

The capacity is what the nodes have, as the node-pool meters read it; it
includes what nodes keep for themselves. Held is what containers request and
what virtual machines have; the pod that runs a machine is not counted beside
it. A pod that waits for a node holds nothing. Both sides are compared hour by
hour, where both are known:

  attributed + unattributed + idle = capacity + beyond

Beyond is what is held above the capacity of an hour, as by guests with more
CPUs than their node.

It is for those who may list usagerecords in all namespaces.`,
		Example: "  kubectl usage idle --last 7d\n  kubectl usage idle --last-month --by day -o csv",
		Args:    exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.validate(); err != nil {
				return err
			}
			if by != "none" && !slices.Contains(sizes, by) {
				return misused("--by=%s: want one of none, %s", by, strings.Join(sizes, ", "))
			}
			query, err := at.query(c.now(), false)
			if err != nil {
				return err
			}
			query.Set("window_size", by)
			query.Set("time_zone", at.zone)
			to, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			answer := &wire.Capacity{}
			if err := to.ask(cmd.Context(), http.MethodGet, "v1alpha1/capacity", query, nil, answer); err != nil {
				return err
			}
			switch {
			case isObject(out.name):
				return c.printObject(out.name, answer)
			case out.name == "csv":
				return c.printCSV(capacityRows(answer))
			}
			if t := toldBy(to.told); t.percent == "" {
				t.begun = !answer.Window.StartTime.After(c.now())
				fmt.Fprint(c.ErrOut, t.nothing("", between(&answer.Window.StartTime, &answer.Window.EndTime)))
				return nil
			}
			if err := c.printTable(capacityTable(answer, by != "none"), out.name == "wide"); err != nil {
				return err
			}
			return c.capacityFoot(answer)
		},
	}
	command.Flags().StringVar(&by, "by", "none", "A line for each window: hour, day, week, month.")
	at.addFlags(command.Flags())
	out.addFlag(command)
	return command
}

// capacityTable has a line for each dimension, or for each of its windows.
func capacityTable(a *wire.Capacity, windows bool) *table {
	t := &table{columns: []column{
		{name: "DIMENSION"}, {name: "CAPACITY", right: true}, {name: "ATTRIBUTED", right: true}, {name: "UNATTRIBUTED", right: true},
		{name: "IDLE", right: true}, {name: "IDLE %", right: true}, {name: "BEYOND", right: true, spare: true}, {name: "UNIT"}, {name: "UNKNOWN", right: true, spare: true},
	}}
	if windows {
		t.columns = slices.Insert(t.columns, 1, column{name: "FROM"})
	}
	for i := range a.Dimensions {
		d := &a.Dimensions[i]
		if !windows {
			t.add(capacityCells(d, "", &d.Total)...)
			continue
		}
		for j := range d.Windows {
			t.add(capacityCells(d, d.Windows[j].StartTime.UTC().Format(stampLayout), &d.Windows[j].CapacityFigures)...)
		}
	}
	return t
}

func capacityCells(d *wire.CapacityDimension, from string, f *wire.CapacityFigures) []string {
	cells := []string{d.Dimension}
	if from != "" {
		cells = append(cells, from)
	}
	percent := "-"
	if f.Idle != nil {
		percent = share(whole(f.Idle), whole(f.Capacity))
	}
	lasts := (time.Duration(f.UnknownSeconds) * time.Second).String()
	return append(cells, figure(f.Capacity, f), figure(f.Attributed, f), figure(f.Unattributed, f), figure(f.Idle, f), percent, figure(f.Beyond, f), d.Unit, lasts)
}

// figure is one of them as people read it, with the mark of its accuracy.
func figure(q *wire.Figure, f *wire.CapacityFigures) string {
	row := wire.Row{ReportRow: v1alpha1.ReportRow{Accuracy: f.Accuracy}}
	if q != nil {
		row.Quantity = q.Quantity
	}
	return quantity(&row)
}

func whole(f *wire.Figure) *big.Int {
	n, ok := new(big.Int).SetString(f.Exact, 10)
	if !ok {
		return nil
	}
	return n
}

// capacityRows are for programs: a line for each dimension and window, exact.
func capacityRows(a *wire.Capacity) *table {
	t := &table{}
	for _, name := range []string{"start_time", "end_time", "dimension", "capacity", "attributed", "unattributed", "idle", "beyond", "exact_unit", "compared_seconds", "unknown_seconds", "accuracy"} {
		t.columns = append(t.columns, column{name: name})
	}
	for i := range a.Dimensions {
		d := &a.Dimensions[i]
		for j := range d.Windows {
			w := &d.Windows[j]
			cells := []string{w.StartTime.UTC().Format(stampLayout), w.EndTime.UTC().Format(stampLayout), d.Dimension}
			for _, q := range []*wire.Figure{w.Capacity, w.Attributed, w.Unattributed, w.Idle, w.Beyond} {
				exact := ""
				if q != nil {
					exact = q.Exact
				}
				cells = append(cells, exact)
			}
			t.add(append(cells, d.ExactUnit, fmt.Sprint(w.ComparedSeconds), fmt.Sprint(w.UnknownSeconds), string(w.Accuracy))...)
		}
	}
	return t
}

// capacityFoot says what is compared with what, and how well that is known.
func (c *cli) capacityFoot(a *wire.Capacity) error {
	var text strings.Builder
	var rows []wire.Row
	end := a.Window.EndTime
	if known := stated(a.Known); known.Before(end.Time) {
		end = metav1.Time{Time: known} // nothing is compared of what comes after it
	}
	fmt.Fprintf(&text, "This is %s.\n", between(&a.Window.StartTime, &end))
	alike := unknownAlike(a.Dimensions)
	for i := range a.Dimensions {
		d := &a.Dimensions[i]
		fmt.Fprintf(&text, "%s: of %s, what is held by %s.\n", d.Dimension, strings.Join(d.CapacityMetrics, ", "), strings.Join(d.HeldMetrics, ", "))
		if d.Total.Idle != nil {
			rows = append(rows, wire.Row{ReportRow: v1alpha1.ReportRow{Quantity: d.Total.Idle.Quantity, Accuracy: d.Total.Accuracy}})
		}
		if d.Total.UnknownSeconds > 0 && d.Total.UnknownSeconds != alike {
			fmt.Fprintf(&text, "%s: of %s it is unknown what there was, or what was held: that time is not compared.\n", d.Dimension, time.Duration(d.Total.UnknownSeconds)*time.Second)
		}
	}
	if alike > 0 {
		fmt.Fprintf(&text, "Of %s it is unknown what there was, or what was held: that time is not compared.\n", time.Duration(alike)*time.Second)
	}
	_, err := fmt.Fprint(c.ErrOut, "\n"+marks(rows)+text.String())
	return err
}

// unknownAlike is of how many seconds it is unknown what became of any dimension, if that is the same
// for all; 0: it is not, or there are none.
func unknownAlike(dimensions []wire.CapacityDimension) int64 {
	if len(dimensions) == 0 {
		return 0
	}
	first := dimensions[0].Total.UnknownSeconds
	for i := range dimensions {
		if dimensions[i].Total.UnknownSeconds != first {
			return 0
		}
	}
	return first
}
