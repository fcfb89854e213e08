package operator_test

import (
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func claimIsBound(d *driver) {
	const fast = "storageClass=fast volumeMode=Filesystem"
	fresh := func(name, owners string) *thing {
		return d.create(fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %s, labels: {app.kubernetes.io/instance: shop}, ownerReferences: [%s]}
spec: {storageClassName: fast, accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Gi}}}
`, name, owners))
	}
	claim := fresh("data", "")
	who := d.self(claim, "volume", "shop")
	d.holds(claim, who, d.status(claim, `{phase: Bound, capacity: {storage: 10Gi}}`), fast, levels{"storage": 10 * gi})
	d.holds(claim, who, d.status(claim, `{capacity: {storage: 20G}}`), fast, levels{"storage": 20_000_000_000})
	d.hold(who, d.status(claim, `{phase: Lost}`), "", nil)
	d.holds(claim, who, d.status(claim, `{phase: Bound}`), fast, levels{"storage": 20_000_000_000})
	d.delete(claim)

	claim = fresh("data", "")
	who = d.self(claim, "volume", "shop")
	d.holds(claim, who, d.status(claim, `{phase: Bound, capacity: {storage: 10Gi}}`), fast, levels{"storage": 10 * gi})
	// An import holds its volume until the wanted claim does.
	wanted := d.create(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: wanted, labels: {app.kubernetes.io/instance: shop}}
spec:
  storageClassName: fast
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 10Gi}}
  dataSourceRef: {apiGroup: cdi.kubevirt.io, kind: VolumeImportSource, name: image}
`)
	prime := fresh("prime-"+wanted.uid(), fmt.Sprintf(`{apiVersion: v1, kind: PersistentVolumeClaim, name: wanted, uid: %s, controller: true}`, wanted.uid()))
	d.patch(prime, `spec: {volumeName: image-1}`)
	importing := d.self(prime, "volume", "shop")
	d.holds(prime, importing, d.status(prime, `{phase: Bound, capacity: {storage: 10Gi}}`), fast, levels{"storage": 10 * gi})
	d.patch(wanted, `spec: {volumeName: image-1}`)
	bound := d.status(wanted, `{phase: Bound, capacity: {storage: 10Gi}}`)
	d.hold(importing, bound, "", nil)
	d.holds(wanted, d.self(wanted, "volume", "shop"), bound, fast, levels{"storage": 10 * gi})
	// Kubernetes gives it the class of the annotation, whatever the other one says.
	both := d.create(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: both, labels: {app.kubernetes.io/instance: shop}, annotations: {volume.beta.kubernetes.io/storage-class: dear}}
spec: {storageClassName: cheap, accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Gi}}}
`)
	d.holds(both, d.self(both, "volume", "shop"), d.status(both, `{phase: Bound, capacity: {storage: 10Gi}}`),
		"storageClass=dear volumeMode=Filesystem", levels{"storage": 10 * gi})
}

func volumeIsReleased(d *driver) {
	fresh := func() *thing {
		return d.create(fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: %s}
spec:
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: fast
  volumeMode: Block
  persistentVolumeReclaimPolicy: Retain
  csi: {driver: csi.example.com, volumeHandle: one}
  claimRef: {apiVersion: v1, kind: PersistentVolumeClaim, namespace: $NAMESPACE, name: data, uid: 3f1c2f0e-3d5c-4a53-9a39-b6f6f3a4f8f2}
`, d.namespace))
	}
	const facts = "claim=data storageClass=fast volumeMode=Block"
	who := func(volume *thing) holder {
		who := d.self(volume, "volume", "")
		who.namespace = d.namespace
		return who
	}
	volume := fresh()
	d.status(volume, `{phase: Bound}`)
	d.status(volume, `{phase: Released}`)
	d.holds(volume, who(volume), since(volume, "lastPhaseTransitionTime"), facts, levels{"storage_retained": 10 * gi})
	// To be deleted, it is there until its driver has done that; and where that fails.
	d.patch(volume, `spec: {persistentVolumeReclaimPolicy: Delete}`)
	d.status(volume, `{phase: Failed, message: volume is still attached to a node}`)
	d.holds(volume, who(volume), d.patch(volume, `spec: {capacity: {storage: 20Gi}}`), facts, levels{"storage_retained": 20 * gi})
	d.delete(volume)
	volume = fresh()
	d.status(volume, `{phase: Bound}`)
	d.status(volume, `{phase: Released}`)
	d.holds(volume, who(volume), since(volume, "lastPhaseTransitionTime"), facts, levels{"storage_retained": 10 * gi})
}

// since is a time that an object's status says.
func since(t *thing, field string) moment {
	GinkgoHelper()
	text, found, err := unstructured.NestedString(t.Object, "status", field)
	Expect(err).NotTo(HaveOccurred())
	Expect(found).To(BeTrue(), field)
	return at(second(text))
}

