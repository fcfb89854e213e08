package journal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/journal"
)

// six is a journal of six entries, each with a VM of its own.
func six(t testing.TB) *memory {
	store := newMemory()
	j, _ := opened(t, store, "a")
	for n := range 6 {
		appended(t, j, &journal.Batch{Time: now - 60 + int64(n), Changes: holds(n, now-100)})
	}
	return store
}

func at(sequence uint64) journal.Key { return journal.Key{From: sequence, To: sequence} }

// edit changes a block's spec.
func (m *memory) edit(key journal.Key, change func([]byte) []byte) {
	stored := m.blocks[key]
	stored.Spec = change(stored.Spec)
	m.blocks[key] = stored
}

// accept is what a person does.
func (m *memory) accept(key journal.Key, list string) {
	stored := m.blocks[key]
	stored.Accepts = list
	m.blocks[key] = stored
}

func replacing(from, to string) func([]byte) []byte {
	return func(spec []byte) []byte { return bytes.Replace(spec, []byte(from), []byte(to), 1) }
}

// rewritten gives a block something else, and a digest that fits.
func (m *memory) rewritten(t testing.TB, key journal.Key) {
	t.Helper()
	other := newMemory()
	j, _ := opened(t, other, "a")
	for range key.To - 1 {
		appended(t, j, &journal.Batch{Time: now - 60})
	}
	appended(t, j, &journal.Batch{Time: now - 60, Changes: holds(77, now)})
	m.blocks[key] = other.blocks[key]
}

// harm is what befalls a journal of six entries, and what comes of it.
type harm struct {
	do func(t testing.TB, m *memory)
	// problem is how it begins, and says what must be in it too.
	problem string
	says    []string
	// vms are how many can still be read.
	vms int
	// clock and cluster are the reader's, where not the usual.
	clock   int64
	cluster string
	// accept is what a person accepts; then is how many VMs there are then.
	accept string
	then   int
}

// reader is a journal that reads the store with the clock and cluster of the case.
func (h harm) reader(store journal.Store) *journal.Journal {
	o := journal.Options{Store: store, Writer: "b", Cluster: "cluster-1", Clock: clockAt(now), Log: logr.Discard()}
	if h.cluster != "" {
		o.Cluster = h.cluster
	}
	if h.clock != 0 {
		o.Clock = clockAt(h.clock)
	}
	return journal.New(o)
}

func TestDamage(t *testing.T) {
	for name, c := range map[string]harm{
		"a block was edited": {
			do:      func(_ testing.TB, m *memory) { m.edit(at(3), replacing(`"writer":"a"`, `"writer":"b"`)) },
			problem: "block 3: Damaged: ", says: []string{"its content has the digest sha256:", "and it says sha256:", "accept-gap=3", "usage-operator verify", "backup"},
			vms: 5, accept: "3", then: 5,
		},
		"a block was edited, and its digest with it": {
			do:      func(t testing.TB, m *memory) { m.rewritten(t, at(3)) },
			problem: "block 3: Damaged: ", says: []string{"its digest is sha256:", "UsageBlock 000000000004 was written after one with the digest sha256:"},
			vms: 5, accept: "1,3", then: 5,
		},
		"blocks are missing": {
			do:      func(_ testing.TB, m *memory) { delete(m.blocks, at(2)); delete(m.blocks, at(3)) },
			problem: "blocks 2-3: Missing: ", says: []string{"accept-gap=2-3"},
			vms: 4, accept: "2-3", then: 4,
		},
		"the first block is missing": {
			do:      func(_ testing.TB, m *memory) { delete(m.blocks, at(1)) },
			problem: "block 1: Missing: ", vms: 5, accept: "1", then: 5,
		},
		"the last block cannot be read": {
			do:      func(_ testing.TB, m *memory) { m.edit(at(6), func([]byte) []byte { return []byte("{") }) },
			problem: "block 6: Damaged: ", vms: 5, accept: "5-6", then: 5,
		},
		"a block is of a newer format": {
			do: func(t testing.TB, m *memory) {
				m.edit(at(4), func(spec []byte) []byte { return journal.Redigest(t, replacing(`"format":1`, `"format":3`)(spec)) })
			},
			problem: "block 4: NewerFormat: ", says: []string{"Run the newer version"},
			vms: 5, accept: "4", then: 5,
		},
		"the rows are not what they should be": {
			do: func(t testing.TB, m *memory) {
				m.edit(at(6), func(spec []byte) []byte { return journal.Redigest(t, replacing(`"rows":2`, `"rows":3`)(spec)) })
			},
			problem: "block 6: Damaged: ", says: []string{"it has 2 rows, and says 3"},
			vms: 5, accept: "6", then: 5,
		},
		"the journal is another cluster's": {
			do: func(testing.TB, *memory) {}, cluster: "cluster-2",
			problem: "blocks 1-6: OtherCluster: ", says: []string{"cluster-1", "cluster-2"},
			vms: 6, accept: "1-6", then: 6,
		},
		"the clock was set back": {
			do: func(testing.TB, *memory) {}, clock: now - 66,
			problem: "block 6: AheadOfClock: ", says: []string{"written at 2026-11-21T17:59:05Z", "the clock says 2026-11-21T17:58:54Z", "Set the node's clock"},
			vms: 6, accept: "6", then: 6,
		},
	} {
		t.Run(name, func(t *testing.T) {
			store := six(t)
			c.do(t, store)
			c.isFound(t, store)
			c.isAccepted(t, store)
		})
	}
}

