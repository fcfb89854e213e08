package usagecli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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
	command.AddCommand(c.shellCompletions()...)
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
			program, err := calledAs(os.Args[0])
			if err != nil {
				return err
			}
			if folder == "" {
				folder = filepath.Dir(program)
			}
			file, err := writeCompletion(runtime.GOOS, program, folder)
			if errors.As(err, new(*os.PathError)) {
				return fmt.Errorf("%w: --directory names another folder of the PATH", err)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(c.Out, "wrote %s\n", plain(file))
			for _, needed := range slices.Compact([]string{folder, filepath.Dir(program)}) {
				if !slices.Contains(filepath.SplitList(os.Getenv("PATH")), needed) {
					fmt.Fprintf(c.ErrOut, "note: %s is not in the PATH: kubectl finds nothing there\n", plain(needed))
				}
			}
			return nil
		},
	}
	command.Flags().StringVar(&folder, "directory", "", "Where the script is written. Left out: where this program is.")
	return command
}

// calledAs is the file that was called by that name. What it links to has another name, and is
// replaced by a new version: krew links to what it has installed.
func calledAs(name string) (string, error) {
	file, err := exec.LookPath(name)
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return "", err
	}
	return filepath.Abs(file)
}

// writeCompletion writes the script that completes the words of a program, which it finds in the PATH.
func writeCompletion(system, program, folder string) (string, error) {
	name := strings.TrimSuffix(filepath.Base(program), ".exe")
	suffix, is := strings.CutPrefix(name, "kubectl-")
	if !is {
		return "", fmt.Errorf("%s is no plugin of kubectl: its name does not begin with kubectl-", name)
	}
	completes := "kubectl_complete-" + suffix
	if system == "windows" {
		return "", fmt.Errorf("on Windows this is done by hand: write a file %s.cmd with the line \"@%s __complete %%*\" into a folder of the PATH", completes, name)
	}
	file := filepath.Join(folder, completes)
	script := "#!/bin/sh\nexec '" + strings.ReplaceAll(name, "'", `'\''`) + "' __complete \"$@\"\n"
	if err := os.WriteFile(file, []byte(script), 0o755); err != nil { //nolint:gosec // it is run by all
		return "", err
	}
	return file, os.Chmod(file, 0o755) //nolint:gosec // also one that was there
}

// shellCompletions are the scripts that complete the program itself in shells, which it always had.
func (c *cli) shellCompletions() []*cobra.Command {
	var commands []*cobra.Command
	for shell, write := range map[string]func(root *cobra.Command, to io.Writer, described bool) error{
		"bash": (*cobra.Command).GenBashCompletionV2,
		"fish": (*cobra.Command).GenFishCompletion,
		"zsh": func(root *cobra.Command, to io.Writer, described bool) error {
			if described {
				return root.GenZshCompletion(to)
			}
			return root.GenZshCompletionNoDesc(to)
		},
		"powershell": func(root *cobra.Command, to io.Writer, described bool) error {
			if described {
				return root.GenPowerShellCompletionWithDesc(to)
			}
			return root.GenPowerShellCompletion(to)
		},
	} {
		bare := false
		command := &cobra.Command{
			Use: shell, Short: "Print the script that completes kubectl-usage in " + shell + ".", Hidden: true,
			Example: "  kubectl-usage completion " + shell,
			Args:    exactly(0, "no arguments"),
			RunE:    func(cmd *cobra.Command, _ []string) error { return write(cmd.Root(), c.Out, !bare) },
		}
		command.Flags().BoolVar(&bare, "no-descriptions", false, "Without descriptions.")
		commands = append(commands, command)
	}
	return commands
}
