package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/lint/support"
	"sigs.k8s.io/yaml"
)

// verifyArchives reads what krew's manifest names.
func (o Options) verifyArchives(context.Context) error {
	text, err := os.ReadFile(o.file(krewName + ".yaml"))
	if err != nil {
		return err
	}
	manifest := krewManifest{}
	if err := yaml.UnmarshalStrict(text, &manifest); err != nil {
		return err
	}
	if len(manifest.Spec.Platforms) != len(o.PluginPlatforms) || manifest.Spec.Version != o.Version {
		return fmt.Errorf("the manifest is of %s, for %d platforms", manifest.Spec.Version, len(manifest.Spec.Platforms))
	}
	for _, platform := range manifest.Spec.Platforms {
		if err := o.verifyArchive(platform); err != nil {
			return err
		}
	}
	return nil
}

// verifyArchive reads one.
func (o Options) verifyArchive(platform krewPlatform) error {
	file, found := strings.CutPrefix(platform.URI, repository+"/releases/download/"+o.Version+"/")
	if !found || strings.Contains(file, "/") {
		return fmt.Errorf("%s is no file of this release", platform.URI)
	}
	content, err := os.ReadFile(o.file(file))
	if err != nil {
		return err
	}
	if digest := sha256.Sum256(content); hex.EncodeToString(digest[:]) != platform.SHA256 {
		return fmt.Errorf("%s is not what the manifest says: %x", file, digest)
	}
	files, err := unpack(o.file(file))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if len(files) != 2 || files[0].name != platform.Bin || files[0].mode != 0o755 || len(files[0].content) == 0 || files[1].name != "LICENSE" {
		return fmt.Errorf("%s does not hold %s and a LICENSE", file, platform.Bin)
	}
	return nil
}

// verifyKrew has the program look at the manifest that krew's index does.
func (o Options) verifyKrew(ctx context.Context) error {
	manifest, err := filepath.Abs(o.file(krewName + ".yaml"))
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, "go", "tool", "validate-krew-manifest", "-skip-install", "-manifest", manifest)
	command.Dir = filepath.Join(o.Checkout, "hack", "ship", "krew")
	_, err = output(command)
	return err
}

func (o Options) verifyChart(context.Context) error {
	file := o.file(o.chartFile())
	lint := action.NewLint()
	lint.Strict = true
	result := lint.Run([]string{file}, nil)
	for _, message := range result.Messages {
		if message.Severity > support.InfoSev {
			return message.Err
		}
	}
	if len(result.Errors) > 0 {
		return result.Errors[0]
	}
	loaded, err := loader.LoadFile(file)
	if err != nil {
		return err
	}
	if loaded.Metadata.Version != o.chartVersion() || loaded.Metadata.AppVersion != o.Version {
		return fmt.Errorf("the chart is %s, of %s", loaded.Metadata.Version, loaded.Metadata.AppVersion)
	}
	return nil
}

// verifyInstaller compares the images in install.yaml with the one in the layout.
func (o Options) verifyInstaller(context.Context) error {
	all, err := o.readLayout(imageLayout)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(o.file("install.yaml"))
	if err != nil {
		return err
	}
	found := false
	for line := range strings.Lines(string(text)) {
		named, is := strings.CutPrefix(strings.TrimLeft(line, " -"), "image: ")
		if !is {
			continue
		}
		found = true
		if want := o.imageReference(all[0].descriptor.Digest); strings.TrimSpace(named) != want {
			return fmt.Errorf("it names %s, want %s", strings.TrimSpace(named), want)
		}
	}
	if !found {
		return fmt.Errorf("it names no image")
	}
	return nil
}

// pluginNames are the archives' programs by platform.
func (o Options) pluginNames() []string {
	names := slices.Clone(o.PluginPlatforms)
	for i := range names {
		names[i] = o.Plugin.Name + "/" + names[i]
	}
	return names
}
