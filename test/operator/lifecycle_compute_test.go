package operator_test

import (
	"fmt"

	. "github.com/onsi/ginkgo/v2"
)

const gi = 1 << 30

func (d *driver) virtualMachine() *thing {
	GinkgoHelper()
	return d.create(`
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: db-0}
spec: {runStrategy: Always, template: {spec: {domain: {devices: {}}}}}
`)
}

// instance makes a run of a machine, and who holds what it does.
func (d *driver) instance(machine *thing) (*thing, holder) {
	GinkgoHelper()
	t := d.create(fmt.Sprintf(`
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata:
  name: %s
  labels: {topology.kubernetes.io/zone: eu-1a}
  annotations: {kubevirt.io/cluster-instancetype-name: u1.large}
  ownerReferences: [{apiVersion: kubevirt.io/v1, kind: VirtualMachine, name: %[1]s, uid: %s, controller: true}]
spec:
  domain:
    cpu: {sockets: 1, cores: 2, threads: 1, maxSockets: 4}
    memory: {guest: 4Gi, maxGuest: 16Gi}
    devices: {gpus: [{name: g0, deviceName: nvidia.com/A100}]}
`, machine.GetName(), machine.uid()))
	who := d.self(t, "vm", machine.GetName())
	who.resource = machine.uid()
	return t, who
}

// runs puts an instance into phase Running, and returns since when it says that it does.
func (d *driver) runs(t *thing) moment {
	GinkgoHelper()
	since := nextSecond(d.ctx)
	d.status(t, fmt.Sprintf(`{phase: Running, phaseTransitionTimestamps: [{phase: Running, phaseTransitionTimestamp: %q}]}`, rfc3339(since)))
	return at(since)
}

// gpuOf is who holds the GPU of an instance.
func gpuOf(who holder) holder {
	who.container = "nvidia.com/A100"
	return who
}

func machineRuns(d *driver) {
	const where, paused = "gpuDevices=nvidia.com/A100", "gpuDevices=nvidia.com/A100 paused=true" // its labels and annotations are its tenant's
	machine := d.virtualMachine()
	run, who := d.instance(machine)
	// Its GPU is held beside it, and by itself.
	asked, device := levels{"vcpu": 2000, "memory": 4 * gi}, levels{"gpu/nvidia.com/A100": 1000}
	plugged := levels{"vcpu": 4000, "memory": 8 * gi}
	gpu := gpuOf(who)
	both := func(at moment, facts string, held levels) {
		d.holds(run, who, at, facts, held)
		d.holds(run, gpu, at, facts, device)
	}
	d.status(run, `{phase: Scheduling}`)
	both(d.runs(run), where, asked)
	both(d.status(run, `{currentCPUTopology: {sockets: 2, cores: 2, threads: 1}, memory: {guestCurrent: 8Gi}}`), where, plugged)
	both(d.status(run, `{conditions: [{type: Paused, status: "True"}]}`), paused, plugged)
	both(d.status(run, `{conditions: [{type: Paused, status: "False"}]}`), where, plugged)
	// It is moved to a node; which machine that is, is said then, and changed.
	node := d.create(fmt.Sprintf(`{apiVersion: v1, kind: Node, metadata: {name: %s-n1, labels: {topology.kubernetes.io/region: eu-1, node.kubernetes.io/instance-type: metal}}}`, d.namespace))
	const on, other = where + " instanceType=metal in eu-1", where + " instanceType=small zone=eu-1b in eu-1"
	both(d.status(run, fmt.Sprintf(`{nodeName: %s}`, node.GetName())), on, plugged)
	both(d.patch(node, `metadata: {labels: {node.kubernetes.io/instance-type: small, topology.kubernetes.io/zone: eu-1b}}`), other, plugged)
	d.delete(node)
	d.patch(run, `metadata: {annotations: {touched: "yes"}}`) // it is there still
	stopped := nextSecond(d.ctx)
	d.status(run, fmt.Sprintf(`{phase: Succeeded, phaseTransitionTimestamps: [{phase: Succeeded, phaseTransitionTimestamp: %q}]}`, rfc3339(stopped)))
	d.hold(who, at(stopped), "", nil)
	d.hold(gpu, at(stopped), "", nil)
	d.delete(run)

	run, who = d.instance(machine)
	gpu = gpuOf(who)
	both(d.runs(run), where, asked)
	d.delete(run)

	run, who = d.instance(machine)
	gpu = gpuOf(who)
	both(d.runs(run), where, asked)
	d.patch(run, `metadata: {annotations: {touched: "yes"}}`)
}

