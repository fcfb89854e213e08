package meter

// Objects as API servers give them, cut to what meters may read.
const (
	runningInstance = `
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata:
  name: db-0
  namespace: shop
  uid: vmi-1
  creationTimestamp: "2026-11-21T20:00:00Z"
  labels: {kubevirt.io/nodeName: n1, topology.kubernetes.io/zone: eu-1a}
  annotations: {kubevirt.io/cluster-instancetype-name: u1.large}
  ownerReferences:
  - {apiVersion: kubevirt.io/v1, kind: VirtualMachine, name: db-0, uid: vm-1, controller: true}
spec:
  domain:
    cpu: {sockets: 1, cores: 2, threads: 1, maxSockets: 4}
    memory: {guest: 4Gi, maxGuest: 16Gi}
    devices: {gpus: [{name: g0, deviceName: nvidia.com/A100}]}
    resources: {requests: {memory: 4Gi}}
status:
  phase: Running
  currentCPUTopology: {sockets: 2, cores: 2, threads: 1}
  memory: {guestAtBoot: 4Gi, guestCurrent: 8Gi, guestRequested: 8Gi}
  conditions:
  - {type: Ready, status: "True", lastTransitionTime: "2026-11-21T20:00:40Z"}
  phaseTransitionTimestamps:
  - {phase: Pending, phaseTransitionTimestamp: "2026-11-21T20:00:01Z"}
  - {phase: Scheduling, phaseTransitionTimestamp: "2026-11-21T20:00:02Z"}
  - {phase: Scheduled, phaseTransitionTimestamp: "2026-11-21T20:00:20Z"}
  - {phase: Running, phaseTransitionTimestamp: "2026-11-21T20:00:30Z"}
`
	podOfThree = `
apiVersion: v1
kind: Pod
metadata:
  name: web-7d9-abc
  namespace: shop
  uid: pod-1
  creationTimestamp: "2026-11-21T20:00:00Z"
  ownerReferences:
  - {apiVersion: apps/v1, kind: ReplicaSet, name: web-7d9, uid: rs-1, controller: true}
spec:
  restartPolicy: Always
  initContainers:
  - {name: migrate, resources: {requests: {cpu: "2", memory: 4Gi}}}
  - {name: proxy, restartPolicy: Always, resources: {requests: {cpu: 100m, memory: 64Mi}}}
  containers:
  - {name: web, resources: {requests: {cpu: 1500m, memory: 1Gi, nvidia.com/gpu: "1"}}}
  - {name: cache, resources: {requests: {memory: 512M}}}
status:
  phase: Running
  conditions:
  - {type: PodReadyToStartContainers, status: "True", lastTransitionTime: "2026-11-21T20:00:05Z"}
  - {type: Ready, status: "True", lastTransitionTime: "2026-11-21T20:00:20Z"}
  - {type: PodScheduled, status: "True", lastTransitionTime: "2026-11-21T20:00:03Z"}
  initContainerStatuses:
  - {name: migrate, state: {terminated: {exitCode: 0, finishedAt: "2026-11-21T20:00:10Z"}}}
  - {name: proxy, state: {running: {startedAt: "2026-11-21T20:00:11Z"}}}
  containerStatuses:
  - {name: cache, state: {running: {startedAt: "2026-11-21T20:00:12Z"}}}
  - {name: web, state: {running: {startedAt: "2026-11-21T20:00:12Z"}}}
`
	gpuNode = `
apiVersion: v1
kind: Node
metadata:
  name: n1
  uid: node-1
  creationTimestamp: "2026-11-21T20:00:00Z"
  labels:
    karpenter.sh/nodepool: gpu
    karpenter.sh/capacity-type: spot
    node.kubernetes.io/instance-type: p4d.24xlarge
    topology.kubernetes.io/region: eu-1
    topology.kubernetes.io/zone: eu-1a
status:
  capacity:
    cpu: "96"
    memory: 1176329Mi
    ephemeral-storage: 104845292Ki
    pods: "250"
    hugepages-2Mi: "0"
    nvidia.com/gpu: "8"
    vpc.amazonaws.com/efa: "4"
    nvidia.com/mig-1g.5gb: "7"
    devices.kubevirt.io/kvm: 1k
    attachable-volumes.kubernetes.io/csi: "25"
`
	boundClaim = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: shop, uid: claim-1, creationTimestamp: "2026-11-21T20:00:00Z"}
spec: {storageClassName: fast, volumeMode: Filesystem, volumeName: pv-1, resources: {requests: {storage: 10Gi}}}
status: {phase: Bound, capacity: {storage: 10Gi}}
`
)
