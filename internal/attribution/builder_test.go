package attribution_test

import (
	"strings"

	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/usage"
)

var apiVersions = map[string]string{
	"Pod": "v1", "Node": "v1", "Service": "v1", "PersistentVolumeClaim": "v1", "ResourceClaim": "resource.k8s.io/v1", "PersistentVolume": "v1",
	"Deployment": "apps/v1", "ReplicaSet": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1",
	"Job": "batch/v1", "CronJob": "batch/v1",
	"VirtualMachine": "kubevirt.io/v1", "VirtualMachineInstance": "kubevirt.io/v1",
	"VirtualMachinePool": "pool.kubevirt.io/v1beta1", "DataVolume": "cdi.kubevirt.io/v1beta1",
	"Machine": "cluster.x-k8s.io/v1beta2", "MachineSet": "cluster.x-k8s.io/v1beta2",
	"MachineDeployment": "cluster.x-k8s.io/v1beta2", "Cluster": "cluster.x-k8s.io/v1beta2",
	"Gateway": "gateway.networking.k8s.io/v1", "HTTPRoute": "gateway.networking.k8s.io/v1",
	"Kafka": "kafka.strimzi.io/v1beta2", "NodePool": "karpenter.sh/v1",
}

type option func(*attribution.Node)

// made is an object of the namespace "shop" whose UID is its kind and name.
func made(kind, name string, options ...option) attribution.Node {
	n := attribution.Node{Object: object(kind, name), Namespace: "shop"}
	n.Holds = follows(n)
	for _, with := range options {
		with(&n)
	}
	return n
}

func object(kind, name string) usage.Object {
	return usage.Object{APIVersion: apiVersions[kind], Kind: kind, Name: name, UID: strings.ToLower(kind) + "/" + name}
}

func in(namespace string) option {
	return func(n *attribution.Node) { n.Namespace = namespace }
}

func uid(uid string) option {
	return func(n *attribution.Node) { n.Object.UID = uid }
}

func ownedBy(kind, name string) option {
	return func(n *attribution.Node) { n.Owner = object(kind, name) }
}

func idle(n *attribution.Node) { n.Holds = false }

func deployment(name string) option {
	return func(n *attribution.Node) { n.Deployment = name }
}

func instance(name string) option {
	return func(n *attribution.Node) { n.Instance = name }
}

func appName(name string) option {
	return func(n *attribution.Node) { n.Name = name }
}

// labelled takes "app=web".
func labelled(pairs ...string) option {
	return func(n *attribution.Node) { n.Labels = labels(pairs) }
}

func selecting(pairs ...string) option {
	return func(n *attribution.Node) { n.Selector = labels(pairs) }
}

func labels(pairs []string) map[string]string {
	labels := map[string]string{}
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		labels[key] = value
	}
	return labels
}

func mounting(claims ...string) option {
	return func(n *attribution.Node) { n.Claims = claims }
}

// at takes "namespace/name".
func at(gateways ...string) option {
	return func(n *attribution.Node) { n.Parents = references(gateways) }
}

func to(services ...string) option {
	return func(n *attribution.Node) { n.Backends = references(services) }
}

func references(names []string) (references []attribution.Reference) {
	for _, name := range names {
		namespace, name, _ := strings.Cut(name, "/")
		references = append(references, attribution.Reference{Namespace: namespace, Name: name})
	}
	return references
}

// podOf is a pod of a Deployment that the graph need not know.
func podOf(workload, name string, options ...option) attribution.Node {
	return made("Pod", name, append([]option{ownedBy("Deployment", workload)}, options...)...)
}

func graphOf(nodes ...attribution.Node) *attribution.Graph {
	g := attribution.New()
	for _, n := range nodes {
		g.Upsert(n)
	}
	return g
}
