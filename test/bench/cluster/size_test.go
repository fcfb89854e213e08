package cluster

import (
	"encoding/json"
	"testing"
)

func TestObjectsAreAsLargeAsRealOnes(t *testing.T) {
	cases := map[string]struct {
		kind        *kind
		least, most int // bytes
	}{
		"virtual machine instances": {&instances, 10_000, 25 << 10},
		"pods":                      {&pods, 5 << 10, 10 << 10},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for i := range c.kind.templates {
				text := c.kind.render(nil, i, "1000000")
				if !json.Valid(text) {
					t.Errorf("object %d is not JSON: %s", i, text)
				}
				if len(text) < c.least || len(text) > c.most {
					t.Errorf("object %d has %d bytes: want %d to %d", i, len(text), c.least, c.most)
				}
			}
		})
	}
}
