package account

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// levels are base units by dimension.
type levels map[string]int64

// holding is what an object, or a part of it, holds by what it says itself.
type holding struct {
	resourceType string
	container    string
	levels       levels // nil: nothing now
	// resource is what is billed, by UID and name; empty: the object itself.
	resource, resourceName string
	workload               bool // billed is the top of the owners
	// namespace is whose usage it is; empty: the object's own, or the operator's.
	namespace string
	facts     string
	// since and until are what the object states of when it began and ended.
	since, until time.Time
}

// holdings are those of an object, by the built-in meters.
func holdings(o object) []holding {
	read, metered := meters[o.text("kind")]
	if !metered {
		return nil
	}
	return read(o)
}

// meters are by kind: no two metered kinds have the same name.
var meters = map[string]func(object) []holding{
	"Pod":                           podHoldings,
	"Node":                          nodeHoldings,
	"NodePool":                      one(nodePoolHolding),
	"MachineDeployment":             one(poolHolding),
	"MachinePool":                   one(machinePoolHolding),
	"Machine":                       one(machineHolding),
	"Cluster":                       one(clusterHolding),
	"VirtualMachine":                one(machineAllocatedHolding),
	"VirtualMachineInstance":        instanceHoldings,
	"Service":                       one(serviceHolding),
	"Gateway":                       one(gatewayHolding),
	"PersistentVolumeClaim":         one(claimHolding),
	"PersistentVolume":              one(volumeHolding),
	"VolumeSnapshot":                one(snapshotHolding),
	"Vpc":                           one(vpcHolding),
	"UserDefinedNetwork":            one(networkHolding),
	"ClusterUserDefinedNetwork":     one(clusterNetworkHolding),
	"Connection":                    one(connectionHolding),
	"ComputeInterconnectAttachment": one(attachmentHolding),
}

func one(read func(object) holding) func(object) []holding {
	return func(o object) []holding { return []holding{read(o)} }
}

// region is where an object is by its labels; those of an object in a namespace are
// its tenant's, and tell nothing.
func region(o object) string {
	if o.text("metadata", "namespace") != "" {
		return ""
	}
	if r := o.label("topology.kubernetes.io/region"); r != "" {
		return r
	}
	return o.label("topology.kubernetes.io/zone")
}

// deviceOf tells whether a resource is a device's: its domain is not Kubernetes' own.
func deviceOf(resource string) bool {
	return strings.Contains(resource, "/") && !strings.Contains(resource, "kubernetes.io/")
}

func podHoldings(o object) []holding {
	containers := o.list("spec", "containers")
	for _, c := range o.list("spec", "initContainers") {
		if c.text("restartPolicy") == "Always" {
			containers = append(containers, c)
		}
	}
	phase, scheduled := o.text("status", "phase"), o.condition("PodScheduled")
	runs := (o.text("spec", "nodeName") != "" || scheduled.text("status") == "True") && phase != "Succeeded" && phase != "Failed"
	since := o.moment("status", "startTime")
	if scheduled.text("status") == "True" {
		since = scheduled.moment("lastTransitionTime")
	}
	machine := machineOf(o.text("spec", "nodeName"))
	var all []holding
	for _, c := range containers {
		h := holding{
			resourceType: "container", container: c.text("name"), workload: true,
			facts: facts("", "", map[string]string{"instanceType": machine}), since: since, until: endOf(o),
		}
		requests := c.child("resources", "requests")
		if runs {
			h.levels = levels{"cpu": thousandths(requests["cpu"]), "memory": units(requests["memory"])}
		}
		all = append(all, h)
		for resource, quantity := range requests {
			if !strings.Contains(resource, "/") {
				continue
			}
			device := h
			device.container += "/" + resource
			device.facts = facts("", "", map[string]string{"extendedResource": resource, "instanceType": machine})
			if runs {
				device.levels = levels{"extended_resource/" + resource: thousandths(quantity)}
			}
			all = append(all, device)
		}
	}
	return all
}

// machineOf is the instance type of a node. All that anything is scheduled to are of one.
func machineOf(node string) string {
	if strings.HasPrefix(node, "kwok-") {
		return "kwok-64"
	}
	return ""
}

// endOf is when the last of a pod's containers ended; zero while it says of one that it has
// not, or says nothing.
func endOf(o object) time.Time {
	var last time.Time
	statuses := o.list("status", "containerStatuses")
	if len(statuses) < len(o.list("spec", "containers")) {
		return last
	}
	for _, s := range statuses {
		end := s.moment("state", "terminated", "finishedAt")
		if end.IsZero() {
			return end
		}
		if end.After(last) {
			last = end
		}
	}
	return last
}

// poolLabels say which pool a node is in: the first that it has.
var poolLabels = []string{
	"karpenter.sh/nodepool", "cloud.google.com/gke-nodepool", "eks.amazonaws.com/nodegroup", "kubernetes.azure.com/agentpool", "agentpool",
}

