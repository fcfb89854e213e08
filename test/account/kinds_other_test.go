package account

import "fmt"

// machineSpec is what the objects of Cluster API that make machines have in common.
const machineSpec = `clusterName: prod, bootstrap: {dataSecretName: bootstrap}, infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: DockerMachineTemplate, name: workers}`

func fixed(text string) func(dice, string) string {
	return func(d dice, _ string) string {
		return fmt.Sprintf("metadata: {labels: %s}\n%s", labels(d, "made: by"), text)
	}
}

var otherKinds = []kind{
	{
		apiVersion: "gateway.networking.k8s.io/v1", name: "Gateway", short: "edge", names: 2, weight: 6,
		make: fixed(`spec: {gatewayClassName: cilium, listeners: [{name: a, port: 80, protocol: HTTP}]}`),
		change: oneOf(
			stamped("Programmed", ""), text("status", `status: {addresses: [{type: IPAddress, value: "2001:db8:1::%x:%x"}]}`, addresses(1)),
			text("", `spec: {listeners: %s}`, words("[{name: a, port: 80, protocol: HTTP}]", "[{name: a, port: 80, protocol: HTTP}, {name: b, port: 81, protocol: HTTP}]")),
		),
	},
	{
		apiVersion: "gateway.networking.k8s.io/v1", name: "HTTPRoute", short: "route", names: 2, weight: 4,
		make: func(d dice, _ string) string {
			return fmt.Sprintf(`spec: {parentRefs: [{name: edge-%d}], rules: [{backendRefs: [{name: front-%d, port: 80}]}]}`, d.IntN(2), d.IntN(3))
		},
		change: oneOf(
			text("", `spec: {parentRefs: [{name: edge-%d}]}`, numbers(0, 1)),
			text("", `spec: {rules: [{backendRefs: [{name: front-%d, port: 80}]}]}`, numbers(0, 2)),
		),
	},
	{
		apiVersion: "v1", name: "Node", short: "node", names: 3, weight: 5, clusterScoped: true,
		make: func(d dice, _ string) string {
			return fmt.Sprintf(`
metadata: {labels: {karpenter.sh/nodepool: pool-%d, node.kubernetes.io/instance-type: p4d, topology.kubernetes.io/region: eu-1}}
spec: {unschedulable: true}
status: {capacity: {cpu: "%d", memory: 64Gi, nvidia.com/gpu: "%d"}}`, d.IntN(2), d.between(1, 96), d.IntN(4))
		},
		change: oneOf(
			text("status", `status: {capacity: {cpu: "%d"}}`, numbers(1, 96)),
			text("status", `status: {capacity: {example.com/nic: %s}}`, words(`"1"`, `"4"`, none)),
			text("", `metadata: {labels: {karpenter.sh/nodepool: %s}}`, words("pool-0", "pool-1", none)),
			text("", `metadata: {labels: {eks.amazonaws.com/nodegroup: %s, eks.amazonaws.com/capacityType: ON_DEMAND}}`, words("group-0", none)),
		),
	},
	{
		apiVersion: "karpenter.sh/v1", name: "NodePool", short: "pool", names: 2, weight: 2, clusterScoped: true,
		make:   fixed(`spec: {template: {spec: {nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: standard}, requirements: [{key: kubernetes.io/os, operator: In, values: [linux]}]}}}`),
		change: oneOf(text("status", `status: {resources: {nodes: "%d"}}`, numbers(0, 9))),
	},
	{
		apiVersion: "cluster.x-k8s.io/v1beta2", name: "Cluster", short: "cluster", names: 2, weight: 3,
		make: fixed(`spec: {infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: DockerCluster, name: prod}}`),
		change: oneOf(
			text("status", `status: {controlPlane: {replicas: %d}}`, numbers(0, 5)),
			text("status", `status: {initialization: {infrastructureProvisioned: true}, conditions: [{type: InfrastructureReady, status: "True", reason: Ready, message: "", lastTransitionTime: %s}]}`, words(now)),
		),
	},
	{
		apiVersion: "cluster.x-k8s.io/v1beta2", name: "MachineDeployment", short: "workers", names: 2, weight: 2,
		make:   fixed(`spec: {clusterName: prod, selector: {matchLabels: {made: by}}, template: {metadata: {labels: {made: by}}, spec: {` + machineSpec + `}}}`),
		change: oneOf(text("", `spec: {replicas: %d}`, numbers(0, 5))),
	},
	{
		apiVersion: "cluster.x-k8s.io/v1beta2", name: "MachinePool", short: "machines", names: 1, weight: 1,
		make:   fixed(`spec: {clusterName: prod, template: {spec: {` + machineSpec + `}}}`),
		change: oneOf(text("status", `status: {replicas: %d}`, numbers(0, 5))),
	},
	{
		apiVersion: "cluster.x-k8s.io/v1beta2", name: "MachineSet", short: "machine", names: 3, weight: 3,
		make:   fixed(`spec: {clusterName: prod, selector: {matchLabels: {made: by}}, template: {metadata: {labels: {made: by}}, spec: {` + machineSpec + `}}}`),
		change: oneOf(text("", `spec: {replicas: %d}`, numbers(0, 5))),
	},
	{
		apiVersion: "cluster.x-k8s.io/v1beta2", name: "Machine", short: "machine", names: 3, weight: 5, owner: "MachineSet",
		make: func(d dice, _ string) string {
			return fmt.Sprintf("metadata: {labels: {cluster.x-k8s.io/deployment-name: workers-%d}}\nspec: {%s, version: v1.37.%d}", d.IntN(2), machineSpec, d.IntN(4))
		},
		change: oneOf(
			text("status", `status: {initialization: {infrastructureProvisioned: true}, conditions: [{type: InfrastructureReady, status: "True", reason: Ready, message: "", lastTransitionTime: %s}]}`, words(now)),
			text("", `spec: {version: v1.37.%d}`, numbers(0, 4)),
			text("", `metadata: {labels: {cluster.x-k8s.io/deployment-name: %s}}`, words("workers-0", "workers-1", none)),
			text("", `metadata: {labels: {cluster.x-k8s.io/pool-name: %s}}`, words("machines-0", none)),
		),
	},
	{
		apiVersion: "kubevirt.io/v1", name: "VirtualMachine", short: "vm", names: 3, weight: 4,
		make:   fixed(`spec: {runStrategy: Always, template: {spec: {domain: {devices: {}}}}}`),
		change: oneOf(text("", `spec: {instancetype: {kind: VirtualMachineClusterInstancetype, name: %s}}`, words("small", "large"))),
	},
	{
		apiVersion: "kubevirt.io/v1", name: "VirtualMachineInstance", short: "vm", names: 3, weight: 8, owner: "VirtualMachine",
		make: func(d dice, _ string) string {
			return fmt.Sprintf(`
metadata: {labels: {topology.kubernetes.io/zone: eu-1a}, annotations: {kubevirt.io/cluster-instancetype-name: %s}}
spec: {domain: {cpu: {cores: %d}, memory: {guest: %dGi}, devices: {gpus: [{name: g0, deviceName: nvidia.com/A100}]}}}`, d.pick("small", "large"), d.between(1, 8), d.between(1, 16))
		},
		change: oneOf(
			text("", `status: {phase: Running, phaseTransitionTimestamps: [{phase: Running, phaseTransitionTimestamp: %s}]}`, words(now)),
			text("", `status: {phase: Running, phaseTransitionTimestamps: [{phase: Running, phaseTransitionTimestamp: %s}]}`, words(now)),
			text("", `status: {currentCPUTopology: {sockets: %d, cores: 1, threads: 2}}`, numbers(1, 8)),
			text("", `status: {memory: {guestCurrent: %dGi}}`, numbers(1, 32)),
			text("", `status: {conditions: [{type: Paused, status: %q}]}`, words("True", "False")),
			text("", `status: {phase: %s, phaseTransitionTimestamps: [{phase: Succeeded, phaseTransitionTimestamp: %s}]}`, func(dice) []any { return []any{"Succeeded", now} }),
		),
	},
	{
		apiVersion: "snapshot.storage.k8s.io/v1", name: "VolumeSnapshot", short: "snap", names: 2, weight: 4,
		make: fixed(`spec: {volumeSnapshotClassName: standard, source: {persistentVolumeClaimName: claim-0}}`),
		change: oneOf(
			text("status", `status: {readyToUse: true, restoreSize: %dGi, creationTime: `+now+`}`, numbers(1, 20)),
			text("status", `status: {readyToUse: %s}`, words("true", "false")),
		),
	},
	{
		apiVersion: "kubeovn.io/v1", name: "Vpc", short: "vpc", names: 2, weight: 3, clusterScoped: true,
		make: fixed(`spec: {namespaces: [shop]}`),
		change: oneOf(
			text("", `spec: {namespaces: %s}`, words("[shop]", "[lab]", "[shop, lab]", "[]")),
			text("status", `status: {subnets: %s}`, words("[]", "[a]", "[a, b]")),
		),
	},
	{
		apiVersion: "k8s.ovn.org/v1", name: "UserDefinedNetwork", short: "net", names: 2, weight: 2,
		make: fixed(`spec: {topology: Layer2, layer2: {role: Primary, subnets: [10.0.0.0/24]}}`), change: oneOf(),
	},
	{
		apiVersion: "k8s.ovn.org/v1", name: "ClusterUserDefinedNetwork", short: "wide", names: 1, weight: 2, clusterScoped: true,
		make:   fixed(`spec: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: lab}}, network: {topology: Layer3, layer3: {role: Primary, subnets: [{cidr: 10.0.0.0/16, hostSubnet: 24}]}}}`),
		change: oneOf(text("", `spec: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}}`, words("shop", "lab"))),
	},
	{
		apiVersion: "directconnect.aws.upbound.io/v1beta1", name: "Connection", short: "line", names: 2, weight: 3, clusterScoped: true,
		make: func(d dice, _ string) string {
			return fmt.Sprintf(`
metadata: {labels: {crossplane.io/claim-namespace: %s}}
spec: {forProvider: {bandwidth: 1Gbps, location: EqDC2, region: us-east-1, name: office}}`, d.pick("shop", "lab"))
		},
		change: oneOf(
			stamped("Ready", ""), stamped("Ready", `, atProvider: {arn: one}`),
			text("status", `status: {atProvider: {bandwidth: %s}}`, words("500Mbps", "2Gbps")),
		),
	},
	{
		apiVersion: "compute.cnrm.cloud.google.com/v1beta1", name: "ComputeInterconnectAttachment", short: "attached", names: 2, weight: 3,
		make:   fixed(`spec: {bandwidth: BPS_50M, region: us-west1, routerRef: {name: r}, type: DEDICATED}`),
		change: oneOf(stamped("Ready", ""), text("", `spec: {bandwidth: %s}`, words("BPS_1G", "BPS_50M"))),
	},
}
