package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"sigs.k8s.io/yaml"
)

// krewName is the plugin's in krew's index, where a name has to say what it is about: "usage" alone does not.
const krewName = "usage-ledger"

// krewManifest is a Plugin of krew.googlecontainertools.github.com/v1alpha2.
type krewManifest struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   map[string]string `json:"metadata"`
	Spec       krewSpec          `json:"spec"`
}

type krewSpec struct {
	Version          string         `json:"version"`
	Homepage         string         `json:"homepage"`
	ShortDescription string         `json:"shortDescription"`
	Description      string         `json:"description"`
	Platforms        []krewPlatform `json:"platforms"`
}

type krewPlatform struct {
	Selector map[string]map[string]string `json:"selector"`
	URI      string                       `json:"uri"`
	SHA256   string                       `json:"sha256"`
	Bin      string                       `json:"bin"`
}

const pluginDescription = `Shows what was used in a cluster, and when: by resource, deployment and
namespace, as tables, bars, CSV, Parquet or FOCUS, and why each figure is
what it is. It needs usage-operator in the cluster, and no more rights than
to list usagerecords.
`

// MakePlugin writes kubectl usage for each platform, what each is made of, and a manifest for krew, which says where they
// are to be found: in the release of that version.
func MakePlugin(ctx context.Context, o Options) error {
	license, err := os.ReadFile(filepath.Join(o.Checkout, "LICENSE"))
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "plugin-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return err
	}
	manifest := krewManifest{
		APIVersion: "krew.googlecontainertools.github.com/v1alpha2", Kind: "Plugin", Metadata: map[string]string{"name": krewName},
		Spec: krewSpec{
			Version: o.Version, Homepage: repository, Description: pluginDescription,
			ShortDescription: "Show what was used, exactly, from usage-operator's ledger",
		},
	}
	for _, name := range o.PluginPlatforms {
		platform, err := v1.ParsePlatform(name)
		if err != nil {
			return err
		}
		made, err := o.pluginFor(ctx, platform, folder, license)
		if err != nil {
			return err
		}
		manifest.Spec.Platforms = append(manifest.Spec.Platforms, made)
	}
	text, err := yaml.Marshal(manifest)
	if err != nil {
		return err
	}
	return os.WriteFile(o.file(krewName+".yaml"), text, 0o644)
}

// pluginFor writes the archive of a platform, and returns what krew has to know of it.
func (o Options) pluginFor(ctx context.Context, platform *v1.Platform, folder string, license []byte) (krewPlatform, error) {
	bin := o.Plugin.Name
	if platform.OS == "windows" {
		bin += ".exe"
	}
	file := filepath.Join(folder, bin)
	if err := o.Plugin.Compile(ctx, platform, file); err != nil {
		return krewPlatform{}, err
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return krewPlatform{}, err
	}
	name := strings.Join([]string{o.Plugin.Name, platform.OS, platform.Architecture}, "_")
	documents, err := o.Plugin.Describe(platform, file)
	if err != nil {
		return krewPlatform{}, err
	}
	for _, document := range documents {
		if err := os.WriteFile(o.file(name+document.Extension), document.Content, 0o644); err != nil {
			return krewPlatform{}, err
		}
	}
	packed, err := archive([]entry{{bin, 0o755, content}, {"LICENSE", 0o644, license}})
	if err != nil {
		return krewPlatform{}, err
	}
	digest := sha256.Sum256(packed)
	return krewPlatform{
		Selector: map[string]map[string]string{"matchLabels": {"os": platform.OS, "arch": platform.Architecture}},
		URI:      repository + "/releases/download/" + o.Version + "/" + name + ".tar.gz",
		SHA256:   hex.EncodeToString(digest[:]),
		Bin:      bin,
	}, os.WriteFile(o.file(name+".tar.gz"), packed, 0o644)
}
