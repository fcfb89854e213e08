package journal

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// What is read of a block alone is what was written to it.
func TestWholeBlocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		batch := batchOf(rapid.OneOf(anyChange(), someChange())).Draw(t, "batch")
		specs, err := specsOf(batch, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got Batch
		var link Digest
		for i, spec := range specs {
			b := reopened(t, spec, uint64(i)+1, link)
			if b.Previous != link || b.Link != b.Digest || b.Part != i || b.Parts != len(specs) || b.Time != batch.Time || b.Merged || b.LeftOut {
				t.Fatalf("block %d is read as %+v", i+1, b)
			}
			if err := b.Changes(func(c *usage.Change) { got.Changes = append(got.Changes, *c) }); err != nil {
				t.Fatal(err)
			}
			got.Seals, got.Coverage, link = append(got.Seals, b.Seals...), append(got.Coverage, b.Coverage...), b.Digest
		}
		want := Batch{Changes: batch.Changes, Seals: batch.Seals, Coverage: batch.Coverage}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("want -, got +:\n%s", diff)
		}
	})
}

// reopened is a block that was written with a place in a chain, and read.
func reopened(t *rapid.T, spec *v1alpha1.UsageBlockSpec, sequence uint64, previous Digest) *Whole {
	t.Helper()
	spec.Sequence = int64(sequence)
	if previous != (Digest{}) {
		spec.PreviousDigest = previous.String()
	}
	encoded, _, err := encodeBlock(spec)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(Stored{Key: Key{From: sequence, To: sequence}, Spec: encoded})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A block that says that it has other rows than it has is not read.
func TestWholeBlocksCountTheirRows(t *testing.T) {
	specs, err := specsOf(&Batch{Changes: []usage.Change{someChange().Example(1), someChange().Example(2)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, rows := range []int32{0, 1, 3} {
		spec := *specs[0]
		spec.Sequence, spec.Rows = 1, rows
		if rows == 0 {
			spec.Segments, spec.Rows = "", 2
		}
		encoded, _, err := encodeBlock(&spec)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Open(Stored{Key: Key{From: 1, To: 1}, Spec: encoded})
		if err == nil {
			err = b.Changes(func(*usage.Change) {})
		}
		if err == nil {
			t.Errorf("a block of 2 rows that says %d is read", spec.Rows)
		}
	}
}
