package report

import (
	"fmt"
	"strings"
	"testing"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// However many unlike things tenants hold, a status has room for the rest.
func TestTotalsHaveRoom(t *testing.T) {
	var list []timeline.Total
	add := func(d usage.Dimension) {
		list = append(list, timeline.Total{Measure: timeline.Measure{ResourceType: "container", Dimension: d}})
	}
	for i := range 3 * maxTotals {
		add(usage.Dimension{Name: "device", Unit: usage.Count}.Of(fmt.Sprintf("%04d", i)))
	}
	add(usage.Dimension{Name: "memory", Unit: usage.Byte})
	got, _ := totals(list)
	if len(got) != maxTotals || got[0].Dimension != "device/0000" || got[maxTotals-2].Dimension != fmt.Sprintf("device/%04d", maxTotals-2) || got[maxTotals-1].Dimension != "memory" {
		t.Errorf("got %d totals, from %s to %s", len(got), got[0].Dimension, got[len(got)-1].Dimension)
	}
}

// Neither does it matter how long their names are where they are stored.
func TestTotalsHaveRoomForLongNames(t *testing.T) {
	var list []timeline.Total
	for i := range maxTotals {
		d := usage.Dimension{Name: "device", Unit: usage.Count}.Of(fmt.Sprintf("%04d", i) + strings.Repeat("<", 180))
		list = append(list, timeline.Total{Measure: timeline.Measure{ResourceType: "container", Dimension: d}})
	}
	list = append(list, timeline.Total{Measure: timeline.Measure{ResourceType: "container", Dimension: usage.Dimension{Name: "memory", Unit: usage.Byte}}})
	got, _ := totals(list)
	if size := Size(got); size > maxTotalBytes+2 || size < maxTotalBytes/2 || got[len(got)-1].Dimension != "memory" {
		t.Errorf("%d totals take %d bytes, up to %s", len(got), size, got[len(got)-1].Dimension)
	}
}