// isFound checks that Load tells what is wrong, and that nothing is appended.
func (h harm) isFound(t *testing.T, store *memory) {
	t.Helper()
	j := h.reader(store)
	got, err := j.Load(context.Background())
	damage, ok := errors.AsType[*journal.DamageError](err)
	if !ok || len(damage.Problems) != 1 {
		t.Fatalf("got %v", err)
	}
	if text := damage.Problems[0].String(); !strings.HasPrefix(text, h.problem) {
		t.Errorf("got %s", text)
	}
	for _, part := range h.says {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %s", part, err)
		}
	}
	if len(got.Segments) != 2*h.vms {
		t.Errorf("%d segments can be read", len(got.Segments))
	}
	err = j.Append(context.Background(), &journal.Batch{Time: now})
	if _, ok := errors.AsType[*journal.DamageError](err); !ok {
		t.Errorf("appended all the same: %v", err)
	}
	if err := h.reader(store).Follow(ended()); err != nil {
		t.Error(err)
	}
}

// isAccepted checks that it goes on once a person accepted it; and for good,
// once something was appended.
func (h harm) isAccepted(t *testing.T, store *memory) {
	t.Helper()
	store.accept(at(5), h.accept)
	j := h.reader(store)
	want, err := j.Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(want.Gaps) != 1 || len(want.Segments) != 2*h.then {
		t.Errorf("got %d segments, and the gaps %+v", len(want.Segments), want.Gaps)
	}
	appended(t, j, &journal.Batch{Time: now - 65}, &journal.Batch{Time: now - 64})
	store.accept(at(5), "")
	got, err := h.reader(store).Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	same(t, want, got, cmpopts.IgnoreFields(journal.State{}, "Sequence", "Head", "Time", "Writer", "Cluster"))
}

// ended is a context that is done.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// A block that turns up again after its loss was accepted, and what was built
// upon that, changes nothing.
func TestALostBlockThatTurnsUpAgain(t *testing.T) {
	store := six(t)
	lost := store.blocks[at(3)]
	delete(store.blocks, at(3))
	store.accept(at(1), "3")
	j, want := opened(t, store, "b")
	appended(t, j, &journal.Batch{Time: now})
	store.blocks[at(3)] = lost

	got := state(t, store)

	same(t, want, got, cmpopts.IgnoreFields(journal.State{}, "Sequence", "Head", "Time", "Writer"))
}

// Restored before anything was accepted, all is well again.
func TestARestoredBlock(t *testing.T) {
	store := six(t)
	want := state(t, store)
	lost := store.blocks[at(3)]
	delete(store.blocks, at(3))
	j := open(store, "b")
	if _, err := j.Load(context.Background()); err == nil {
		t.Fatal("a hole was not found")
	}
	store.blocks[at(3)] = lost

	got, err := j.Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	same(t, want, got)
	appended(t, j, &journal.Batch{Time: now})
}

func TestWhatNobodyCanAccept(t *testing.T) {
	for _, list := range []string{"x", "3-2", "-1", "1-", ",", "0"} {
		store := six(t)
		delete(store.blocks, at(3))
		store.accept(at(1), list)
		if _, err := open(store, "b").Load(context.Background()); err == nil {
			t.Errorf("%q accepted a gap", list)
		}
	}
}

// The damaged block itself cannot say what is accepted.
func TestADamagedBlockAcceptsNothing(t *testing.T) {
	store := six(t)
	store.edit(at(3), replacing(`"writer":"a"`, `"writer":"b"`))
	store.accept(at(3), "3")
	if _, err := open(store, "b").Load(context.Background()); err == nil {
		t.Error("it accepted itself")
	}
}

// Whatever byte of whatever block changes, merged or not: Load says so.
func TestAnyChangedByteIsDamage(t *testing.T) {
	defer journal.SetRowsPerBlock(4)()
	store := newMemory()
	j, _ := opened(t, store, "a")
	if err := run(j, work(), new(int)); err != nil {
		t.Fatal(err)
	}
	// What was merged, and not deleted yet, is not needed.
	for range 2 {
		appended(t, j, &journal.Batch{Time: now})
		if _, err := j.Compact(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := store.Keys(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		damaged := store.clone()
		key := rapid.SampledFrom(keys).Draw(t, "block")
		damaged.edit(key, func(spec []byte) []byte {
			spec = bytes.Clone(spec)
			spec[rapid.IntRange(0, len(spec)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			return spec
		})
		_, err := open(damaged, "b").Load(context.Background())
		if _, ok := errors.AsType[*journal.DamageError](err); !ok {
			t.Fatalf("block %s: %v", key, err)
		}
	})
}

// A store may write JSON in another way.
func TestJSONOfAnotherForm(t *testing.T) {
	store := six(t)
	want := state(t, store)
	for key := range store.blocks {
		store.edit(key, func(spec []byte) []byte {
			var fields map[string]any
			if err := json.Unmarshal(spec, &fields); err != nil {
				t.Fatal(err)
			}
			out, err := json.MarshalIndent(fields, " ", "  ")
			if err != nil {
				t.Fatal(err)
			}
			return out
		})
	}
	same(t, want, state(t, store))
}
