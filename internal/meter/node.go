package meter

import (
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
		entry(labels, "kubernetes.azure.com/role") == "virtual-node" || entry(labels, "eks.amazonaws.com/compute-type") == "fargate" ||
		entry(labels, "node.kubernetes.io/instance-type") == "eklet" || entry(labels, "vcluster.loft.sh/fake-node") == "true" {
		return true
	}
	for _, taint := range items(branch(node, "spec"), "taints") {
		switch entry(branch(taint), "key") {
		case "virtual-kubelet.io/provider", "virtual-node.liqo.io/not-allowed", "virtual-node.interlink/no-schedule":
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
