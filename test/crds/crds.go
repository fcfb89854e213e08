// Package crds has the custom resource definitions of what is metered, and installs them on an API server.
//
// They are the projects' own, taken from their Go modules (see sources, and kubevirt), except those in the folder minimal,
// for which there is no module to take them from.
package crds

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/usage-operator/usage-operator/test/buildcache"
)

const extension = ".json"

// Load returns all definitions, sorted by name. It prints nothing when they have been built before.
func Load(ctx context.Context, progress io.Writer) ([]*apiextensionsv1.CustomResourceDefinition, error) {
	dir, err := Build(ctx, progress)
	if err != nil {
		return nil, err
	}
	names, err := namesIn(dir)
	if err != nil {
		return nil, err
	}
	return read(dir, names)
}

// Build returns the folder that has each definition in a file `<name>.json`, and fills it first if it is not there.
func Build(ctx context.Context, progress io.Writer) (string, error) {
	key, err := cacheKey()
	if err != nil {
		return "", err
	}
	return buildcache.Folder(ctx, "crds", key, progress, func(dir string) error {
		return fill(ctx, dir, progress)
	})
}

func namesIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if name, found := strings.CutSuffix(entry.Name(), extension); found {
			names = append(names, name)
		}
	}
	return names, nil
}

func read(dir string, names []string) ([]*apiextensionsv1.CustomResourceDefinition, error) {
	var definitions []*apiextensionsv1.CustomResourceDefinition
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name+extension))
		if err != nil {
			return nil, err
		}
		definition := &apiextensionsv1.CustomResourceDefinition{}
		if err := json.Unmarshal(text, definition); err != nil {
			return nil, fmt.Errorf("read the CRD %s; remove %s to build it anew: %w", name, dir, err)
		}
		definitions = append(definitions, definition)
	}
	return definitions, nil
}
