package meter

import (
	"slices"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// listenerFunctions read Gateways and ListenerSets.
var listenerFunctions = []*function{{
	name: "programmedListeners", args: []*cel.Type{cel.DynType}, result: cel.IntType,
	call: func(args ...ref.Val) ref.Val {
		gateway, _ := args[0].Value().(map[string]any)
		return types.Int(programmedListeners(gateway))
	},
	cost: listenersCost, most: assumedLength * listenerCost,
}}

// listenerCost is what a listener costs to look at, in CEL's units.
const listenerCost = 30

func listenersCost(args []ref.Val) uint64 {
	gateway, _ := args[0].Value().(map[string]any)
	return listenerCost * uint64(1+len(items(branch(gateway, "spec"), "listeners"))+len(items(branch(gateway, "status"), "listeners")))
}

// programmedListeners is how many listeners of a Gateway or a ListenerSet there
// are, without those that its status says are not programmed: one whose port
// another listener has must not be configured on any network element. One that
// the status does not speak of is there with its Gateway.
func programmedListeners(gateway map[string]any) int64 {
	absent := map[string]bool{}
	for _, item := range items(branch(gateway, "status"), "listeners") {
		listener := branch(item)
		absent[entry(listener, "name")] = slices.ContainsFunc(items(listener, "conditions"), func(item any) bool {
			condition := branch(item)
			return entry(condition, "type") == "Programmed" && entry(condition, "status") == "False"
		})
	}
	listeners := int64(0)
	for _, item := range items(branch(gateway, "spec"), "listeners") {
		if !absent[entry(branch(item), "name")] {
			listeners++
		}
	}
	return listeners
}