func snapshotIsTaken(d *driver) {
	fresh := func() *thing {
		return d.create(`
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: {name: nightly}
spec: {volumeSnapshotClassName: standard, source: {persistentVolumeClaimName: data}}
`)
	}
	taken := func(snapshot *thing) moment {
		taken := nextSecond(d.ctx)
		d.status(snapshot, fmt.Sprintf(`{readyToUse: true, restoreSize: 10Gi, creationTime: %q}`, rfc3339(taken)))
		return at(taken)
	}
	const facts = "snapshotClass=standard"
	snapshot := fresh()
	d.status(snapshot, `{readyToUse: false}`)
	who := d.self(snapshot, "snapshot", "")
	d.holds(snapshot, who, taken(snapshot), facts, levels{"snapshot_storage": 10 * gi})
	d.holds(snapshot, who, d.status(snapshot, `{restoreSize: 12Gi}`), facts, levels{"snapshot_storage": 12 * gi})
	d.hold(who, d.status(snapshot, `{readyToUse: false}`), "", nil)
	d.holds(snapshot, who, d.status(snapshot, `{readyToUse: true}`), facts, levels{"snapshot_storage": 12 * gi})
	d.delete(snapshot)
	snapshot = fresh()
	d.holds(snapshot, d.self(snapshot, "snapshot", ""), taken(snapshot), facts, levels{"snapshot_storage": 10 * gi})
}

func clusterExists(d *driver) {
	fresh := func() *thing {
		return d.create(`
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {name: prod}
spec: {infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: DockerCluster, name: prod}}
`)
	}
	provisioned := func(cluster *thing) moment {
		d.status(cluster, `{phase: Provisioning}`)
		flipped := nextSecond(d.ctx)
		d.status(cluster, fmt.Sprintf(`{phase: Provisioned, initialization: {infrastructureProvisioned: true},
			conditions: [{type: InfrastructureReady, status: "True", reason: Ready, message: "", lastTransitionTime: %q}]}`, rfc3339(flipped)))
		return at(flipped)
	}
	cluster := fresh()
	who := d.self(cluster, "cluster", "prod")
	d.holds(cluster, who, provisioned(cluster), "", levels{"cluster": 1000})
	for _, replicas := range []int64{1, 3} {
		grown := d.status(cluster, fmt.Sprintf(`{controlPlane: {replicas: %d}}`, replicas))
		d.holds(cluster, who, grown, "", levels{"cluster": 1000, "control_plane_node": replicas * 1000})
	}
	d.patch(cluster, `spec: {paused: true}`)
	d.delete(cluster)
	cluster = fresh()
	d.holds(cluster, d.self(cluster, "cluster", "prod"), provisioned(cluster), "", levels{"cluster": 1000})
}

// machineSpec is what the objects of Cluster API that make machines have in common.
const machineSpec = `{clusterName: prod, bootstrap: {dataSecretName: bootstrap}, infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: DockerMachineTemplate, name: workers}}`

func machineDeploymentExists(d *driver) {
	poolExists(d, "MachineDeployment", `
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata: {name: workers}
spec:
  clusterName: prod
  selector: {matchLabels: {deployment: workers}}
  template: {metadata: {labels: {deployment: workers}}, spec: `+machineSpec+`}
`)
}

func machinePoolExists(d *driver) {
	poolExists(d, "MachinePool", `
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachinePool
metadata: {name: workers}
spec: {clusterName: prod, template: {spec: `+machineSpec+`}}
`)
	// Its provider makes no Machine objects: its replicas are its machines.
	pool := d.create(`
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachinePool
metadata: {name: managed}
spec: {clusterName: prod, template: {spec: ` + machineSpec + `}}
`)
	who := d.self(pool, "node_pool", "managed")
	who.resource = "MachinePool/" + d.namespace + "/managed"
	d.holds(pool, who, pool.created(), "cluster=prod", levels{"pool": 1000})
	d.holds(pool, who, d.status(pool, `{replicas: 5}`), "cluster=prod", levels{"pool": 1000, "machine": 5000})
}

func poolExists(d *driver, kind, text string) {
	who := func(pool *thing) holder {
		who := d.self(pool, "node_pool", "workers")
		who.resource = kind + "/" + d.namespace + "/workers"
		return who
	}
	pool := d.create(text)
	d.holds(pool, who(pool), pool.created(), "cluster=prod", levels{"pool": 1000})
	d.patch(pool, `spec: {replicas: 0}`) // empty, and there
	d.delete(pool)
	pool = d.create(text)
	d.holds(pool, who(pool), pool.created(), "cluster=prod", levels{"pool": 1000})
}

