// Package release makes all that a release consists of in one folder, verifies it as those do who get it, and pushes what
// belongs into a registry. Nothing of it depends on when or where it is made, but for the signatures.
package release

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/usage-operator/usage-operator/hack/ship/image"
	"github.com/usage-operator/usage-operator/hack/ship/signing"
)

const (
	repository = "https://github.com/usage-operator/usage-operator"
	chartName  = "usage-operator"
)

// Options say what is released, and where it is written to.
type Options struct {
	// Checkout is the root of the operator's checkout, and Commit is what it is at, since Created.
	Checkout, Commit string
	Created          time.Time
	// Version is a semantic version with a v, such as v1.2.3.
	Version string
	// Out is the folder, which is made anew.
	Out string
	// Operator becomes the image, and Plugin the archives for krew.
	Operator, Plugin image.Program
	// PluginPlatforms are those of the archives.
	PluginPlatforms []string
	// Registry is where the image and the chart belong, such as ghcr.io/usage-operator.
	Registry string
	// Builder is who builds, as an address: the builder.id of SLSA.
	Builder string
	// Kubectl renders install.yaml.
	Kubectl string
	// Key signs; nil: nothing is signed.
	Key *signing.Key
}

// FromCheckout is the release of what a checkout is at. Without a version, it is the commit's tag, or one before v0.0.1.
func FromCheckout(ctx context.Context, checkout, version string) (Options, error) {
	commit, err := git(ctx, checkout, "rev-parse", "HEAD")
	if err != nil {
		return Options{}, err
	}
	created, err := Committed(ctx, checkout)
	if err != nil {
		return Options{}, err
	}
	changes, err := git(ctx, checkout, "status", "--porcelain", "--untracked-files=no")
	if err != nil {
		return Options{}, err
	}
	if version, err = versionOf(ctx, checkout, version, commit, changes != ""); err != nil {
		return Options{}, err
	}
	o := Options{
		Checkout: checkout, Commit: commit, Created: created, Version: version,
		Out:             filepath.Join(checkout, "dist", "release"),
		Operator:        image.Operator(checkout, version, created),
		PluginPlatforms: []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64"},
		Registry:        "ghcr.io/usage-operator",
		Builder:         repository + "/blob/main/docs/releasing.md#on-a-machine-of-ones-own",
	}
	o.Plugin = image.Program{
		Module: checkout, Package: "./cmd/kubectl-usage", Name: "kubectl-usage", Version: version, Created: o.Created,
	}
	return o, o.check()
}

// Committed is when the commit was made that a checkout is at.
func Committed(ctx context.Context, checkout string) (time.Time, error) {
	seconds, err := git(ctx, checkout, "log", "-1", "--format=%ct")
	if err != nil {
		return time.Time{}, err
	}
	at, err := strconv.ParseInt(seconds, 10, 64)
	return time.Unix(at, 0), err
}

// versionOf is the given version, or the commit's. Of a checkout that has changes, only a rehearsal can be made.
func versionOf(ctx context.Context, checkout, given, commit string, changed bool) (string, error) {
	if given == "" {
		if tag, err := git(ctx, checkout, "describe", "--tags", "--exact-match"); err == nil {
			given = tag
		}
	}
	switch {
	case given == "" && changed:
		return "v0.0.0-dev.g" + commit[:7] + ".changed", nil
	case given == "":
		return "v0.0.0-dev.g" + commit[:7], nil
	case changed:
		return "", fmt.Errorf("the checkout differs from its commit: what is built would not be %s", given)
	}
	return given, nil
}

func git(ctx context.Context, checkout string, args ...string) (string, error) {
	out, err := output(exec.CommandContext(ctx, "git", append([]string{"-C", checkout}, args...)...))
	return strings.TrimSpace(string(out)), err
}

// output is what a command prints, and as an error what it says of its failure.
func output(command *exec.Cmd) ([]byte, error) {
	said := &strings.Builder{}
	command.Stderr = said
	out, err := command.Output()
	if err != nil {
		return out, fmt.Errorf("%s: %w\n%s", command, err, strings.TrimSpace(said.String()))
	}
	return out, nil
}

func (o Options) check() error {
	if !strings.HasPrefix(o.Version, "v") {
		return fmt.Errorf("the version %q has no v", o.Version)
	}
	parsed, err := semver.StrictNewVersion(o.Version[1:])
	if err != nil {
		return fmt.Errorf("the version %q: %w", o.Version, err)
	}
	if parsed.Metadata() != "" {
		return errors.New("a tag in a registry has no +, so that a version has none")
	}
	return nil
}

// prerelease tells whether the version comes before one, as v1.0.0-rc.1 does.
func (o Options) prerelease() bool { return strings.Contains(o.Version, "-") }

// chartVersion is the version as charts have it.
func (o Options) chartVersion() string { return strings.TrimPrefix(o.Version, "v") }

// imageRepository and chartRepository are where the two belong.
func (o Options) imageRepository() string { return o.Registry + "/usage-operator" }
func (o Options) chartRepository() string { return o.Registry + "/charts/" + chartName }

// file is a path in the folder.
func (o Options) file(name string) string { return filepath.Join(o.Out, name) }
