package image_test

import (
	"archive/tar"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/usage-operator/usage-operator/hack/ship/image"
	"github.com/usage-operator/usage-operator/hack/ship/sbom"
)

const root = "../../.."

// host is the platform of a container on this machine.
var host = "linux/" + runtime.GOARCH

// TestTheOperatorsImage builds the image twice, the second time from a copy of what it is made from in another folder, and
// compares the digests; pushes it to a registry, pulls it, and runs what was pulled.
func TestTheOperatorsImage(t *testing.T) {
	here, err := filepath.Abs(root)
	require(t, err)
	made, err := image.Build(t.Context(), image.Operator(here, "v1.2.3", time.Unix(0, 0)), []string{host})
	require(t, err)
	again, err := image.Build(t.Context(), image.Operator(copied(t, here), "v1.2.3", time.Unix(0, 0)), []string{host})
	require(t, err)
	digest, err := made.Index.Digest()
	require(t, err)
	if other, err := again.Index.Digest(); err != nil || other != digest {
		t.Errorf("built twice, it is %s and %s (%v)", digest, other, err)
	}

	server := httptest.NewServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	to, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://")+"/usage-operator:v1.2.3", name.Insecure)
	require(t, err)
	require(t, remote.WriteIndex(to, made.Index))
	platform, err := v1.ParsePlatform(host)
	require(t, err)
	pulled, err := remote.Image(to, remote.WithPlatform(*platform))
	require(t, err)
	require(t, validate.Image(pulled))

	config, err := pulled.ConfigFile()
	require(t, err)
	if config.Config.User != "65532:65532" || !slices.Equal(config.Config.Entrypoint, []string{"/usage-operator"}) || !config.Created.IsZero() {
		t.Errorf("the configuration is %+v, created %s", config.Config, config.Created)
	}
	folder := extract(t, pulled)
	for name, asked := range map[string]string{"usage-operator": "--version", "usage-hub": "version"} {
		out, err := exec.CommandContext(t.Context(), filepath.Join(folder, name), asked).CombinedOutput()
		if err != nil || string(out) != name+" v1.2.3\n" {
			t.Errorf("%s of what was pulled says %q (%v)", name, out, err)
		}
	}
	isAttached(t, to, pulled, made.SBOMs[host])
}

// isAttached asks the registry what refers to the image: the documents that say what it is made of.
func isAttached(t *testing.T, at name.Reference, of v1.Image, want []sbom.Document) {
	t.Helper()
	digest, err := of.Digest()
	require(t, err)
	referrers, err := remote.Referrers(at.Context().Digest(digest.String()))
	require(t, err)
	manifest, err := referrers.IndexManifest()
	require(t, err)
	attached := map[string]bool{}
	for _, descriptor := range manifest.Manifests {
		artifact, err := remote.Image(at.Context().Digest(descriptor.Digest.String()))
		require(t, err)
		layers, err := artifact.Layers()
		require(t, err)
		content, err := layers[0].Uncompressed()
		require(t, err)
		text, err := io.ReadAll(content)
		require(t, err)
		attached[descriptor.ArtifactType+string(text)] = true
	}
	if len(manifest.Manifests) != len(want) {
		t.Errorf("%d artifacts refer to the image, want %d", len(manifest.Manifests), len(want))
	}
	for _, document := range want {
		if !attached[document.MediaType+string(document.Content)] {
			t.Errorf("the %s of %s is not attached", document.MediaType, document.Program)
		}
		versions, err := sbom.Check(document.Extension, document.Content)
		require(t, err)
		for _, module := range []string{"github.com/usage-operator/usage-operator", "k8s.io/client-go", "sigs.k8s.io/controller-runtime", "stdlib"} {
			if versions[module] == "" {
				t.Errorf("the document %s has no %s: %v", document.Extension, module, versions)
			}
		}
	}
}

// TestOneLayoutForAllPlatforms assembles a small program for every platform of the releases, and reads it back.
func TestOneLayoutForAllPlatforms(t *testing.T) {
	module := t.TempDir()
	require(t, os.WriteFile(filepath.Join(module, "go.mod"), []byte("module example.com/program\n\ngo 1.26.0\n"), 0o600))
	require(t, os.WriteFile(filepath.Join(module, "main.go"), []byte("package main\n\nvar version string\n\nfunc main() { println(version) }\n"), 0o600))
	made, err := image.Build(t.Context(), image.Program{Module: module, Package: ".", Name: "program", Version: "v1"}, image.Platforms)
	require(t, err)
	folder := filepath.Join(t.TempDir(), "image")
	require(t, made.Write(folder))

	path, err := layout.FromPath(folder)
	require(t, err)
	index, err := path.ImageIndex()
	require(t, err)
	require(t, validate.Index(index))
	manifest, err := made.Index.IndexManifest()
	require(t, err)
	var platforms []string
	for _, descriptor := range manifest.Manifests {
		if descriptor.Platform.OS != "unknown" {
			platforms = append(platforms, descriptor.Platform.String())
		}
	}
	if !slices.Equal(platforms, image.Platforms) {
		t.Errorf("the index is for %v, want %v", platforms, image.Platforms)
	}
	for _, file := range []string{"linux_amd64.cdx.json", "linux_arm64.cdx.json", "linux_amd64.spdx.json", "linux_arm64.spdx.json"} {
		if _, err := os.Stat(filepath.Join(filepath.Dir(folder), "program_"+file)); err != nil {
			t.Error(err)
		}
	}
	if _, err := image.Build(t.Context(), image.Program{Module: module, Package: "./none", Name: "program"}, []string{host}); err == nil {
		t.Error("an image is made of a program that there is not")
	}
}

// copied is a copy of the files in Git, and of those that are not ignored, in another folder.
func copied(t *testing.T, from string) string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.go", "go.*", "api", "cmd", "config", "controllers", "internal")
	list.Dir = from
	out, err := list.Output()
	require(t, err)
	to := t.TempDir()
	for file := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(from, file))
		if errors.Is(err, os.ErrNotExist) {
			continue // removed, and not committed yet
		}
		require(t, err)
		require(t, os.MkdirAll(filepath.Dir(filepath.Join(to, file)), 0o755))
		require(t, os.WriteFile(filepath.Join(to, file), content, 0o600))
	}
	return to
}

// extract writes the files of the image, which are the two programs, into a folder.
func extract(t *testing.T, of v1.Image) (folder string) {
	t.Helper()
	folder = t.TempDir()
	content := mutate.Extract(of)
	defer content.Close()
	reader := tar.NewReader(content)
	for _, name := range []string{"usage-operator", "usage-hub"} {
		header, err := reader.Next()
		require(t, err)
		if header.Name != name || header.Mode != 0o755 || !header.ModTime.IsZero() && header.ModTime.Unix() != 0 {
			t.Errorf("the image has %+v", header)
		}
		file, err := os.OpenFile(filepath.Join(folder, name), os.O_CREATE|os.O_WRONLY, 0o700)
		require(t, err)
		_, err = io.Copy(file, reader)
		require(t, errors.Join(err, file.Close()))
	}
	if _, err := reader.Next(); !errors.Is(err, io.EOF) {
		t.Error("the image has more than two files")
	}
	return folder
}

func require(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
