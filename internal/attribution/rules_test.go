package attribution_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/usage-operator/usage-operator/internal/attribution"
)

type nodes []attribution.Node

// Every case is tried in the order given and in reverse: none may depend on it.
func TestPlace(t *testing.T) {
	cases := map[string]struct {
		nodes
		of       string
		want     string
		workload string // the UID; of itself when left out
	}{
		// Rule 1
		"the object's own label comes first": {
			nodes: nodes{made("Deployment", "web"), made("Pod", "p", ownedBy("Deployment", "web"), deployment("mine"), instance("i"))},
			of:    "pod/p", want: "mine", workload: "deployment/web",
		},
		"an empty label is no label": {
			nodes: nodes{made("Deployment", "web", deployment(""))}, of: "deployment/web", want: "web",
		},

		// Rule 2
		"a pod belongs to its ReplicaSet's Deployment": {
			nodes: nodes{made("Deployment", "web"), made("ReplicaSet", "web-5d", ownedBy("Deployment", "web")), made("Pod", "p", ownedBy("ReplicaSet", "web-5d"))},
			of:    "pod/p", want: "web", workload: "deployment/web",
		},
		"the top's label names all below it": {
			nodes: nodes{made("Deployment", "web", deployment("front")), made("ReplicaSet", "web-5d", ownedBy("Deployment", "web")), made("Pod", "p", ownedBy("ReplicaSet", "web-5d"))},
			of:    "pod/p", want: "front", workload: "deployment/web",
		},
		"a label half way up names nothing below it": {
			nodes: nodes{made("Deployment", "web"), made("ReplicaSet", "web-5d", ownedBy("Deployment", "web"), deployment("mine")), made("Pod", "p", ownedBy("ReplicaSet", "web-5d"))},
			of:    "pod/p", want: "web", workload: "deployment/web",
		},
		"an owner comes before instance labels": {
			nodes: nodes{made("StatefulSet", "db"), made("Pod", "p", ownedBy("StatefulSet", "db"), instance("release"), appName("postgres"))},
			of:    "pod/p", want: "db", workload: "statefulset/db",
		},
		"an unknown owner counts by the name in the reference": {
			nodes: nodes{made("Pod", "p", ownedBy("ReplicaSet", "web-5d"))},
			of:    "pod/p", want: "web-5d", workload: "replicaset/web-5d",
		},
		"an owner of any kind names what it controls": {
			nodes: nodes{made("Kafka", "events"), made("Pod", "p", ownedBy("Kafka", "events"))},
			of:    "pod/p", want: "events", workload: "kafka/events",
		},
		"an object of any kind does not name itself": {
			nodes: nodes{made("Kafka", "events")}, of: "kafka/events", want: "",
		},
		"a job belongs to its CronJob": {
			nodes: nodes{made("CronJob", "nightly"), made("Job", "nightly-1", ownedBy("CronJob", "nightly"))},
			of:    "job/nightly-1", want: "nightly", workload: "cronjob/nightly",
		},
		"a job on its own names itself": {
			nodes: nodes{made("Job", "import", instance("i"))}, of: "job/import", want: "import",
		},
		"a VMI belongs to its VM": {
			nodes: nodes{made("VirtualMachine", "vm"), made("VirtualMachineInstance", "vm", ownedBy("VirtualMachine", "vm"))},
			of:    "virtualmachineinstance/vm", want: "vm", workload: "virtualmachine/vm",
		},
		"a VM belongs to its pool": {
			nodes: nodes{made("VirtualMachinePool", "pool"), made("VirtualMachine", "vm", ownedBy("VirtualMachinePool", "pool"))},
			of:    "virtualmachine/vm", want: "pool", workload: "virtualmachinepool/pool",
		},
		"a VM on its own names itself":  {nodes: nodes{made("VirtualMachine", "vm")}, of: "virtualmachine/vm", want: "vm"},
		"a VMI on its own names itself": {nodes: nodes{made("VirtualMachineInstance", "vm")}, of: "virtualmachineinstance/vm", want: "vm"},
		"a machine belongs to its MachineDeployment": {
			nodes: nodes{made("MachineDeployment", "md"), made("MachineSet", "ms", ownedBy("MachineDeployment", "md")), made("Machine", "m", ownedBy("MachineSet", "ms"))},
			of:    "machine/m", want: "md", workload: "machinedeployment/md",
		},
		"a cluster-scoped object names itself": {
			nodes: nodes{made("NodePool", "general", in(""))}, of: "nodepool/general", want: "general",
		},
		"a node does not name itself":   {nodes: nodes{made("Node", "n1", in(""))}, of: "node/n1", want: ""},
		"a volume does not name itself": {nodes: nodes{made("PersistentVolume", "pv", in(""))}, of: "persistentvolume/pv", want: ""},
		"a node controls nothing": {
			nodes: nodes{made("Node", "n1", in("")), made("Pod", "etcd-n1", ownedBy("Node", "n1"), instance("etcd"))},
			of:    "pod/etcd-n1", want: "etcd",
		},
		"a node that is not known controls nothing": {
			nodes: nodes{made("Pod", "etcd-n1", ownedBy("Node", "n1"), appName("etcd"))}, of: "pod/etcd-n1", want: "etcd",
		},
		"a cluster-scoped owner counts": {
			nodes: nodes{made("NodePool", "general", in("")), made("Pod", "p", ownedBy("NodePool", "general"))},
			of:    "pod/p", want: "general", workload: "nodepool/general",
		},
		"an owner in another namespace is ignored": {
			nodes: nodes{made("Deployment", "secret", in("bank")), made("Pod", "p", ownedBy("Deployment", "secret"), instance("i"))},
			of:    "pod/p", want: "i",
		},
		"a cluster-scoped object has no namespaced owner": {
			nodes: nodes{made("Deployment", "web"), made("NodePool", "np", in(""), ownedBy("Deployment", "web"))},
			of:    "nodepool/np", want: "np",
		},
		"an object that controls itself is controlled by nothing": {
			nodes: nodes{made("Deployment", "web", ownedBy("Deployment", "web"))}, of: "deployment/web", want: "web",
		},
		"a circle is no chain": {
			nodes: nodes{made("Deployment", "a", ownedBy("Deployment", "b")), made("Deployment", "b", ownedBy("Deployment", "a")), made("Pod", "p", ownedBy("Deployment", "a"), instance("i"))},
			of:    "pod/p", want: "i",
		},
		"16 owners are a chain": {nodes: chain(16), of: "kafka/0", want: "16", workload: "kafka/16"},
		"17 owners are none":    {nodes: chain(17), of: "kafka/0", want: ""},
		"names are data": {
			nodes: nodes{made("Pod", "p", ownedBy("Kafka", " \x00"+strings.Repeat("é", 300)))},
			of:    "pod/p", want: " \x00" + strings.Repeat("é", 300), workload: "kafka/ \x00" + strings.Repeat("é", 300),
		},
		"a gateway's service belongs to the gateway": {
			nodes: nodes{made("Gateway", "edge"), made("Service", "edge-lb", ownedBy("Gateway", "edge"))},
			of:    "service/edge-lb", want: "edge", workload: "gateway/edge",
		},

		// Rule 3
		"a claim belongs to the workload that mounts it": {
			nodes: nodes{made("PersistentVolumeClaim", "data", instance("i")), podOf("db", "db-0", mounting("data")), podOf("db", "db-1", mounting("data", "data", "other"))},
			of:    "persistentvolumeclaim/data", want: "db",
		},
		"a claim that two workloads mount belongs to neither": {
			nodes: nodes{made("PersistentVolumeClaim", "data", instance("i")), podOf("db", "db-0", mounting("data")), podOf("backup", "b", mounting("data"))},
			of:    "persistentvolumeclaim/data", want: "i",
		},
		"pods without a deployment do not count": {
			nodes: nodes{made("PersistentVolumeClaim", "data"), podOf("db", "db-0", mounting("data")), made("Pod", "debug", mounting("data"))},
			of:    "persistentvolumeclaim/data", want: "db",
		},
		"devices belong to the workload that uses them": {
			nodes: nodes{made("ResourceClaim", "gpus", instance("i")), podOf("train", "train-0", mounting(attribution.DeviceClaim("gpus")))},
			of:    "resourceclaim/gpus", want: "train",
		},
		"devices that two workloads share belong to neither": {
			nodes: nodes{
				made("ResourceClaim", "gpus", instance("i")), podOf("train", "train-0", mounting(attribution.DeviceClaim("gpus"))),
				podOf("infer", "infer-0", mounting(attribution.DeviceClaim("gpus"))),
			},
			of: "resourceclaim/gpus", want: "i",
		},
		"devices are no volume of that name": {
			nodes: nodes{made("ResourceClaim", "data"), podOf("db", "db-0", mounting("data"))},
			of:    "resourceclaim/data", want: "",
		},
		"pods of another namespace do not count": {
			nodes: nodes{made("PersistentVolumeClaim", "data"), podOf("db", "db-0", mounting("data"), in("bank"))},
			of:    "persistentvolumeclaim/data", want: "",
		},
		"a claim's label comes before its pods": {
			nodes: nodes{made("PersistentVolumeClaim", "data", deployment("mine")), podOf("db", "db-0", mounting("data"))},
			of:    "persistentvolumeclaim/data", want: "mine",
		},
		"a claim's owner comes before its pods": {
			nodes: nodes{made("PersistentVolumeClaim", "data", ownedBy("StatefulSet", "db")), podOf("backup", "b", mounting("data"))},
			of:    "persistentvolumeclaim/data", want: "db", workload: "statefulset/db",
		},
		"a DataVolume's claim belongs to the VM": {
			nodes: nodes{made("VirtualMachine", "vm"), made("DataVolume", "disk", ownedBy("VirtualMachine", "vm")), made("PersistentVolumeClaim", "disk", ownedBy("DataVolume", "disk"))},
			of:    "persistentvolumeclaim/disk", want: "vm", workload: "virtualmachine/vm",
		},
		"the pods come before a DataVolume that nothing controls": {
			nodes: nodes{made("DataVolume", "disk"), made("PersistentVolumeClaim", "disk", ownedBy("DataVolume", "disk")), podOf("db", "db-0", mounting("disk"))},
			of:    "persistentvolumeclaim/disk", want: "db", workload: "datavolume/disk",
		},
		"a DataVolume that nothing controls comes before the instance label": {
			nodes: nodes{made("DataVolume", "disk"), made("PersistentVolumeClaim", "disk", ownedBy("DataVolume", "disk"), instance("i"))},
			of:    "persistentvolumeclaim/disk", want: "disk", workload: "datavolume/disk",
		},
		"a pod's own claim follows the pod": {
			nodes: nodes{made("Pod", "p", instance("i"), mounting("p-scratch")), made("PersistentVolumeClaim", "p-scratch", ownedBy("Pod", "p"))},
			of:    "persistentvolumeclaim/p-scratch", want: "i", workload: "pod/p",
		},

		// Rule 4
		"a service belongs to the workload that it selects": {
			nodes: nodes{made("Service", "web", selecting("app=web"), instance("i")), podOf("web", "p", labelled("app=web", "tier=front")), podOf("db", "q", labelled("app=db"))},
			of:    "service/web", want: "web",
		},
		"a service that selects two workloads belongs to neither": {
			nodes: nodes{made("Service", "web", selecting("tier=front"), instance("i")), podOf("web", "p", labelled("app=web", "tier=front")), podOf("db", "q", labelled("app=db", "tier=front"))},
			of:    "service/web", want: "i",
		},
		"all pairs of a selector must match": {
			nodes: nodes{made("Service", "web", selecting("app=web", "tier=back")), podOf("web", "p", labelled("app=web", "tier=front"))},
			of:    "service/web", want: "",
		},
		"an empty selector selects nothing": {
			nodes: nodes{made("Service", "web", selecting()), podOf("web", "p"), podOf("web", "q", labelled("app=web"))}, of: "service/web", want: "",
		},
		"a service selects in its namespace alone": {
			nodes: nodes{made("Service", "web", selecting("app=web")), podOf("web", "p", labelled("app=web"), in("bank"))}, of: "service/web", want: "",
		},
		"a gateway belongs to the workload behind its routes": {
			nodes: nodes{
				made("Gateway", "edge", instance("i")), made("HTTPRoute", "r", at("shop/edge"), to("shop/web")),
				made("Service", "web", selecting("app=web")), podOf("web", "p", labelled("app=web")),
			},
			of: "gateway/edge", want: "web",
		},
		"a gateway with two workloads behind it belongs to neither": {
			nodes: nodes{
				made("Gateway", "edge", instance("i")), made("HTTPRoute", "r", at("shop/edge"), to("shop/web", "shop/api")),
				made("Service", "web", deployment("web")), made("Service", "api", deployment("api")),
			},
			of: "gateway/edge", want: "i",
		},
		"a route may be in another namespace than its gateway": {
			nodes: nodes{made("Gateway", "edge"), made("HTTPRoute", "r", in("routes"), at("shop/edge"), to("shop/web")), made("Service", "web", deployment("web"))},
			of:    "gateway/edge", want: "web",
		},
		"a backend in another namespace does not show": {
			nodes: nodes{
				made("Gateway", "edge"), made("HTTPRoute", "r", at("shop/edge"), to("bank/secret", "shop/web")),
				made("Service", "secret", in("bank"), deployment("secret")), made("Service", "web", deployment("web")),
			},
			of: "gateway/edge", want: "web",
		},

		// Rules 5 and 6
		"a bare pod goes by its instance":           {nodes: nodes{made("Pod", "p", instance("i"), appName("n"))}, of: "pod/p", want: "i"},
		"a bare pod goes by its name label":         {nodes: nodes{made("Pod", "p", appName("n"))}, of: "pod/p", want: "n"},
		"a bare pod without labels is unattributed": {nodes: nodes{made("Pod", "p", labelled("app=web"))}, of: "pod/p", want: ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			workload := c.workload
			if workload == "" {
				workload = c.of
			}
			for range 2 {
				got := graphOf(c.nodes...).Place(c.of)
				if got.Deployment != c.want || got.Workload.UID != workload {
					t.Errorf("got %q under %s, want %q under %s", got.Deployment, got.Workload.UID, c.want, workload)
				}
				slices.Reverse(c.nodes)
			}
		})
	}
}

// chain is kafka/0 with so many owners above it, each called by its number.
func chain(owners int) nodes {
	var chain nodes
	for i := range owners {
		chain = append(chain, made("Kafka", strconv.Itoa(i), ownedBy("Kafka", strconv.Itoa(i+1))))
	}
	return append(chain, made("Kafka", strconv.Itoa(owners)))
}
