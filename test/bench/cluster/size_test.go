package cluster

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
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

func TestChangedObjectsDifferInTheirChangeAndItsTime(t *testing.T) {
	at := time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)
	cases := map[string]struct {
		instance bool
		key      string
		change   func(object map[string]any)
	}{
		"an instance": {true, "/registry/kubevirt.io/virtualmachineinstances/tenant-0000/postgres-00007", func(object map[string]any) {
			status := object["status"].(map[string]any)
			status["memory"].(map[string]any)["guestCurrent"] = "8195Mi"
		}},
		"a pod": {false, "/registry/pods/tenant-0000/", func(object map[string]any) {
			object["metadata"].(map[string]any)["labels"].(map[string]any)["bench"] = "3"
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			key, text := Changed(7, 3, at, c.instance)
			if !strings.HasPrefix(key, c.key) {
				t.Errorf("the key is %s: want %s", key, c.key)
			}
			k := &pods
			if c.instance {
				k = &instances
			}
			want, got := map[string]any{}, map[string]any{}
			if err := errors.Join(json.Unmarshal(k.render(nil, 7, ""), &want), json.Unmarshal(text, &got)); err != nil {
				t.Fatal(err)
			}
			c.change(want)
			managed := want["metadata"].(map[string]any)["managedFields"].([]any)
			managed[len(managed)-1].(map[string]any)["time"] = "2026-11-21T09:30:00Z"
			if !reflect.DeepEqual(got, want) {
				t.Errorf("it is %v: want %v", got, want)
			}
		})
	}
}
