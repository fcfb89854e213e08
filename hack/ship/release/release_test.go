package release_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/usage-operator/usage-operator/hack/ship/image"
	"github.com/usage-operator/usage-operator/hack/ship/release"
	"github.com/usage-operator/usage-operator/hack/ship/signing"
	"github.com/usage-operator/usage-operator/test/controlplane"
)

// small is a release of a program that compiles in no time; all else of it is the checkout's.
func small(t *testing.T) release.Options {
	t.Helper()
	checkout, err := filepath.Abs("../../..")
	require(t, err)
	binaries, err := controlplane.Build(t.Context(), os.Stderr)
	require(t, err)
	key, err := signing.Generate()
	require(t, err)
	module := t.TempDir()
	require(t, os.WriteFile(filepath.Join(module, "go.mod"), []byte("module example.com/program\n\ngo 1.26.0\n"), 0o600))
	require(t, os.WriteFile(filepath.Join(module, "main.go"), []byte("package main\n\nimport \"os\"\n\nvar version string\n\nfunc main() { os.Stdout.WriteString(version) }\n"), 0o600))
	created := time.Unix(1_700_000_000, 0)
	program := image.Program{Module: module, Package: ".", Name: "usage-operator", Version: "v1.2.3-rc.1", Created: created}
	plugin := program
	plugin.Name = "kubectl-usage"
	program.Beside = []image.Beside{{Package: ".", Name: "usage-hub"}}
	return release.Options{
		Checkout: checkout, Commit: strings.Repeat("a", 40), Created: created, Version: program.Version,
		Out: filepath.Join(t.TempDir(), "release"), Operator: program, Plugin: plugin,
		PluginPlatforms: []string{"linux/amd64", "windows/amd64"},
		Registry:        "registry.example.com/tenant", Builder: "https://example.com/builder",
		Kubectl: binaries.Path("kubectl"), Key: key,
	}
}

// TestARelease makes one, verifies it, makes it again with another key, and finds the same files; then it changes one
// thing at a time, and each is found.
func TestARelease(t *testing.T) {
	o := small(t)
	require(t, release.Make(t.Context(), o, silent))
	public, err := o.Key.Public()
	require(t, err)
	require(t, release.Verify(t.Context(), o, public, silent))
	listing, err := release.List(o)
	require(t, err)
	for _, name := range []string{
		"chart/ 1.2.3-rc.1@sha256:", "image/ v1.2.3-rc.1@sha256:", "usage-operator-1.2.3-rc.1.tgz", "install.yaml", "uninstall.yaml", "meters.yaml",
		"kubectl-usage_linux_amd64.tar.gz", "kubectl-usage_windows_amd64.tar.gz", "kubectl-usage_windows_amd64.spdx.json",
		"usage-operator_linux_arm64.cdx.json", "usage-hub_linux_amd64.spdx.json", "usage-ledger.yaml", "checksums.txt.sig", "provenance.intoto.json", "release-notes.md",
	} {
		if !strings.Contains(listing, "  "+name) {
			t.Errorf("the listing has no %s:\n%s", name, listing)
		}
	}

	again := o
	again.Out = filepath.Join(t.TempDir(), "again")
	again.Key, err = signing.Generate()
	require(t, err)
	require(t, release.Make(t.Context(), again, silent))
	if a, b := read(t, o, "checksums.txt"), read(t, again, "checksums.txt"); !bytes.Equal(a, b) {
		t.Errorf("made twice, it is\n%s\nand\n%s", a, b)
	}
	theirs, err := again.Key.Public()
	require(t, err)
	finds(t, "another key", release.Verify(t.Context(), o, theirs, silent), "the signature of checksums.txt", "the signed provenance", "the signature of registry.example.com/tenant")

	for _, c := range []struct {
		what, file string
		change     func([]byte) []byte
		want       []string
	}{
		{"install.yaml names another image", "install.yaml", replaced("@sha256:", "@sha256:0"), []string{"checksums.txt lists", "the signed provenance", "install.yaml names"}},
		{"an archive is changed", "kubectl-usage_linux_amd64.tar.gz", appended("x"), []string{"checksums.txt lists", "is not what the manifest says"}},
		{"the manifest has another checksum", "usage-ledger.yaml", replaced("sha256: ", "sha256: 0"), []string{"checksums.txt lists", "krew's validator", "is not what the manifest says"}},
		{"the manifest is of another version", "usage-ledger.yaml", replaced("/v1.2.3-rc.1/", "/v1.2.4/"), []string{"is no file of this release"}},
		{"an SBOM is none", "usage-operator_linux_amd64.cdx.json", replaced("CycloneDX", "Cyclone"), []string{"the SBOMs"}},
		{"an SBOM lists another version", "usage-operator_linux_amd64.spdx.json", replaced("v1.2.3-rc.1", "v1.2.4"), []string{"the SBOMs"}},
		{"the chart is another", "usage-operator-1.2.3-rc.1.tgz", appended("x"), []string{"checksums.txt lists", "what Helm pulls is not"}},
		{"a checksum is changed, and its file with it", "checksums.txt", appended(strings.Repeat("0", 64) + "  other\n"), []string{"checksums.txt lists", "the signature of checksums.txt"}},
		{"there is a file more", "other", appended("x"), []string{"checksums.txt lists"}},
		{"there are no notes", "release-notes.md", func([]byte) []byte { return nil }, []string{"the release has notes"}},
		{"the provenance is no envelope", "provenance.intoto.json", func([]byte) []byte { return []byte("{}") }, []string{"the signed provenance"}},
		{"the image is another", filepath.Join("image", "index.json"), replaced("v1.2.3-rc.1", "v1.2.4"), []string{"pushed to a registry"}},
	} {
		path := filepath.Join(o.Out, c.file)
		before, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		missing := err != nil
		require(t, os.WriteFile(path, c.change(bytes.Clone(before)), 0o600))
		finds(t, c.what, release.Verify(t.Context(), o, public, silent), c.want...)
		if missing {
			require(t, os.Remove(path))
			continue
		}
		require(t, os.WriteFile(path, before, 0o600))
	}
	require(t, release.Verify(t.Context(), o, public, silent))
}

