package meter

import "testing"

// BenchmarkRead reads what a large cluster has most of, as the watch delivers it.
func BenchmarkRead(b *testing.B) {
	for name, c := range map[string]struct{ meter, object string }{
		"VirtualMachineInstance": {meter: "vm", object: runningInstance},
		"Pod of 3 containers":    {meter: "container", object: podOfThree},
		"Node":                   {meter: "node-pool", object: gpuNode},
		"PersistentVolumeClaim":  {meter: "volume", object: boundClaim},
	} {
		b.Run(name, func(b *testing.B) {
			m, o := builtin(b, c.meter), object(b, c.object)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Read(o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
