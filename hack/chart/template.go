package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

// resources are the files that a kustomization lists.
func resources(folder string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(folder, "kustomization.yaml"))
	if err != nil {
		return nil, err
	}
	var kustomization struct {
		Resources []string `json:"resources"`
	}
	err = yaml.Unmarshal(text, &kustomization)
	return kustomization.Resources, err
}

const fullname = `{{ include "usage-operator.fullname" . }}`

// substitutions are what of a manifest depends on the release.
var substitutions = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`(?m)^(\s*(?:- )?(?:name|policyName): )usage-operator((?:-[a-z]+)*)$`), "${1}" + fullname + "${2}"},
	{regexp.MustCompile(`(?m)^(\s*namespace: )usage-system$`), "${1}{{ .Release.Namespace }}"},
	{regexp.MustCompile(`'system:serviceaccount:kubevirt:`), "'system:serviceaccount:{{ .Values.kubevirt.namespace }}:"},
}

// fixed are the uses of those names that are the same in every release. So are the names of what outlives it: the Lease,
// the ConfigMap of the created meters, the Service that kubectl usage looks for, and what it verifies it by (docs/design/0016-shipping.md).
var fixed = regexp.MustCompile(`(?m)#.*$|metering\.usage-operator\.dev|app\.kubernetes\.io/name: usage-operator$|only usage-operator writes|` +
	`^(- |\s*)resourceNames: \[(usage-operator|usage-operator-meters|usage-api-ca|"https:usage-api:https")\]$`)

var (
	known    = regexp.MustCompile(regexp.QuoteMeta(fullname) + `[a-z-]*`)
	named    = regexp.MustCompile(`usage-operator|usage-system|usage-api|serviceaccount:kubevirt`)
	metadata = regexp.MustCompile(`(?m)^metadata:\n((?: .*\n)+)`)
	keep     = "    {{- if .Values.crds.keep }}\n    helm.sh/resource-policy: keep\n    {{- end }}\n"
)

// template makes a manifest, which may have several documents, a template of the chart.
func template(manifest string, p part) (string, error) {
	manifest = strings.TrimPrefix(manifest, "---\n")
	var documents []string
	for document := range strings.SplitSeq(manifest, "\n---\n") {
		made, err := templateDocument(strings.TrimSuffix(document, "\n")+"\n", p)
		if err != nil {
			return "", err
		}
		documents = append(documents, made)
	}
	text := strings.Join(documents, "---\n")
	if p.when != "" {
		text = "{{- if " + p.when + " }}\n" + text + "{{- end }}\n"
	}
	return text, nil
}

func templateDocument(text string, p part) (string, error) {
	text = strings.ReplaceAll(text, "{{", `{{ "{{" }}`)
	for _, s := range substitutions {
		text = s.what.ReplaceAllString(text, s.by)
	}
	rest := known.ReplaceAllString(fixed.ReplaceAllString(text, ""), "")
	if left := named.FindString(rest); left != "" {
		return "", fmt.Errorf("%q is in it where hack/chart does not know what becomes of it in a release of another name", left)
	}
	found := metadata.FindAllStringSubmatchIndex(text, -1)
	if len(found) != 1 {
		return "", errors.New("want one metadata in a document")
	}
	from, to := found[0][2], found[0][3]
	return text[:from] + withLabels(text[from:to], p) + text[to:], nil
}

// withLabels adds the chart's labels to those that there are, and to CRDs that a release does not delete them.
func withLabels(metadata string, p part) string {
	labels := "    {{- include \"usage-operator.labels\" . | nindent 4 }}\n"
	if strings.Contains(metadata, "  labels:\n") {
		metadata = strings.Replace(metadata, "  labels:\n", "  labels:\n"+labels, 1)
	} else {
		metadata += "  labels:\n" + labels
	}
	if p.folder == "crd" {
		metadata = strings.Replace(metadata, "  annotations:\n", "  annotations:\n"+keep, 1)
	}
	return metadata
}
