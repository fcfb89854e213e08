package usagecli

import (
	"slices"
	"strings"
)

// aliases are what kubectl calls what is metered, by resource type.
var aliases = map[string][]string{
	"vm":            {"virtualmachine", "virtualmachines", "vms", "vmi", "vmis", "virtualmachineinstance", "virtualmachineinstances"},
	"volume":        {"persistentvolumeclaim", "persistentvolumeclaims", "pvc", "pvcs", "persistentvolume", "persistentvolumes", "pv"},
	"snapshot":      {"volumesnapshot", "volumesnapshots", "vs"},
	"container":     {"pod", "pods", "po", "deploy", "deployment", "deployments", "statefulset", "statefulsets", "sts", "job", "jobs"},
	"node_pool":     {"node", "nodes", "no", "nodepool", "nodepools", "machinedeployment", "machinedeployments", "md"},
	"load_balancer": {"service", "services", "svc", "gateway", "gateways", "gw", "lb", "loadbalancer", "loadbalancers"},
	"cluster":       {"clusters"},
	"vpc":           {"vpcs"},
	"connection":    {"connections"},
}

// typesOf are the resource types that a kind may mean, the likeliest first. A meter may
// call what it meters as it likes: so the word itself comes first.
func typesOf(kind string) []string {
	word := strings.ToLower(kind)
	word, _, _ = strings.Cut(word, ".") // virtualmachine.kubevirt.io
	types := []string{kind, word, strings.TrimSuffix(word, "s"), strings.ReplaceAll(word, "-", "_")}
	for own, names := range aliases {
		if slices.Contains(names, word) {
			types = append(types, own)
		}
	}
	var once []string
	for _, t := range types {
		if t != "" && !slices.Contains(once, t) {
			once = append(once, t)
		}
	}
	return once
}

// groupKinds are what usage is told apart by, as kubectl calls it.
var groupKinds = map[string]string{
	"deployments": "deployments", "deployment": "deployments", "deploy": "deployments",
	"namespaces": "namespaces", "namespace": "namespaces", "ns": "namespaces",
	"resources": "resources", "resource": "resources",
}
