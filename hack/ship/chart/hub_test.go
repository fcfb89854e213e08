package chart_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// hubName is the name of a release of the hub that is called as config/hub-server calls things, and its namespace.
const hubName = "usage-hub"

// hubJob is what brings the database's schema up to date.
const hubJob = "Job usage-hub/usage-hub-migrate"

func mustRenderHub(t *testing.T, values string) objects {
	t.Helper()
	made, err := renderedFrom(t, hubDir, hubName, hubName, values)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// TestTheHubsChartSaysWhatConfigSays compares every object of the hub's chart with config/hub-server's, field by field. What
// differs is said here: labels of Helm's, the namespace, which Helm creates, and that the Job is a hook.
func TestTheHubsChartSaysWhatConfigSays(t *testing.T) {
	for _, c := range []struct {
		what, values string
		components   []string
	}{
		{what: "by default"},
		{what: "with a NetworkPolicy", values: "networkPolicy: {enabled: true}", components: []string{"hub-server/network-policy"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			want := kustomized(t, "hub-server", c.components...)
			delete(want, "Namespace /usage-hub")
			maps.Copy(want, kustomized(t, "hub-server/migrate"))
			got := mustRenderHub(t, c.values)
			job := &unstructured.Unstructured{Object: got[hubJob]}
			if job.GetAnnotations()["helm.sh/hook"] != "pre-install,pre-upgrade" {
				t.Errorf("the Job is no hook: %v", job.GetAnnotations())
			}
			unstructured.RemoveNestedField(job.Object, "metadata", "annotations")
			got = got.without(t, added...)
			// A ConfigMap's text is compared as what it says.
			if difference := cmp.Diff(want, got); difference != "" {
				t.Errorf("config/hub-server (-) and the chart (+) differ:\n%s", difference)
			}
		})
	}
}

// TestNamesFollowTheHubsRelease renders releases of other names in another namespace: they differ in these two alone.
func TestNamesFollowTheHubsRelease(t *testing.T) {
	const everything = "networkPolicy: {enabled: true}\ndatabase: {secret: db}\ntls: {secret: certificate}\nimage: {repository: example.com/image}\n"
	want := mustRenderHub(t, everything)
	for _, c := range []struct{ release, values, name string }{
		{"finance", "", "finance-usage-hub"},
		{"finance", "nameOverride: ledgers", "finance-ledgers"},
		{"finance", "fullnameOverride: acme", "acme"},
	} {
		got, err := renderedFrom(t, hubDir, c.release, "elsewhere", everything+c.values)
		if err != nil {
			t.Fatal(err)
		}
		for key := range want {
			kind, named, _ := strings.Cut(key, " ")
			_, called, _ := strings.Cut(named, "/")
			renamed := kind + " elsewhere/" + c.name + strings.TrimPrefix(called, hubName)
			text, err := json.Marshal(got[renamed])
			if err != nil || got[renamed] == nil {
				t.Errorf("release %s with %q has no %s (%v)", c.release, c.values, renamed, err)
			}
			// The chart's own name, its paths in the container and its program are the same in each.
			left := strings.NewReplacer("/usage-hub", "", "usage-hub-0.0.0", "", c.name, "").Replace(string(text))
			if strings.Contains(left, hubName) {
				t.Errorf("%s names usage-hub still: %s", renamed, left)
			}
		}
		if len(got) != len(want) {
			t.Errorf("release %s has %d objects, want %d", c.release, len(got), len(want))
		}
	}
}

// TestTheHubsValues looks at what values change.
func TestTheHubsValues(t *testing.T) {
	const hub = "Deployment usage-hub/usage-hub"
	pods := []string{"spec", "template", "spec"}
	for values, c := range map[string]struct {
		object string
		field  []string
		want   any
	}{
		"image: {tag: v1}":                        {hub, []string{"image"}, "ghcr.io/usage-operator/usage-operator:v1"},
		"image: {digest: " + digest + ", tag: v}": {hub, []string{"image"}, "ghcr.io/usage-operator/usage-operator@" + digest},
		"{image: {tag: v2}, replicas: 1}":         {hubJob, []string{"image"}, "ghcr.io/usage-operator/usage-operator:v2"},
		"imagePullSecrets: [{name: mine}]":        {hubJob, append(pods, "imagePullSecrets"), []any{map[string]any{"name": "mine"}}},
		"replicas: 5":                             {hub, []string{"spec", "replicas"}, float64(5)},
		"flags: {at-once: 32}":                    {hub, []string{"args", "--at-once"}, "32"},
		"flags: {segments: 2000000}":              {hub, []string{"args", "--segments"}, "2000000"},
		"env: [{name: PGSSLMODE, value: require}]": {
			hubJob, []string{"env", "PGSSLMODE"}, "require",
		},
		"service: {type: LoadBalancer}": {"Service usage-hub/usage-hub", []string{"spec", "type"}, "LoadBalancer"},
		"maxUnavailable: 2":             {"PodDisruptionBudget usage-hub/usage-hub", []string{"spec", "maxUnavailable"}, float64(2)},
		"commonLabels: {a: b}":          {"ServiceAccount usage-hub/usage-hub", []string{"metadata", "labels", "a"}, "b"},
		"fleet: {readers: [], customers: [{name: acme, namespaces: []}]}": {
			"ConfigMap usage-hub/usage-hub-fleet", []string{"metadata", "name"}, "usage-hub-fleet",
		},
	} {
		object, found := mustRenderHub(t, values)[c.object]
		if !found {
			t.Errorf("with %s there is no %s", values, c.object)
			continue
		}
		if difference := cmp.Diff(c.want, field(t, object, c.field)); difference != "" {
			t.Errorf("with %s, %s of %s: %s", values, c.field, c.object, difference)
		}
	}
	if _, found := mustRenderHub(t, "migrate: {enabled: false}")[hubJob]; found {
		t.Error("with migrate.enabled=false there is a Job")
	}
	for _, values := range []string{
		"replica: 1", "flags: {segment: 1}", "flags: {database: x}", "database: {url: x}", "tls: {secret: A}", "service: {type: ExternalName}",
		"fleet: {readers: [{name: x}]}", "networkPolicy: {databasePort: 0}",
	} {
		if _, err := renderedFrom(t, hubDir, hubName, hubName, values); err == nil {
			t.Errorf("%s is taken", values)
		}
	}
}
