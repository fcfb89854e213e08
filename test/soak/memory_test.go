package soak

import (
	"slices"
	"testing"
)

// The operator takes time before it is attacked, and after it: that is no part of the attack's quarters.
func TestMemoryIsThatOfTheAttack(t *testing.T) {
	for name, c := range map[string]struct {
		attack []int64
		flat   bool
	}{
		"flat":                       {[]int64{100, 100, 100, 100}, true},
		"it grows":                   {[]int64{100, 120, 200, 300}, false},
		"it grows in the beginning":  {[]int64{100, 300, 300, 300}, true},
		"it grows from much to more": {[]int64{200, 200, 200, 400}, false},
	} {
		for _, idle := range []int{0, 1, 4, 40} {
			m := &memory{}
			add := func(n int, mib ...int64) { m.resident = append(m.resident, slices.Repeat(mib, n)...) }
			add(idle, 90)
			m.during(func() {
				for _, mib := range c.attack {
					add(10, mib)
				}
			})
			add(idle, 90)
			if wrong := m.wrong(long); (wrong == "") != c.flat {
				t.Errorf("%s, with %d s before it and after it: %q", name, idle, wrong)
			}
		}
	}
	m := &memory{resident: []int64{1, containerMemory>>20 + 1}}
	m.during(func() {})
	if m.wrong(0) == "" {
		t.Error("what is resident before the attack may be any")
	}
}
