package chart_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestTheChartSaysWhatConfigSays compares every object of the chart with config/'s, field by field, by default and with
// each option that is a kustomization there. What differs is said here: labels of Helm's, the annotation that keeps CRDs,
// the namespace, which Helm creates, and meters, which are objects in Git, and the operator's to create here.
func TestTheChartSaysWhatConfigSays(t *testing.T) {
	for _, c := range []struct {
		what, values string
		base         string
		components   []string
	}{
		{what: "by default", base: "default"},
		{what: "with readers", values: "readers: {enabled: true}", base: "readers"},
		{what: "with a NetworkPolicy", values: "networkPolicy: {enabled: true}", base: "default", components: []string{"network-policy"}},
		{what: "with a hub", values: "hub: {url: 'https://hub.example.org:8443'}", base: "default", components: []string{"hub"}},
		{
			what: "with a hub, readers and NetworkPolicies", base: "readers", components: []string{"network-policy", "hub", "hub/network-policy"},
			values: "hub: {url: 'https://hub.example.org:8443'}\nreaders: {enabled: true}\nnetworkPolicy: {enabled: true}",
		},
		{what: "with KubeVirt's policies", values: "kubevirt: {policies: true}", base: "default", components: []string{"policy/parts"}},
		{what: "with the policy of finalizers", values: "policies: {finalizers: true}", base: "default", components: []string{"policy/finalizers"}},
		{what: "with the policies of pods", values: "policies: {pods: true}", base: "default", components: []string{"policy/pods"}},
		{what: "with the policies of requests", values: "policies: {requests: true}", base: "default", components: []string{"policy/requests"}},
		{what: "with the policy of Ingresses", values: "policies: {ingresses: true}", base: "default", components: []string{"policy/ingresses"}},
		{what: "with meters in Git", values: "installMeters: false", base: "gitops"},
	} {
		t.Run(c.what, func(t *testing.T) {
			want := kustomized(t, c.base, c.components...)
			for key := range want {
				if strings.HasPrefix(key, "Namespace ") || strings.HasPrefix(key, "UsageMeter ") {
					delete(want, key)
				}
			}
			got := mustRender(t, c.values).without(t, added...)
			delete(got, checkPod) // helm test's, which is no part of what is installed
			if difference := cmp.Diff(want, got); difference != "" {
				t.Errorf("config/%s (-) and the chart (+) differ:\n%s", c.base, difference)
			}
		})
	}
}

// TestNamesFollowTheRelease renders releases of other names in other namespaces: they differ from the one that config/
// describes in these two names alone.
func TestNamesFollowTheRelease(t *testing.T) {
	everything := "readers: {enabled: true}\nnetworkPolicy: {enabled: true}\nkubevirt: {policies: true}\n" +
		"policies: {finalizers: true, pods: true, requests: true, ingresses: true}\nhub: {url: 'https://hub.example.org:8443'}\n"
	want := mustRender(t, everything)
	for _, c := range []struct{ release, values, name string }{
		{"finance", "", "finance-usage-operator"},
		{"acme-usage-operator", "", "acme-usage-operator"},
		{"finance", "nameOverride: ledger", "finance-ledger"},
		{"finance", "fullnameOverride: acme", "acme"},
	} {
		got, err := rendered(t, c.release, "elsewhere", everything+c.values)
		if err != nil {
			t.Fatal(err)
		}
		renamed := objects{}
		for key, object := range got {
			text, err := json.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			back := strings.NewReplacer(
				`"app.kubernetes.io/instance":"`+c.release+`"`, `"app.kubernetes.io/instance":"`+name+`"`,
				c.name, name, `"elsewhere"`, `"`+namespace+`"`,
			)
			var object map[string]any
			if err := json.Unmarshal([]byte(back.Replace(string(text))), &object); err != nil {
				t.Fatal(err)
			}
			renamed[strings.NewReplacer(" elsewhere/", " "+namespace+"/", c.name, name).Replace(key)] = object
		}
		if difference := cmp.Diff(numbers(t, want), renamed); difference != "" {
			t.Errorf("release %s with %q:\n%s", c.release, c.values, difference)
		}
	}
}

// checkPod is what helm test runs.
const checkPod = "Pod usage-system/usage-operator-check"

