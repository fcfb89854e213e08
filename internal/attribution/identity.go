package attribution

import (
	"strings"
	"unique"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// role is what a kind is to the graph.
type role uint8

const (
	other    role = iota // names what it controls
	workload             // names itself too
	pod
	claim
	deviceClaim
	dataVolume
	service
	gateway
	route
	node
	persistentVolume
)

// follows tells whether objects of the role are placed where others are.
func (r role) follows() bool { return r == claim || r == deviceClaim || r == service || r == gateway }

const gatewayGroup = "gateway.networking.k8s.io"

// roles are by group and kind: the version changes nothing.
var roles = map[[2]string]role{
	{"", "Pod"}:                       pod,
	{"", "PersistentVolumeClaim"}:     claim,
	{"", "PersistentVolume"}:          persistentVolume,
	{"", "Service"}:                   service,
	{"", "Node"}:                      node,
	{"cdi.kubevirt.io", "DataVolume"}: dataVolume,

	{"resource.k8s.io", "ResourceClaim"}: deviceClaim,

	{"snapshot.storage.k8s.io", "VolumeSnapshotContent"}: persistentVolume,

	{gatewayGroup, "Gateway"}:   gateway,
	{gatewayGroup, "HTTPRoute"}: route,
	{gatewayGroup, "GRPCRoute"}: route,
	{gatewayGroup, "TLSRoute"}:  route,
	{gatewayGroup, "TCPRoute"}:  route,
	{gatewayGroup, "UDPRoute"}:  route,

	{"", "ReplicationController"}: workload,
	{"apps", "Deployment"}:        workload,
	{"apps", "ReplicaSet"}:        workload,
	{"apps", "StatefulSet"}:       workload,
	{"apps", "DaemonSet"}:         workload,
	{"batch", "Job"}:              workload,
	{"batch", "CronJob"}:          workload,

	{"kubevirt.io", "VirtualMachine"}:                   workload,
	{"kubevirt.io", "VirtualMachineInstance"}:           workload,
	{"kubevirt.io", "VirtualMachineInstanceReplicaSet"}: workload,
	{"pool.kubevirt.io", "VirtualMachinePool"}:          workload,

	{"cluster.x-k8s.io", "Cluster"}:           workload,
	{"cluster.x-k8s.io", "MachineDeployment"}: workload,
	{"cluster.x-k8s.io", "MachineSet"}:        workload,
	{"cluster.x-k8s.io", "MachinePool"}:       workload,
	{"cluster.x-k8s.io", "Machine"}:           workload,
}

func roleOf(apiVersion, kind string) role { return roles[[2]string{groupOf(apiVersion), kind}] }

// Controls tells whether the kind is known to control what is metered.
func Controls(group, kind string) bool {
	switch roles[[2]string{group, kind}] {
	case workload, dataVolume, gateway, claim:
		return true
	}
	return false
}

func groupOf(apiVersion string) string {
	group, _, grouped := strings.Cut(apiVersion, "/")
	if !grouped {
		return "" // "v1"
	}
	return group
}

// kind is kept once for all objects of it.
type kind struct {
	apiVersion, name string
}

// identity is a usage.Object with its kind shared. It is never changed once made.
type identity struct {
	kind      unique.Handle[kind]
	name, uid string
	role      role
}

// The strings are cloned lest they keep a whole decoded object alive.
func identify(o usage.Object) *identity {
	return &identity{
		kind: unique.Make(kind{o.APIVersion, o.Kind}),
		name: strings.Clone(o.Name),
		uid:  strings.Clone(o.UID),
		role: roleOf(o.APIVersion, o.Kind),
	}
}

func (i *identity) object() usage.Object {
	k := i.kind.Value()
	return usage.Object{APIVersion: k.apiVersion, Kind: k.name, Name: i.name, UID: i.uid}
}

func (i *identity) is(o usage.Object) bool {
	k := i.kind.Value()
	return i.uid == o.UID && i.name == o.Name && k.name == o.Kind && k.apiVersion == o.APIVersion
}

// of tells whether i is of the kind, in whichever version.
func (i *identity) of(group, kind string) bool {
	k := i.kind.Value()
	return k.name == kind && groupOf(k.apiVersion) == group
}

// nameFor is the name that i, at the top of a chain, gives by rule 2: to itself
// or to what it controls; "" when it gives none.
func (i *identity) nameFor(itself, namespaced bool) string {
	switch i.role {
	case workload:
		return i.name
	case node, persistentVolume, pod, claim, deviceClaim, dataVolume:
		return ""
	}
	if itself && namespaced {
		return ""
	}
	return i.name
}
