package usagecli

import (
	"fmt"
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

// version is kubectl usage version.
func (c *cli) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version of this program.",
		Example: "  kubectl usage version",
		Args:    exactly(0, "no arguments"),
		RunE: func(_ *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.Out, "kubectl usage", versionNow())
			return err
		},
	}
}
