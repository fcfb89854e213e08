package usagecli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// records is kubectl usage records.
func (c *cli) records() *cobra.Command {
	var (
		everywhere  bool
		deployments []string
		at          when
		out         format
	)
	command := &cobra.Command{
		Use:   "records",
		Short: "Show the UsageRecords of any time, from the ledger.",
		Long: `Show the UsageRecords of any time, from the ledger: also those that the cluster
has pruned. They are byte by byte what was published, with the same digests.

Intervals that are sealed have records here; kubectl get usagerecords also shows
the one that goes on.`,
		Example: `  kubectl usage records --interval 2026-11-01T10:00:00Z
  kubectl usage records --deployment web --last-month -o csv > web.csv
  kubectl usage records -A --interval 20261101T1000Z -o yaml`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.validate(); err != nil {
				return err
			}
			query, err := at.query(c.now(), false)
			if err != nil {
				return err
			}
			if !everywhere {
				namespace, err := c.namespace()
				if err != nil {
					return err
				}
				query.Set("project_id", namespace)
			}
			query["deployment"] = deployments
			list, said, err := c.readRecords(cmd.Context(), query)
			if err != nil {
				return err
			}
			return c.printRecords(list, &out, &said, query)
		},
	}
	command.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "All namespaces that you may see.")
	command.Flags().StringSliceVar(&deployments, "deployment", nil, "Only what is under these deployments.")
	at.addIntervalFlag(command.Flags())
	at.addFlags(command.Flags())
	out.addFlag(command, parquetFile, "name")
	return command
}

// readRecords reads all pages.
func (c *cli) readRecords(ctx context.Context, query url.Values) (*v1alpha1.UsageRecordList, told, error) {
	at, err := c.connect(ctx)
	if err != nil {
		return nil, told{}, err
	}
	progress := c.progress()
	defer progress.end()
	all := &v1alpha1.UsageRecordList{}
	for {
		page := &v1alpha1.UsageRecordList{}
		if err := at.ask(ctx, http.MethodGet, "v1alpha1/records", query, nil, page); err != nil {
			return nil, told{}, err
		}
		next := page.Continue
		page.Items, page.Continue = append(all.Items, page.Items...), ""
		if all = page; next == "" {
			return all, toldBy(at.told), nil
		}
		query.Set("cursor", next)
		progress.say("%d records ...", len(all.Items))
	}
}

func (c *cli) printRecords(list *v1alpha1.UsageRecordList, out *format, said *told, query url.Values) error {
	if len(list.Items) == 0 {
		c.sayNoRecords(said, query)
	}
	if out.name == "name" {
		for i := range list.Items {
			fmt.Fprintf(c.Out, "usagerecord.%s/%s\n", v1alpha1.Group, list.Items[i].Name)
		}
		return nil
	}
	if isObject(out.name) {
		return c.printObject(out.name, list)
	}
	if done, err := c.forPrograms(out.name, totalsOfRecords(list), "namespace", "deployment", "record", "resourceType"); done {
		return err
	}
	if len(list.Items) == 0 {
		return nil
	}
	// As kubectl get usagerecords has them.
	t := &table{columns: []column{
		{name: "NAMESPACE"}, {name: "NAME"}, {name: "DEPLOYMENT", spare: true}, {name: "START", spare: true}, {name: "ACCURACY"}, {name: "USAGE", wraps: true},
		{name: "END", wide: true}, {name: "RESOURCES", wide: true, right: true}, {name: "DIGEST", wide: true},
	}}
	for i := range list.Items {
		r := &list.Items[i]
		t.add(r.Namespace, r.Name, r.Spec.Deployment, r.Spec.StartTime.UTC().Format(stampLayout), string(r.Status.Accuracy), r.Status.Summary,
			r.Spec.EndTime.UTC().Format(stampLayout), fmt.Sprint(r.Status.Resources), r.Status.Digest)
	}
	if err := c.printTable(t, out.name == "wide"); err != nil {
		return err
	}
	unseen := said.unseen(stated(query.Get("from")), sealedEnd(list, stated(query.Get("to"))))
	if !query.Has("project_id") {
		unseen += said.ofWhatIsSeen("")
	}
	if unseen != "" {
		fmt.Fprint(c.ErrOut, "\n"+unseen)
	}
	return nil
}

// sayNoRecords says why there are none.
func (c *cli) sayNoRecords(said *told, query url.Values) {
	said.begun = !stated(query.Get("from")).After(c.now())
	when := shownTime(query)
	if said.percent != "" {
		when += ", as far as that is sealed"
	}
	text := said.nothing("There are no records: nothing was used", when)
	if !query.Has("project_id") && !said.isUnknown() {
		text += said.ofWhatIsSeen("")
	}
	fmt.Fprint(c.ErrOut, text)
}

// sealedEnd is the end of a time, if the records show that all of it is sealed; else zero.
func sealedEnd(list *v1alpha1.UsageRecordList, end time.Time) time.Time {
	for i := range list.Items {
		if !end.After(list.Items[i].Spec.EndTime.Time) {
			return end
		}
	}
	return time.Time{}
}

// totalsOfRecords are the totals of records as a report's rows.
func totalsOfRecords(list *v1alpha1.UsageRecordList) *answered {
	a := &answered{Report: &wire.Report{}}
	for i := range list.Items {
		r := &list.Items[i]
		for _, total := range r.Status.Totals {
			row := v1alpha1.ReportRow{
				Group: map[string]v1alpha1.AttributeValue{
					"namespace": v1alpha1.AttributeValue(r.Spec.Namespace), "deployment": v1alpha1.AttributeValue(r.Spec.Deployment),
					"record": v1alpha1.AttributeValue(r.Name), "resourceType": v1alpha1.AttributeValue(total.ResourceType),
					"dimension": v1alpha1.AttributeValue(total.Dimension),
				},
				Quantity: total.Quantity, Unit: total.Unit, Exact: total.Exact, ExactUnit: total.ExactUnit, Accuracy: r.Status.Accuracy,
			}
			row.StartTime, row.EndTime = r.Spec.StartTime, r.Spec.EndTime
			a.Rows = append(a.Rows, wire.Row{ReportRow: row})
		}
	}
	return a
}
