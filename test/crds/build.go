package crds

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/test/buildcache"
)

// recipe is a part of the cache key: change it when what is done to a CRD changes.
const recipe = "1"

//go:embed minimal/*.yaml
var minimal embed.FS

// cacheKey is made from everything that the folder is made from.
func cacheKey(generator string) (string, error) {
	inputs := []string{recipe, fmt.Sprintf("%q", sources)}
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		text, err := os.ReadFile(filepath.Join(generator, name))
		if err != nil {
			return "", err
		}
		inputs = append(inputs, string(text))
	}
	err := eachMinimal(func(_ string, text []byte) error {
		inputs = append(inputs, string(text))
		return nil
	})
	return buildcache.Key(inputs...), err
}

func fill(ctx context.Context, dir, generator string, progress io.Writer) error {
	fmt.Fprintln(progress, "getting the CRDs of what is metered; this is done once, and takes some minutes")
	for _, source := range sources {
		fmt.Fprintf(progress, "%s %s\n", source.module, source.version)
		if err := source.prepare(ctx, dir); err != nil {
			return err
		}
	}
	if err := prepareKubeVirt(ctx, dir, generator, progress); err != nil {
		return err
	}
	return eachMinimal(func(name string, text []byte) error { return prepare(dir, name, text) })
}

func (s source) prepare(ctx context.Context, dir string) error {
	module, err := buildcache.Download(ctx, s.module, s.version)
	if err != nil {
		return err
	}
	if module.Sum != s.sum {
		return fmt.Errorf("the module %s@%s has the checksum %s, not %s as in test/crds/sources.go", s.module, s.version, module.Sum, s.sum)
	}
	for _, file := range s.files {
		if err := prepareFile(dir, filepath.Join(module.Dir, filepath.FromSlash(s.folder), file)); err != nil {
			return err
		}
	}
	return nil
}

// prepareKubeVirt builds and runs a program of KubeVirt's own code, in which its CRDs are.
func prepareKubeVirt(ctx context.Context, dir, generator string, progress io.Writer) error {
	temporary, err := os.MkdirTemp("", "kubevirt-crds-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	program := buildcache.Program{Label: "KubeVirt's CRDs", Module: generator, Package: "."}
	path := filepath.Join(temporary, "generator")
	if err := program.Build(ctx, path, progress); err != nil {
		return err
	}
	output := filepath.Join(temporary, "crds")
	if err := os.Mkdir(output, 0o755); err != nil {
		return err
	}
	if text, err := exec.CommandContext(ctx, path, output).CombinedOutput(); err != nil {
		return fmt.Errorf("generate KubeVirt's CRDs: %w\n%s", err, text)
	}
	files, err := filepath.Glob(filepath.Join(output, "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := prepareFile(dir, file); err != nil {
			return err
		}
	}
	return nil
}

func eachMinimal(call func(name string, text []byte) error) error {
	files, err := fs.Glob(minimal, "minimal/*.yaml")
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := minimal.ReadFile(file)
		if err != nil {
			return err
		}
		if err := call(file, text); err != nil {
			return err
		}
	}
	return nil
}

func prepareFile(dir, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read a CRD; has it moved to another folder of its module? %w", err)
	}
	return prepare(dir, path, text)
}

// prepare writes what an API server needs of a CRD in order to serve it, as JSON, which is much faster to read.
func prepare(dir, from string, text []byte) error {
	definition := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.Unmarshal(text, definition); err != nil {
		return fmt.Errorf("read the CRD in %s: %w", from, err)
	}
	if definition.Kind != "CustomResourceDefinition" || definition.Name == "" {
		return fmt.Errorf("%s is no CustomResourceDefinition, but a %s %q", from, definition.Kind, definition.Name)
	}
	reduce(definition)
	out, err := withoutStatus(definition)
	if err != nil {
		return fmt.Errorf("write the CRD %s: %w", definition.Name, err)
	}
	return os.WriteFile(filepath.Join(dir, definition.Name+extension), out, 0o644)
}

// withoutStatus leaves out what is the API server's to write; the Go type would always write it.
func withoutStatus(definition *apiextensionsv1.CustomResourceDefinition) ([]byte, error) {
	text, err := json.Marshal(definition)
	if err != nil {
		return nil, err
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	delete(fields, "status")
	return json.Marshal(fields)
}
