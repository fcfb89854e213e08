package attribution_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/usage"
)

func TestNodeOf(t *testing.T) {
	cases := map[string]struct {
		manifest string
		want     attribution.Node
	}{
		"metadata alone": {
			manifest: `
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: web-5d
  namespace: shop
  uid: u1
  labels:
    metering.usage-operator.dev/deployment: front
    app.kubernetes.io/instance: i
    app.kubernetes.io/name: "n"
  ownerReferences:
  - {apiVersion: v1, kind: Other, name: not-controlling, uid: u2}
  - {apiVersion: apps/v1, kind: Deployment, name: web, uid: u3, controller: true}
  - {apiVersion: v1, kind: Other, name: second, uid: u4, controller: true}`,
			want: attribution.Node{
				Object:    usage.Object{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-5d", UID: "u1"},
				Namespace: "shop", Deployment: "front", Instance: "i", Name: "n",
				Owner: usage.Object{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: "u3"},
			},
		},
		"a pod": {
			manifest: `
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: shop, uid: u1, labels: {app: web, tier: front}}
spec:
  volumes:
  - {name: b, persistentVolumeClaim: {claimName: data}}
  - {name: a, persistentVolumeClaim: {claimName: config}}
  - {name: again, persistentVolumeClaim: {claimName: data}}
  - {name: scratch, ephemeral: {volumeClaimTemplate: {}}}
  - {name: none, emptyDir: {}}
  resourceClaims: [{name: gpu, resourceClaimName: data}, {name: own, resourceClaimTemplateName: one-gpu}]
status: {phase: Running, resourceClaimStatuses: [{name: own, resourceClaimName: p-own-x7}, {name: none}]}`,
			want: attribution.Node{
				Object:    usage.Object{APIVersion: "v1", Kind: "Pod", Name: "p", UID: "u1"},
				Namespace: "shop",
				Labels:    map[string]string{"app": "web", "tier": "front"},
				Claims:    []string{"config", "data", "p-scratch", "resourceclaim/data", "resourceclaim/p-own-x7"},
			},
		},
		"a pod that has finished mounts nothing": {
			manifest: `
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: shop, uid: u1, labels: {app: web}}
spec: {volumes: [{name: b, persistentVolumeClaim: {claimName: data}}]}
status: {phase: Succeeded}`,
			want: attribution.Node{Object: usage.Object{APIVersion: "v1", Kind: "Pod", Name: "p", UID: "u1"}, Namespace: "shop"},
		},
		"a service": {
			manifest: `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, uid: u1, labels: {app: web}}
spec: {selector: {app: web}}`,
			want: attribution.Node{
				Object:    usage.Object{APIVersion: "v1", Kind: "Service", Name: "web", UID: "u1"},
				Namespace: "shop", Selector: map[string]string{"app": "web"},
			},
		},
		"a route": {
			manifest: `
apiVersion: gateway.networking.k8s.io/v1alpha2
kind: TCPRoute
metadata: {name: r, namespace: shop, uid: u1}
spec:
  parentRefs:
  - {name: edge, sectionName: http}
  - {name: edge, sectionName: https}
  - {name: taken, namespace: infra}
  - {name: pending, namespace: infra}
  - {name: unheard, namespace: infra}
  - {group: "", kind: Service, name: mesh}
  rules:
  - backendRefs: [{name: web}, {name: api, namespace: backend}, {kind: Bucket, group: x, name: b}]
  - backendRefs: [{name: web, port: 80}]
status:
  parents:
  - parentRef: {name: taken, namespace: infra}
    conditions: [{type: Accepted, status: "True"}, {type: ResolvedRefs, status: "True"}]
  - parentRef: {name: pending, namespace: infra}
    conditions: [{type: Accepted, status: "True"}, {type: ResolvedRefs, status: "False"}]`,
			want: attribution.Node{
				Object:    usage.Object{APIVersion: "gateway.networking.k8s.io/v1alpha2", Kind: "TCPRoute", Name: "r", UID: "u1"},
				Namespace: "shop",
				Parents:   []attribution.Reference{{Namespace: "infra", Name: "taken"}, {Namespace: "shop", Name: "edge"}},
				Backends:  []attribution.Reference{{Namespace: "backend", Name: "api"}, {Namespace: "shop", Name: "web"}},
			},
		},
		"what is not as it should be is absent": {
			manifest: `
apiVersion: v1
kind: Pod
metadata:
  name: 7
  uid: u1
  labels: {app: web, number: 5, nested: {a: b}}
  ownerReferences: [text, {controller: "true", uid: u2}, {controller: true, uid: 3}]
spec: {volumes: {a: b}}
status: []`,
			want: attribution.Node{
				Object: usage.Object{APIVersion: "v1", Kind: "Pod", UID: "u1"},
				Labels: map[string]string{"app": "web"},
			},
		},
		"nothing": {manifest: `{}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var content map[string]any
			if err := yaml.Unmarshal([]byte(c.manifest), &content); err != nil {
				t.Fatal(err)
			}
			got := attribution.NodeOf(&unstructured.Unstructured{Object: content})
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLabelsAreBounded(t *testing.T) {
	many := map[string]any{}
	for i := range 1000 {
		many[fmt.Sprintf("k%03d", i)] = "v"
	}
	pod := attribution.NodeOf(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"labels": many},
	}})
	if _, kept := pod.Labels["k063"]; len(pod.Labels) != 64 || !kept {
		t.Errorf("kept %d labels, want the first 64", len(pod.Labels))
	}
	service := attribution.NodeOf(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Service", "spec": map[string]any{"selector": many},
	}})
	if service.Selector != nil {
		t.Error("a selector that no pod can match is kept")
	}
}
