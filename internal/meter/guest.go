package meter

import (
	"fmt"
	"slices"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// guestFunctions read virtual machines.
var guestFunctions = []*function{
	{
		name: "guestCPUs", args: []*cel.Type{cel.DynType}, result: cel.IntType,
		call: func(args ...ref.Val) ref.Val {
			instance, _ := args[0].Value().(map[string]any)
			cpus, err := guestCPUs(instance)
			if err != nil {
				return failure(err)
			}
			return types.Int(cpus)
		},
		cost: func([]ref.Val) uint64 { return guestCost }, most: guestCost,
	},
}

// guestCost is what a call costs, in CEL's units: a fixed number of fields.
const guestCost = 30

// mostGuestCPUs bounds one part of a topology, and what is asked for without one:
// more than any host has.
const mostGuestCPUs = 1 << 16

// guestCPUs is how many CPUs a VirtualMachineInstance's guest has: by its status,
// which changes when CPUs are plugged in, or else as KubeVirt counts what was
// asked for. A part of a topology that is 0 is not said, and is 1 then; without
// any, the limit of CPU, or else the request, is rounded up.
func guestCPUs(instance map[string]any) (int64, error) {
	if now := branch(instance, "status", "currentCPUTopology"); len(now) > 0 {
		return topologyCPUs(now)
	}
	domain := branch(instance, "spec", "domain")
	if asked := branch(domain, "cpu"); saysAny(asked, "sockets", "cores", "threads") {
		return topologyCPUs(asked)
	}
	for _, list := range []string{"limits", "requests"} {
		amount, there := branch(domain, "resources", list)["cpu"]
		if !there {
			continue
		}
		text := fmt.Sprint(amount)
		quantity, err := parseQuantity(text)
		if err != nil || quantity.Sign() < 0 || quantity.Value() > mostGuestCPUs {
			return 0, fmt.Errorf("spec.domain.resources.%s.cpu is %s; want a quantity up to %d", list, printable(text, 64), mostGuestCPUs)
		}
		return max(1, quantity.Value()), nil
	}
	return 1, nil
}

// saysAny tells whether a topology says one of its parts.
func saysAny(topology map[string]any, parts ...string) bool {
	return slices.ContainsFunc(parts, func(part string) bool {
		n, is := whole(topology[part])
		return topology[part] != nil && (!is || n != 0)
	})
}

func topologyCPUs(topology map[string]any) (int64, error) {
	cpus := int64(1)
	for _, part := range []string{"sockets", "cores", "threads"} {
		value, there := topology[part]
		if !there || value == nil {
			continue
		}
		n, is := whole(value)
		if !is || n < 0 || n > mostGuestCPUs {
			return 0, fmt.Errorf("%s of the CPU topology is %v; want a whole number up to %d", part, value, mostGuestCPUs)
		}
		cpus *= max(1, n)
	}
	return cpus, nil
}

// whole is a whole number of an object, as a watch or a file has it.
func whole(value any) (int64, bool) {
	switch n := value.(type) {
	case int64:
		return n, true
	case float64:
		return int64(n), float64(int64(n)) == n
	}
	return 0, false
}
