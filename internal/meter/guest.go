package meter

import (
	"fmt"
	"slices"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"k8s.io/apimachinery/pkg/api/resource"
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
	{
		name: "machineCPUs", args: []*cel.Type{cel.DynType}, result: cel.StringType, call: ofMachine(machineCPUs),
		cost: func([]ref.Val) uint64 { return machineCost }, most: machineCost,
	},
	{
		name: "machineMemory", args: []*cel.Type{cel.DynType}, result: cel.StringType, call: ofMachine(machineMemory),
		cost: func([]ref.Val) uint64 { return machineCost }, most: machineCost,
	},
}

// machineCost is what a call costs that reads two quantities beside the guest.
const machineCost = 60

// ofMachine gives what is read of a VirtualMachineInstance as a quantity's text.
func ofMachine(read func(map[string]any) (resource.Quantity, error)) func(...ref.Val) ref.Val {
	return func(args ...ref.Val) ref.Val {
		instance, _ := args[0].Value().(map[string]any)
		held, err := read(instance)
		if err != nil {
			return failure(err)
		}
		return types.String(held.String())
	}
}

// machineCPUs are the CPUs that a machine keeps from others: those of its guest, and what it
// requests beyond those that its spec gives the guest. While CPUs are plugged in, both of the
// spec grow before the guest does.
func machineCPUs(instance map[string]any) (resource.Quantity, error) {
	now, err := guestCPUs(instance)
	if err != nil {
		return resource.Quantity{}, err
	}
	held := *resource.NewQuantity(now, resource.DecimalSI)
	asked := branch(instance, "spec", "domain", "cpu")
	if !saysAny(asked, "sockets", "cores", "threads") {
		return held, nil // the guest has what is requested, or more
	}
	cpus, err := topologyCPUs(asked)
	if err != nil {
		return resource.Quantity{}, err
	}
	beyond, err := requestedBeyond(instance, "cpu", *resource.NewQuantity(cpus, resource.DecimalSI))
	held.Add(beyond)
	return held, err
}

// machineMemory is the memory that a machine keeps from others: what its guest has now, or else
// was asked for, and what it requests beyond that. Without a guest's memory, the guest has
// what is requested, or else the limit.
func machineMemory(instance map[string]any) (resource.Quantity, error) {
	domain := branch(instance, "spec", "domain")
	r := podReader{}
	read := func(fields map[string]any, key, path string) (resource.Quantity, bool) {
		if fields[key] == nil {
			return resource.Quantity{}, false
		}
		return r.quantity(path, fields[key]), true
	}
	asked, says := read(branch(domain, "memory"), "guest", "spec.domain.memory.guest")
	held, has := read(branch(instance, "status", "memory"), "guestCurrent", "status.memory.guestCurrent")
	if !has {
		held, has = asked, says
	}
	if says && r.err == nil {
		beyond, err := requestedBeyond(instance, "memory", asked)
		held.Add(beyond)
		return held, err
	}
	for _, list := range []string{"requests", "limits"} {
		if !has {
			held, has = read(branch(domain, "resources", list), "memory", "spec.domain.resources."+list+".memory")
		}
	}
	return held, r.err
}

// requestedBeyond is how much more a machine requests of a resource than its guest is given.
func requestedBeyond(instance map[string]any, name string, given resource.Quantity) (resource.Quantity, error) {
	none := resource.Quantity{Format: given.Format}
	amount := branch(instance, "spec", "domain", "resources", "requests")[name]
	if amount == nil {
		return none, nil
	}
	r := podReader{}
	requested := r.quantity("spec.domain.resources.requests."+name, amount)
	if r.err != nil || requested.Cmp(given) <= 0 {
		return none, r.err
	}
	requested.Sub(given)
	return requested, nil
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
