package usage

import "testing"

func TestADimensionOfSomethingIsReadBack(t *testing.T) {
	for name, c := range map[string]struct {
		dimension  Dimension
		of         string
		name, unit string
		words      string
	}{
		"of nothing":     {Dimension{Name: "gpu", Unit: Count}, "", "gpu", "gpu-hour", "2 GPU-hours"},
		"of a device":    {Dimension{Name: "extended_resource", Unit: Count}, "nvidia.com/gpu", "extended_resource/nvidia.com/gpu", "nvidia.com/gpu-hour", "2 nvidia.com/gpu-hours"},
		"of a page size": {Dimension{Name: "hugepages", Unit: Byte}, "2Mi", "hugepages/2Mi", "GiB-hour", "hugepages/2Mi 0.000002 GiB-hour"},
	} {
		t.Run(name, func(t *testing.T) {
			d := c.dimension.Of(c.of)
			plain, what := d.Plain()
			if d.Name != c.name || plain != c.dimension || what != c.of {
				t.Errorf("got %v, and back %v of %q", d, plain, what)
			}
			if unit := d.Unit.HourUnit(d.Name); unit != c.unit {
				t.Errorf("the unit is %s; want %s", unit, c.unit)
			}
			if words := d.Unit.HourWords(Held(2000, 3600), d.Name, 3); words != c.words {
				t.Errorf("in words %q; want %q", words, c.words)
			}
		})
	}
}
