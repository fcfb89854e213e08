package usagecli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// report is kubectl usage report.
func (c *cli) report() *cobra.Command {
	var (
		ofCluster, waits, all bool
		timeout               time.Duration
		out                   format
	)
	command := &cobra.Command{
		Use:   "report NAME",
		Short: "Show the rows of a UsageReport.",
		Long: "Show the rows of a UsageReport, or with --cluster of a ClusterUsageReport.\n\n" +
			"A report's status has up to 1,000 rows; --all reads the rest from the usage API.",
		Example: "  kubectl usage report november --wait\n  kubectl usage report teams --cluster --all -o csv > teams.csv",
		Args:    exactly(1, "a report's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.validate(); err != nil {
				return err
			}
			reader, key, err := c.reader(args[0], ofCluster)
			if err != nil {
				return err
			}
			found, err := readReport(cmd.Context(), reader, key)
			if err == nil && waits {
				found, err = c.waitForReport(cmd.Context(), reader, key, timeout)
			}
			if err != nil {
				return err
			}
			if err := c.says(found, key); err != nil {
				return err
			}
			answer := madeReport(&found.status)
			if all && found.status.NextPage != "" {
				found.spec.StartFrom, found.spec.Suspend = "", false
				if answer, err = c.ask(cmd.Context(), &found.spec); err != nil {
					return err
				}
			}
			return c.printReport(found, answer, out.name)
		},
	}
	command.ValidArgsFunction = c.suggestReports(&ofCluster)
	command.Flags().BoolVar(&ofCluster, "cluster", false, "A ClusterUsageReport.")
	command.Flags().BoolVar(&waits, "wait", false, "Wait until every interval of the report is sealed.")
	command.Flags().DurationVar(&timeout, "timeout", 2*time.Hour, "How long --wait waits.")
	command.Flags().BoolVar(&all, "all", false, "All rows, not only those in the status.")
	out.addFlag(command, parquetFile)
	return command
}

// reader reads reports from the API server.
func (c *cli) reader(name string, ofCluster bool) (client.Reader, client.ObjectKey, error) {
	key := client.ObjectKey{Name: name}
	config, err := c.config.ToRESTConfig()
	if err != nil {
		return nil, key, noCluster(err)
	}
	if !ofCluster {
		if key.Namespace, err = c.namespace(); err != nil {
			return nil, key, err
		}
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, key, err
	}
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{v1alpha1.GroupVersion}) // without asking which kinds there are
	mapper.Add(v1alpha1.GroupVersion.WithKind("UsageReport"), meta.RESTScopeNamespace)
	mapper.Add(v1alpha1.GroupVersion.WithKind("ClusterUsageReport"), meta.RESTScopeRoot)
	reader, err := client.New(config, client.Options{Scheme: scheme, Mapper: mapper})
	return reader, key, err
}

// foundReport is one of either kind.
type foundReport struct {
	spec   v1alpha1.ClusterUsageReportSpec
	status v1alpha1.UsageReportStatus
	// generation is that of the spec.
	generation int64
}

// changed tells that the status speaks of an earlier spec: of what was asked before.
func (r *foundReport) changed() bool {
	return r.status.ObservedGeneration > 0 && r.status.ObservedGeneration != r.generation
}

func readReport(ctx context.Context, reader client.Reader, key client.ObjectKey) (*foundReport, error) {
	if key.Namespace == "" {
		report := &v1alpha1.ClusterUsageReport{}
		if err := reader.Get(ctx, key, report); err != nil {
			return nil, unread(err, fmt.Sprintf("ClusterUsageReport %q", key.Name), "clusterusagereports", ": ask for a ClusterRoleBinding to the ClusterRole view")
		}
		return &foundReport{spec: report.Spec, status: report.Status, generation: report.Generation}, nil
	}
	report := &v1alpha1.UsageReport{}
	if err := reader.Get(ctx, key, report); err != nil {
		return nil, unread(err, fmt.Sprintf("UsageReport %q in namespace %s", key.Name, key.Namespace), "usagereports -n "+key.Namespace, ": ask for a RoleBinding there to the ClusterRole view")
	}
	found := &foundReport{status: report.Status, generation: report.Generation}
	found.spec.ReportWindow = report.Spec.ReportWindow
	found.spec.Filters = &v1alpha1.ClusterReportFilters{Namespaces: values([]string{key.Namespace})}
	if report.Spec.Filters != nil {
		found.spec.Filters.ReportFilters = *report.Spec.Filters
	}
	return found, nil
}

func unread(err error, name, list, rights string) error {
	if apierrors.IsNotFound(err) {
		return misused("there is no %s: kubectl get %s shows those that there are", name, list)
	}
	if apierrors.IsForbidden(err) {
		return &refused{err.Error() + rights}
	}
	return err
}

