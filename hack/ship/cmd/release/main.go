// Command release makes a release in dist/release, verifies it, and pushes it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/usage-operator/usage-operator/hack/ship/release"
	"github.com/usage-operator/usage-operator/hack/ship/signing"
	"github.com/usage-operator/usage-operator/test/buildcache"
	"github.com/usage-operator/usage-operator/test/controlplane"
)

const help = `Makes a release of this checkout in dist/release, and verifies it (docs/releasing.md).

usage: go -C hack/ship run ./cmd/release COMMAND [flags]

commands:
  dry-run   make everything, sign it, verify it, and list it; nothing leaves this machine
  make      everything, verified; with -key it is signed, otherwise cosign has to sign it
  push      send the image and the chart that make has made to the registry, and print their digests
  plugin    make kubectl usage, and its manifest for krew

flags:
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	version := flags.String("version", "", "The `version`, such as v1.2.3. By default it is the commit's tag, or one before v0.0.1.")
	out := flags.String("out", "", "The `folder` that is made anew (default dist/release in the checkout).")
	key := flags.String("key", "", "A private key of cosign's in a `file`, with the password in $COSIGN_PASSWORD. A dry run has one of its own otherwise.")
	registry := flags.String("registry", "", "The `registry` that image and chart belong into (default ghcr.io/usage-operator).")
	platforms := flags.String("plugin-platforms", "", "Which `platforms` kubectl usage is made for, for a rehearsal that takes less (default: all five).")
	builder := flags.String("builder", "", "The `address` of who builds, for the provenance.")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), help)
		flags.PrintDefaults()
	}
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" {
		flags.Usage()
		return flag.ErrHelp
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	checkout, err := buildcache.Checkout() // of this module's parent: run it from there
	if err != nil {
		return err
	}
	o, err := release.FromCheckout(ctx, checkout, *version)
	if err != nil {
		return err
	}
	if *out != "" {
		if o.Out, err = filepath.Abs(*out); err != nil {
			return err
		}
	}
	if *registry != "" {
		o.Registry = *registry
	}
	if *platforms != "" {
		o.PluginPlatforms = strings.Split(*platforms, ",")
	}
	if *builder != "" {
		o.Builder = *builder
	}
	if *key != "" {
		if o.Key, err = load(*key); err != nil {
			return err
		}
	}
	return command(ctx, args[0], o)
}

func load(file string) (*signing.Key, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return signing.Load(text, []byte(os.Getenv("COSIGN_PASSWORD")))
}

func command(ctx context.Context, name string, o release.Options) (err error) {
	switch name {
	case "dry-run":
		if o.Key == nil {
			if o.Key, err = signing.Generate(); err != nil {
				return err
			}
		}
		return makeAndVerify(ctx, o)
	case "make":
		return makeAndVerify(ctx, o)
	case "push":
		pushed, err := release.Push(ctx, o)
		for _, reference := range pushed {
			fmt.Println(reference)
		}
		return err
	case "plugin":
		return release.MakePlugin(ctx, o)
	}
	return fmt.Errorf("there is no command %q; see --help", name)
}

func makeAndVerify(ctx context.Context, o release.Options) error {
	binaries, err := controlplane.Build(ctx, os.Stderr)
	if err != nil {
		return err
	}
	o.Kubectl = binaries.Path("kubectl")
	fmt.Println("==> making", o.Version, "in", o.Out)
	if err := release.Make(ctx, o, func(said string) { fmt.Println("   ", said) }); err != nil {
		return err
	}
	fmt.Println("==> verifying it")
	say := func(said string) { fmt.Println("   ", said) }
	var public []byte
	if o.Key != nil {
		if public, err = o.Key.Public(); err != nil {
			return err
		}
	}
	if err := errors.Join(release.Verify(ctx, o, public, say), release.VerifyOnCluster(ctx, o, say, os.Stderr)); err != nil {
		return err
	}
	listing, err := release.List(o)
	if err != nil {
		return err
	}
	fmt.Printf("==> %s\n%s", o.Out, listing)
	return nil
}
