package crds

import (
	"maps"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// reduce takes away what would need a webhook server to run, and what is there for people to read. Types, defaults and
// validation rules stay as they are.
func reduce(definition *apiextensionsv1.CustomResourceDefinition) {
	definition.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{Strategy: apiextensionsv1.NoneConverter}
	maps.DeleteFunc(definition.Annotations, func(key, _ string) bool { return strings.HasPrefix(key, "cert-manager.io/") })
	for i := range definition.Spec.Versions {
		if schema := definition.Spec.Versions[i].Schema; schema != nil {
			undescribe(schema.OpenAPIV3Schema)
		}
	}
}

// undescribe removes descriptions, which are most of a large CRD: the API server starts to serve the rest much sooner.
func undescribe(schema *apiextensionsv1.JSONSchemaProps) {
	if schema == nil {
		return
	}
	schema.Description = ""
	undescribeAll(schema.Properties)
	undescribeAll(schema.PatternProperties)
	if schema.Items != nil {
		undescribe(schema.Items.Schema)
	}
	if schema.AdditionalProperties != nil {
		undescribe(schema.AdditionalProperties.Schema)
	}
	undescribe(schema.Not)
	for _, alternatives := range [][]apiextensionsv1.JSONSchemaProps{schema.AllOf, schema.AnyOf, schema.OneOf} {
		for i := range alternatives {
			undescribe(&alternatives[i])
		}
	}
}

func undescribeAll(schemas map[string]apiextensionsv1.JSONSchemaProps) {
	for name, schema := range schemas {
		undescribe(&schema)
		schemas[name] = schema
	}
}
