package api_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

const maxCRDBytes = 200 << 10

// imported are fields whose type is Kubernetes' own: neither bounds nor docs are ours.
var imported = []string{
	"usagemeters.spec.selector", "usagemeters.status.conditions[]",
	"usagereports.status.conditions[]", "clusterusagereports.status.conditions[]",
	"usageledgers.status.conditions[]",
	"usagereportschedules.status.conditions[]", "clusterusagereportschedules.status.conditions[]",
	"clusterusagereports.spec.filters.namespaceSelector", "clusterusagereportschedules.spec.template.spec.filters.namespaceSelector",
}

var _ = Describe("The schemas", func() {
	files, err := filepath.Glob("../../config/crd/bases/*.yaml")
	if err != nil || len(files) == 0 {
		panic("there are no CRDs in config/crd/bases")
	}
	role, err := os.ReadFile("../../config/rbac/usage_viewer_role.yaml")
	if err != nil {
		panic(err)
	}
	viewer := &rbacv1.ClusterRole{}
	if err := yaml.Unmarshal([]byte(strings.Split(string(role), "\n---\n")[0]), viewer); err != nil {
		panic(err)
	}
	var viewed []string // the resources that the role view reads
	for _, rule := range viewer.Rules {
		viewed = append(viewed, rule.Resources...)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			panic(err)
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.Unmarshal(text, crd); err != nil {
			panic(err)
		}
		Context("of "+crd.Spec.Names.Plural, func() {
			It("are small", func() { Expect(len(text)).To(BeNumerically("<", maxCRDBytes)) })

			It("bound every text, list and map, and explain every field", func() {
				for _, version := range crd.Spec.Versions {
					root := *version.Schema.OpenAPIV3Schema
					for _, name := range []string{"spec", "status"} {
						if field, ok := root.Properties[name]; ok {
							expectDiscipline(crd.Spec.Names.Plural+"."+name, name, field)
						}
					}
				}
			})

			It("are in the category usage where a tenant with the role view may list them, so that kubectl get usage answers", func() {
				if crd.Spec.Scope == apiextensionsv1.NamespaceScoped && slices.Contains(viewed, crd.Spec.Names.Plural) {
					Expect(crd.Spec.Names.Categories).To(ConsistOf("usage"))
				} else {
					Expect(crd.Spec.Names.Categories).To(BeEmpty())
				}
			})
		})
	}
})

// expectDiscipline checks a field, and those below it.
func expectDiscipline(path, name string, schema apiextensionsv1.JSONSchemaProps) {
	GinkgoHelper()
	if name != "" {
		Expect(strings.Fields(schema.Description)).NotTo(BeEmpty(), "%s has no description", path)
		Expect(strings.Fields(schema.Description)[0]).To(Equal(name), "%s: its description starts with its name", path)
	}
	if slices.Contains(imported, path) {
		return
	}
	switch schema.Type {
	case "string":
		bounded := schema.MaxLength != nil || len(schema.Enum) > 0 || schema.Format == "date-time"
		Expect(bounded).To(BeTrue(), "%s has no maxLength", path)
	case "array":
		Expect(schema.MaxItems).NotTo(BeNil(), "%s has no maxItems", path)
		expectDiscipline(path+"[]", "", *schema.Items.Schema)
	case "object":
		if values := schema.AdditionalProperties; values != nil {
			Expect(schema.MaxProperties).NotTo(BeNil(), "%s has no maxProperties", path)
			expectDiscipline(path+"{}", "", *values.Schema)
		}
	case "number":
		Fail(path + " is a float")
	}
	for _, field := range slices.Sorted(maps.Keys(schema.Properties)) {
		expectDiscipline(path+"."+field, field, schema.Properties[field])
	}
}