func machineExists(d *driver) {
	machine := d.virtualMachine()
	d.holds(machine, d.self(machine, "vm", "db-0"), machine.created(), "", levels{"vm_allocated": 1000})
	d.patch(machine, `spec: {runStrategy: Halted}`)
	d.status(machine, `{printableStatus: Stopped}`)
	typed := d.patch(machine, `spec: {instancetype: {kind: VirtualMachineClusterInstancetype, name: u1.large}}`)
	d.holds(machine, d.self(machine, "vm", "db-0"), typed, "of u1.large", levels{"vm_allocated": 1000})
	d.delete(machine)
	machine = d.virtualMachine()
	d.holds(machine, d.self(machine, "vm", "db-0"), machine.created(), "", levels{"vm_allocated": 1000})
}

// deployment makes a Deployment and a ReplicaSet of it.
func (d *driver) deployment(name string) (deployment, replicas *thing) {
	GinkgoHelper()
	deployment = d.create(fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %s}
spec: &spec
  selector: {matchLabels: {app: %[1]s}}
  template: {metadata: {labels: {app: %[1]s}}, spec: {containers: [{name: web, image: web}]}}
`, name))
	replicas = d.create(fmt.Sprintf(`
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: %s-1
  ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: %[1]s, uid: %s, controller: true}]
spec:
  selector: {matchLabels: {app: %[1]s}}
  template: {metadata: {labels: {app: %[1]s}}, spec: {containers: [{name: web, image: web}]}}
`, name, deployment.uid()))
	return deployment, replicas
}

// pod makes a pod of the replica set.
func (d *driver) pod(name string, replicas *thing, spec string) *thing {
	GinkgoHelper()
	return d.create(fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata:
  name: %s
  labels: {app: web}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: %s, uid: %s, controller: true}]
spec: %s
`, name, replicas.GetName(), replicas.uid(), spec))
}

// scheduled says that a pod has a node, and returns since when.
func (d *driver) scheduled(pod *thing) moment {
	GinkgoHelper()
	since := nextSecond(d.ctx)
	d.status(pod, fmt.Sprintf(`{phase: Pending, conditions: [{type: PodScheduled, status: "True", lastTransitionTime: %q}]}`, rfc3339(since)))
	return at(since)
}

// container is who holds what a container requests.
func (d *driver) container(pod, deployment *thing, name string) holder {
	return holder{
		namespace: d.namespace, deployment: deployment.GetName(), resourceType: "container",
		resource: deployment.uid(), instance: pod.uid(), container: name,
	}
}

