package collector

import (
	"slices"
	"testing"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// What the journal knows of when a meter measured what goes on after a restart.
func TestAMeterIsRestoredWithItsHistory(t *testing.T) {
	vcpu, memory := usage.Dimension{Name: "vcpu", Unit: usage.Core}, usage.Dimension{Name: "memory", Unit: usage.Byte}
	known := journal.Meter{
		Name: "vm", Since: 100, Defined: 300, Dimensions: []usage.Dimension{memory},
		Measured: []usage.Metered{{Dimension: vcpu, Since: 100, Until: 300}, {Dimension: memory, Since: 200}},
	}
	if m := restoredMeter(&known); m.Since != 100 || m.Defined != 300 || !slices.Equal(m.History, known.Measured) {
		t.Errorf("since %d, defined at %d, %v", m.Since, m.Defined, m.History)
	}
	older := journal.Meter{Name: "vm", Since: 100, Dimensions: []usage.Dimension{vcpu}}
	if m := restoredMeter(&older); m.Defined != 100 || !slices.Equal(m.History, []usage.Metered{{Dimension: vcpu, Since: 100}}) {
		t.Errorf("of an older version: defined at %d, %v", m.Defined, m.History)
	}
}