func machineOfClusterExists(d *driver) {
	set := d.create(`
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineSet
metadata: {name: workers-1}
spec:
  clusterName: prod
  selector: {matchLabels: {set: workers}}
  template: {metadata: {labels: {set: workers}}, spec: ` + machineSpec + `}
`)
	fresh := func(version string) *thing {
		return d.create(fmt.Sprintf(`
apiVersion: cluster.x-k8s.io/v1beta2
kind: Machine
metadata:
  name: workers-1-a
  labels: {cluster.x-k8s.io/cluster-name: prod, cluster.x-k8s.io/deployment-name: workers}
  ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: MachineSet, name: workers-1, uid: %s, controller: true}]
spec: %s
`, set.uid(), strings.TrimSuffix(machineSpec, "}")+", version: "+version+"}"))
	}
	pool := func(machine *thing, kind string) holder {
		who := d.self(machine, "node_pool", "workers-1")
		who.resource = kind + "/" + d.namespace + "/workers"
		return who
	}
	// What was asked for is none until its infrastructure is there.
	provisioned := func(machine *thing) moment {
		d.status(machine, `{phase: Provisioning, initialization: {bootstrapDataSecretCreated: true}}`)
		flipped := nextSecond(d.ctx)
		d.status(machine, fmt.Sprintf(`{phase: Provisioned, initialization: {infrastructureProvisioned: true},
			conditions: [{type: InfrastructureReady, status: "True", reason: Ready, message: "", lastTransitionTime: %q}]}`, rfc3339(flipped)))
		return at(flipped)
	}
	machine := fresh("v1.37.0")
	d.holds(machine, pool(machine, "MachineDeployment"), provisioned(machine), "cluster=prod version=v1.37.0", levels{"machine": 1000})
	upgraded := d.patch(machine, `spec: {version: v1.37.1}`)
	d.holds(machine, pool(machine, "MachineDeployment"), upgraded, "cluster=prod version=v1.37.1", levels{"machine": 1000})
	moved := d.patch(machine, `metadata: {labels: {cluster.x-k8s.io/deployment-name: null, cluster.x-k8s.io/pool-name: workers}}`)
	d.hold(pool(machine, "MachineDeployment"), moved, "", nil)
	d.holds(machine, pool(machine, "MachinePool"), moved, "cluster=prod version=v1.37.1", levels{"machine": 1000})
	loose := d.patch(machine, `metadata: {labels: {cluster.x-k8s.io/pool-name: null}}`)
	d.hold(pool(machine, "MachinePool"), loose, "", nil)
	d.holds(machine, d.self(machine, "node_pool", "workers-1"), loose, "cluster=prod version=v1.37.1", levels{"machine": 1000})
	d.delete(machine)
	machine = fresh("v1.37.0")
	d.holds(machine, pool(machine, "MachineDeployment"), provisioned(machine), "cluster=prod version=v1.37.0", levels{"machine": 1000})
}

// node makes a node. Its pool has the driver's name, so that there is no other such pool.
func (d *driver) node(capacity string) *thing {
	GinkgoHelper()
	return d.create(fmt.Sprintf(`
apiVersion: v1
kind: Node
metadata:
  name: %s
  labels:
    karpenter.sh/nodepool: %[1]s
    karpenter.sh/capacity-type: spot
    node.kubernetes.io/instance-type: p4d.24xlarge
    topology.kubernetes.io/region: eu-1
status: {capacity: %s}
`, d.namespace, capacity))
}

func (d *driver) pool(node *thing, label, container string) holder {
	who := d.self(node, "node_pool", d.namespace)
	who.resource, who.container = label+"="+d.namespace, container
	return who
}

func nodeExists(d *driver) {
	const spot, onDemand = "capacityType=spot in eu-1 of p4d.24xlarge", "capacityType=on-demand in eu-1 of p4d.24xlarge"
	const karpenter, eks = "karpenter.sh/nodepool", "eks.amazonaws.com/nodegroup"
	node := d.node(`{}`)
	d.holds(node, d.pool(node, karpenter, ""), node.created(), spot, levels{"node": 1000})
	full := levels{"node": 1000, "vcpu": 96_000, "memory": 1024 * gi, "gpu": 8000}
	grown := d.status(node, `{capacity: {cpu: "96", memory: 1Ti, nvidia.com/gpu: "8", pods: "250"}}`)
	d.holds(node, d.pool(node, karpenter, ""), grown, spot, full)
	d.status(node, `{conditions: [{type: Ready, status: "False", reason: KubeletNotReady}]}`)
	fewer := levels{"node": 1000, "vcpu": 96_000, "memory": 1024 * gi, "gpu": 7000}
	d.holds(node, d.pool(node, karpenter, ""), d.status(node, `{capacity: {nvidia.com/gpu: "7"}}`), spot, fewer)
	moved := d.patch(node, `metadata: {labels: {karpenter.sh/nodepool: null, karpenter.sh/capacity-type: null, eks.amazonaws.com/nodegroup: `+d.namespace+`, eks.amazonaws.com/capacityType: ON_DEMAND}}`)
	d.hold(d.pool(node, karpenter, ""), moved, "", nil)
	d.holds(node, d.pool(node, eks, ""), moved, onDemand, fewer)
	d.delete(node)
	node = d.node(`{cpu: "96", memory: 1Ti, nvidia.com/gpu: "8"}`)
	d.holds(node, d.pool(node, karpenter, ""), node.created(), spot, full)
}

