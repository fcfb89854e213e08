package meter

const (
	node1    = "/ node_pool; bills NodePool gpu karpenter.sh/nodepool=gpu; v1 Node n1 node-1; region eu-1; bundle p4d.24xlarge"
	loose1   = "/ node_pool; bills NodePool  none; v1 Node n1 node-1"
	machine1 = "cluster.x-k8s.io/v1beta2 Machine m1 machine-1; [cluster:prod version:v1.37.0]; holds machine=1000; from 20:02:00 ObjectTime"
)

var clusterLifecycles = []lifecycle{
	{
		meter:  "node-pool",
		object: gpuNode,
		stages: []stage{
			{name: "registered", patch: `status: {capacity: null}`,
				want: []string{node1 + "; [capacityType:spot]; holds node=1000 vcpu=0 memory=0 gpu=0; from 20:00:00 CreationTime"}},
			{name: "ready", patch: `status: {capacity: {cpu: "96", memory: 1176329Mi, pods: "250", nvidia.com/gpu: "8"}}`,
				want: []string{node1 + "; [capacityType:spot]; holds node=1000 vcpu=96000 memory=1233470357504 gpu=8000; from 20:00:00 CreationTime"}},
			{name: "on demand at another cloud", patch: `
metadata: {labels: {karpenter.sh/nodepool: null, karpenter.sh/capacity-type: null, eks.amazonaws.com/nodegroup: gpu, eks.amazonaws.com/capacityType: ON_DEMAND}}
status: {capacity: {nvidia.com/gpu: "4", amd.com/gpu: "2"}}
`, want: []string{"/ node_pool; bills NodePool gpu eks.amazonaws.com/nodegroup=gpu; v1 Node n1 node-1; region eu-1; bundle p4d.24xlarge; " +
				"[capacityType:on-demand]; holds node=1000 vcpu=96000 memory=1233470357504 gpu=6000; from 20:00:00 CreationTime"}},
			{name: "at a third", patch: `
metadata: {labels: {eks.amazonaws.com/nodegroup: null, eks.amazonaws.com/capacityType: null, cloud.google.com/gke-nodepool: gpu, cloud.google.com/gke-spot: "true"}}
`, want: []string{"/ node_pool; bills NodePool gpu cloud.google.com/gke-nodepool=gpu; v1 Node n1 node-1; region eu-1; bundle p4d.24xlarge; " +
				"[capacityType:spot]; holds node=1000 vcpu=96000 memory=1233470357504 gpu=6000; from 20:00:00 CreationTime"}},
			{name: "in no pool, without labels", patch: `metadata: {labels: null}`,
				want: []string{loose1 + "; holds node=1000 vcpu=96000 memory=1233470357504 gpu=6000; from 20:00:00 CreationTime"}},
		},
	},
	{
		meter:  "node-pool-extended-resources",
		object: gpuNode,
		stages: []stage{
			{name: "ready", want: []string{
				"/ node_pool; bills NodePool gpu karpenter.sh/nodepool=gpu; v1 Node n1 node-1; container nvidia.com/mig-1g.5gb; region eu-1; bundle p4d.24xlarge; " +
					"[extendedResource:nvidia.com/mig-1g.5gb]; holds extended_resource=7000; from 20:00:00 CreationTime",
				"/ node_pool; bills NodePool gpu karpenter.sh/nodepool=gpu; v1 Node n1 node-1; container vpc.amazonaws.com/efa; region eu-1; bundle p4d.24xlarge; " +
					"[extendedResource:vpc.amazonaws.com/efa]; holds extended_resource=4000; from 20:00:00 CreationTime",
			}},
			{name: "in no pool, of one device", patch: `{metadata: {labels: null}, status: {capacity: {nvidia.com/mig-1g.5gb: null}}}`, want: []string{
				loose1 + "; container vpc.amazonaws.com/efa; [extendedResource:vpc.amazonaws.com/efa]; holds extended_resource=4000; from 20:00:00 CreationTime",
			}},
			{name: "without devices", patch: `status: null`, want: []string{}},
		},
	},
	{
		meter: "node-pool-karpenter",
		object: `
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: gpu, uid: pool-1, creationTimestamp: "2026-11-21T20:00:00Z"}
status: {resources: {nodes: "3", cpu: "96"}}
`,
		stages: []stage{
			{name: "created", want: []string{"/ node_pool; bills NodePool gpu karpenter.sh/nodepool=gpu; karpenter.sh/v1 NodePool gpu pool-1; holds pool=1000; from 20:00:00 CreationTime"}},
		},
	},
	{
		meter: "node-pool-machinedeployment",
		object: `
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata: {name: workers, namespace: shop, uid: md-1, creationTimestamp: "2026-11-21T20:00:00Z"}
spec: {clusterName: prod, replicas: 0}
`,
		stages: []stage{
			{name: "empty", want: []string{"shop/ node_pool; bills cluster.x-k8s.io/v1beta2 MachineDeployment workers MachineDeployment/shop/workers; " +
				"cluster.x-k8s.io/v1beta2 MachineDeployment workers md-1; [cluster:prod]; holds pool=1000; from 20:00:00 CreationTime"}},
		},
	},
	{
		meter: "node-pool-machinepool",
		object: `
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachinePool
metadata: {name: workers, namespace: shop, uid: mp-1, creationTimestamp: "2026-11-21T20:00:00Z"}
spec: {clusterName: prod, replicas: 3}
`,
		stages: []stage{
			{name: "created", want: []string{"shop/ node_pool; bills cluster.x-k8s.io/v1beta2 MachinePool workers MachinePool/shop/workers; " +
				"cluster.x-k8s.io/v1beta2 MachinePool workers mp-1; [cluster:prod]; holds pool=1000 machine=0; from 20:00:00 CreationTime"}},
			{name: "made", patch: `status: {replicas: 3}`, want: []string{"shop/ node_pool; bills cluster.x-k8s.io/v1beta2 MachinePool workers MachinePool/shop/workers; " +
				"cluster.x-k8s.io/v1beta2 MachinePool workers mp-1; [cluster:prod]; holds pool=1000 machine=3000; from 20:00:00 CreationTime"}},
		},
	},
	{
		meter: "machine",
		object: `
apiVersion: cluster.x-k8s.io/v1beta2
kind: Machine
metadata:
  name: m1
  namespace: shop
  uid: machine-1
  creationTimestamp: "2026-11-21T20:00:00Z"
  labels: {cluster.x-k8s.io/cluster-name: prod, cluster.x-k8s.io/deployment-name: workers}
spec: {clusterName: prod, version: v1.37.0}
`,
		stages: []stage{
			{name: "asked for", patch: `status: {phase: Provisioning, initialization: {bootstrapDataSecretCreated: true}}`,
				want: []string{"shop/ node_pool; bills cluster.x-k8s.io/v1beta2 MachineDeployment workers MachineDeployment/shop/workers; cluster.x-k8s.io/v1beta2 Machine m1 machine-1"}},
			{name: "of a deployment", patch: `
status:
  phase: Provisioned
  initialization: {infrastructureProvisioned: true}
  conditions: [{type: InfrastructureReady, status: "True", lastTransitionTime: "2026-11-21T20:02:00Z"}]
`, want: []string{"shop/ node_pool; bills cluster.x-k8s.io/v1beta2 MachineDeployment workers MachineDeployment/shop/workers; " + machine1}},
			{name: "of a pool", patch: `metadata: {labels: {cluster.x-k8s.io/deployment-name: null, cluster.x-k8s.io/pool-name: workers}}`,
				want: []string{"shop/ node_pool; bills cluster.x-k8s.io/v1beta2 MachinePool workers MachinePool/shop/workers; " + machine1}},
			{name: "of a control plane", patch: `metadata: {labels: {cluster.x-k8s.io/pool-name: null, cluster.x-k8s.io/control-plane: ""}}`,
				want: []string{"shop/ node_pool; " + machine1}},
			{name: "by itself", patch: `metadata: {labels: null}`, want: []string{"shop/ node_pool; " + machine1}},
		},
	},
	{
		meter: "cluster",
		object: `
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {name: prod, namespace: shop, uid: cluster-1, creationTimestamp: "2026-11-21T20:00:00Z"}
`,
		stages: []stage{
			{name: "asked for", patch: `status: {phase: Provisioning}`, want: []string{"shop/ cluster; cluster.x-k8s.io/v1beta2 Cluster prod cluster-1"}},
			{name: "provisioned", patch: `
status:
  initialization: {infrastructureProvisioned: true}
  conditions: [{type: InfrastructureReady, status: "True", lastTransitionTime: "2026-11-21T20:02:00Z"}]
`, want: []string{"shop/ cluster; cluster.x-k8s.io/v1beta2 Cluster prod cluster-1; holds cluster=1000 control_plane_node=0; from 20:02:00 ObjectTime"}},
			{name: "three control plane nodes", patch: `status: {controlPlane: {replicas: 3, readyReplicas: 2}}`,
				want: []string{"shop/ cluster; cluster.x-k8s.io/v1beta2 Cluster prod cluster-1; holds cluster=1000 control_plane_node=3000; from 20:02:00 ObjectTime"}},
		},
	},
}
