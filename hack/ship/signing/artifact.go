package signing

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/sigstore/sigstore/pkg/signature/payload"
)

// What cosign calls the layers of its artifacts, and their annotations.
const (
	simpleSigning types.MediaType = "application/vnd.dev.cosign.simplesigning.v1+json"
	envelopeType  types.MediaType = "application/vnd.dsse.envelope.v1+json"

	signatureAnnotation     = "dev.cosignproject.cosign/signature"
	predicateTypeAnnotation = "predicateType"
)

// Kinds of what a layout holds, by which cosign tells an image from what belongs to it.
const (
	KindAnnotation = "kind"
	KindImage      = "dev.cosignproject.cosign/image"
	KindIndex      = "dev.cosignproject.cosign/imageIndex"
	KindSignatures = "dev.cosignproject.cosign/sigs"
	KindStatements = "dev.cosignproject.cosign/atts"
)

// SignatureTag is where cosign looks for the signatures of a digest, in the same repository.
func SignatureTag(of v1.Hash) string { return of.Algorithm + "-" + of.Hex + ".sig" }

// StatementTag is where it looks for statements about it.
func StatementTag(of v1.Hash) string { return of.Algorithm + "-" + of.Hex + ".att" }

// Image is the artifact with the signature of an image, or of an index.
func (k *Key) Image(of name.Digest) (v1.Image, error) {
	said, err := json.Marshal(payload.Cosign{Image: of})
	if err != nil {
		return nil, err
	}
	signed, err := k.Blob(said)
	if err != nil {
		return nil, err
	}
	return artifact(said, simpleSigning, map[string]string{signatureAnnotation: string(signed)})
}

// StatementArtifact is the artifact with an envelope.
func StatementArtifact(envelope []byte, predicateType string) (v1.Image, error) {
	return artifact(envelope, envelopeType, map[string]string{signatureAnnotation: "", predicateTypeAnnotation: predicateType})
}

// artifact is an image of one layer, as cosign makes it.
func artifact(content []byte, of types.MediaType, annotations map[string]string) (v1.Image, error) {
	made := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	return mutate.Append(made, mutate.Addendum{Layer: static.NewLayer(content, of), MediaType: of, Annotations: annotations})
}

// Image fails unless one of the artifact's signatures is the key's, and of the digest in the repository.
func (v *Verifier) Image(signatures v1.Image, of name.Digest) error {
	failure := errNoSignature
	err := eachLayer(signatures, simpleSigning, func(content []byte, annotations map[string]string) (done bool) {
		if failure = v.Blob(content, []byte(annotations[signatureAnnotation])); failure != nil {
			return false
		}
		said := payload.Cosign{}
		if failure = json.Unmarshal(content, &said); failure != nil {
			return false
		}
		if said.Image.DigestStr() != of.DigestStr() || said.ClaimedIdentity != of.Repository.Name() {
			failure = fmt.Errorf("what is signed is %s, not %s", said.Image, of)
		}
		return failure == nil
	})
	if err != nil {
		return err
	}
	return failure
}

// Envelopes are those of the artifact, unverified.
func Envelopes(statements v1.Image) (all [][]byte, err error) {
	err = eachLayer(statements, envelopeType, func(content []byte, _ map[string]string) bool {
		all = append(all, content)
		return false
	})
	return all, err
}

// eachLayer calls do with the layers of a type, until it says that it is done.
func eachLayer(of v1.Image, kind types.MediaType, do func(content []byte, annotations map[string]string) (done bool)) error {
	manifest, err := of.Manifest()
	if err != nil {
		return err
	}
	for _, descriptor := range manifest.Layers {
		if descriptor.MediaType != kind {
			continue
		}
		layer, err := of.LayerByDigest(descriptor.Digest)
		if err != nil {
			return err
		}
		reader, err := layer.Uncompressed() // such a layer is never compressed
		if err != nil {
			return err
		}
		content, err := io.ReadAll(reader)
		if closed := reader.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return err
		}
		if do(content, descriptor.Annotations) {
			return nil
		}
	}
	return nil
}
