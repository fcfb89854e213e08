package memory

import "runtime/metrics"

// Reading is how much memory the Go runtime uses at one moment, in bytes.
type Reading struct {
	// Used is what GOMEMLIMIT counts: all that the runtime has of the system, but for
	// what it gave back. Between two garbage collections it may be twice what is held.
	Used int64
	// Held is what no garbage collection frees: what the last one found in use, and
	// what is not on the heap.
	Held int64
}

// Read reads it. The world is not stopped.
func Read() Reading {
	value := func(s metrics.Sample) int64 {
		if s.Value.Kind() != metrics.KindUint64 {
			return 0 // a runtime that does not have it
		}
		return int64(s.Value.Uint64())
	}
	s := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(s)
	used := value(s[0]) - value(s[1])
	return Reading{Used: used, Held: used - value(s[2]) - value(s[3]) + value(s[4])}
}
