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

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
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
	// Labels are annotations of the index, and labels of the images.
	Labels map[string]string
}

// Operator is the program that is shipped, from a checkout.
func Operator(checkout, version string) Program {
	return Program{
		Module: checkout, Package: ".", Name: "usage-operator", Version: version,
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
	// SBOMs are CycloneDX documents, by platform.
	SBOMs map[string][]byte
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
	made := &Image{Index: mutate.IndexMediaType(empty.Index, types.OCIImageIndex), SBOMs: map[string][]byte{}}
	var images, documents []mutate.IndexAddendum
	for _, name := range platforms {
		platform, err := v1.ParsePlatform(name)
		if err != nil {
			return nil, err
		}
		file := filepath.Join(folder, platform.Architecture, p.Name)
		if err := p.compile(ctx, platform, file); err != nil {
			return nil, err
		}
		image, err := p.assemble(platform, file)
		if err != nil {
			return nil, err
		}
		document, err := SBOM(file, p.Version)
		if err != nil {
			return nil, fmt.Errorf("what %s is made of: %w", name, err)
		}
		attached, err := attach(image, document)
		if err != nil {
			return nil, err
		}
		made.SBOMs[name] = document
		images = append(images, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})
		// An index may list what no platform runs: container engines choose by platform.
		documents = append(documents, mutate.IndexAddendum{Add: attached, Descriptor: v1.Descriptor{
			Platform:     &v1.Platform{OS: "unknown", Architecture: "unknown"},
			ArtifactType: string(cycloneDX),
		}})
	}
	made.Index = mutate.AppendManifests(made.Index, append(images, documents...)...)
	made.Index = mutate.Annotations(made.Index, p.Labels).(v1.ImageIndex)
	return made, nil
}

// compile builds the program, as the Dockerfile does.
func (p Program) compile(ctx context.Context, platform *v1.Platform, file string) error {
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

// Write writes an OCI layout, in the place of what is in the folder, and the SBOMs beside it.
func (i *Image) Write(folder string) error {
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	path, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	if err := path.AppendIndex(i.Index); err != nil {
		return err
	}
	for platform, document := range i.SBOMs {
		name := filepath.Clean(folder) + "-" + strings.ReplaceAll(platform, "/", "-") + ".cdx.json"
		if err := os.WriteFile(name, document, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// attach makes an artifact of the document, which refers to the image: registries list it with the image's referrers.
func attach(image v1.Image, document []byte) (v1.Image, error) {
	subject, err := partial.Descriptor(image)
	if err != nil {
		return nil, err
	}
	artifact := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), cycloneDX)
	artifact, err = mutate.AppendLayers(artifact, documentLayer(document))
	if err != nil {
		return nil, err
	}
	return mutate.Subject(artifact, *subject).(v1.Image), nil
}
