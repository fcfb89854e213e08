package operator_test

import (
	"fmt"

	. "github.com/onsi/ginkgo/v2"
)

// flipped says that a condition changed, and returns when.
func (d *driver) flipped(t *thing, condition, status, others string) moment {
	GinkgoHelper()
	since := nextSecond(d.ctx)
	d.status(t, fmt.Sprintf(`{conditions: [%s{type: %s, status: %q, reason: Told, message: "", lastTransitionTime: %q}]}`,
		others, condition, status, rfc3339(since)))
	return at(since)
}

func listenersAreProgrammed(apiVersion, kind string) func(d *driver) {
	return func(d *driver) { listenersOf(d, apiVersion, kind) }
}

func listenersOf(d *driver, apiVersion, kind string) {
	fresh := func() *thing {
		return d.create(fmt.Sprintf(`
apiVersion: %s
kind: %s
metadata: {name: tenant}
spec:
  parentRef: {name: shared, namespace: infra}
  listeners: [{name: a, port: 8443, protocol: HTTP}, {name: b, port: 8444, protocol: HTTP}]
`, apiVersion, kind))
	}
	const facts = "gateway=infra/shared"
	set := fresh()
	who := d.self(set, "load_balancer", "")
	d.holds(set, who, d.flipped(set, "Programmed", "True", ""), facts, levels{"listener": 2000})
	d.holds(set, who, d.patch(set, `spec: {listeners: [{name: a, port: 8443, protocol: HTTP}]}`), facts, levels{"listener": 1000})
	d.hold(who, d.flipped(set, "Programmed", "False", ""), "", nil)
	d.delete(set)
	set = fresh()
	d.holds(set, d.self(set, "load_balancer", ""), d.flipped(set, "Programmed", "True", ""), facts, levels{"listener": 2000})
}

func machineIsLaunched(d *driver) {
	fresh := func() *thing {
		return d.create(fmt.Sprintf(`
apiVersion: karpenter.sh/v1
kind: NodeClaim
metadata: {name: %s, labels: {karpenter.sh/nodepool: %[1]s, karpenter.sh/capacity-type: spot}}
spec:
  nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: standard}
  requirements: [{key: kubernetes.io/os, operator: In, values: [linux]}]
`, d.namespace))
	}
	const facts = "capacityType=spot"
	sixteen := levels{"node": 1000, "vcpu": 16_000, "memory": 64 * gi}
	claim := fresh()
	who := d.pool(claim, "karpenter.sh/nodepool", "")
	d.status(claim, `{capacity: {cpu: "16", memory: 64Gi}}`)
	launched := d.flipped(claim, "Launched", "True", "")
	d.holds(claim, who, launched, facts, sixteen)
	earlier := fmt.Sprintf(`{type: Launched, status: "True", reason: Told, message: "", lastTransitionTime: %q}, `, rfc3339(launched.last))
	// It is a node: that is metered instead. And again when the node is gone, and the machine is not.
	node := d.create(fmt.Sprintf(`
apiVersion: v1
kind: Node
metadata: {name: %s-n1, labels: {karpenter.sh/nodepool: %[1]s}}
spec: {providerID: "aws:///a/%[1]s"}
`, d.namespace))
	d.status(claim, fmt.Sprintf(`{nodeName: %s-n1, providerID: "aws:///a/%[1]s"}`, d.namespace))
	d.holds(node, d.pool(node, "karpenter.sh/nodepool", ""), node.created(), "", levels{"node": 1000})
	d.hold(who, node.created(), "", nil)
	d.flipped(claim, "Registered", "True", earlier)
	d.delete(node)
	d.holds(claim, who, node.asked, facts, sixteen)
	d.delete(claim)
	claim = fresh()
	d.status(claim, `{capacity: {cpu: "16", memory: 64Gi}}`)
	d.holds(claim, d.pool(claim, "karpenter.sh/nodepool", ""), d.flipped(claim, "Launched", "True", ""), facts, sixteen)
}

func devicesAreAllocated(d *driver) {
	fresh := func() *thing {
		return d.create(`
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: train-gpus}
spec:
  devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu.example.com, allocationMode: ExactCount, count: 2}}]}
`)
	}
	who := func(claim *thing, device string) holder {
		h := d.self(claim, "resource_claim", "")
		h.container = "gpu.example.com/node-a/" + device
		return h
	}
	const facts, allocated = "deviceClass=gpu.example.com driver=gpu.example.com", `{allocation: {devices: {results: [
		{request: gpu, driver: gpu.example.com, pool: node-a, device: gpu-0},
		{request: gpu, driver: gpu.example.com, pool: node-a, device: gpu-1}]}}}`
	held := levels{"device/gpu.example.com": 1000}
	claim := fresh()
	since := d.status(claim, allocated)
	d.holds(claim, who(claim, "gpu-0"), since, facts, held)
	d.holds(claim, who(claim, "gpu-1"), since, facts, held)
	freed := d.status(claim, `{allocation: null}`)
	d.hold(who(claim, "gpu-0"), freed, "", nil)
	d.hold(who(claim, "gpu-1"), freed, "", nil)
	d.delete(claim)
	claim = fresh()
	since = d.status(claim, allocated)
	d.holds(claim, who(claim, "gpu-0"), since, facts, held)
	d.holds(claim, who(claim, "gpu-1"), since, facts, held)
}

func capacityIsConsumed(d *driver) {
	fresh := func() *thing {
		return d.create(`
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: uplink}
spec:
  devices: {requests: [{name: net, exactly: {deviceClassName: nic.example.com, allocationMode: ExactCount, count: 1}}]}
`)
	}
	const share = "0f63ee0a-4c4d-4f6d-a4b9-5d2a1f0c7e11"
	who := func(claim *thing, capacity string) holder {
		h := d.self(claim, "resource_claim", "")
		h.container = "nic.example.com/node-a/eth1/" + share + "/" + capacity
		return h
	}
	const facts = "deviceClass=nic.example.com driver=nic.example.com"
	allocated := fmt.Sprintf(`{allocation: {devices: {results: [{request: net, driver: nic.example.com, pool: node-a, device: eth1,
		shareID: %s, consumedCapacity: {bandwidth: 10M, queues: "2"}}]}}}`, share)
	bandwidth, queues := levels{"device_capacity/nic.example.com/bandwidth": 10_000_000_000}, levels{"device_capacity/nic.example.com/queues": 2000}
	claim := fresh()
	since := d.status(claim, allocated)
	d.holds(claim, who(claim, "bandwidth"), since, facts, bandwidth)
	d.holds(claim, who(claim, "queues"), since, facts, queues)
	freed := d.status(claim, `{allocation: null}`)
	d.hold(who(claim, "bandwidth"), freed, "", nil)
	d.hold(who(claim, "queues"), freed, "", nil)
	d.delete(claim)
	claim = fresh()
	since = d.status(claim, allocated)
	d.holds(claim, who(claim, "bandwidth"), since, facts, bandwidth)
	d.holds(claim, who(claim, "queues"), since, facts, queues)
}
