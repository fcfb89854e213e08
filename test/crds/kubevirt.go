package crds

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/test/buildcache"
)

// kubevirt pins KubeVirt, which ships no YAML: its operator puts a definition together from Go code, and from a schema for
// each kind, which is text in the file named here. Building that operator for its five definitions would compile 650
// packages; the folder kubevirt has what that code says, and the schemas are read from the text.
var kubevirt = source{
	module:  "kubevirt.io/kubevirt",
	version: "v1.8.2",
	sum:     "h1:qUnQPvFHlNqA4aQxvKCyX+mfgwE4mwELM82cOJ75ujE=",
	folder:  "pkg/virt-operator/resource/generate/components",
	files:   []string{"validations_generated.go"},
}

//go:embed kubevirt/*.yaml
var kubevirtHeads embed.FS

// prepareKubeVirt writes KubeVirt's definitions: those of the folder kubevirt, with the module's schemas.
func prepareKubeVirt(ctx context.Context, dir string) error {
	folder, err := kubevirt.fetch(ctx)
	if err != nil {
		return err
	}
	schemas, err := readSchemas(filepath.Join(folder, kubevirt.files[0]))
	if err != nil {
		return err
	}
	return eachIn(kubevirtHeads, "kubevirt/*.yaml", func(name string, text []byte) error {
		definition, err := withSchema(text, schemas)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return prepare(dir, name, definition)
	})
}

// withSchema puts the schema of its kind into every version, as KubeVirt does.
func withSchema(head []byte, schemas map[string]string) ([]byte, error) {
	definition := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(head, definition); err != nil {
		return nil, err
	}
	kind := definition.Spec.Names.Singular
	text, found := schemas[kind]
	if !found {
		return nil, fmt.Errorf("KubeVirt %s has no schema of a %s", kubevirt.version, kind)
	}
	schema := &apiextensionsv1.CustomResourceValidation{}
	if err := yaml.UnmarshalStrict([]byte(text), schema); err != nil {
		return nil, fmt.Errorf("KubeVirt's schema of a %s: %w", kind, err)
	}
	for i := range definition.Spec.Versions {
		definition.Spec.Versions[i].Schema = schema.DeepCopy() // each is changed later
	}
	return yaml.Marshal(definition)
}

var errNoSchemas = errors.New("there is no map CRDsValidation of texts: has KubeVirt moved its schemas?")

// readSchemas reads the schemas by the singular names of their kinds, from a Go file with one map:
//
//	var CRDsValidation map[string]string = map[string]string{"virtualmachine": `openAPIV3Schema: ...`}
func readSchemas(file string) (map[string]string, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var literal *ast.CompositeLit
	ast.Inspect(parsed, func(node ast.Node) bool {
		spec, is := node.(*ast.ValueSpec)
		if is && len(spec.Names) == 1 && spec.Names[0].Name == "CRDsValidation" && len(spec.Values) == 1 {
			literal, _ = spec.Values[0].(*ast.CompositeLit)
		}
		return literal == nil
	})
	if literal == nil {
		return nil, fmt.Errorf("%s: %w", file, errNoSchemas)
	}
	schemas := map[string]string{}
	for _, element := range literal.Elts {
		pair, is := element.(*ast.KeyValueExpr)
		if !is {
			return nil, fmt.Errorf("%s: %w", file, errNoSchemas)
		}
		key, keyErr := textOf(pair.Key)
		value, valueErr := textOf(pair.Value)
		if err := errors.Join(keyErr, valueErr); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		schemas[key] = value
	}
	return schemas, nil
}

func textOf(expression ast.Expr) (string, error) {
	literal, is := expression.(*ast.BasicLit)
	if !is || literal.Kind != token.STRING {
		return "", errNoSchemas
	}
	return strconv.Unquote(literal.Value)
}

// fetch returns the source's folder on this machine.
func (s source) fetch(ctx context.Context) (string, error) {
	module, err := buildcache.Download(ctx, s.module, s.version)
	if err != nil {
		return "", err
	}
	if module.Sum != s.sum {
		return "", fmt.Errorf("the module %s@%s has the checksum %s, not %s as in test/crds", s.module, s.version, module.Sum, s.sum)
	}
	return filepath.Join(module.Dir, filepath.FromSlash(s.folder)), nil
}
