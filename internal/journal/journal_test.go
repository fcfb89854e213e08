package journal_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

const now = 1795284000 // 2026-11-21T18:00:00Z

func clockAt(at int64) *clocktesting.FakeClock { return clocktesting.NewFakeClock(time.Unix(at, 0)) }

func open(store journal.Store, writer string) *journal.Journal {
	return journal.New(journal.Options{Store: store, Writer: writer, Cluster: "cluster-1", Clock: clockAt(now), Log: logr.Discard()})
}

// opened is a journal that was loaded, and its state.
func opened(t testing.TB, store journal.Store, writer string) (*journal.Journal, *journal.State) {
	t.Helper()
	j := open(store, writer)
	state, err := j.Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return j, state
}

// state is what a store holds.
func state(t testing.TB, store journal.Store) *journal.State {
	t.Helper()
	_, s := opened(t, store, "reader")
	return s
}

func appended(t testing.TB, j *journal.Journal, batches ...*journal.Batch) {
	t.Helper()
	for _, batch := range batches {
		if err := j.Append(context.Background(), batch); err != nil {
			t.Fatal(err)
		}
	}
}

// same fails unless both states say the same.
func same(t testing.TB, want, got *journal.State, ignored ...cmp.Option) {
	t.Helper()
	if diff := cmp.Diff(want, got, append(ignored, cmpopts.EquateEmpty())...); diff != "" {
		t.Fatalf("want -, got +:\n%s", diff)
	}
}

// subject is the nth VM.
func subject(n int) *usage.Subject {
	return &usage.Subject{
		ResourceType: "vm",
		Resource:     usage.Object{APIVersion: "kubevirt.io/v1", Kind: "VirtualMachine", Name: fmt.Sprintf("db-%d", n), UID: fmt.Sprintf("%08x-5f8e-4a6b-9c1d-%012x", n*7919, n*104729*31)},
		Instance:     usage.Object{APIVersion: "kubevirt.io/v1", Kind: "VirtualMachineInstance", Name: fmt.Sprintf("db-%d", n), UID: fmt.Sprintf("%08x-1d0c-4e2f-8b7a-%012x", n*7907, n*104723*37)},
		Account: usage.Account{
			Namespace: fmt.Sprintf("shop-%d", n%200), NamespaceUID: fmt.Sprintf("%08x-9d4e-4c3b-a2f1-%012x", n%200*6997, n%200*999331), Deployment: fmt.Sprintf("db-%d", n),
		},
		Region: "eu-1", Bundle: "u1.large", Attributes: usage.NewAttributes(map[string]string{"storageClass": "fast"}),
	}
}

// holds are the segments of the nth VM from a moment on: what it holds, until it ends.
func holds(n int, from int64, ends ...int64) []usage.Change {
	s := subject(n)
	var changes []usage.Change
	for i, d := range []usage.Dimension{{Name: "vcpu", Unit: usage.Core}, {Name: "memory", Unit: usage.Byte}} {
		change := usage.Change{Segment: usage.Segment{
			Meter: "vm", Subject: s, Dimension: d, Level: []int64{2000, 4 << 30}[i],
			Start: usage.Boundary{At: from, Evidence: usage.ObjectTime},
		}}
		for _, end := range ends {
			change.End = usage.Boundary{At: end, Evidence: usage.Observed, Slack: 2}
		}
		changes = append(changes, change)
	}
	return changes
}

func TestAppendAndLoad(t *testing.T) {
	store := newMemory()
	j, empty := opened(t, store, "a")
	same(t, &journal.State{}, empty)
	first := &journal.Batch{
		Time: now - 60, Changes: holds(1, now-100),
		Meters: []journal.Meter{{
			Name: "vm", Version: "uid/1", Group: "kubevirt.io", Kind: "VirtualMachineInstance", Since: now - 100, Listed: true,
			Defined: now - 70, Dimensions: []usage.Dimension{{Name: "vcpu", Unit: usage.Core}, {Name: "memory", Unit: usage.Byte}},
			Measured: []usage.Metered{
				{Dimension: usage.Dimension{Name: "vcpu", Unit: usage.Core}, Since: now - 100},
				{Dimension: usage.Dimension{Name: "storage", Unit: usage.Byte}, Since: now - 100, Until: now - 70},
				{Dimension: usage.Dimension{Name: "memory", Unit: usage.Byte}, Since: now - 70},
			},
		}},
		Positions: []journal.Position{{Group: "kubevirt.io", Kind: "VirtualMachineInstance", ResourceVersion: "4711", Time: now - 61}},
		Coverage:  []usage.Stretch{{Meter: "vm", Window: usage.Window{Start: now - 90, End: now - 80}, Coverage: usage.CoverageUnknown}},
	}
	second := &journal.Batch{
		Time: now, Changes: holds(1, now-100, now-20),
		Positions: []journal.Position{{Group: "kubevirt.io", Kind: "VirtualMachineInstance", ResourceVersion: "4800", Time: now}},
		Seals:     []journal.Seal{{Interval: usage.Window{Start: now - 3600, End: now}, Digest: journal.Digest{1, 2}, Partial: true}},
	}
	appended(t, j, first, second)

	got := state(t, store)

	same(t, &journal.State{
		Sequence: 2, Time: now, Cluster: "cluster-1", Writer: "a",
		Meters: first.Meters, Positions: second.Positions, Segments: second.Changes, Coverage: first.Coverage, Seals: second.Seals,
	}, got, cmpopts.IgnoreFields(journal.State{}, "Head"))
	if got.Segments[0].Subject != got.Segments[1].Subject {
		t.Error("segments of one subject do not share it")
	}
	if size := j.Size(); size.Blocks != 2 || size.Sequence != 2 || size.Bytes < 1000 {
		t.Errorf("size %+v", size)
	}
}

