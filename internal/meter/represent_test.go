package meter

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// What an object says of those that it is a part of, and what they vouch for.
func TestClaims(t *testing.T) {
	const (
		service = `
apiVersion: v1
kind: Service
metadata: {name: edge-istio, namespace: shop, uid: service-1}
spec: {type: LoadBalancer}
status: {loadBalancer: {ingress: [{ip: 203.0.113.9}, {ip: 203.0.113.1}, {ip: 203.0.113.1}]}}
`
		gateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop, uid: gateway-1}
status: {addresses: [{type: IPAddress, value: 203.0.113.1}, {type: Hostname, value: edge.example.com}]}
`
		machine = `
apiVersion: cluster.x-k8s.io/v1beta2
kind: Machine
metadata: {name: m1, namespace: shop, uid: machine-1, labels: {cluster.x-k8s.io/pool-name: workers}}
status: {nodeRef: {name: n1}}
`
		pool = `
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachinePool
metadata: {name: workers, namespace: shop, uid: mp-1}
status: {nodeRefs: [{name: n2}, {name: n1}]}
`
	)
	launcher := func(owner string) string {
		return patchedText(t, podOfThree, fmt.Sprintf(`metadata: {ownerReferences: [{%s}]}`, owner))
	}
	prime := patchedText(t, boundClaim, `metadata: {name: prime-claim-0, ownerReferences: [{apiVersion: v1, kind: PersistentVolumeClaim, name: data, uid: claim-0, controller: true}]}`)
	gateways := usage.GroupKind{Group: "gateway.networking.k8s.io", Kind: "Gateway"}
	instances := usage.GroupKind{Group: "kubevirt.io", Kind: "VirtualMachineInstance"}
	volumes := usage.GroupKind{Kind: "PersistentVolumeClaim"}
	pools := usage.GroupKind{Group: "cluster.x-k8s.io", Kind: "MachinePool"}
	addresses := []string{"203.0.113.1", "203.0.113.9"}
	for name, c := range map[string]struct {
		meter, object string
		want          []usage.Claim
		other         string
		vouches       []string
	}{
		"a launcher": {
			"container", launcher(`apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance, name: db-0, uid: vmi-1, controller: true`),
			[]usage.Claim{{Kind: instances, Namespace: "shop", Name: "db-0", UID: "vmi-1", Keys: []string{"pod-1"}}},
			patchedText(t, runningInstance, `status: {activePods: {pod-1: n1, pod-2: n2}}`), []string{"pod-1", "pod-2"},
		},
		"its devices": {
			"container-extended-resources", launcher(`apiVersion: kubevirt.io/v1alpha3, kind: VirtualMachineInstance, name: db-0, uid: vmi-1, controller: true`),
			[]usage.Claim{{Kind: instances, Namespace: "shop", Name: "db-0", UID: "vmi-1", Keys: []string{"pod-1"}}},
			runningInstance, nil,
		},
		"an owner that does not control":   {"container", launcher(`apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance, name: db-0, uid: vmi-1`), nil, "", nil},
		"an owner of another group":        {"container", launcher(`apiVersion: kubevirt.io.example.com/v1, kind: VirtualMachineInstance, name: db-0, uid: vmi-1, controller: true`), nil, "", nil},
		"a pod of a workload":              {"container", podOfThree, nil, "", nil},
		"a claim":                          {"volume", boundClaim, nil, boundClaim, nil},
		"a claim that waits for its data":  {"volume", prime, []usage.Claim{{Kind: volumes, Namespace: "shop", Name: "data", UID: "claim-0", Keys: []string{"pv-1"}}}, patchedText(t, boundClaim, `spec: {dataSourceRef: {kind: VolumeImportSource}, volumeName: null}`), nil},
		"a claim that has them":            {"volume", prime, []usage.Claim{{Kind: volumes, Namespace: "shop", Name: "data", UID: "claim-0", Keys: []string{"pv-1"}}}, patchedText(t, boundClaim, `spec: {dataSourceRef: {kind: VolumeImportSource}}`), []string{"pv-1"}},
		"an importer's that is not bound":  {"volume", patchedText(t, prime, `spec: {volumeName: null}`), nil, "", nil},
		"a Service of nobody's":            {"load-balancer", service, nil, gateway, []string{"203.0.113.1", "edge.example.com"}},
		"an owner that need not control":   {"load-balancer", patchedText(t, service, `metadata: {ownerReferences: [{apiVersion: gateway.networking.k8s.io/v1beta1, kind: Gateway, name: edge, uid: gateway-1}]}`), []usage.Claim{{Kind: gateways, Namespace: "shop", Name: "edge", UID: "gateway-1", Keys: addresses}}, "", nil},
		"a label":                          {"load-balancer", patchedText(t, service, `metadata: {labels: {gateway.networking.k8s.io/gateway-name: edge}}`), []usage.Claim{{Kind: gateways, Namespace: "shop", Name: "edge", Keys: addresses}}, "", nil},
		"labels, from another namespace":   {"load-balancer", patchedText(t, service, `metadata: {namespace: envoy-gateway-system, labels: {gateway.envoyproxy.io/owning-gateway-name: edge, gateway.envoyproxy.io/owning-gateway-namespace: shop}}`), []usage.Claim{{Kind: gateways, Namespace: "shop", Name: "edge", Keys: addresses}}, "", nil},
		"a Service without an address":     {"load-balancer", patchedText(t, service, `{metadata: {labels: {gateway.networking.k8s.io/gateway-name: edge}}, status: null}`), nil, patchedText(t, gateway, `status: null`), nil},
		"a machine of a pool":              {"machine", machine, []usage.Claim{{Kind: pools, Namespace: "shop", Name: "workers", Keys: []string{"n1"}}}, pool, []string{"n1", "n2"}},
		"one that is no node yet":          {"machine", patchedText(t, machine, `status: null`), nil, patchedText(t, pool, `status: null`), nil},
		"a machine of a deployment":        {"machine", patchedText(t, machine, `metadata: {labels: {cluster.x-k8s.io/pool-name: null}}`), nil, "", nil},
		"a status that is not what it is":  {"load-balancer", patchedText(t, service, `{metadata: {labels: {gateway.networking.k8s.io/gateway-name: edge}}, status: {loadBalancer: {ingress: {a: b}}}}`), nil, patchedText(t, gateway, `status: {addresses: 3}`), nil},
		"an owner that is not what it is":  {"container", launcher(`kind: 3`), nil, patchedText(t, runningInstance, `status: {activePods: pod-1}`), nil},
		"an owner whose UID is not stated": {"container", launcher(`apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance, name: db-0, controller: true`), nil, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := builtin(t, c.meter)
			if diff := cmp.Diff(c.want, m.Claims(object(t, c.object))); diff != "" {
				t.Errorf("claims: want (-), got (+):\n%s", diff)
			}
			if c.other == "" {
				return
			}
			if diff := cmp.Diff([][]string{c.vouches}, m.Vouches(m.Representatives()[0], object(t, c.other))); diff != "" {
				t.Errorf("vouches for: want (-), got (+):\n%s", diff)
			}
		})
	}
}

// One object cannot make another one's index large.
func TestClaimsAreBounded(t *testing.T) {
	m := builtin(t, "load-balancer")
	many := make([]string, maxKeys+1)
	for i := range many {
		many[i] = fmt.Sprintf("{ip: 203.0.%d.%d, value: a%03d}", i/256, i%256, i)
	}
	list := "[" + strings.Join(many, ", ") + "]"
	service := object(t, `{apiVersion: v1, kind: Service, metadata: {name: s, namespace: shop, uid: s1, labels: {gateway.networking.k8s.io/gateway-name: g}}, status: {loadBalancer: {ingress: `+list+`}}}`)
	if claims := m.Claims(service); claims != nil {
		t.Errorf("claims %v", claims)
	}
	gateway := object(t, `{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: g, namespace: shop, uid: g1}, status: {addresses: `+list+`}}`)
	if keys := m.Vouches(m.Representatives()[0], gateway); len(keys[0]) != maxKeys {
		t.Errorf("vouches for %d keys", len(keys[0]))
	}
}
