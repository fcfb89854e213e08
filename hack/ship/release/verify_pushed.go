package release

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	helm "helm.sh/helm/v3/pkg/registry"

	"github.com/usage-operator/usage-operator/hack/ship/image"
	"github.com/usage-operator/usage-operator/hack/ship/sbom"
	"github.com/usage-operator/usage-operator/hack/ship/signing"
)

// imagePlatforms are the image's programs by platform.
func (o Options) imagePlatforms() []string {
	var names []string
	for _, program := range o.Operator.Names() {
		for _, platform := range image.Platforms {
			names = append(names, program+"/"+platform)
		}
	}
	return names
}

// verifyPushed pushes everything to a registry on this machine, and gets it from there.
func (o Options) verifyPushed(ctx context.Context, verifier *signing.Verifier) error {
	host, stop, err := serveRegistry()
	if err != nil {
		return err
	}
	defer stop()
	there := o
	there.Registry = host
	if _, err := Push(ctx, there, name.Insecure); err != nil {
		return err
	}
	if err := o.verifyImage(ctx, there); err != nil {
		return fmt.Errorf("the image: %w", err)
	}
	if err := o.verifyChartArtifact(there); err != nil {
		return fmt.Errorf("the chart: %w", err)
	}
	if verifier == nil {
		return nil
	}
	for at, signed := range map[string]string{
		there.imageRepository() + ":" + o.Version:        o.imageRepository(),
		there.chartRepository() + ":" + o.chartVersion(): o.chartRepository(),
	} {
		if err := verifySigned(at, signed, verifier); err != nil {
			return fmt.Errorf("the signature of %s: %w", signed, err)
		}
	}
	return nil
}

// verifyImage reads the image of every platform, runs the one of this machine, and reads what is attached to it.
func (o Options) verifyImage(ctx context.Context, there Options) error {
	reference, err := name.ParseReference(there.imageRepository()+":"+o.Version, name.Insecure)
	if err != nil {
		return err
	}
	index, err := remote.Index(reference)
	if err != nil {
		return err
	}
	if err := validate.Index(index); err != nil {
		return err
	}
	for _, platform := range image.Platforms {
		of, err := v1.ParsePlatform(platform)
		if err != nil {
			return err
		}
		pulled, err := remote.Image(reference, remote.WithPlatform(*of))
		if err != nil {
			return err
		}
		if err := o.verifyAttached(reference, pulled); err != nil {
			return fmt.Errorf("%s: %w", platform, err)
		}
		if platform != host() {
			continue
		}
		if err := o.verifyRuns(ctx, pulled); err != nil {
			return err
		}
	}
	return nil
}

// verifyAttached asks the registry what refers to the image: its SBOMs.
func (o Options) verifyAttached(at name.Reference, of v1.Image) error {
	digest, err := of.Digest()
	if err != nil {
		return err
	}
	referrers, err := remote.Referrers(at.Context().Digest(digest.String()))
	if err != nil {
		return err
	}
	manifest, err := referrers.IndexManifest()
	if err != nil {
		return err
	}
	var kinds, want []string
	for _, descriptor := range manifest.Manifests {
		kinds = append(kinds, descriptor.ArtifactType)
	}
	for range o.Operator.Names() {
		want = append(want, sbom.SPDX, sbom.CycloneDX)
	}
	slices.Sort(kinds)
	slices.Sort(want)
	if !slices.Equal(kinds, want) {
		return fmt.Errorf("attached are %q, want %q", kinds, want)
	}
	return nil
}

// verifyRuns runs the programs that are in the image.
func (o Options) verifyRuns(ctx context.Context, of v1.Image) error {
	folder, err := os.MkdirTemp("", "image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	content := mutate.Extract(of)
	defer content.Close()
	reader := tar.NewReader(content)
	for i, name := range o.Operator.Names() {
		header, err := reader.Next()
		if err == nil && header.Name != name {
			err = fmt.Errorf("the image has %s, want %s", header.Name, name)
		}
		if err != nil {
			return err
		}
		program := filepath.Join(folder, name)
		file, err := os.OpenFile(program, os.O_CREATE|os.O_WRONLY, 0o700)
		if err != nil {
			return err
		}
		_, err = io.Copy(file, reader)
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
		asked := "--version"
		if i > 0 {
			asked = "version"
		}
		said, err := output(exec.CommandContext(ctx, program, asked))
		if err == nil && !strings.Contains(string(said), o.Version) {
			err = fmt.Errorf("the program %s says that it is %q", name, said)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// verifyChartArtifact has Helm pull the chart.
func (o Options) verifyChartArtifact(there Options) error {
	client, err := helmClient()
	if err != nil {
		return err
	}
	pulled, err := client.Pull(there.chartRepository()+":"+o.chartVersion(), helm.PullOptWithChart(true))
	if err != nil {
		return err
	}
	packed, err := os.ReadFile(o.file(o.chartFile()))
	if err == nil && !bytes.Equal(packed, pulled.Chart.Data) {
		err = fmt.Errorf("what Helm pulls is not %s", o.chartFile())
	}
	return err
}

// verifySigned looks for the signature and the statement where cosign does: at tags that are made of the digest.
func verifySigned(at, signed string, verifier *signing.Verifier) error {
	reference, err := name.ParseReference(at, name.Insecure)
	if err != nil {
		return err
	}
	head, err := remote.Head(reference)
	if err != nil {
		return err
	}
	signatures, err := remote.Image(reference.Context().Tag(signing.SignatureTag(head.Digest)))
	if err != nil {
		return err
	}
	digest, err := name.NewDigest(signed + "@" + head.Digest.String())
	if err != nil {
		return err
	}
	if err := verifier.Image(signatures, digest); err != nil {
		return err
	}
	statements, err := remote.Image(reference.Context().Tag(signing.StatementTag(head.Digest)))
	if err != nil {
		return err
	}
	envelopes, err := signing.Envelopes(statements)
	if err != nil || len(envelopes) != 1 {
		return fmt.Errorf("%d statements: %w", len(envelopes), err)
	}
	said, err := verifier.Statement(envelopes[0])
	if err != nil {
		return err
	}
	of, _, err := readStatement(said)
	if err != nil {
		return err
	}
	for _, subject := range of.GetSubject() {
		if subject.GetName() == signed && subject.GetDigest()[head.Digest.Algorithm] == head.Digest.Hex {
			return nil
		}
	}
	return fmt.Errorf("the statement is not about %s", digest)
}
