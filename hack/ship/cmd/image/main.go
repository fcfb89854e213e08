// Command image makes the operator's image without a container engine, as an OCI layout, and may push it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/usage-operator/usage-operator/hack/ship/image"
	"github.com/usage-operator/usage-operator/hack/ship/release"
	"github.com/usage-operator/usage-operator/test/buildcache"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	out := flag.String("out", "dist/image", "The `folder` of the OCI layout, in the checkout. SBOMs are written beside it.")
	version := flag.String("version", "dev", "The `version` that the program says it has.")
	platforms := flag.String("platforms", strings.Join(image.Platforms, ","), "Which `platforms` the image is for.")
	push := flag.String("push", "", "The `reference` that it is pushed to, such as registry.example.com/usage-operator:v1, with the logins of docker's configuration.")
	flag.Parse()
	if err := run(ctx, *out, *version, *push, strings.Split(*platforms, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out, version, push string, platforms []string) error {
	checkout, err := buildcache.Checkout() // of this module's parent: run it from there
	if err != nil {
		return err
	}
	created, err := release.Committed(ctx, checkout)
	if err != nil {
		return err
	}
	operator := image.Operator(checkout, version, created)
	made, err := image.Build(ctx, operator, platforms)
	if err != nil {
		return err
	}
	if !filepath.IsAbs(out) {
		out = filepath.Join(checkout, out)
	}
	if err := made.Write(out); err != nil {
		return err
	}
	digest, err := made.Index.Digest()
	if err != nil {
		return err
	}
	fmt.Printf("wrote %s: %s for %s\n", out, digest, strings.Join(platforms, " and "))
	if push == "" {
		return nil
	}
	to, err := name.ParseReference(push)
	if err != nil {
		return err
	}
	if err := remote.WriteIndex(to, made.Index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return fmt.Errorf("push %s: %w", to, err)
	}
	fmt.Printf("pushed %s@%s\n", to.Context(), digest)
	return nil
}