// Blocks of versions that did not write what a meter measured when: an edit moved its
// since, and what went on was measured before.
func TestMetersOfOlderVersionsHaveAHistory(t *testing.T) {
	vcpu, memory := usage.Dimension{Name: "vcpu", Unit: usage.Core}, usage.Dimension{Name: "memory", Unit: usage.Byte}
	meters := func(since int64, of ...usage.Dimension) []journal.Meter {
		return []journal.Meter{{Name: "vm", ResourceType: "vm", Since: since, Dimensions: of}}
	}
	store := newMemory()
	j, _ := opened(t, store, "a")
	appended(t, j,
		&journal.Batch{Time: 100, Meters: meters(100, vcpu)},
		&journal.Batch{Time: 200, Meters: meters(200, vcpu, memory)},
		&journal.Batch{Time: 300},
		&journal.Batch{Time: 400, Meters: meters(400, memory)},
	)
	want := meters(400, memory)
	want[0].Measured = []usage.Metered{{Dimension: vcpu, Since: 100, Until: 400}, {Dimension: memory, Since: 200}}
	got := state(t, store)
	if difference := cmp.Diff(want, got.Meters); difference != "" {
		t.Errorf("want -, got +:\n%s", difference)
	}

	// Written anew, it is what the journal says, whatever it said before.
	want[0].Since = 100
	appended(t, j, &journal.Batch{Time: 500, Meters: want})
	if difference := cmp.Diff(want, state(t, store).Meters); difference != "" {
		t.Errorf("want -, got +:\n%s", difference)
	}
}

func TestNothingIsSomethingElseThanNoWord(t *testing.T) {
	store := newMemory()
	j, _ := opened(t, store, "a")
	appended(t, j, &journal.Batch{Time: 1, Meters: []journal.Meter{{Name: "vm"}}, Positions: []journal.Position{{Kind: "Pod"}}})
	appended(t, j, &journal.Batch{Time: 2})
	if got := state(t, store); len(got.Meters) != 1 || len(got.Positions) != 1 {
		t.Errorf("after no word: %+v", got)
	}
	appended(t, j, &journal.Batch{Time: 3, Meters: []journal.Meter{}, Positions: []journal.Position{}})
	if got := state(t, store); len(got.Meters) != 0 || len(got.Positions) != 0 {
		t.Errorf("after none: %+v", got)
	}
}

func TestAnotherWriterFences(t *testing.T) {
	store := newMemory()
	a, _ := opened(t, store, "a")
	b, _ := opened(t, store, "b")
	appended(t, a, &journal.Batch{Time: 1, Changes: holds(1, 1)})

	for range 2 {
		if err := b.Append(context.Background(), &journal.Batch{Time: 1, Changes: holds(1, 1)}); !errors.Is(err, journal.ErrFenced) {
			t.Fatalf("got %v", err)
		}
	}
	appended(t, a, &journal.Batch{Time: 2})
}

func TestNoAnswer(t *testing.T) {
	for name, store := range map[string]*memory{
		"the write did not happen": {blocks: newMemory().blocks, before: func(n int) error { return [3]error{nil, errNoAnswer}[n%3] }},
		"the write happened":       {blocks: newMemory().blocks, after: func(n int) error { return [3]error{nil, errNoAnswer}[n%3] }},
	} {
		t.Run(name, func(t *testing.T) {
			j, _ := opened(t, store, "a")
			appended(t, j, &journal.Batch{Time: 1, Changes: holds(1, 1)})
			batch := &journal.Batch{Time: 2, Changes: holds(2, 2)}
			if err := j.Append(context.Background(), batch); !errors.Is(err, errNoAnswer) {
				t.Fatalf("got %v", err)
			}
			if err := j.Append(context.Background(), &journal.Batch{Time: 3}); err == nil {
				t.Fatal("another batch was appended before the outcome was known")
			}
			appended(t, j, batch)
			appended(t, j, &journal.Batch{Time: 3})
			if got := state(t, store); got.Sequence != 3 || len(got.Segments) != 4 {
				t.Fatalf("got %+v", got)
			}
		})
	}
}
