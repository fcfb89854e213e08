package meter

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

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
		launched = `
apiVersion: karpenter.sh/v1
kind: NodeClaim
metadata: {name: general-z9, uid: claim-1}
status: {nodeName: n1, providerID: "aws:///a/i-1"}
`
		content = `
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshotContent
metadata: {name: content-nightly, uid: content-1}
spec: {volumeSnapshotRef: {namespace: shop, name: nightly, uid: snapshot-1}}
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
	snapshots := usage.GroupKind{Group: "snapshot.storage.k8s.io", Kind: "VolumeSnapshot"}
	addresses := []string{"203.0.113.1,203.0.113.9"}
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
		"an owner that does not control":                              {"container", launcher(`apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance, name: db-0, uid: vmi-1`), nil, "", nil},
		"an owner of another group":                                   {"container", launcher(`apiVersion: kubevirt.io.example.com/v1, kind: VirtualMachineInstance, name: db-0, uid: vmi-1, controller: true`), nil, "", nil},
		"a pod of a workload":                                         {"container", podOfThree, nil, "", nil},
		"a claim":                                                     {"volume", boundClaim, nil, boundClaim, nil},
		"a claim that waits for its data":                             {"volume", prime, []usage.Claim{{Kind: volumes, Namespace: "shop", Name: "data", UID: "claim-0", Keys: []string{"pv-1"}}}, patchedText(t, boundClaim, `spec: {dataSourceRef: {kind: VolumeImportSource}, volumeName: null}`), nil},
		"a claim that has them":                                       {"volume", prime, []usage.Claim{{Kind: volumes, Namespace: "shop", Name: "data", UID: "claim-0", Keys: []string{"pv-1"}}}, patchedText(t, boundClaim, `spec: {dataSourceRef: {kind: VolumeImportSource}}`), []string{"pv-1"}},
		"an importer's that is not bound":                             {"volume", patchedText(t, prime, `spec: {volumeName: null}`), nil, "", nil},
		"a Service of nobody's":                                       {"load-balancer", service, nil, gateway, []string{"203.0.113.1"}},
		"an owner that need not control":                              {"load-balancer", patchedText(t, service, `metadata: {ownerReferences: [{apiVersion: gateway.networking.k8s.io/v1beta1, kind: Gateway, name: edge, uid: gateway-1}]}`), []usage.Claim{{Kind: gateways, Namespace: "shop", Name: "edge", UID: "gateway-1", Keys: addresses}}, "", nil},
		"a Gateway that asks for names":                               {"load-balancer", service, nil, patchedText(t, gateway, `spec: {addresses: [{type: Hostname, value: a.shop.svc.cluster.local}]}`), nil},
		"a Gateway that was given all of several Services' addresses": {"load-balancer", patchedText(t, service, `{metadata: {labels: {gateway.networking.k8s.io/gateway-name: edge}}, status: {loadBalancer: {ingress: [{ip: 203.0.113.9, hostname: a.example.com}]}}}`), []usage.Claim{{Kind: gateways, Namespace: "shop", Name: "edge", Keys: []string{"203.0.113.9"}}}, patchedText(t, gateway, `status: {addresses: [{value: 203.0.113.9}, {value: 203.0.113.10}, {value: "2001:DB8::1"}]}`), []string{"2001:db8::1,203.0.113.10,203.0.113.9"}},
		"names alone":                                                 {"load-balancer", patchedText(t, service, `{metadata: {labels: {gateway.networking.k8s.io/gateway-name: edge}}, status: {loadBalancer: {ingress: [{hostname: b.elb.example}, {hostname: a.elb.example}]}}}`), []usage.Claim{{Kind: gateways, Namespace: "shop", Name: "edge", Keys: []string{"a.elb.example,b.elb.example"}}}, patchedText(t, gateway, `status: {addresses: [{type: Hostname, value: b.elb.example}, {type: Hostname, value: a.elb.example}]}`), []string{"a.elb.example,b.elb.example"}},
		"a label":                                                     {"load-balancer", patchedText(t, service, `metadata: {labels: {gateway.networking.k8s.io/gateway-name: edge}}`), []usage.Claim{{Kind: gateways, Namespace: "shop", Name: "edge", Keys: addresses}}, "", nil},
		"labels, from another namespace":                              {"load-balancer", patchedText(t, service, `metadata: {namespace: envoy-gateway-system, labels: {gateway.envoyproxy.io/owning-gateway-name: edge, gateway.envoyproxy.io/owning-gateway-namespace: shop}}`), []usage.Claim{{Kind: gateways, Namespace: "shop", Name: "edge", Keys: addresses}}, "", nil},
		"the label of a class":                                        {"load-balancer", patchedText(t, service, `metadata: {namespace: envoy-gateway-system, labels: {gateway.envoyproxy.io/owning-gatewayclass: eg}}`), []usage.Claim{{Kind: gateways, Name: "eg", Rule: 1, Shared: true, Keys: addresses}}, "", nil},
		"of a class, and a Gateway of it":                             {"load-balancer", patchedText(t, service, `metadata: {labels: {gateway.envoyproxy.io/owning-gatewayclass: eg, gateway.envoyproxy.io/owning-gateway-name: edge}}`), []usage.Claim{{Kind: gateways, Namespace: "shop", Name: "edge", Keys: addresses}}, "", nil},
		"a Service without an address":                                {"load-balancer", patchedText(t, service, `{metadata: {labels: {gateway.networking.k8s.io/gateway-name: edge}}, status: null}`), nil, patchedText(t, gateway, `status: null`), nil},
		"a machine of a pool":                                         {"machine", machine, []usage.Claim{{Kind: pools, Namespace: "shop", Name: "workers", Keys: []string{"n1"}}}, pool, []string{"n1", "n2"}},
		"one that is no node yet":                                     {"machine", patchedText(t, machine, `status: null`), nil, patchedText(t, pool, `status: null`), nil},
		"one that the pool made, and no node yet": {
			"machine", patchedText(t, machine, `{spec: {providerID: "aws:///a/i-1"}, status: null}`),
			[]usage.Claim{{Kind: pools, Namespace: "shop", Name: "workers", Rule: 1, Keys: []string{"aws:///a/i-1"}}}, "", nil,
		},
		"a launched machine that is a node": {
			"node-pool-nodeclaim", launched, []usage.Claim{{Kind: usage.GroupKind{Kind: "Node"}, Name: "n1", Keys: []string{"aws:///a/i-1"}}},
			`{apiVersion: v1, kind: Node, metadata: {name: n1, uid: node-1}, spec: {providerID: "aws:///a/i-1"}}`, []string{"aws:///a/i-1"},
		},
		"one that is none": {"node-pool-nodeclaim", patchedText(t, launched, `status: {nodeName: null}`), nil, `{apiVersion: v1, kind: Node, metadata: {name: n1, uid: node-1}, spec: {}}`, nil},
		"a snapshot's content": {
			"snapshot-retained", content, []usage.Claim{{Kind: snapshots, Namespace: "shop", Name: "nightly", UID: "snapshot-1", Keys: []string{"content-nightly"}}},
			`{apiVersion: snapshot.storage.k8s.io/v1, kind: VolumeSnapshot, metadata: {name: nightly, namespace: shop, uid: snapshot-1}, status: {boundVolumeSnapshotContentName: content-nightly}}`,
			[]string{"content-nightly"},
		},
		"one that is bound to none yet": {"snapshot-retained", patchedText(t, content, `spec: {volumeSnapshotRef: {uid: null}}`), nil, "", nil},
		"devices for a pod's extended resources": {
			"resource-claim", `{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: p-gpu-x7, namespace: shop, uid: claim-1, ownerReferences: [{apiVersion: v1, kind: Pod, name: p, uid: pod-1, controller: true}]}}`,
			[]usage.Claim{{Kind: usage.GroupKind{Kind: "Pod"}, Namespace: "shop", Name: "p", UID: "pod-1", Keys: []string{"p-gpu-x7"}}},
			`{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop, uid: pod-1}, status: {extendedResourceClaimStatus: {resourceClaimName: p-gpu-x7}}}`, []string{"p-gpu-x7"},
		},
		"devices that another pod uses under that name": {
			"resource-claim", `{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: p-gpu-x7, namespace: shop, uid: claim-2, ownerReferences: [{apiVersion: v1, kind: Pod, name: p, uid: pod-1, controller: true}]}, status: {reservedFor: [{resource: pods, name: q, uid: pod-2}]}}`, nil, "", nil,
		},
		"devices from a pod's template":    {"resource-claim", `{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: gpus, namespace: shop, uid: claim-1}}`, nil, podOfThree, nil},
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
			keys, _ := m.Vouches(m.Representatives()[0], object(t, c.other))
			if diff := cmp.Diff(c.vouches, keys[0]); diff != "" {
				t.Errorf("vouches for: want (-), got (+):\n%s", diff)
			}
		})
	}
}

// One object cannot make another one's index large.
func TestClaimsAreBounded(t *testing.T) {
	m := compiled(t, patchedText(t, small, `representedBy: [{target: {group: example.com, kind: Owner}, name: self.owner, keys: self.keys, vouchesFor: self.keys}]`))
	with := func(n int) *unstructured.Unstructured {
		many := make([]string, n)
		for i := range many {
			many[i] = fmt.Sprintf("k%04d", i)
		}
		return object(t, patchedText(t, thing, `{owner: o, keys: [`+strings.Join(many, ", ")+`]}`))
	}
	if claims := m.Claims(with(maxKeys)); len(claims) != 1 || len(claims[0].Keys) != maxKeys {
		t.Errorf("claims %v", claims)
	}
	if claims := m.Claims(with(maxKeys + 1)); claims != nil {
		t.Errorf("claims %v", claims)
	}
	if keys, _ := m.Vouches(m.Representatives()[0], with(maxVouched+1)); len(keys[0]) != maxVouched {
		t.Errorf("vouches for %d keys", len(keys[0]))
	}
}

// A pool of hundreds vouches for each of its machines, which would be counted again otherwise.
func TestAPoolVouchesForAllItsMachines(t *testing.T) {
	const machines = 500
	nodes, ids := make([]string, machines), make([]string, machines)
	for i := range machines {
		nodes[i], ids[i] = fmt.Sprintf("{name: n%03d}", i), fmt.Sprintf("azure:///vmss/%d", i)
	}
	m := builtin(t, "machine")
	keys, _ := m.Vouches(m.Representatives()[0], object(t, fmt.Sprintf(
		`{apiVersion: cluster.x-k8s.io/v1beta2, kind: MachinePool, metadata: {name: w, namespace: shop, uid: mp-1}, spec: {providerIDList: [%s]}, status: {replicas: %d, nodeRefs: [%s]}}`,
		strings.Join(ids, ", "), machines, strings.Join(nodes, ", "))))
	if len(keys[0]) != machines || len(keys[1]) != machines {
		t.Errorf("vouches for %d nodes and %d machines", len(keys[0]), len(keys[1]))
	}
}