func nodeHoldings(o object) []holding {
	pool := holding{resourceType: "node_pool", resource: "none"}
	for _, label := range poolLabels {
		if name := o.label(label); name != "" {
			pool.resource, pool.resourceName = label+"="+name, name
			break
		}
	}
	bundle := o.label("node.kubernetes.io/instance-type")
	capacityType := o.label("karpenter.sh/capacity-type")
	if capacityType == "" {
		capacityType = o.label("eks.amazonaws.com/capacityType")
	}
	capacity := o.child("status", "capacity")
	whole := pool
	whole.facts = facts(region(o), bundle, map[string]string{"capacityType": strings.ReplaceAll(strings.ToLower(capacityType), "_", "-")})
	whole.levels = levels{
		"node": 1000, "vcpu": thousandths(capacity["cpu"]), "memory": units(capacity["memory"]), "gpu": thousandths(capacity["nvidia.com/gpu"]),
	}
	all := []holding{whole}
	for resource, quantity := range capacity {
		if !deviceOf(resource) || resource == "nvidia.com/gpu" {
			continue
		}
		device := pool
		device.container = resource
		device.facts = facts(region(o), bundle, map[string]string{"extendedResource": resource})
		device.levels = levels{"extended_resource/" + resource: thousandths(quantity)}
		all = append(all, device)
	}
	return all
}

func nodePoolHolding(o object) holding {
	return holding{
		resourceType: "node_pool", resource: "karpenter.sh/nodepool=" + o.text("metadata", "name"), resourceName: o.text("metadata", "name"),
		facts: facts(region(o), "", nil), levels: levels{"pool": 1000},
	}
}

func poolHolding(o object) holding {
	return holding{
		resourceType: "node_pool", resource: o.text("kind") + "/" + o.text("metadata", "namespace") + "/" + o.text("metadata", "name"),
		facts: facts(region(o), "", map[string]string{"cluster": o.text("spec", "clusterName")}), levels: levels{"pool": 1000},
	}
}

func machinePoolHolding(o object) holding {
	h := poolHolding(o)
	h.levels["machine"] = o.whole(0, "status", "replicas") * 1000
	return h
}

func machineHolding(o object) holding {
	h := holding{resourceType: "node_pool"}
	if h.since = provisioned(o); !h.since.IsZero() {
		h.levels = levels{"machine": 1000}
	}
	namespace := "/" + o.text("metadata", "namespace") + "/"
	if pool := o.label("cluster.x-k8s.io/deployment-name"); pool != "" {
		h.resource = "MachineDeployment" + namespace + pool
	} else if pool := o.label("cluster.x-k8s.io/pool-name"); pool != "" {
		h.resource = "MachinePool" + namespace + pool
	}
	h.facts = facts(region(o), "", map[string]string{"cluster": o.text("spec", "clusterName"), "version": o.text("spec", "version")})
	return h
}

// provisioned is since when what was asked for is there; zero: it is not.
func provisioned(o object) time.Time {
	if there, _ := o.at("status", "initialization", "infrastructureProvisioned").(bool); !there {
		return time.Time{}
	}
	return o.condition("InfrastructureReady").moment("lastTransitionTime")
}

func clusterHolding(o object) holding {
	h := holding{resourceType: "cluster", facts: facts(region(o), "", nil), since: provisioned(o)}
	if !h.since.IsZero() {
		h.levels = levels{"cluster": 1000, "control_plane_node": o.whole(0, "status", "controlPlane", "replicas") * 1000}
	}
	return h
}

func machineAllocatedHolding(o object) holding {
	return holding{resourceType: "vm", facts: facts(region(o), o.text("spec", "instancetype", "name"), nil), levels: levels{"vm_allocated": 1000}}
}

func instanceHoldings(o object) []holding {
	h := holding{resourceType: "vm"}
	if owner := o.controller(); owner.text("kind") == "VirtualMachine" {
		h.resource = owner.text("uid")
	}
	for _, t := range o.list("status", "phaseTransitionTimestamps") {
		switch t.text("phase") {
		case "Running":
			h.since = t.moment("phaseTransitionTimestamp")
		case "Succeeded", "Failed":
			h.until = t.moment("phaseTransitionTimestamp")
		}
	}
	paused := ""
	if o.condition("Paused").text("status") == "True" {
		paused = "true"
	}
	gpus := map[string]int64{}
	for _, gpu := range o.list("spec", "domain", "devices", "gpus") {
		gpus[gpu.text("deviceName")] += 1000
	}
	h.facts = facts(region(o), "", map[string]string{"paused": paused, "gpuDevices": strings.Join(slices.Sorted(maps.Keys(gpus)), ",")})
	all := []holding{h}
	for name := range gpus {
		device := h
		device.container = name
		all = append(all, device)
	}
	if phase := o.text("status", "phase"); phase != "Running" && phase != "Unknown" {
		return all
	}
	topology := o.child("status", "currentCPUTopology")
	if topology == nil {
		topology = o.child("spec", "domain", "cpu")
	}
	memory := o.at("status", "memory", "guestCurrent")
	if memory == nil {
		memory = o.at("spec", "domain", "memory", "guest")
	}
	cores := topology.whole(1, "sockets") * topology.whole(1, "cores") * topology.whole(1, "threads")
	all[0].levels = levels{"vcpu": cores * 1000, "memory": units(memory)}
	for i := range all[1:] {
		device := &all[1+i]
		device.levels = levels{"gpu/" + device.container: gpus[device.container]}
	}
	return all
}

