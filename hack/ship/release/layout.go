package release

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/usage-operator/usage-operator/hack/ship/signing"
)

// The folders of the OCI layouts.
const (
	imageLayout = "image"
	chartLayout = "chart"
)

// tagAnnotation is where a layout says which tag something has in a registry.
const tagAnnotation = "org.opencontainers.image.ref.name"

// annotations say what something in a layout is, to cosign, and which tag it has.
func annotations(kind, tag string) layout.Option {
	return layout.WithAnnotations(map[string]string{signing.KindAnnotation: kind, tagAnnotation: tag})
}

// sign adds the signature of what a layout holds, and the statement about it, to the layout.
func (o Options) sign(folder, repository string, digest v1.Hash, envelope []byte) error {
	path, err := layout.FromPath(o.file(folder))
	if err != nil {
		return err
	}
	reference, err := name.NewDigest(repository + "@" + digest.String())
	if err != nil {
		return err
	}
	signature, err := o.Key.Image(reference)
	if err != nil {
		return err
	}
	if err := path.AppendImage(signature, annotations(signing.KindSignatures, signing.SignatureTag(digest))); err != nil {
		return err
	}
	statement, err := signing.StatementArtifact(envelope, predicateType)
	if err != nil {
		return err
	}
	return path.AppendImage(statement, annotations(signing.KindStatements, signing.StatementTag(digest)))
}

// held is one thing that a layout holds.
type held struct {
	tag        string
	descriptor v1.Descriptor
	image      v1.Image      // one of the two
	index      v1.ImageIndex // is nil
}

// readLayout returns what the layout holds: the image or the chart, and then what belongs to it.
func (o Options) readLayout(folder string) ([]held, error) {
	path, err := layout.FromPath(o.file(folder))
	if err != nil {
		return nil, err
	}
	index, err := path.ImageIndex()
	if err != nil {
		return nil, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var all []held
	for _, descriptor := range manifest.Manifests {
		found := held{tag: descriptor.Annotations[tagAnnotation], descriptor: descriptor}
		if descriptor.MediaType.IsIndex() {
			found.index, err = index.ImageIndex(descriptor.Digest)
		} else {
			found.image, err = index.Image(descriptor.Digest)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(folder, descriptor.Digest.String()), err)
		}
		all = append(all, found)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("the layout %s is empty", folder)
	}
	return all, nil
}

// copied is an image that does not depend on where it was read from.
type copied struct {
	manifest, config []byte
	layers           map[v1.Hash]v1.Layer
}

func (c *copied) RawManifest() ([]byte, error)   { return c.manifest, nil }
func (c *copied) RawConfigFile() ([]byte, error) { return c.config, nil }
func (c *copied) MediaType() (types.MediaType, error) {
	return types.OCIManifestSchema1, nil
}

func (c *copied) LayerByDigest(digest v1.Hash) (partial.CompressedLayer, error) {
	layer, found := c.layers[digest]
	if !found {
		return nil, fmt.Errorf("no layer %s", digest)
	}
	return layer, nil
}

// inMemory reads an image as it is, byte by byte.
func inMemory(from v1.Image) (v1.Image, error) {
	made := &copied{layers: map[v1.Hash]v1.Layer{}}
	var err error
	if made.manifest, err = from.RawManifest(); err != nil {
		return nil, err
	}
	if made.config, err = from.RawConfigFile(); err != nil {
		return nil, err
	}
	layers, err := from.Layers()
	if err != nil {
		return nil, err
	}
	for _, layer := range layers {
		reader, err := layer.Compressed()
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(reader)
		if closed := reader.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return nil, err
		}
		kind, err := layer.MediaType()
		if err != nil {
			return nil, err
		}
		of := static.NewLayer(content, kind)
		digest, err := of.Digest()
		if err != nil {
			return nil, err
		}
		made.layers[digest] = of
	}
	return partial.CompressedToImage(made)
}
