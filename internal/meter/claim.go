package meter

import (
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types/ref"
)

// claimFunctions read ResourceClaims (dynamic resource allocation).
var claimFunctions = []*function{{
	name: "claimDevices", args: []*cel.Type{cel.DynType}, result: cel.ListType(cel.DynType),
	call: func(args ...ref.Val) ref.Val {
		claim, _ := args[0].Value().(map[string]any)
		return nativeAdapter{}.NativeToValue(claimDevices(claim))
	},
	cost: claimCost, most: assumedLength * deviceCost,
}}

// deviceCost is what a device costs to list, in CEL's units.
const deviceCost = 30

func claimCost(args []ref.Val) uint64 {
	claim, _ := args[0].Value().(map[string]any)
	return deviceCost * uint64(1+len(items(branch(claim, "status", "allocation", "devices"), "results"))+
		len(items(branch(claim, "spec", "devices"), "requests")))
}

// claimDevices are the devices that are allocated to a claim, each with a key
// that is its own within the claim. An administrator's access to a device takes
// it from nobody, and is left out. Of a device that is shared by its capacity, what
// is consumed of each.
func claimDevices(claim map[string]any) []any {
	classes := requestedClasses(branch(claim, "spec", "devices"))
	devices, listed := []any{}, map[string]bool{}
	for _, item := range items(branch(claim, "status", "allocation", "devices"), "results") {
		result := branch(item)
		if admin, _ := result["adminAccess"].(bool); admin {
			continue
		}
		driver, pool, device, share := entry(result, "driver"), entry(result, "pool"), entry(result, "device"), entry(result, "shareID")
		key := driver + "/" + pool + "/" + device
		if share != "" {
			key += "/" + share
		}
		if listed[key] {
			continue
		}
		listed[key] = true
		devices = append(devices, map[string]any{
			"key": key, "driver": driver, "pool": pool, "device": device, "class": classes[entry(result, "request")],
			"shared": share != "", "consumed": branch(result, "consumedCapacity"),
		})
	}
	return devices
}

// requestedClasses are the device classes of a claim's requests by their names,
// and of the subrequests of which one was chosen, which are named a/b.
func requestedClasses(devices map[string]any) map[string]string {
	classes := map[string]string{}
	for _, item := range items(devices, "requests") {
		request := branch(item)
		name := entry(request, "name")
		classes[name] = entry(branch(request, "exactly"), "deviceClassName")
		if classes[name] == "" {
			classes[name] = entry(request, "deviceClassName") // of v1beta1
		}
		for _, item := range items(request, "firstAvailable") {
			classes[name+"/"+entry(branch(item), "name")] = entry(branch(item), "deviceClassName")
		}
	}
	return classes
}