// TestHelmTestRunsTheOperatorsOwnCheck looks at the pod of helm test: it is a hook, has the operator's image and account, and
// no Service or policy takes it for a replica.
func TestHelmTestRunsTheOperatorsOwnCheck(t *testing.T) {
	made := mustRender(t, "image: {tag: v9}\ninstallMeters: false\nimagePullSecrets: [{name: mine}]\nnetworkPolicy: {enabled: true}")
	pod := &unstructured.Unstructured{Object: made[checkPod]}
	if pod.GetAnnotations()["helm.sh/hook"] != "test" {
		t.Fatalf("it is no test: %v", pod.Object)
	}
	spec := pod.Object["spec"].(map[string]any)
	container := spec["containers"].([]any)[0].(map[string]any)
	if spec["serviceAccountName"] != name || container["image"] != "ghcr.io/usage-operator/usage-operator:v9" || spec["restartPolicy"] != "Never" || spec["imagePullSecrets"] == nil {
		t.Errorf("it runs as %v", spec)
	}
	want := []any{"check", "--wait=2m", "--namespace=$(POD_NAMESPACE)", "--install-meters=false", "--usage-api-token-file=/var/run/secrets/usage-api/token"}
	if difference := cmp.Diff(want, container["args"]); difference != "" {
		t.Error(difference)
	}
	for key, object := range made {
		for _, path := range [][]string{{"spec", "selector"}, {"spec", "selector", "matchLabels"}, {"spec", "podSelector", "matchLabels"}} {
			selects, found, err := unstructured.NestedStringMap(object, path...)
			if err == nil && found && selects["app.kubernetes.io/name"] == pod.GetLabels()["app.kubernetes.io/name"] {
				t.Errorf("%s selects it", key)
			}
		}
	}
}

// numbers are the objects as JSON reads them.
func numbers(t *testing.T, of objects) (read objects) {
	t.Helper()
	text, err := json.Marshal(of)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	return read
}

// TestUninstallingKeepsTheCRDs looks at every CRD, and that nothing else stays but what clients verify the usage API by.
func TestUninstallingKeepsTheCRDs(t *testing.T) {
	for values, want := range map[string]bool{"": true, "crds: {keep: true}": true, "crds: {keep: false}": false} {
		kept := 0
		for key, content := range mustRender(t, values) {
			object := &unstructured.Unstructured{Object: content}
			keeps := object.GetAnnotations()["helm.sh/resource-policy"] == "keep"
			verified := object.GetName() == "usage-api-ca" && (object.GetKind() == "Secret" || object.GetKind() == "ConfigMap")
			if keeps != (verified || want && object.GetKind() == "CustomResourceDefinition") {
				t.Errorf("with %q, %s is kept: %t", values, key, keeps)
			}
			if keeps && !verified {
				kept++
			}
		}
		if want && kept < 7 {
			t.Errorf("with %q, %d CRDs are kept", values, kept)
		}
	}
	for key := range mustRender(t, "crds: {install: false}") {
		if strings.HasPrefix(key, "CustomResourceDefinition ") {
			t.Errorf("with crds.install=false there is %s", key)
		}
	}
}

// TestValues looks at what each value changes.
func TestValues(t *testing.T) {
	const operator, reader = "Deployment usage-system/usage-operator", "Deployment usage-system/usage-operator-reader"
	pods := []string{"spec", "template", "spec"}
	for values, c := range map[string]struct {
		object string
		field  []string
		want   any
	}{
		"image: {tag: v1}":                        {operator, []string{"image"}, "ghcr.io/usage-operator/usage-operator:v1"},
		"image: {repository: example.com/usage}":  {operator, []string{"image"}, "example.com/usage:latest"},
		"image: {pullPolicy: Always}":             {operator, []string{"imagePullPolicy"}, "Always"},
		"image: {digest: " + digest + ", tag: v}": {operator, []string{"image"}, "ghcr.io/usage-operator/usage-operator@" + digest},
		"imagePullSecrets: [{name: mine}]":        {operator, append(pods, "imagePullSecrets"), []any{map[string]any{"name": "mine"}}},
		"replicas: 1":                             {operator, []string{"spec", "replicas"}, float64(1)},
		"priorityClassName: high":                 {operator, append(pods, "priorityClassName"), "high"},
		"nodeSelector: {disk: fast}":              {operator, append(pods, "nodeSelector"), map[string]any{"disk": "fast"}},
		"tolerations: [{key: a}]":                 {operator, append(pods, "tolerations"), []any{map[string]any{"key": "a"}}},
		"affinity: {nodeAffinity: {}}":            {operator, append(pods, "affinity"), map[string]any{"nodeAffinity": map[string]any{}}},
		"topologySpreadConstraints: [{maxSkew: 1}]": {
			operator, append(pods, "topologySpreadConstraints"), []any{map[string]any{"maxSkew": float64(1)}},
		},
		"podLabels: {a: b}":                           {operator, []string{"spec", "template", "metadata", "labels", "a"}, "b"},
		"podAnnotations: {a: b}":                      {operator, []string{"spec", "template", "metadata", "annotations", "a"}, "b"},
		"resources: {limits: {memory: 2Gi}}":          {operator, []string{"resources", "limits", "memory"}, "2Gi"},
		"env: [{name: A, value: b}]":                  {operator, []string{"env", "A"}, "b"},
		"flags: {interval: 30m}":                      {operator, []string{"args", "--interval"}, "30m"},
		"flags: {deployments-per-namespace: 2000000}": {operator, []string{"args", "--deployments-per-namespace"}, "2000000"},
		"hub: {url: 'https://a.b'}":                   {operator, []string{"args", "--hub-ca-file"}, "/etc/usage-operator/hub/ca.crt"},
		"hub: {url: 'https://a.b', ca: false}":        {operator, []string{"args", "--hub-ca-file"}, nil},
		"hub: {url: 'https://a.b:1'}":                 {operator, []string{"env", "USAGE_HUB_URL"}, "https://a.b:1"},
		"commonLabels: {a: b}":                        {operator, []string{"metadata", "labels", "a"}, "b"},
		"maxUnavailable: 2":                           {"PodDisruptionBudget usage-system/usage-operator", []string{"spec", "maxUnavailable"}, float64(2)},
		"serviceAccount: {annotations: {a: b}}":       {"ServiceAccount usage-system/usage-operator", []string{"metadata", "annotations", "a"}, "b"},
		"readers: {enabled: true, replicas: 5}":       {reader, []string{"spec", "replicas"}, float64(5)},
		"{readers: {enabled: true}, image: {tag: v1}}": {
			reader, []string{"image"}, "ghcr.io/usage-operator/usage-operator:v1",
		},
		"monitoring: {serviceMonitor: {enabled: true, labels: {a: b}}}": {
			"ServiceMonitor usage-system/usage-operator", []string{"metadata", "labels", "a"}, "b",
		},
		"extraRules: [{apiGroups: [a.b], resources: [c], verbs: [get]}]": {
			"ClusterRole /usage-operator-extra-kinds", []string{"metadata", "labels", "metering.usage-operator.dev/aggregate-to-manager"}, "true",
		},
		"extraMeters: [{metadata: {name: m}, spec: {a: b}}]": {operator, []string{"args", "--extra-meters"}, "/etc/usage-operator/meters"},
		"{kubevirt: {policies: true, namespace: virt}}":      {"ValidatingAdmissionPolicy /usage-operator-launchers", []string{"variable"}, "['system:serviceaccount:virt:kubevirt-controller']"},
	} {
		object, found := mustRender(t, values)[c.object]
		if !found {
			t.Errorf("with %s there is no %s", values, c.object)
			continue
		}
		if difference := cmp.Diff(c.want, field(t, object, c.field)); difference != "" {
			t.Errorf("with %s, %s of %s: %s", values, c.field, c.object, difference)
		}
	}
}

