package meter

import (
	"cmp"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// listenerFunctions read Gateways and ListenerSets, and Services' ports.
var listenerFunctions = []*function{
	{
		name: "programmedListeners", args: []*cel.Type{cel.DynType}, result: cel.IntType,
		call: func(args ...ref.Val) ref.Val {
			gateway, _ := args[0].Value().(map[string]any)
			return types.Int(programmedListeners(gateway))
		},
		cost: listenersCost, most: assumedLength * listenerCost,
	},
	{
		name: "servedPorts", args: []*cel.Type{cel.DynType}, result: cel.IntType,
		call: func(args ...ref.Val) ref.Val {
			service, _ := args[0].Value().(map[string]any)
			return types.Int(servedPorts(service))
		},
		cost: portsCost, most: assumedLength * listenerCost,
	},
}

// listenerCost is what a listener costs to look at, in CEL's units.
const listenerCost = 30

func listenersCost(args []ref.Val) uint64 {
	gateway, _ := args[0].Value().(map[string]any)
	return listenerCost * uint64(1+len(items(branch(gateway, "spec"), "listeners"))+len(items(branch(gateway, "status"), "listeners")))
}

// programmedListeners is how many listeners of a Gateway or a ListenerSet there
// are, without those that its status says are not programmed: one whose port
// another listener has must not be configured on any network element. Where the
// status does not speak of that, one that is not accepted is not there. One that
// the status does not speak of at all is there with its Gateway.
func programmedListeners(gateway map[string]any) int64 {
	absent := map[string]bool{}
	for _, item := range items(branch(gateway, "status"), "listeners") {
		listener := branch(item)
		absent[entry(listener, "name")] = isAbsent(items(listener, "conditions"))
	}
	listeners := int64(0)
	for _, item := range items(branch(gateway, "spec"), "listeners") {
		if !absent[entry(branch(item), "name")] {
			listeners++
		}
	}
	return listeners
}

// isAbsent tells whether a listener's conditions say that it is not there.
func isAbsent(conditions []any) bool {
	says := map[string]string{}
	for _, item := range conditions {
		condition := branch(item)
		says[entry(condition, "type")] = entry(condition, "status")
	}
	if programmed := says["Programmed"]; programmed == "True" || programmed == "False" {
		return programmed == "False"
	}
	return says["Accepted"] == "False"
}

// portsCost counts the ports that a Service asks for, and those that its status speaks of.
func portsCost(args []ref.Val) uint64 {
	service, _ := args[0].Value().(map[string]any)
	looked := len(items(branch(service, "spec"), "ports"))
	for _, item := range items(branch(service, "status", "loadBalancer"), "ingress") {
		looked += 1 + len(items(branch(item), "ports"))
	}
	return listenerCost * uint64(1+looked)
}

// servedPorts is how many ports a Service of type LoadBalancer has, without those
// that its load balancer could not be given, which its status says for each
// address by itself. A port that serves at one of them is there.
func servedPorts(service map[string]any) int64 {
	type port struct {
		number   int64
		protocol string
	}
	of := func(item any) port {
		fields := branch(item)
		number, _ := whole(fields["port"])
		return port{number, cmp.Or(entry(fields, "protocol"), "TCP")}
	}
	failed, serves := map[port]bool{}, map[port]bool{}
	for _, item := range items(branch(service, "status", "loadBalancer"), "ingress") {
		for _, said := range items(branch(item), "ports") {
			if entry(branch(said), "error") == "" {
				serves[of(said)] = true
			} else {
				failed[of(said)] = true
			}
		}
	}
	ports := int64(0)
	for _, item := range items(branch(service, "spec"), "ports") {
		if asked := of(item); !failed[asked] || serves[asked] {
			ports++
		}
	}
	return ports
}
