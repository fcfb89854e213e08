package meter

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
)

func diskMeter(change func(*v1alpha1.UsageMeterSpec)) *v1alpha1.UsageMeterSpec {
	spec := &v1alpha1.UsageMeterSpec{
		ResourceType: "disk", Target: v1alpha1.TargetReference{Group: "example.com", Kind: "Disk"},
		Other: &v1alpha1.OtherReference{
			Target: v1alpha1.RepresentativeKind{Group: "example.com", Kind: "Array"}, Name: "self.spec.?array", VouchesFor: "self.status.disks",
		},
		Dimensions: []v1alpha1.Dimension{
			{Name: "storage", Unit: "byte", Quantity: "self.spec.size", Other: "self.status.?size"},
			{Name: "disk", Unit: "count", Quantity: "1"},
		},
	}
	if change != nil {
		change(spec)
	}
	return spec
}

func TestMetersThatReadAnotherObject(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*v1alpha1.UsageMeterSpec)
		want   []string // paths of what is wrong
	}{
		"right":                             {nil, nil},
		"without another object":            {func(s *v1alpha1.UsageMeterSpec) { s.Other = nil }, []string{"spec.dimensions[0].other"}},
		"without a dimension that reads it": {func(s *v1alpha1.UsageMeterSpec) { s.Dimensions[0].Other = "" }, []string{"spec.other"}},
		"with members": {func(s *v1alpha1.UsageMeterSpec) {
			s.ForEach = &v1alpha1.ForEach{In: "self.spec.parts", Key: "item.name"}
		}, []string{"spec.other"}},
		"in the place of distinct": {func(s *v1alpha1.UsageMeterSpec) {
			s.Dimensions[0].Quantity, s.Dimensions[0].Distinct = "", "self.spec.addresses"
		}, []string{"spec.dimensions[0].other"}},
		"with expressions that are none": {func(s *v1alpha1.UsageMeterSpec) {
			s.Other.Name, s.Other.Namespace, s.Other.VouchesFor, s.Dimensions[0].Other = "1", "other.x", "'a'", "self."
		}, []string{"spec.dimensions[0].other", "spec.other.name", "spec.other.namespace", "spec.other.vouchesFor"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Compile("disk", diskMeter(c.change), true)
			var got []string
			if invalid, is := errors.AsType[*InvalidExpressionsError](err); is {
				for _, e := range invalid.Expressions {
					got = append(got, e.Path)
				}
			}
			slices.Sort(got)
			if got = slices.Compact(got); !slices.Equal(got, c.want) {
				t.Errorf("got %q (%v), want %q", got, err, c.want)
			}
		})
	}
}

func TestWhatAnotherObjectSays(t *testing.T) {
	const disk = `{apiVersion: example.com/v1, kind: Disk, metadata: {name: d, namespace: shop, uid: d-1}, spec: {array: a, size: 10}}`
	array := func(metadata, status string) string {
		return `{apiVersion: example.com/v1, kind: Array, metadata: {` + metadata + `}, status: {` + status + `}}`
	}
	for name, c := range map[string]struct {
		disk, array string
		heard       bool
		storage     int64
	}{
		"of the object":                {disk, array("name: a, namespace: shop, uid: a-1", "disks: [d-0, d-1], size: 30"), true, 30},
		"in no namespace":              {disk, array("name: a, uid: a-1", "disks: [d-1], size: 30"), true, 30},
		"in another namespace":         {disk, array("name: a, namespace: lab, uid: a-1", "disks: [d-1], size: 30"), false, 10},
		"of another name":              {disk, array("name: b, namespace: shop, uid: a-1", "disks: [d-1], size: 30"), false, 10},
		"of another object":            {disk, array("name: a, namespace: shop, uid: a-1", "disks: [d-2], size: 30"), false, 10},
		"nothing of the quantity":      {disk, array("name: a, namespace: shop, uid: a-1", "disks: [d-1]"), true, 10},
		"that nothing is held":         {disk, array("name: a, namespace: shop, uid: a-1", "disks: [d-1], size: 0"), true, 0},
		"what is no quantity":          {disk, array("name: a, namespace: shop, uid: a-1", "disks: [d-1], size: much"), true, 10},
		"what cannot be read":          {disk, array("name: a, namespace: shop, uid: a-1", "size: 30"), false, 10},
		"of an object that names none": {strings.Replace(disk, "array: a, ", "", 1), array("name: a, namespace: shop, uid: a-1", "disks: [d-1], size: 30"), false, 10},
		"of one whose name is no text": {strings.Replace(disk, "array: a", "array: [a]", 1), array("name: a, namespace: shop, uid: a-1", "disks: [d-1], size: 30"), false, 10},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Compile("disk", diskMeter(nil), true)
			if err != nil {
				t.Fatal(err)
			}
			members, err := m.Read(object(t, c.disk))
			if err != nil || len(members) != 1 {
				t.Fatal(members, err)
			}
			own := members[0].Levels
			heard := m.Hear(object(t, c.array), members)
			if got := members[0].Levels; heard != c.heard || got[0] != c.storage || got[1] != usage.Count.Scale() {
				t.Errorf("heard %t, and holds %d; want %t, %d", heard, got, c.heard, c.storage)
			}
			if own[0] != 10 {
				t.Errorf("what it says itself became %d", own[0])
			}
		})
	}
}
