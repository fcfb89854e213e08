package release

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"

	"github.com/usage-operator/usage-operator/hack/ship/image"
	"github.com/usage-operator/usage-operator/hack/ship/signing"
)

// Make writes the release into its folder, in the place of what is there.
func Make(ctx context.Context, o Options, progress func(string)) error {
	if err := o.check(); err != nil {
		return err
	}
	notes, err := Notes(o) // first, for it costs nothing, and may be forgotten
	if err != nil {
		return err
	}
	if err := os.RemoveAll(o.Out); err != nil {
		return err
	}
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(o.file(notesFile), []byte(notes+"\n"), 0o644); err != nil {
		return err
	}
	progress("the image, for " + strings.Join(image.Platforms, " and "))
	imageDigest, err := o.makeImage(ctx)
	if err != nil {
		return err
	}
	progress("install.yaml, with the image " + o.imageReference(imageDigest))
	if err := o.makeInstaller(ctx, imageDigest); err != nil {
		return err
	}
	progress("the chart " + o.chartFile())
	chartDigest, err := o.makeChartLayout(imageDigest)
	if err != nil {
		return err
	}
	progress("kubectl usage, for " + strings.Join(o.PluginPlatforms, ", "))
	if err := MakePlugin(ctx, o); err != nil {
		return err
	}
	progress("checksums, provenance and signatures")
	return o.attest(imageDigest, chartDigest)
}

func (o Options) makeImage(ctx context.Context) (v1.Hash, error) {
	made, err := image.Build(ctx, o.Operator, image.Platforms)
	if err != nil {
		return v1.Hash{}, err
	}
	if err := made.Write(o.file(imageLayout), annotations(signing.KindIndex, o.Version)); err != nil {
		return v1.Hash{}, err
	}
	return made.Index.Digest()
}

// makeInstaller writes what kubectl installs from.
func (o Options) makeInstaller(ctx context.Context, digest v1.Hash) error {
	command := exec.CommandContext(ctx, filepath.Join(o.Checkout, "hack", "installer.sh"), o.Out)
	command.Env = append(os.Environ(), "KUBECTL="+o.Kubectl, "IMG="+o.imageReference(digest))
	_, err := output(command)
	return err
}

func (o Options) makeChartLayout(imageDigest v1.Hash) (v1.Hash, error) {
	made, err := MakeChart(o, imageDigest)
	if err != nil {
		return v1.Hash{}, err
	}
	path, err := layout.Write(o.file(chartLayout), empty.Index)
	if err != nil {
		return v1.Hash{}, err
	}
	if err := path.AppendImage(made, annotations(signing.KindImage, o.chartVersion())); err != nil {
		return v1.Hash{}, err
	}
	return made.Digest()
}

// attest writes the checksums and the provenance of all, and signs what is to be signed.
func (o Options) attest(imageDigest, chartDigest v1.Hash) error {
	of, err := o.provenance(strings.TrimPrefix(runtime.Version(), "go"))
	if err != nil {
		return err
	}
	predicate, err := stable(of)
	if err != nil {
		return err
	}
	if err := os.WriteFile(o.file(predicateFile), predicate, 0o644); err != nil {
		return err
	}
	sums, err := o.checksums()
	if err != nil {
		return err
	}
	text := formatChecksums(sums)
	if err := os.WriteFile(o.file(checksumsFile), text, 0o644); err != nil || o.Key == nil {
		return err
	}
	return o.signAll(of, sums, text, imageDigest, chartDigest)
}

// signAll signs the checksums, the provenance, the image and the chart.
func (o Options) signAll(of *slsa.Provenance, sums map[string]string, text []byte, imageDigest, chartDigest v1.Hash) error {
	subjects := []*intoto.ResourceDescriptor{
		{Name: o.imageRepository(), Digest: map[string]string{imageDigest.Algorithm: imageDigest.Hex}},
		{Name: o.chartRepository(), Digest: map[string]string{chartDigest.Algorithm: chartDigest.Hex}},
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		subjects = append(subjects, &intoto.ResourceDescriptor{Name: name, Digest: map[string]string{"sha256": sums[name]}})
	}
	said, err := statement(of, subjects)
	if err != nil {
		return err
	}
	envelope, err := o.Key.Statement(said)
	if err != nil {
		return err
	}
	signature, err := o.Key.Blob(text)
	if err != nil {
		return err
	}
	public, err := o.Key.Public()
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{provenanceFile: envelope, signatureFile: signature, publicKeyFile: public} {
		if err := os.WriteFile(o.file(name), content, 0o644); err != nil {
			return err
		}
	}
	if err := o.sign(imageLayout, o.imageRepository(), imageDigest, envelope); err != nil {
		return fmt.Errorf("sign the image: %w", err)
	}
	if err := o.sign(chartLayout, o.chartRepository(), chartDigest, envelope); err != nil {
		return fmt.Errorf("sign the chart: %w", err)
	}
	return nil
}
