package crds

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/test/buildcache"
)

// recipe is a part of the cache key: change it when what is done to a CRD changes.
const recipe = "2"

//go:embed minimal/*.yaml
var minimal embed.FS

// cacheKey is made from everything that the folder is made from.
func cacheKey() (string, error) {
	inputs := []string{recipe, fmt.Sprintf("%q %q", sources, kubevirt)}
	note := func(_ string, text []byte) error {
		inputs = append(inputs, string(text))
		return nil
	}
	err := errors.Join(eachIn(minimal, "minimal/*.yaml", note), eachIn(kubevirtHeads, "kubevirt/*.yaml", note))
	return buildcache.Key(inputs...), err
}

func fill(ctx context.Context, dir string, progress io.Writer) error {
	fmt.Fprintln(progress, "getting the CRDs of what is metered; this is done once")
	for _, source := range sources {
		fmt.Fprintf(progress, "%s %s\n", source.module, source.version)
		if err := source.prepare(ctx, dir); err != nil {
			return err
		}
	}
	fmt.Fprintf(progress, "%s %s\n", kubevirt.module, kubevirt.version)
	if err := prepareKubeVirt(ctx, dir); err != nil {
		return err
	}
	return eachIn(minimal, "minimal/*.yaml", func(name string, text []byte) error { return prepare(dir, name, text) })
}

func (s source) prepare(ctx context.Context, dir string) error {
	folder, err := s.fetch(ctx)
	if err != nil {
		return err
	}
	for _, file := range s.files {
		if err := prepareFile(dir, filepath.Join(folder, file)); err != nil {
			return err
		}
	}
	return nil
}

// eachIn calls with every file of the embedded folder that matches.
func eachIn(folder embed.FS, pattern string, call func(name string, text []byte) error) error {
	files, err := fs.Glob(folder, pattern)
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := folder.ReadFile(file)
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
