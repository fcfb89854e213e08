// Command apireference writes docs/reference/api.md, the reference of the custom resources, from their CRDs.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: apireference FOLDER-OF-CRDS FILE")
		os.Exit(2)
	}
	if err := write(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func write(folder, file string) error {
	crds, err := read(folder)
	if err != nil {
		return err
	}
	out := &strings.Builder{}
	out.WriteString("# API reference\n\nGenerated from the custom resources by `make reference`. Do not edit.\n")
	for _, crd := range crds {
		kind(out, crd)
	}
	return os.WriteFile(file, []byte(out.String()), 0o644)
}

// read reads the CRDs of a folder, by kind.
func read(folder string) ([]*apiextensionsv1.CustomResourceDefinition, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, errors.New("there are no CRDs in " + folder)
	}
	var crds []*apiextensionsv1.CustomResourceDefinition
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, crd); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		crds = append(crds, crd)
	}
	slices.SortFunc(crds, func(a, b *apiextensionsv1.CustomResourceDefinition) int {
		return cmp.Compare(a.Spec.Names.Kind, b.Spec.Names.Kind)
	})
	return crds, nil
}

// kind writes one kind: each version that is served, with its spec and its status.
func kind(out *strings.Builder, crd *apiextensionsv1.CustomResourceDefinition) {
	for i := range crd.Spec.Versions {
		version := &crd.Spec.Versions[i]
		if !version.Served {
			continue
		}
		root := version.Schema.OpenAPIV3Schema
		fmt.Fprintf(out, "\n## %s\n\n%s\n\n", crd.Spec.Names.Kind, sentence(root.Description))
		fmt.Fprintf(out, "`%s/%s`, %s, `kubectl get %s`", crd.Spec.Group, version.Name, scopes[crd.Spec.Scope], crd.Spec.Names.Plural)
		for _, short := range crd.Spec.Names.ShortNames {
			fmt.Fprintf(out, " or `%s`", short)
		}
		out.WriteString(".\n")
		for _, selectable := range version.SelectableFields {
			fmt.Fprintf(out, "Selectable: `%s`.\n", strings.TrimPrefix(selectable.JSONPath, "."))
		}
		out.WriteString("\n| field | type | meaning |\n|---|---|---|\n")
		for _, part := range []string{"spec", "status"} {
			if schema, ok := root.Properties[part]; ok {
				fields(out, part, &schema)
			}
		}
	}
}

var scopes = map[apiextensionsv1.ResourceScope]string{
	apiextensionsv1.NamespaceScoped: "namespaced", apiextensionsv1.ClusterScoped: "cluster-scoped",
}

// fields writes a row for each field below one, in order.
func fields(out *strings.Builder, path string, schema *apiextensionsv1.JSONSchemaProps) {
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		field := schema.Properties[name]
		needed := ""
		if slices.Contains(schema.Required, name) {
			needed = ", required"
		}
		fmt.Fprintf(out, "| `%s.%s` | %s%s | %s |\n", path, name, typeOf(&field), needed, meaning(&field))
		switch below := &field; {
		case field.Items != nil:
			fields(out, path+"."+name+"[]", below.Items.Schema)
		case field.AdditionalProperties != nil && field.AdditionalProperties.Schema != nil:
			fields(out, path+"."+name+".*", below.AdditionalProperties.Schema)
		default:
			fields(out, path+"."+name, below)
		}
	}
}

func typeOf(schema *apiextensionsv1.JSONSchemaProps) string {
	switch {
	case schema.Items != nil:
		return "list of " + typeOf(schema.Items.Schema)
	case schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil:
		return "map of " + typeOf(schema.AdditionalProperties.Schema)
	case schema.Format == "date-time":
		return "time"
	}
	return cmp.Or(schema.Type, "any")
}

// meaning is a field's description, and what its values may be.
func meaning(schema *apiextensionsv1.JSONSchemaProps) string {
	parts := []string{sentence(schema.Description)}
	if len(schema.Enum) > 0 {
		var values []string
		for _, value := range schema.Enum {
			values = append(values, "`"+strings.Trim(string(value.Raw), `"`)+"`")
		}
		parts = append(parts, "One of "+strings.Join(values, ", ")+".")
	}
	if schema.Default != nil {
		parts = append(parts, "Default: `"+strings.Trim(string(schema.Default.Raw), `"`)+"`.")
	}
	return strings.Join(parts, " ")
}

// sentence is a text in one line, as a cell of a table may have it.
func sentence(text string) string {
	return strings.NewReplacer("|", "\\|", "<", "&lt;", "*", "\\*", "[", "\\[").Replace(strings.Join(strings.Fields(text), " "))
}
