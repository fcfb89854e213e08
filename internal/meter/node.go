package meter

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// nodeFunctions tell a node's hardware from what it states: a device plugin may
// state a GPU several times, and a virtual node has no hardware.
var nodeFunctions = []*function{
	{
		name: "nodeGPUs", args: []*cel.Type{cel.DynType}, result: cel.IntType,
		call: func(args ...ref.Val) ref.Val {
			node, _ := args[0].Value().(map[string]any)
			return types.Int(nodeGPUs(node))
		},
		cost: nodeCost, most: assumedLength * labelCost,
	},
	{
		name: "isVirtualNode", args: []*cel.Type{cel.DynType}, result: cel.BoolType,
		call: func(args ...ref.Val) ref.Val {
			node, _ := args[0].Value().(map[string]any)
			return types.Bool(isVirtualNode(node))
		},
		cost: nodeCost, most: assumedLength * labelCost,
	},
	{
		name: "nodeCapacityType", args: []*cel.Type{cel.DynType}, result: cel.StringType,
		call: func(args ...ref.Val) ref.Val {
			node, _ := args[0].Value().(map[string]any)
			return types.String(nodeCapacityType(node))
		},
		cost: nodeCost, most: assumedLength * labelCost,
	},
}

// labelCost is what a label or resource costs to look at, in CEL's units.
const labelCost = 1

func nodeCost(args []ref.Val) uint64 {
	node, _ := args[0].Value().(map[string]any)
	looked := len(branch(node, "metadata", "labels")) + len(branch(node, "status", "capacity")) + len(items(branch(node, "spec"), "taints"))
	return labelCost * uint64(150+looked)
}

// nodeGPUs are the whole GPUs of a node, of any maker. Node labels are the
// vendors' discovery's, and no tenant can set them.
func nodeGPUs(node map[string]any) int64 {
	labels, capacity := branch(node, "metadata", "labels"), branch(node, "status", "capacity")
	annotations := branch(node, "metadata", "annotations")
	return nvidiaGPUs(labels, annotations, capacity) + capacityOf(capacity, "amd.com/gpu") + intelGPUs(labels, capacity)
}

// nvidiaGPUs are those that GPU feature discovery counts; without it, those that
// the device plugin states, of which each may be several replicas of one.
func nvidiaGPUs(labels, annotations, capacity map[string]any) int64 {
	stated := capacityOf(capacity, "nvidia.com/gpu")
	replicas := max(1, labelled(labels, "nvidia.com/gpu.replicas"))
	counted := labelled(labels, "nvidia.com/gpu.count")
	if counted == 0 && stated > 0 {
		counted = registeredGPUs(entry(annotations, "hami.io/node-nvidia-register"))
	}
	if counted == 0 {
		if shared := capacityOf(capacity, "nvidia.com/gpu.shared"); stated == 0 {
			stated = shared // renamed where it is shared
		}
		counted = (stated + replicas - 1) / replicas
	}
	if entry(labels, "nvidia.com/mig.strategy") == "single" && strings.Contains(entry(labels, "nvidia.com/gpu.product"), "-MIG-") {
		// What is counted are slices of one size then: as many as fit the seven that a GPU has.
		perGPU := max(1, migSlices/max(1, labelled(labels, "nvidia.com/gpu.slices.gi")))
		return (counted + perGPU - 1) / perGPU
	}
	return counted
}

// registeredGPUs are those that HAMi's device plugin registers, which states each
// of them several times (ten, if nothing else is said): a list in JSON, or text in
// which a colon ends each.
func registeredGPUs(register string) int64 {
	var devices []json.RawMessage
	if json.Unmarshal([]byte(register), &devices) == nil {
		return int64(len(devices))
	}
	gpus := int64(0)
	for device := range strings.SplitSeq(register, ":") {
		if strings.Contains(device, ",") {
			gpus++
		}
	}
	return gpus
}

// migSlices is how many compute slices a GPU can be cut into.
const migSlices = 7

// intelGPUs are those that node feature discovery counts by their device's ID;
// without it, those that the device plugin states.
func intelGPUs(labels, capacity map[string]any) (gpus int64) {
	for name := range labels {
		if strings.HasPrefix(name, "gpu.intel.com/device-id.") && strings.HasSuffix(name, ".count") {
			gpus += labelled(labels, name)
		}
	}
	if gpus > 0 {
		return gpus
	}
	return capacityOf(capacity, "gpu.intel.com/i915") + capacityOf(capacity, "gpu.intel.com/xe")
}

// labelled is a count that a label states; 0 where it states none.
func labelled(labels map[string]any, name string) int64 {
	count, err := strconv.ParseInt(entry(labels, name), 10, 32)
	if err != nil || count < 0 {
		return 0
	}
	return count
}

func capacityOf(capacity map[string]any, name string) int64 {
	r := podReader{}
	if capacity[name] == nil {
		return 0
	}
	quantity := r.quantity(name, capacity[name])
	if r.err != nil {
		return 0
	}
	return quantity.Value()
}

// isVirtualNode tells whether a node stands for another cluster or a cloud's
// service, which bills the pods on it: what it states as its capacity is no machine.
func isVirtualNode(node map[string]any) bool {
	labels := branch(node, "metadata", "labels")
	if entry(labels, "type") == "virtual-kubelet" || entry(labels, "liqo.io/type") == "virtual-node" ||
		entry(labels, "kubernetes.azure.com/role") == "virtual-node" || entry(labels, "eks.amazonaws.com/compute-type") == "fargate" {
		return true
	}
	for _, taint := range items(branch(node, "spec"), "taints") {
		switch entry(branch(taint), "key") {
		case "virtual-kubelet.io/provider", "virtual-node.liqo.io/not-allowed":
			return true
		}
	}
	return false
}

// nodeCapacityType is how a node's machine is paid for, as its cloud or autoscaler
// labels it: spot, on-demand, reserved; "" if no such label is set.
func nodeCapacityType(node map[string]any) string {
	labels := branch(node, "metadata", "labels")
	for _, name := range [...]string{
		"karpenter.sh/capacity-type", "eks.amazonaws.com/capacityType", "cloud.google.com/gke-provisioning",
		"kubernetes.azure.com/scalesetpriority", "node.kubernetes.io/capacity-type",
	} {
		if said := entry(labels, name); said != "" {
			return strings.ReplaceAll(strings.ToLower(said), "_", "-")
		}
	}
	if entry(labels, "cloud.google.com/gke-spot") == "true" {
		return "spot"
	}
	if entry(labels, "cloud.google.com/gke-preemptible") == "true" {
		return "preemptible"
	}
	return ""
}
