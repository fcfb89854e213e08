package usagecli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// suggest completes words with what was used last month or this one: of a row's
// group it makes a word.
func (c *cli) suggest(everywhere bool, word func(group map[string]string) string, keys ...v1alpha1.GroupKey) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		c.unsaid, c.completing = true, true // the command says it, and asks for it
		filters, err := c.filters(&scope{everywhere: everywhere})
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var words []string
		for _, offset := range []int32{0, -1} {
			spec := &v1alpha1.ClusterUsageReportSpec{Filters: filters}
			spec.Period, spec.GroupBy = &v1alpha1.Period{Unit: v1alpha1.PeriodMonth, Offset: offset}, keys
			answer, err := c.ask(cmd.Context(), spec)
			if err != nil {
				return nil, cobra.ShellCompDirectiveError
			}
			for i := range answer.Rows {
				if answer.Rows[i].Unit == "" { // it is of nothing
					continue
				}
				group := map[string]string{}
				for key, value := range answer.Rows[i].Group {
					group[key] = string(value)
				}
				if text := plain(word(group)); text != "" && strings.HasPrefix(text, begun) {
					words = append(words, text)
				}
			}
		}
		slices.Sort(words)
		return slices.Compact(words), cobra.ShellCompDirectiveNoFileComp
	}
}

// valueOf makes a word of a key's value.
func valueOf(key v1alpha1.GroupKey) func(map[string]string) string {
	return func(group map[string]string) string { return group[string(key)] }
}

// completions has a command complete the flags that it has.
func (c *cli) completions(command *cobra.Command) {
	days := []string{"today", "yesterday", "now"}
	for flag, words := range map[string]cobra.CompletionFunc{
		"type":       c.suggest(false, valueOf("resourceType"), "resourceType"),
		"deployment": c.suggest(false, valueOf("deployment"), "deployment"),
		"dimension":  c.suggest(false, valueOf("dimension"), "resourceType"), // each row has its dimension
		"by":         cobra.FixedCompletions(sizes, cobra.ShellCompDirectiveNoFileComp),
		"last":       cobra.FixedCompletions([]string{"1h", "24h", "7d", "30d"}, cobra.ShellCompDirectiveNoFileComp),
		"from":       cobra.FixedCompletions(days, cobra.ShellCompDirectiveNoFileComp),
		"to":         cobra.FixedCompletions(days, cobra.ShellCompDirectiveNoFileComp),
	} {
		if command.Flags().Lookup(flag) != nil {
			_ = command.RegisterFlagCompletionFunc(flag, words) // the flag is there
		}
	}
}

// suggestReports completes names of reports: of a namespace, or of the cluster.
func (c *cli) suggestReports(ofCluster *bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		reader, key, err := c.reader("", *ofCluster)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var list client.ObjectList = &v1alpha1.UsageReportList{}
		if *ofCluster {
			list = &v1alpha1.ClusterUsageReportList{}
		}
		if err := reader.List(cmd.Context(), list, client.InNamespace(key.Namespace)); err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var words []string
		_ = meta.EachListItem(list, func(item runtime.Object) error { // it is a list
			if of, err := meta.Accessor(item); err == nil && strings.HasPrefix(of.GetName(), begun) {
				words = append(words, of.GetName())
			}
			return nil
		})
		slices.Sort(words)
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}