const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// field is what an object has at a path; in a Deployment, a path that begins with none of its own fields is the container's.
func field(t *testing.T, object map[string]any, path []string) any {
	t.Helper()
	if path[0] == "variable" {
		variables, _, _ := unstructured.NestedSlice(object, "spec", "variables")
		return variables[0].(map[string]any)["expression"]
	}
	if !slices.Contains([]string{"metadata", "spec"}, path[0]) {
		containers, _, err := unstructured.NestedSlice(object, "spec", "template", "spec", "containers")
		if err != nil || len(containers) != 1 {
			t.Fatalf("containers: %v, %v", containers, err)
		}
		object = containers[0].(map[string]any)
	}
	switch path[0] {
	case "args":
		for _, argument := range object["args"].([]any) {
			if value, is := strings.CutPrefix(argument.(string), path[1]+"="); is {
				return value
			}
		}
		return nil
	case "env":
		for _, variable := range object["env"].([]any) {
			if variable := variable.(map[string]any); variable["name"] == path[1] {
				return variable["value"]
			}
		}
		return nil
	}
	value, _, err := unstructured.NestedFieldCopy(object, path...)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// TestExtraMetersAreFiles reads the files that the operator is given.
func TestExtraMetersAreFiles(t *testing.T) {
	values := "extraMeters: [{metadata: {name: database}, spec: {target: {kind: \"{{ x }}\"}, text: \"a\\n b: c\"}}]"
	data := mustRender(t, values)["ConfigMap usage-system/usage-operator-extra-meters"]["data"].(map[string]any)
	meters := parse(t, data["database.yaml"].(string))
	want := objects{"UsageMeter /database": {
		"apiVersion": "metering.usage-operator.dev/v1alpha1", "kind": "UsageMeter", "metadata": map[string]any{"name": "database"},
		"spec": map[string]any{"target": map[string]any{"kind": "{{ x }}"}, "text": "a\n b: c"},
	}}
	if difference := cmp.Diff(want, meters); difference != "" {
		t.Error(difference)
	}
}

// TestWrongValuesAreRefused has what the schema refuses.
func TestWrongValuesAreRefused(t *testing.T) {
	for _, values := range []string{
		"replica: 1",
		"replicas: two",
		"replicas: -1",
		"flags: {intervall: 1h}",
		"flags: {namespace: other}",
		"flags: {log-level: loud}",
		"image: {digest: latest}",
		"image: {name: x}",
		"imagePullSecrets: [mine]",
		"fullnameOverride: Usage Operator",
		"extraMeters: [{metadata: {name: x}}]",
		"extraMeters: [{kind: UsageRecord, metadata: {name: x}, spec: {}}]",
		"extraRules: [{apiGroups: [a], resources: [b], verbs: [delete]}]",
		"crds: {delete: true}",
		"hub: {url: 'http://a.b'}",
		"hub: {secret: A}",
		"flags: {hub-url: 'https://a.b'}",
		"resources: {limit: {memory: 1Gi}}",
	} {
		if _, err := rendered(t, name, namespace, values); err == nil {
			t.Errorf("%s is taken", values)
		}
	}
}