func podRuns(d *driver) {
	const spec = `
  restartPolicy: Always
  initContainers:
  - {name: migrate, image: web, resources: {requests: {cpu: "2", memory: 4Gi}}}
  - {name: proxy, image: web, restartPolicy: Always, resources: {requests: {cpu: 100m, memory: 64Mi}}}
  containers:
  - {name: web, image: web, resources: {requests: {cpu: 1500m, memory: 1Gi}}}
  - {name: cache, image: web, resources: {requests: {memory: 512M}}}`
	deployment, replicas := d.deployment("web")
	pod := d.pod("web-1-a", replicas, spec)
	since := d.scheduled(pod)
	web, proxy, cache := d.container(pod, deployment, "web"), d.container(pod, deployment, "proxy"), d.container(pod, deployment, "cache")
	rest := d.container(pod, deployment, "") // what migrate requests beyond the three
	d.holds(pod, rest, since, "", levels{"cpu": 400, "memory": 4*gi - gi - 64<<20 - 512_000_000})
	d.holds(pod, web, since, "", levels{"cpu": 1500, "memory": gi})
	d.holds(pod, proxy, since, "", levels{"cpu": 100, "memory": 64 << 20})
	d.holds(pod, cache, since, "", levels{"memory": 512_000_000})
	d.status(pod, `{phase: Running, containerStatuses: [
		{name: web, image: web, imageID: web, ready: true, restartCount: 0, state: {running: {}}, resources: {requests: {cpu: 1500m, memory: 1Gi}}},
		{name: cache, image: web, imageID: web, ready: true, restartCount: 0, state: {running: {}}, resources: {requests: {memory: 512M}}}]}`)
	resized := d.resize(pod, `spec: {containers: [{name: web, resources: {requests: {cpu: "2", memory: 2Gi}}}]}`)
	d.holds(pod, web, resized, "", levels{"cpu": 2000, "memory": 2 * gi})
	d.holds(pod, rest, resized, "", levels{"memory": 4*gi - 2*gi - 64<<20 - 512_000_000})
	crashed := nextSecond(d.ctx)
	d.status(pod, fmt.Sprintf(`{containerStatuses: [
		{name: web, image: web, imageID: web, ready: false, restartCount: 1, state: {terminated: {exitCode: 1, finishedAt: %q}}},
		{name: cache, image: web, imageID: web, ready: true, restartCount: 0, state: {running: {}}}]}`, rfc3339(crashed)))
	d.delete(pod)

	// A job's pod: a container that is done frees nothing, until the pod is done.
	pod = d.pod("web-1-a", replicas, `
  restartPolicy: Never
  containers:
  - {name: web, image: web, resources: {requests: {cpu: 1500m}}}
  - {name: cache, image: web, resources: {requests: {memory: 512M}}}`)
	since = d.scheduled(pod)
	web, cache = d.container(pod, deployment, "web"), d.container(pod, deployment, "cache")
	d.holds(pod, web, since, "", levels{"cpu": 1500})
	d.holds(pod, cache, since, "", levels{"memory": 512_000_000})
	webDone := nextSecond(d.ctx)
	d.status(pod, fmt.Sprintf(`{phase: Running, containerStatuses: [
		{name: web, image: web, imageID: web, ready: false, restartCount: 0, state: {terminated: {exitCode: 0, finishedAt: %q}}},
		{name: cache, image: web, imageID: web, ready: true, restartCount: 0, state: {running: {}}}]}`, rfc3339(webDone)))
	evicted := d.status(pod, `{phase: Failed, reason: Evicted}`)
	d.hold(web, evicted, "", nil)
	d.hold(cache, evicted, "", nil)
	d.delete(pod)

	pod = d.pod("web-1-a", replicas, spec)
	since = d.scheduled(pod)
	d.holds(pod, d.container(pod, deployment, ""), since, "", levels{"cpu": 400, "memory": 4*gi - gi - 64<<20 - 512_000_000})
	d.holds(pod, d.container(pod, deployment, "web"), since, "", levels{"cpu": 1500, "memory": gi})
	d.holds(pod, d.container(pod, deployment, "proxy"), since, "", levels{"cpu": 100, "memory": 64 << 20})
	d.holds(pod, d.container(pod, deployment, "cache"), since, "", levels{"memory": 512_000_000})

	// A virtual machine's pod is metered with the machine, from when that runs and has the pod among its own.
	machine := d.virtualMachine()
	run, vm := d.instance(machine)
	launcher := d.create(fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata:
  name: virt-launcher-db-0
  labels: {kubevirt.io: virt-launcher}
  ownerReferences: [{apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance, name: db-0, uid: %s, controller: true}]
spec: {containers: [{name: compute, image: web, resources: {requests: {cpu: "4"}}}]}
`, run.uid()))
	scheduled := d.scheduled(launcher)
	compute := d.container(launcher, machine, "compute")
	d.holds(launcher, compute, scheduled, "", levels{"cpu": 4000})
	d.status(run, fmt.Sprintf(`{phase: Scheduled, activePods: {%s: n1}}`, launcher.uid()))
	began := d.runs(run)
	d.hold(compute, began, "", nil)
	d.holds(run, vm, began, "gpuDevices=nvidia.com/A100", levels{"memory": 4 * gi}) // of the dimensions that containers have too
	// What says that it is, and is not, is metered by itself.
	forged := d.create(fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata:
  name: virt-launcher-db-1
  labels: {kubevirt.io: virt-launcher}
  ownerReferences: [{apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance, name: db-0, uid: %s, controller: true}]
spec: {containers: [{name: compute, image: web, resources: {requests: {cpu: "64"}}}]}
`, run.uid()))
	scheduled = d.scheduled(forged)
	d.holds(forged, d.container(forged, machine, "compute"), scheduled, "", levels{"cpu": 64000})
}

func podWithDevices(d *driver) {
	const spec = `
  restartPolicy: OnFailure
  containers:
  - name: train
    image: web
    resources: {requests: {cpu: "1", nvidia.com/gpu: "2", example.com/nic: "1"}, limits: {nvidia.com/gpu: "2", example.com/nic: "1"}}
  - {name: log, image: web}`
	deployment, replicas := d.deployment("train")
	gpu := func(pod *thing) holder { return d.container(pod, deployment, "train/nvidia.com/gpu") }
	nic := func(pod *thing) holder { return d.container(pod, deployment, "train/example.com/nic") }
	both := func(pod *thing, since moment) {
		d.holds(pod, gpu(pod), since, "extendedResource=nvidia.com/gpu", levels{"extended_resource/nvidia.com/gpu": 2000})
		d.holds(pod, nic(pod), since, "extendedResource=example.com/nic", levels{"extended_resource/example.com/nic": 1000})
	}
	pod := d.pod("train-1-a", replicas, spec)
	both(pod, d.scheduled(pod))
	done := nextSecond(d.ctx)
	d.status(pod, fmt.Sprintf(`{phase: Succeeded, containerStatuses: [
		{name: train, image: web, imageID: web, ready: false, restartCount: 0, state: {terminated: {exitCode: 0, finishedAt: %q}}},
		{name: log, image: web, imageID: web, ready: false, restartCount: 0, state: {terminated: {exitCode: 0, finishedAt: %q}}}]}`,
		rfc3339(done-1), rfc3339(done)))
	d.hold(gpu(pod), at(done), "", nil)
	d.hold(nic(pod), at(done), "", nil)
	d.delete(pod)
	pod = d.pod("train-1-a", replicas, spec)
	both(pod, d.scheduled(pod))
	d.delete(pod)
	pod = d.pod("train-1-a", replicas, spec)
	both(pod, d.scheduled(pod))
}
