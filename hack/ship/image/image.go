// Package image makes the operator's image without a container engine: its programs, compiled for each platform, and
// nothing else. The same commit makes the same image, bit by bit.
package image

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/usage-operator/usage-operator/hack/ship/sbom"
)

// user is who runs the program: "nonroot" of the distroless images.
const user = "65532:65532"

// Program is what an image is made of.
type Program struct {
	// Module is the folder of the go.mod, and Package is relative to it.
	Module, Package string
	// Name is the program's file, in the root of the image.
	Name string
	// Version is what the program says it is, by its variable main.version.
	Version string
	// Created is the time of the commit: what the program is made of is said with a time.
	Created time.Time
	// Labels are annotations of the index, and labels of the images.
	Labels map[string]string
	// Beside are more programs of the image, of the same module and version, by package and name.
	Beside []Beside
}

// Beside is a program that an image has beside the one that it runs.
type Beside struct{ Package, Name string }

// all are the programs of an image, the one that it runs first.
func (p Program) all() []Program {
	programs := []Program{p}
	for _, other := range p.Beside {
		one := p
		one.Package, one.Name, one.Beside = other.Package, other.Name, nil
		programs = append(programs, one)
	}
	return programs
}

// Names are those of all programs of the image.
func (p Program) Names() []string {
	var names []string
	for _, one := range p.all() {
		names = append(names, one.Name)
	}
	return names
}

// Operator is the program that is shipped, with the hub's beside it, from a checkout, whose commit was made at a time.
func Operator(checkout, version string, created time.Time) Program {
	return Program{
		Module: checkout, Package: ".", Name: "usage-operator", Version: version, Created: created,
		Beside: []Beside{{Package: "./cmd/usage-hub", Name: "usage-hub"}},
		Labels: map[string]string{
			"org.opencontainers.image.title":    "usage-operator",
			"org.opencontainers.image.source":   "https://github.com/usage-operator/usage-operator",
			"org.opencontainers.image.licenses": "Apache-2.0",
			"org.opencontainers.image.version":  version,
		},
	}
}

// Image is the program for all platforms, and what each is made of.
type Image struct {
	Index v1.ImageIndex
	// SBOMs say what the programs are made of, by platform.
	SBOMs map[string][]sbom.Document
}

// Platforms are those of the releases.
var Platforms = []string{"linux/amd64", "linux/arm64"}

// Build compiles the program for the platforms, such as linux/amd64, and assembles the image.
func Build(ctx context.Context, p Program, platforms []string) (*Image, error) {
	folder, err := os.MkdirTemp("", "image-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	made := &Image{Index: mutate.IndexMediaType(empty.Index, types.OCIImageIndex), SBOMs: map[string][]sbom.Document{}}
	var images, documents []mutate.IndexAddendum
	for _, name := range platforms {
		platform, err := v1.ParsePlatform(name)
		if err != nil {
			return nil, err
		}
		files := filepath.Join(folder, platform.Architecture)
		for _, program := range p.all() {
			file := filepath.Join(files, program.Name)
			if err := program.Compile(ctx, platform, file); err != nil {
				return nil, err
			}
			described, err := program.Describe(platform, file)
			if err != nil {
				return nil, err
			}
			made.SBOMs[name] = append(made.SBOMs[name], described...)
		}
		image, err := p.assemble(platform, files)
		if err != nil {
			return nil, err
		}
		images = append(images, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})
		for _, document := range made.SBOMs[name] {
			attached, err := attach(image, document)
			if err != nil {
				return nil, err
			}
			// An index may list what no platform runs: container engines choose by platform.
			documents = append(documents, mutate.IndexAddendum{Add: attached, Descriptor: v1.Descriptor{
				Platform:     &v1.Platform{OS: "unknown", Architecture: "unknown"},
				ArtifactType: document.MediaType,
			}})
		}
	}
	made.Index = mutate.AppendManifests(made.Index, append(images, documents...)...)
	made.Index = mutate.Annotations(made.Index, p.Labels).(v1.ImageIndex)
	return made, nil
}

// Describe says what the compiled program is made of.
func (p Program) Describe(platform *v1.Platform, file string) ([]sbom.Document, error) {
	name := p.Name + "_" + platform.OS + "_" + platform.Architecture
	return sbom.Describe(sbom.Program{File: file, Name: name, Version: p.Version, Created: p.Created})
}

// Compile builds the program, as the Dockerfile does.
func (p Program) Compile(ctx context.Context, platform *v1.Platform, file string) error {
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags=-s -w -X main.version="+p.Version, "-o", file, p.Package)
	command.Dir = p.Module
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off", "PWD="+p.Module,
		"GOOS="+platform.OS, "GOARCH="+platform.Architecture, "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("compile %s for %s: %w\n%s", p.Package, platform, err, bytes.TrimSpace(out))
	}
	return nil
}

// assemble makes the image of one platform: one layer, with the programs that are in a folder. Nothing in it depends on when or where.
func (p Program) assemble(platform *v1.Platform, folder string) (v1.Image, error) {
	layer, err := layerOf(folder, p.Names())
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: "go build " + p.Package}})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config.OS, config.Architecture = platform.OS, platform.Architecture
	config.Config = v1.Config{Entrypoint: []string{"/" + p.Name}, User: user, WorkingDir: "/", Labels: p.Labels}
	return mutate.ConfigFile(image, config)
}

func layerOf(folder string, names []string) (v1.Layer, error) {
	archive := &bytes.Buffer{}
	writer := tar.NewWriter(archive)
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return nil, err
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(content)), Format: tar.FormatUSTAR}
		if err := writer.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := writer.Write(content); err != nil {
			return nil, err
		}
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
}

// Write writes an OCI layout, in the place of what is in the folder, and the SBOMs beside it: NAME_OS_ARCH.cdx.json and
// so on.
func (i *Image) Write(folder string, options ...layout.Option) error {
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	path, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	if err := path.AppendIndex(i.Index, options...); err != nil {
		return err
	}
	for _, documents := range i.SBOMs {
		for _, document := range documents {
			file := document.Program + document.Extension
			if err := os.WriteFile(filepath.Join(filepath.Dir(filepath.Clean(folder)), file), document.Content, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// attach makes an artifact of the document, which refers to the image: registries list it with the image's referrers, by
// the name of its file.
func attach(image v1.Image, document sbom.Document) (v1.Image, error) {
	subject, err := partial.Descriptor(image)
	if err != nil {
		return nil, err
	}
	kind := types.MediaType(document.MediaType)
	artifact := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), kind)
	artifact, err = mutate.AppendLayers(artifact, static.NewLayer(document.Content, kind))
	if err != nil {
		return nil, err
	}
	named := mutate.Annotations(artifact, map[string]string{"org.opencontainers.image.title": document.Program + document.Extension})
	return mutate.Subject(named.(v1.Image), *subject).(v1.Image), nil
}
