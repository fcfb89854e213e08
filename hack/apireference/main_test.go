package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// The tables of kubectl get in the documentation have the columns that kubectl shows.
func TestDocumentedTablesHaveTheColumnsThatThereAre(t *testing.T) {
	crds, err := read("../../config/crd/bases")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`^\$ kubectl get ([a-z]+)( .*)?$`)
	continued := regexp.MustCompile(`\\\n *`) // a command on several lines
	compared := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(continued.ReplaceAllString(string(text), " "), "\n")
		for i, line := range lines[:len(lines)-1] {
			found := command.FindStringSubmatch(line)
			if found == nil {
				continue
			}
			want := header(crds, found[1], found[2])
			if want == "" {
				continue
			}
			compared++
			got, cut := strings.CutSuffix(strings.Join(strings.Fields(lines[i+1]), " "), " ...")
			if got != want && (!cut || !strings.HasPrefix(want, got)) {
				t.Errorf("%s: %s shows\n%s\nand kubectl\n%s", page, line, got, want)
			}
		}
	}
	if compared < 5 {
		t.Errorf("%d tables are compared: want 5 or more", compared)
	}
}

// header is that of kubectl get of a resource with these arguments; "" is no table, or no resource of ours.
func header(crds []*apiextensionsv1.CustomResourceDefinition, resource, arguments string) string {
	wide := strings.Contains(arguments, "-o wide")
	if (strings.Contains(arguments, "-o ") || strings.Contains(arguments, "--output")) && !wide {
		return ""
	}
	for _, crd := range crds {
		names := &crd.Spec.Names
		if !slices.Contains(append([]string{names.Plural, names.Singular}, names.ShortNames...), resource) {
			continue
		}
		words := []string{"NAME"}
		if strings.Contains(arguments, "-A") || strings.Contains(arguments, "--all-namespaces") {
			words = []string{"NAMESPACE", "NAME"}
		}
		for _, column := range crd.Spec.Versions[0].AdditionalPrinterColumns {
			if column.Priority == 0 || wide {
				words = append(words, strings.ToUpper(column.Name))
			}
		}
		return strings.Join(words, " ")
	}
	return ""
}