// waitForReport waits until the report is complete, and says how far it is.
func (c *cli) waitForReport(ctx context.Context, reader client.Reader, key client.ObjectKey, timeout time.Duration) (found *foundReport, err error) {
	progress := c.progress()
	defer progress.end()
	err = wait.PollUntilContextTimeout(ctx, time.Second, timeout, true, func(ctx context.Context) (bool, error) {
		if found, err = readReport(ctx, reader, key); err != nil {
			return false, err
		}
		if found.changed() {
			progress.say("waiting until the operator has seen what was changed ...")
			return false, nil
		}
		if stalled := meta.FindStatusCondition(found.status.Conditions, v1alpha1.ConditionStalled); stalled != nil && stalled.Status == metav1.ConditionTrue {
			return false, fmt.Errorf("report %s is stalled: %s", key.Name, stalled.Message)
		}
		complete := meta.FindStatusCondition(found.status.Conditions, v1alpha1.ConditionComplete)
		if complete == nil {
			progress.say("waiting until the operator has seen the report ...")
			return false, nil
		}
		progress.say("%s ...", complete.Message)
		return complete.Status == metav1.ConditionTrue, nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("report %s is not complete after %s: kubectl describe says how far it is", key.Name, timeout)
	}
	return found, err
}

// says is why a report has no figures, or why they may not be the intended ones.
func (c *cli) says(found *foundReport, key client.ObjectKey) error {
	status := &found.status
	said := func(condition string) *metav1.Condition {
		return cmp.Or(meta.FindStatusCondition(status.Conditions, condition), &metav1.Condition{})
	}
	stalled, ready := said(v1alpha1.ConditionStalled), said(v1alpha1.ConditionReady)
	switch {
	case found.changed():
		return fmt.Errorf("report %s was changed, and has not been made since: --wait waits for it", key.Name)
	case stalled.Status == metav1.ConditionTrue:
		return fmt.Errorf("report %s is stalled: %s", key.Name, stalled.Message)
	case status.Window == nil && ready.Reason == v1alpha1.ReasonSuspended:
		return fmt.Errorf("report %s has no figures: %s", key.Name, ready.Message)
	case status.Window == nil:
		return fmt.Errorf("report %s has not been made yet: --wait waits for it", key.Name)
	case ready.Reason == v1alpha1.ReasonNoSuchName && len(status.Totals) == 0:
		return misused("report %s: %s", key.Name, status.Summary)
	case ready.Reason == v1alpha1.ReasonNoSuchName:
		_, what, _ := strings.Cut(ready.Message, ": ") // the figures are those of the ledger
		fmt.Fprintf(c.ErrOut, "note: the figures may not be those that were asked for: %s\n", plain(what))
	}
	return nil
}

// heading is a key of a report as the other tables have it: TYPE, RESOURCE UID, NODE POOL.
func heading(key string) string {
	if key == "resourceType" {
		return "TYPE"
	}
	return strings.ToUpper(strings.ReplaceAll(snake(key), "_", " "))
}

func (c *cli) printReport(found *foundReport, answer *answered, out string) error {
	keys := texts(found.spec.GroupBy)
	if done, err := c.forPrograms(out, answer, keys...); done {
		return err
	}
	t := &table{columns: []column{{name: "START"}, {name: "END", spare: true}}}
	for _, key := range append(keys, "dimension") {
		t.columns = append(t.columns, column{name: heading(key), cuts: true})
	}
	t.columns = append(t.columns, column{name: "USAGE", right: true}, column{name: "UNIT", cuts: true}, column{name: "ACCURACY", wide: true}, column{name: "EXACT", wide: true, right: true}, column{name: "EXACT UNIT", wide: true})
	for i := range answer.Rows {
		row := &answer.Rows[i]
		cells := []string{row.StartTime.UTC().Format(stampLayout), row.EndTime.UTC().Format(stampLayout)}
		for _, key := range append(keys, "dimension") {
			cells = append(cells, string(row.Group[key]))
		}
		t.add(append(cells, quantity(row), besidesMetric(row), string(row.Accuracy), row.Exact, row.ExactUnit)...)
	}
	if err := c.printTable(t, out == "wide"); err != nil {
		return err
	}
	switch {
	case answer.NextPage == "":
	case answer.RowCount == nil:
		fmt.Fprintln(c.ErrOut, "There are more rows: --all shows all.")
	default:
		fmt.Fprintf(c.ErrOut, "%d of %d rows: --all shows all.\n", len(answer.Rows), *answer.RowCount)
	}
	return c.foot(answer, answer.Rows)
}
