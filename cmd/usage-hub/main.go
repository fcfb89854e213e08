// Command usage-hub keeps the ledgers of many clusters in one database.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/pflag"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/hub"
)

// version is set by the linker.
var version = "dev"

// What it ends with.
const (
	exitDone       = 0
	exitDifference = 1
	exitFailed     = 2
)

const about = `usage-hub keeps the ledgers of many clusters in one database: every block that
their operators write, in one chain for each cluster, and what it says as rows.

It is alpha: docs/fleet.md says what is there, and what is not there yet.

Usage:
  usage-hub COMMAND [flags]

Commands:
  migrate          bring the database's schema to this version's
  serve            take in what clusters' operators send, and answer who asks
  enrol UID        make the hub know a cluster, and print its token
  send             bring a cluster's journal to a hub
  verify UID       tell whether a cluster's ledger adds up
  token            make a token for one who may ask
  version          print the version

A cluster's UID is that of its namespace kube-system:
  kubectl get namespace kube-system -o jsonpath={.metadata.uid}

The database is any that speaks the PostgreSQL protocol. Say where it is by
--database, or USAGE_HUB_DATABASE, as a URL or in libpq's words; libpq's own
variables, such as PGPASSWORD and PGSSLROOTCERT, are heeded.

See usage-hub COMMAND --help.
`

// environment is where the database is, where no flag says it.
const environment = "USAGE_HUB_DATABASE"

// program is one run.
type program struct {
	stdout, stderr io.Writer
	// ready takes the addresses that serve listens on; nil: nothing does.
	ready func(api, probes string)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit((&program{stdout: os.Stdout, stderr: os.Stderr}).run(ctx, os.Args[1:]))
}

// commands are what it does, by name. Each returns what the program ends with.
var commands = map[string]func(*program, context.Context, []string) (int, error){
	"migrate": (*program).migrate, "serve": (*program).serve, "enrol": (*program).enrol, "verify": (*program).verify,
	"send": (*program).send, "token": (*program).token,
	"version": func(p *program, _ context.Context, _ []string) (int, error) {
		fmt.Fprintln(p.stdout, "usage-hub", version)
		return exitDone, nil
	},
}

// run does one command, and returns what the program ends with.
func (p *program) run(ctx context.Context, args []string) int {
	if len(args) == 0 || args[0] == "help" || strings.HasPrefix(args[0], "-") {
		fmt.Fprint(p.stdout, about)
		return exitDone
	}
	command, known := commands[args[0]]
	if !known {
		fmt.Fprintf(p.stderr, "usage-hub: there is no command %q\nSee usage-hub --help.\n", args[0])
		return exitFailed
	}
	status, err := command(p, ctx, args[1:])
	var misused *misuse
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return exitDone
	case errors.As(err, &misused):
		fmt.Fprintf(p.stderr, "usage-hub %s: %v\nSee usage-hub %s --help.\n", args[0], err, args[0])
		return exitFailed
	case err != nil:
		fmt.Fprintf(p.stderr, "usage-hub %s: %v\n", args[0], err)
		return exitFailed
	}
	return status
}

// misuse is an error in how a command is called.
type misuse struct{ error }

// options are a command's flags.
type options struct {
	*pflag.FlagSet
	database string
}

// bare are no flags yet.
func (p *program) bare(name, about string) *options {
	o := &options{FlagSet: pflag.NewFlagSet(name, pflag.ContinueOnError)}
	o.SortFlags = false
	o.Usage = func() { fmt.Fprintf(p.stdout, "%s\nFlags:\n%s", about, o.FlagUsagesWrapped(80)) }
	return o
}

// flags are those that every command has that needs the database.
func (p *program) flags(name, about string) *options {
	o := p.bare(name, about)
	o.StringVar(&o.database, "database", os.Getenv(environment), "Where the database is; "+environment+" if it is not said.")
	o.Lookup("database").DefValue = "" // it may have a password in it
	return o
}

// parse reads flags, and as many arguments as named.
func (o *options) parse(args []string, named ...string) error {
	if err := o.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return err
		}
		return &misuse{err}
	}
	if o.NArg() != len(named) {
		return &misuse{fmt.Errorf("%d arguments, want %d: %s", o.NArg(), len(named), strings.Join(named, " "))}
	}
	if o.Lookup("database") != nil && o.database == "" {
		return &misuse{errors.New("no database: say --database, or " + environment)}
	}
	return nil
}

// open opens the database, and makes sure that it has the schema.
func (o *options) open(ctx context.Context) (*hub.Store, error) {
	s, err := hub.Open(ctx, o.database, clock.RealClock{})
	if err != nil {
		return nil, err
	}
	if err := s.Ready(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

const aboutMigrate = `Bring the database's schema to this version's. It is safe to do it again, and
to do it twice at once. Do it before the hub of a new version is started.

It needs the right to create tables; the other commands need none but to read
and write rows.

Usage:
  usage-hub migrate [flags]
`

func (p *program) migrate(ctx context.Context, args []string) (int, error) {
	o := p.flags("migrate", aboutMigrate)
	if err := o.parse(args); err != nil {
		return exitFailed, err
	}
	s, err := hub.Open(ctx, o.database, clock.RealClock{})
	if err != nil {
		return exitFailed, err
	}
	defer s.Close()
	if err := s.Migrate(ctx); err != nil {
		return exitFailed, err
	}
	fmt.Fprintln(p.stdout, "The schema is this version's.")
	return exitDone, nil
}