func serviceHolding(o object) holding {
	addresses := o.size("status", "loadBalancer", "ingress")
	h := holding{resourceType: "load_balancer", facts: facts(region(o), "", map[string]string{"class": o.text("spec", "loadBalancerClass")})}
	if o.text("spec", "type") == "LoadBalancer" && addresses > 0 {
		h.levels = levels{"load_balancer": 1000, "listener": o.size("spec", "ports") * 1000, "public_ip": addresses * 1000}
	}
	return h
}

func gatewayHolding(o object) holding {
	programmed := o.condition("Programmed")
	h := holding{resourceType: "load_balancer", facts: facts(region(o), "", map[string]string{"class": o.text("spec", "gatewayClassName")})}
	switch programmed.text("status") {
	case "True":
		h.since = programmed.moment("lastTransitionTime")
		h.levels = levels{"load_balancer": 1000, "listener": o.size("spec", "listeners") * 1000, "public_ip": o.size("status", "addresses") * 1000}
	case "False":
		h.until = programmed.moment("lastTransitionTime")
	}
	return h
}

func claimHolding(o object) holding {
	h := holding{resourceType: "volume", facts: facts(region(o), "", map[string]string{
		"storageClass": o.text("spec", "storageClassName"), "volumeMode": o.text("spec", "volumeMode"),
	})}
	if o.text("status", "phase") == "Bound" {
		size := o.at("status", "capacity", "storage")
		if size == nil { // it is not told
			size = o.at("spec", "resources", "requests", "storage")
		}
		h.levels = levels{"storage": units(size)}
	}
	return h
}

func volumeHolding(o object) holding {
	h := holding{
		resourceType: "volume", namespace: o.text("spec", "claimRef", "namespace"), since: o.moment("status", "lastPhaseTransitionTime"),
		facts: facts(region(o), "", map[string]string{
			"claim": o.text("spec", "claimRef", "name"), "storageClass": o.text("spec", "storageClassName"), "volumeMode": o.text("spec", "volumeMode"),
		}),
	}
	if o.text("status", "phase") == "Released" {
		h.levels = levels{"storage_retained": units(o.at("spec", "capacity", "storage"))}
	}
	return h
}

func snapshotHolding(o object) holding {
	h := holding{
		resourceType: "snapshot", since: o.moment("status", "creationTime"),
		facts: facts(region(o), "", map[string]string{"snapshotClass": o.text("spec", "volumeSnapshotClassName")}),
	}
	if ready, _ := o.at("status", "readyToUse").(bool); ready {
		h.levels = levels{"snapshot_storage": units(o.at("status", "restoreSize"))}
	}
	return h
}

func vpcHolding(o object) holding {
	h := holding{resourceType: "vpc", facts: facts(region(o), "", nil), levels: levels{"vpc": 1000, "subnet": o.size("status", "subnets") * 1000}}
	if namespaces, _ := o.at("spec", "namespaces").([]any); len(namespaces) == 1 {
		h.namespace, _ = namespaces[0].(string)
	}
	return h
}

func networkHolding(o object) holding {
	return holding{resourceType: "vpc", facts: facts(region(o), "", map[string]string{"topology": o.text("spec", "topology")}), levels: levels{"vpc": 1000}}
}

func clusterNetworkHolding(o object) holding {
	return holding{
		resourceType: "vpc", namespace: o.text("spec", "namespaceSelector", "matchLabels", "kubernetes.io/metadata.name"),
		facts: facts(region(o), "", map[string]string{"topology": o.text("spec", "network", "topology")}), levels: levels{"vpc": 1000},
	}
}

// connected is what a connection holds: what was made is held until it is removed,
// where the status says that it was (made), and while it is ready.
func connected(o object, made bool, facts, bandwidth string) holding {
	h := holding{resourceType: "connection", facts: facts}
	ready := o.condition("Ready")
	if ready.text("status") == "True" {
		h.since = ready.moment("lastTransitionTime")
	} else if !made {
		return h
	}
	h.levels = levels{"connection": 1000, "bandwidth": units(bandwidth)}
	return h
}

func connectionHolding(o object) holding {
	bandwidth := o.text("status", "atProvider", "bandwidth")
	if bandwidth == "" {
		bandwidth = o.text("spec", "forProvider", "bandwidth")
	}
	told := facts(o.text("spec", "forProvider", "region"), "", map[string]string{"location": o.text("spec", "forProvider", "location")})
	h := connected(o, o.text("status", "atProvider", "arn") != "", told, strings.TrimSuffix(bandwidth, "bps"))
	h.namespace = o.label("crossplane.io/claim-namespace")
	return h
}

func attachmentHolding(o object) holding {
	told := facts(o.text("spec", "region"), "", map[string]string{"type": o.text("spec", "type")})
	return connected(o, o.text("status", "selfLink") != "", told, strings.TrimPrefix(o.text("spec", "bandwidth"), "BPS_"))
}
