package usage

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Moment by moment: a dimension was measured when it was among those of the last definition.
func TestWhatAMeterMeasuredWhen(t *testing.T) {
	all := []Dimension{{Name: "vcpu", Unit: Core}, {Name: "memory", Unit: Byte}, {Name: "memory", Unit: Count}}
	rapid.Check(t, func(t *rapid.T) {
		type definition struct {
			at         int64
			dimensions []Dimension
		}
		var definitions []definition
		var history []Metered
		now := int64(0)
		for range rapid.IntRange(1, 6).Draw(t, "definitions") {
			now += rapid.Int64Range(1, 3).Draw(t, "later")
			d := definition{at: now, dimensions: rapid.SliceOfNDistinct(rapid.SampledFrom(all), 0, 3, rapid.ID).Draw(t, "dimensions")}
			definitions = append(definitions, d)
			before := slices.Clone(history)
			after := Redefined(history, d.dimensions, d.at)
			if !slices.Equal(history, before) {
				t.Fatal("what was before is not as it was")
			}
			history = after
		}
		for moment := int64(0); moment < now+3; moment++ {
			var of []Dimension
			for _, d := range definitions {
				if d.at <= moment {
					of = d.dimensions
				}
			}
			for _, d := range all {
				times := 0
				for _, m := range history {
					if m.Dimension == d && m.Window(Window{End: now + 3}).Contains(moment) {
						times++
					}
				}
				want := 0
				if slices.Contains(of, d) {
					want = 1
				}
				if times != want {
					t.Fatalf("at %d %v is measured %d times, want %d: %v", moment, d, times, want, history)
				}
			}
		}
	})
}

func TestAMetersHistoryIsBounded(t *testing.T) {
	var history []Metered
	vcpu := Dimension{Name: "vcpu", Unit: Core}
	for i := range int64(1000) {
		history = Redefined(history, []Dimension{vcpu, {Name: fmt.Sprint(i), Unit: Count}}, i)
	}
	if len(history) != MaxMetered || history[0] != (Metered{Dimension: vcpu, Since: 0}) || history[MaxMetered-1].Since != 999 {
		t.Errorf("%d times, from %v to %v", len(history), history[0], history[len(history)-1])
	}
}
