package ledger

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// device is a member that holds devices of a resource.
func device(resource string, level int64) usage.Member {
	m := vm("web", level)
	m.Subject.Container, m.Subject.Of = resource, resource
	return m
}

func devices(at int64, m *Meter, members ...usage.Member) *Observation {
	return &Observation{Meter: m, UID: "uid", Members: members, Written: at, After: at, Before: at, Now: at, Existed: true}
}

// Dimensions of unlike things are segments of their own names, in the journal
// too; a ledger that is restored from it goes on with them.
func TestUnlikeThingsHaveSegmentsOfTheirOwn(t *testing.T) {
	count := usage.Dimension{Name: "device", Unit: usage.Count}
	whole := usage.Window{Start: 0, End: 1 << 40}
	b := &bench{Ledger: New(), t: t, meter: NewMeter("vm", since, []usage.Dimension{count})}
	gpu, nic := device("a.example/gpu", 1000), device("b.example/nic", 2000)
	if err := b.Observe(devices(1100, b.meter, gpu, nic)); err != nil {
		t.Fatal(err)
	}
	gpu.Levels = []int64{3000}
	if err := b.Observe(devices(1200, b.meter, gpu, nic)); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"web device/a.example/gpu 1000 [1100 ManagedFields, 1200 ManagedFields)",
		"web device/a.example/gpu 3000 [1200 ManagedFields, open)",
		"web device/b.example/nic 2000 [1100 ManagedFields, open)",
	}
	if diff := cmp.Diff(want, b.lines(whole, 1300)); diff != "" {
		t.Fatalf("segments (-want +got):\n%s", diff)
	}
	changes := b.Unwritten()
	for i := range changes { // the journal does not have it beside the dimension
		subject := *changes[i].Subject
		subject.Of = ""
		changes[i].Subject = &subject
	}
	again := &bench{Ledger: New(), t: t, meter: NewMeter("vm", since, []usage.Dimension{count})}
	again.Restore([]*Meter{again.meter}, changes, nil, 0)
	if err := again.Observe(devices(1200, again.meter, gpu, nic)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, again.lines(whole, 1300)); diff != "" || again.HasUnwritten() {
		t.Errorf("restored, segments (-want +got):\n%s", diff)
	}
}

// What a former version wrote of one sum goes on under its own name, without a
// gap and without an overlap.
func TestASumOfUnlikeThingsIsSplit(t *testing.T) {
	count := usage.Dimension{Name: "device", Unit: usage.Count}
	b := &bench{Ledger: New(), t: t, meter: NewMeter("vm", since, []usage.Dimension{count})}
	before := device("a.example/gpu", 1000)
	before.Subject.Of = ""
	if err := b.Observe(devices(1100, b.meter, before)); err != nil {
		t.Fatal(err)
	}
	after := &bench{Ledger: New(), t: t, meter: NewMeter("vm", since, []usage.Dimension{count})}
	after.Restore([]*Meter{after.meter}, b.Unwritten(), nil, 0)
	if err := after.Observe(devices(1300, after.meter, device("a.example/gpu", 1000))); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"web device 1000 [1100 ManagedFields, 1300 ManagedFields)",
		"web device/a.example/gpu 1000 [1300 ManagedFields, open)",
	}
	if diff := cmp.Diff(want, after.lines(usage.Window{Start: 0, End: 1 << 40}, 1400)); diff != "" {
		t.Errorf("segments (-want +got):\n%s", diff)
	}
}
