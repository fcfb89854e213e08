// Package usagecli is kubectl usage: what was used, asked of the operator's usage
// API and shown to people, or written for programs.
package usagecli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/usage-operator/usage-operator/internal/timeline"
)

// What the command ends with.
const (
	exitDone    = 0
	exitFailed  = 1 // it could not be done
	exitMisused = 2 // it was asked for in a way that makes no sense
)

// Run runs the command line of a program of that name, and returns the exit status.
func Run(program string, args []string, streams genericiooptions.IOStreams, now func() time.Time) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if file, is := streams.ErrOut.(interface{ Fd() uintptr }); is && isTerminal(file) {
		streams.ErrOut = &folding{streams.ErrOut, file}
	}
	out := &output{Writer: streams.Out}
	streams.Out = out
	root := newCommand(pluginOf(program), streams, now)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitDone
	case out.closed, errors.Is(ctx.Err(), context.Canceled):
		return exitFailed // nobody reads any more
	}
	if forbidden, is := errors.AsType[*refused](err); is {
		fmt.Fprintf(streams.ErrOut, "Error from server (Forbidden): %s\n", plainLines(forbidden.message))
		return exitFailed
	}
	if text := plainLines(strings.TrimSpace(err.Error())); text != "" {
		fmt.Fprintf(streams.ErrOut, "error: %s\n", text)
	}
	if end, is := errors.AsType[*outcome](err); is {
		return end.status
	}
	if misused, is := errors.AsType[*misuse](err); is {
		if misused.command != "" {
			fmt.Fprintf(streams.ErrOut, "See %s --help.\n", misused.command)
		}
		return exitMisused
	}
	return exitFailed
}

// misuse is a command line that makes no sense.
type misuse struct {
	command string // whose help says how to do it; "": the error does
	error
}

func misused(format string, args ...any) error {
	return &misuse{error: fmt.Errorf(format, args...)}
}

// cli is what all commands share.
type cli struct {
	genericiooptions.IOStreams
	config *genericclioptions.ConfigFlags
	now    func() time.Time

	server            string
	serverCertificate string
	insecure          bool
	throughProxy      bool   // a token may go to who is not verified
	unsaid            bool   // nothing more is said of where a token goes
	completing        bool   // a word is completed: no token goes where nothing verifies who answers
	operator          string // the operator's namespace; "": look for it
	width             int
	hub               hubOf
	sortBy            string
	noHeaders         bool
	colours           bool
}

const about = `Show what was used in a cluster, and when: exactly, to the second.

The figures are the operator's own: those of the UsageRecords and UsageReports,
and, where an interval is not sealed yet, those of the journal up to now. You
see the namespaces in which you may list usagerecords.

The operator is reached through the API server, with your kubeconfig: with a
token for the usage API alone, where a service account may ask for one, or with
your own token or client certificate over a port-forward, which verifies the
operator. Without the rights to either, your own token goes through the API
server's proxy, and it is said. With --usage-api it is reached directly.

With --hub a hub of many clusters is asked, by its own token: list and top show
all clusters that you may see there, or some, or with --hub-cluster one alone.`

// pluginOf is how people call the program: krew installs it as kubectl-usage_ledger.
func pluginOf(program string) string {
	name, is := strings.CutPrefix(strings.TrimSuffix(program, ".exe"), "kubectl-usage")
	if !is {
		return "kubectl usage"
	}
	return "kubectl usage" + strings.ReplaceAll(name, "_", "-")
}

