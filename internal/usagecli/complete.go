package usagecli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

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
	for flag, key := range map[string]v1alpha1.GroupKey{"type": "resourceType", "deployment": "deployment"} {
		if command.Flags().Lookup(flag) != nil {
			_ = command.RegisterFlagCompletionFunc(flag, c.suggest(false, valueOf(key), key)) // the flag is there
		}
	}
	if command.Flags().Lookup("by") != nil {
		_ = command.RegisterFlagCompletionFunc("by", cobra.FixedCompletions(sizes, cobra.ShellCompDirectiveNoFileComp))
	}
}
