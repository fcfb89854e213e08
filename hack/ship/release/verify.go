package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp" //nolint:depguard // what a verification finds is told to people

	"github.com/usage-operator/usage-operator/hack/ship/sbom"
	"github.com/usage-operator/usage-operator/hack/ship/signing"
)

// check is one thing that whoever gets a release may look at.
type check struct {
	what string
	do   func(context.Context) error
}

// Verify looks at the release in the folder as those do who get it. It goes on after what fails, so that one run shows
// all. With a public key, everything has to be signed with it.
func Verify(ctx context.Context, o Options, public []byte, progress func(string)) error {
	checks := []check{
		{"checksums.txt lists every file, and is right", o.verifyChecksums},
		{"the SBOMs are CycloneDX and SPDX, and list Go and the modules", o.verifySBOMs},
		{"the archives have the checksums of krew's manifest, and hold the plugin", o.verifyArchives},
		{"krew's validator takes the manifest", o.verifyKrew},
		{"helm lint, and the versions of the chart", o.verifyChart},
		{"install.yaml names the image by its digest", o.verifyInstaller},
		{"the release has notes", o.verifyNotes},
	}
	var verifier *signing.Verifier
	if public != nil {
		var err error
		if verifier, err = signing.LoadVerifier(public); err != nil {
			return err
		}
		checks = append(checks,
			check{"the signature of checksums.txt", func(context.Context) error { return o.verifyChecksumsSignature(verifier) }},
			check{"the signed provenance names every file, by SLSA", func(context.Context) error { return o.verifyProvenance(verifier) }})
	}
	checks = append(checks, check{
		"pushed to a registry: the image runs, Helm pulls the chart, and cosign's signatures are where it looks",
		func(ctx context.Context) error { return o.verifyPushed(ctx, verifier) },
	})
	var failures []error
	for _, c := range checks {
		err := c.do(ctx)
		if err != nil {
			err = fmt.Errorf("%s: %w", c.what, err)
			progress("FAIL: " + err.Error())
		} else {
			progress("ok: " + c.what)
		}
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

func (o Options) verifyChecksums(context.Context) error {
	text, err := os.ReadFile(o.file(checksumsFile))
	if err != nil {
		return err
	}
	listed, err := parseChecksums(text)
	if err != nil {
		return err
	}
	found, err := o.checksums()
	if err != nil {
		return err
	}
	if difference := cmp.Diff(found, listed); difference != "" {
		return fmt.Errorf("the files (-) and %s (+) differ:\n%s", checksumsFile, difference)
	}
	return nil
}

func (o Options) verifyChecksumsSignature(verifier *signing.Verifier) error {
	text, err := os.ReadFile(o.file(checksumsFile))
	if err != nil {
		return err
	}
	signature, err := os.ReadFile(o.file(signatureFile))
	if err != nil {
		return err
	}
	return verifier.Blob(text, signature)
}

func (o Options) verifyProvenance(verifier *signing.Verifier) error {
	envelope, err := os.ReadFile(o.file(provenanceFile))
	if err != nil {
		return err
	}
	said, err := verifier.Statement(envelope)
	if err != nil {
		return err
	}
	statement, of, err := readStatement(said)
	if err != nil {
		return err
	}
	if commit := of.GetBuildDefinition().GetResolvedDependencies()[0].GetDigest()["gitCommit"]; commit != o.Commit {
		return fmt.Errorf("it was made from %s, not from %s", commit, o.Commit)
	}
	named := map[string]string{}
	for _, subject := range statement.GetSubject() {
		named[subject.GetName()] = subject.GetDigest()["sha256"]
	}
	want, err := o.checksums()
	if err != nil {
		return err
	}
	for folder, repository := range map[string]string{imageLayout: o.imageRepository(), chartLayout: o.chartRepository()} {
		all, err := o.readLayout(folder)
		if err != nil {
			return err
		}
		want[repository] = all[0].descriptor.Digest.Hex
	}
	if difference := cmp.Diff(want, named); difference != "" {
		return fmt.Errorf("what there is (-) and what it names (+) differ:\n%s", difference)
	}
	return nil
}

// verifySBOMs reads both documents of every program.
func (o Options) verifySBOMs(context.Context) error {
	var programs []string
	for _, platform := range append(o.imagePlatforms(), o.pluginNames()...) {
		programs = append(programs, strings.ReplaceAll(platform, "/", "_"))
	}
	for _, program := range programs {
		var listed []map[string]string
		for _, extension := range []string{sbom.CycloneDXExtension, sbom.SPDXExtension} {
			content, err := os.ReadFile(o.file(program + extension))
			if err != nil {
				return err
			}
			versions, err := sbom.Check(program+extension, content)
			if err != nil {
				return err
			}
			listed = append(listed, versions)
		}
		if difference := cmp.Diff(listed[0], listed[1]); difference != "" {
			return fmt.Errorf("the two SBOMs of %s differ:\n%s", program, difference)
		}
		if !slices.Contains(slices.Collect(maps.Values(listed[0])), o.Version) {
			return fmt.Errorf("the SBOMs of %s say nothing of %s", program, o.Version)
		}
	}
	return nil
}

func (o Options) verifyNotes(context.Context) error {
	text, err := os.ReadFile(o.file(notesFile))
	if err == nil && len(strings.TrimSpace(string(text))) == 0 {
		err = errors.New("they are empty")
	}
	return err
}

// List is what the folder holds: each file with its size, and each layout as one.
func List(o Options) (string, error) {
	text := &strings.Builder{}
	entries, err := os.ReadDir(o.Out)
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		size := int64(0)
		err := filepath.WalkDir(o.file(entry.Name()), func(_ string, of fs.DirEntry, err error) error {
			if err != nil || of.IsDir() {
				return err
			}
			info, err := of.Info()
			if err == nil {
				size += info.Size()
			}
			return err
		})
		if err != nil {
			return "", err
		}
		name := entry.Name()
		if entry.IsDir() {
			all, err := o.readLayout(name)
			if err != nil {
				return "", err
			}
			name += "/ " + all[0].tag + "@" + all[0].descriptor.Digest.String()
		}
		fmt.Fprintf(text, "%11d  %s\n", size, name)
	}
	return text.String(), nil
}

// host is the platform of a container on this machine.
func host() string { return "linux/" + runtime.GOARCH }