func newCommand(plugin string, streams genericiooptions.IOStreams, now func() time.Time) *cobra.Command {
	c := &cli{IOStreams: streams, config: genericclioptions.NewConfigFlags(true), now: now, colours: colourful(streams.Out)}
	// The usage API knows people by their own tokens and certificates.
	c.config.Impersonate, c.config.ImpersonateUID, c.config.ImpersonateGroup, c.config.ImpersonateUserExtra = nil, nil, nil, nil
	root := &cobra.Command{
		Use:   "kubectl-usage",
		Short: "Show what was used in a cluster, and when.",
		Long:  about,
		Example: `  kubectl usage list --this-month
  kubectl usage top deployments -A --last 7d
  kubectl usage chart deployment/web --by day
  kubectl usage get vm/db-0
  kubectl usage explain vm/db-0 --last 24h
  kubectl usage records --interval 2026-11-01T10:00:00Z`,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: plugin},
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          command,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.DisableDefaultCmd = true // it is for programs that a shell calls
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.SetFlagErrorFunc(wrongFlag)
	flags := root.PersistentFlags()
	flags.SortFlags = false
	c.config.AddFlags(flags)
	flags.StringVar(&c.server, "usage-api", "", "The usage API's address, to reach it directly: https://localhost:8444")
	flags.StringVar(&c.serverCertificate, "usage-api-certificate-authority", "", "A file with the certificates that --usage-api's is checked against.")
	flags.BoolVar(&c.insecure, "insecure-skip-usage-api-verify", false, "Do not verify the usage API's certificate.")
	flags.BoolVar(&c.throughProxy, "through-proxy", false, "Send a token that is not for the usage API alone through the API server's proxy, where nothing verifies who answers, and do not say so.")
	flags.StringVar(&c.operator, "operator-namespace", "", "The namespace that the operator is installed in, if not usage-system. $"+operatorNamespaceVariable+" sets it, too.")
	c.hub.addFlags(flags)
	flags.IntVar(&c.width, "width", 0, "How wide the output may be, in columns. 0: as wide as the terminal, or 80.")
	flags.StringVar(&c.sortBy, "sort-by", "", "Sort the lines of a table or of csv by this column, such as usage or name.")
	flags.BoolVar(&c.noHeaders, "no-headers", false, "Leave out the headers of tables and of csv.")
	root.SetUsageTemplate(strings.NewReplacer(
		"Global Flags:\n{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}",
		`Use "`+plugin+` --help" for the flags that all commands have.`,
		"{{.LocalFlags.FlagUsages |", "{{.LocalFlags.FlagUsagesWrapped 80 |",
		"for more information about a command.", "for more.",
	).Replace(root.UsageTemplate()))
	for _, add := range []func() *cobra.Command{c.list, c.top, c.diff, c.idle, c.dashboard, c.chart, c.get, c.explain, c.records, c.report, c.status, c.verify, c.meters, c.completion, c.version} {
		command := add()
		c.completions(command)
		command.Example = strings.ReplaceAll(command.Example, "kubectl usage ", plugin+" ")
		run := command.RunE
		command.RunE = func(cmd *cobra.Command, args []string) error {
			c.hub.address = cmp.Or(c.hub.address, os.Getenv(hubVariable))
			err := c.hub.check(cmd.Name())
			if err == nil {
				err = run(cmd, args)
			}
			if wrong, is := errors.AsType[*misuse](err); is && wrong.command == "" {
				wrong.command = cmd.CommandPath()
			}
			return err
		}
		root.AddCommand(command)
	}
	root.Example = strings.ReplaceAll(root.Example, "kubectl usage ", plugin+" ")
	_ = root.RegisterFlagCompletionFunc("namespace", c.suggest(true, valueOf("namespace"), "namespace")) // the flag is there
	return root
}

// wrongFlag says what is wrong with a flag, and of one that there is not, which may be meant.
func wrongFlag(cmd *cobra.Command, err error) error {
	unknown, is := errors.AsType[*pflag.NotExistError](err)
	if !is {
		return &misuse{command: cmd.CommandPath(), error: err}
	}
	name := unknown.GetSpecifiedName()
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	switch like := timeline.Nearest(name, names); {
	case name == "as" || strings.HasPrefix(name, "as-"):
		err = fmt.Errorf("%w: the usage API does not take a client's word for who is impersonated: kubectl get usagerecords --%s may", err, name)
	case len(name) > 1 && like != "":
		err = fmt.Errorf("%w: did you mean --%s?", err, like)
	}
	return &misuse{command: cmd.CommandPath(), error: err}
}

// command refuses a command that there is not, and says which is meant.
func command(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, other := range cmd.Commands() {
		if other.IsAvailableCommand() {
			names = append(names, other.Name())
		}
	}
	text := fmt.Sprintf("there is no command %q", args[0])
	if like := timeline.Nearest(args[0], names); like != "" {
		text += fmt.Sprintf(": did you mean %q? there are", like)
	} else {
		text += "; there are"
	}
	return &misuse{command: cmd.CommandPath(), error: fmt.Errorf("%s %s", text, strings.Join(names, ", "))}
}

// exactly is how many arguments a command takes.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == n:
			return nil
		case len(args) == 0:
			return &misuse{command: cmd.CommandPath(), error: fmt.Errorf("want %s", what)}
		case n == 0:
			return &misuse{command: cmd.CommandPath(), error: fmt.Errorf("want %s: not %q", what, strings.Join(args, " "))}
		}
		return &misuse{command: cmd.CommandPath(), error: fmt.Errorf("want %s, and no more: not %q", what, strings.Join(args, " "))}
	}
}
