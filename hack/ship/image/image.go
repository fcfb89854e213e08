// Package image makes the operator's image without a container engine: the program, compiled for each platform, and
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
	"strings"
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
}

// Operator is the program that is shipped, from a checkout, whose commit was made at a time.
func Operator(checkout, version string, created time.Time) Program {
	return Program{
		Module: checkout, Package: ".", Name: "usage-operator", Version: version, Created: created,
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
		file := filepath.Join(folder, platform.Architecture, p.Name)
		if err := p.Compile(ctx, platform, file); err != nil {
			return nil, err
		}
		image, err := p.assemble(platform, file)
		if err != nil {
			return nil, err
		}
		made.SBOMs[name], err = p.Describe(platform, file)
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

// assemble makes the image of one platform: one layer, with one file. Nothing in it depends on when or where.
func (p Program) assemble(platform *v1.Platform, file string) (v1.Image, error) {
	layer, err := layerOf(file, p.Name)
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

func layerOf(file, name string) (v1.Layer, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	archive := &bytes.Buffer{}
	writer := tar.NewWriter(archive)
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(content)), Format: tar.FormatUSTAR}
	if err := writer.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := writer.Write(content); err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
}

// Write writes an OCI layout, in the place of what is in the folder, and the SBOMs beside it: NAME_OS_ARCH.cdx.json and
// so on.
func (i *Image) Write(folder, name string, options ...layout.Option) error {
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
	for platform, documents := range i.SBOMs {
		for _, document := range documents {
			file := name + "_" + strings.ReplaceAll(platform, "/", "_") + document.Extension
			if err := os.WriteFile(filepath.Join(filepath.Dir(filepath.Clean(folder)), file), document.Content, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// attach makes an artifact of the document, which refers to the image: registries list it with the image's referrers.
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
	return mutate.Subject(artifact, *subject).(v1.Image), nil
}
