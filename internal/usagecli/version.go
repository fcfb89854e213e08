package usagecli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Version is set by the build; otherwise it is the module's.
var Version string

func versionNow() string {
	if Version != "" {
		return Version
	}
	if info, known := debug.ReadBuildInfo(); known && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// build is what version shows.
type build struct {
	Version   string `json:"version"`
	GoVersion string `json:"goVersion"`
	Platform  string `json:"platform"`
}

// version is kubectl usage version.
func (c *cli) version() *cobra.Command {
	var out string
	command := &cobra.Command{
		Use: "version", Short: "Show the version of this program.",
		Example: "  kubectl usage version\n  kubectl usage version -o json",
		Args:    exactly(0, "no arguments"),
		RunE: func(_ *cobra.Command, _ []string) error {
			switch {
			case out == "":
				_, err := fmt.Fprintln(c.Out, "kubectl usage", versionNow())
				return err
			case out != "json" && out != "yaml":
				return misused("--output=%s: want one of json, yaml", out)
			}
			return c.printObject(out, build{versionNow(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH})
		},
	}
	command.Flags().StringVarP(&out, "output", "o", "", "One of json, yaml; without it, a line.")
	_ = command.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return command
}