func silent(string) {}

func replaced(from, to string) func([]byte) []byte {
	return func(text []byte) []byte { return bytes.Replace(text, []byte(from), []byte(to), 1) }
}

func appended(more string) func([]byte) []byte {
	return func(text []byte) []byte { return append(text, more...) }
}

func finds(t *testing.T, what string, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: nothing is found", what)
		return
	}
	for _, said := range want {
		if !strings.Contains(err.Error(), said) {
			t.Errorf("%s: found is %v, want %q", what, err, said)
		}
	}
}

func read(t *testing.T, o release.Options, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(o.Out, file))
	require(t, err)
	return text
}

// TestAnUnsignedRelease is what the workflow makes, for cosign to sign without a key.
func TestAnUnsignedRelease(t *testing.T) {
	o := small(t)
	o.Key, o.PluginPlatforms = nil, []string{"linux/amd64"}
	require(t, release.Make(t.Context(), o, silent))
	require(t, release.Verify(t.Context(), o, nil, silent))
	for _, name := range []string{"checksums.txt.sig", "provenance.intoto.json", "cosign.pub"} {
		if _, err := os.Stat(filepath.Join(o.Out, name)); !os.IsNotExist(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWhichVersion asks a checkout with and without a tag, and with changes.
func TestWhichVersion(t *testing.T) {
	checkout := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		command := exec.CommandContext(t.Context(), "git", append([]string{"-C", checkout, "-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	asks := func(given, want, failure string) {
		t.Helper()
		o, err := release.FromCheckout(context.Background(), checkout, given)
		if failure == "" && (err != nil || o.Version != want) || failure != "" && (err == nil || !strings.Contains(err.Error(), failure)) {
			t.Errorf("%q: %s, %v, want %s%s", given, o.Version, err, want, failure)
		}
	}
	file := filepath.Join(checkout, "file")
	require(t, os.WriteFile(file, nil, 0o600))
	run("init", "-q")
	run("add", "file")
	run("commit", "-q", "-m", "one", "--date=2026-01-02T03:04:05Z")
	commit := run("rev-parse", "HEAD")
	asks("", "v0.0.0-dev.g"+commit[:7], "")
	asks("v1.2.3", "v1.2.3", "")
	asks("1.2.3", "", "has no v")
	asks("v1.2", "", "v1.2")
	asks("v1.2.3+a", "", "has no +")
	run("tag", "v2.0.0-rc.1")
	asks("", "v2.0.0-rc.1", "")
	require(t, os.WriteFile(file, []byte("changed"), 0o600))
	asks("v1.2.3", "", "differs from its commit")
	asks("", "", "differs from its commit")
	run("tag", "-d", "v2.0.0-rc.1")
	asks("", "v0.0.0-dev.g"+commit[:7]+".changed", "")
}

// TestNotes has a changelog with a version, and without.
func TestNotes(t *testing.T) {
	o := small(t)
	o.Checkout = t.TempDir()
	for _, c := range []struct{ version, changelog, want string }{
		{"v1.2.3", "# Changelog\n\n## [Unreleased]\n\n- b\n\n## [1.2.3] - 2026-01-02\n\n### Added\n\n- a\n\n## [1.2.2]\n\n- c\n", "### Added\n\n- a"},
		{"v1.2.3-rc.1", "## [Unreleased]\n- b\n## [1.2.3]\n- a\n", "- a"},
		{"v1.2.4-rc.1", "## [Unreleased]\n- b\n## [1.2.3]\n- a\n", "- b"},
		{"v1.2.4", "## [Unreleased]\n- b\n## [1.2.3]\n- a\n", ""},
		{"v1.2.3", "## [1.2.3]\n\n## [1.2.2]\n- c\n", ""},
	} {
		require(t, os.WriteFile(filepath.Join(o.Checkout, "CHANGELOG.md"), []byte(c.changelog), 0o600))
		o.Version = c.version
		notes, err := release.Notes(o)
		if notes != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s of %q: %q, %v, want %q", c.version, c.changelog, notes, err, c.want)
		}
	}
}

func require(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
