package usagecli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// completion is kubectl usage completion.
func (c *cli) completion() *cobra.Command {
	command := &cobra.Command{
		Use: "completion", Short: "Have kubectl complete this plugin's words.",
		Example: "  kubectl usage completion install",
		Args:    command,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	command.AddCommand(c.installCompletion())
	return command
}

// installCompletion is kubectl usage completion install: kubectl completes a plugin's words by a
// program that is called after the plugin.
func (c *cli) installCompletion() *cobra.Command {
	var folder string
	command := &cobra.Command{
		Use: "install", Short: "Write the script by which kubectl completes them.",
		Long: `Have kubectl complete this plugin's words, where it completes its own: it writes
a script that kubectl calls, beside this program, or into --directory, which has
to be in the PATH.`,
		Example: "  kubectl usage completion install\n  kubectl usage completion install --directory ~/.local/bin",
		Args:    exactly(0, "no arguments"),
		RunE: func(_ *cobra.Command, _ []string) error {
			program, err := os.Executable()
			if err != nil {
				return err
			}
			if folder == "" {
				folder = filepath.Dir(program)
			}
			file, err := writeCompletion(program, folder)
			if err != nil {
				return fmt.Errorf("%w: --directory names another folder of the PATH", err)
			}
			fmt.Fprintf(c.Out, "wrote %s\n", plain(file))
			if !slices.Contains(filepath.SplitList(os.Getenv("PATH")), folder) {
				fmt.Fprintf(c.ErrOut, "note: %s is not in the PATH: kubectl does not find it there\n", plain(folder))
			}
			return nil
		},
	}
	command.Flags().StringVar(&folder, "directory", "", "Where the script is written. Left out: where this program is.")
	return command
}

// writeCompletion writes the script that completes the words of a program.
func writeCompletion(program, folder string) (string, error) {
	name := strings.TrimSuffix(filepath.Base(program), ".exe")
	suffix, is := strings.CutPrefix(name, "kubectl-")
	if !is {
		return "", fmt.Errorf("%s is no plugin of kubectl: its name does not begin with kubectl-", name)
	}
	file := filepath.Join(folder, "kubectl_complete-"+suffix)
	script := "#!/bin/sh\nexec '" + strings.ReplaceAll(program, "'", `'\''`) + "' __complete \"$@\"\n"
	if err := os.WriteFile(file, []byte(script), 0o755); err != nil { //nolint:gosec // it is run by all
		return "", err
	}
	return file, os.Chmod(file, 0o755) //nolint:gosec // also one that was there
}