func nodeWithDevices(d *driver) {
	const efa, mig, karpenter = "vpc.amazonaws.com/efa", "nvidia.com/mig-1g.5gb", "karpenter.sh/nodepool"
	describe := func(resource string) string { return "extendedResource=" + resource + " in eu-1 of p4d.24xlarge" }
	node := d.node(`{cpu: "96", vpc.amazonaws.com/efa: "4", devices.kubevirt.io/kvm: 1k}`)
	d.holds(node, d.pool(node, karpenter, efa), node.created(), describe(efa), levels{"extended_resource/" + efa: 4000})
	added := d.status(node, `{capacity: {nvidia.com/mig-1g.5gb: "7"}}`)
	d.holds(node, d.pool(node, karpenter, mig), added, describe(mig), levels{"extended_resource/" + mig: 7000})
	d.holds(node, d.pool(node, karpenter, efa), d.status(node, `{capacity: {vpc.amazonaws.com/efa: "2"}}`), describe(efa), levels{"extended_resource/" + efa: 2000})
	d.hold(d.pool(node, karpenter, efa), d.status(node, `{capacity: {vpc.amazonaws.com/efa: null}}`), "", nil)
	d.delete(node)
	node = d.node(`{cpu: "96", vpc.amazonaws.com/efa: "4"}`)
	d.holds(node, d.pool(node, karpenter, efa), node.created(), describe(efa), levels{"extended_resource/" + efa: 4000})
}

func karpenterPoolExists(d *driver) {
	fresh := func() *thing {
		return d.create(fmt.Sprintf(`
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: %s}
spec:
  template:
    spec:
      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: standard}
      requirements: [{key: kubernetes.io/os, operator: In, values: [linux]}]
`, d.namespace))
	}
	pool := fresh()
	d.holds(pool, d.pool(pool, "karpenter.sh/nodepool", ""), pool.created(), "", levels{"pool": 1000})
	d.status(pool, `{resources: {nodes: "3", cpu: "96"}}`)
	d.delete(pool)
	pool = fresh()
	d.holds(pool, d.pool(pool, "karpenter.sh/nodepool", ""), pool.created(), "", levels{"pool": 1000})
}

func contentIsRetained(d *driver) {
	const facts = "snapshot=nightly snapshotClass=standard"
	pair := func(name, policy string) (snapshot, content *thing) {
		snapshot = d.create(fmt.Sprintf(`
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: {name: %s}
spec: {volumeSnapshotClassName: standard, source: {persistentVolumeClaimName: data}}
`, name))
		content = d.create(fmt.Sprintf(`
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshotContent
metadata: {name: %s-%s}
spec:
  deletionPolicy: %s
  driver: csi.example.com
  volumeSnapshotClassName: standard
  source: {volumeHandle: v}
  volumeSnapshotRef: {namespace: $NAMESPACE, name: %[2]s, uid: %[4]s}
`, d.namespace, name, policy, snapshot.uid()))
		d.status(snapshot, fmt.Sprintf(`{boundVolumeSnapshotContentName: %s}`, content.GetName()))
		taken := nextSecond(d.ctx)
		d.status(content, fmt.Sprintf(`{readyToUse: true, restoreSize: 10737418240, creationTime: %d}`, taken*1_000_000_000))
		d.status(snapshot, fmt.Sprintf(`{readyToUse: true, restoreSize: 10Gi, creationTime: %q}`, rfc3339(taken)))
		return snapshot, content
	}
	// A controller removes the content first: it is never by itself.
	snapshot, content := pair("passing", "Delete")
	d.delete(content)
	d.delete(snapshot)

	snapshot, content = pair("nightly", "Retain")
	d.delete(snapshot)
	who := d.self(content, "snapshot", "")
	who.namespace = d.namespace
	held := levels{"snapshot_storage_retained": 10 * gi}
	d.holds(content, who, snapshot.asked, facts, held)
	d.patch(content, `spec: {deletionPolicy: Delete}`) // no controller removes it: its VolumeSnapshot is gone
	d.hold(who, d.status(content, `{readyToUse: false}`), "", nil)
	d.holds(content, who, d.status(content, `{readyToUse: true}`), facts, held)
	d.patch(content, `metadata: {labels: {touched: "yes"}}`)
}
