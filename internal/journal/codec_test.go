package journal

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
)

func decoded(t rapid.TB, file []byte) []usage.Change {
	t.Helper()
	var out []usage.Change
	if err := decodeRows(file, newWords(), func(c *usage.Change) { out = append(out, *c) }); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRowsComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		changes := rapid.SliceOfN(anyChange(), 0, 20).Draw(t, "changes")
		file, err := encodeRows(changes)
		if err != nil {
			t.Fatal(err)
		}
		again, err := encodeRows(slices.Clone(changes))
		if err != nil || !bytes.Equal(file, again) {
			t.Fatalf("the same rows gave other bytes: %v", err)
		}
		if diff := cmp.Diff(changes, decoded(t, file), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("want -, got +:\n%s", diff)
		}
	})
}

func TestTextsAreTextForEveryTool(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := hostile().Draw(t, "string")
		out := text(s)
		if bytes.ContainsAny([]byte(out), "\x00") || !slices.Equal([]byte(out), []byte(string([]rune(out)))) {
			t.Fatalf("%q became %q", s, out)
		}
		if back, err := untext(out); err != nil || back != s {
			t.Fatalf("%q came back as %q: %v", s, back, err)
		}
	})
}

func TestTextsThatNobodyWrote(t *testing.T) {
	for _, s := range []string{"\x1a", "a\x1a0", "\x1azz", "\x1a00\x1a"} {
		if out, err := untext(s); err == nil {
			t.Errorf("%q was read as %q", s, out)
		}
	}
}

func TestATimeThatIsNone(t *testing.T) {
	change := usage.Change{Segment: usage.Segment{Subject: &usage.Subject{}, Start: usage.Boundary{At: 1 << 60}}}
	if _, err := encodeRows([]usage.Change{change}); err == nil {
		t.Error("a time of 10^18 seconds was written")
	}
}

func TestBatchesComeBackAsTheyWere(t *testing.T) {
	defer SetRowsPerBlock(3)()
	rapid.Check(t, func(t *rapid.T) {
		batch := batchOf(anyChange()).Draw(t, "batch")
		specs, err := specsOf(batch, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got lists
		var changes []usage.Change
		for i, spec := range specs {
			spec.Sequence = int64(i + 1)
			encoded, digest, err := encodeBlock(spec)
			if err != nil {
				t.Fatal(err)
			}
			b, err := openBlock(Stored{Key: Key{From: uint64(i + 1), To: uint64(i + 1)}, Spec: encoded})
			if err != nil {
				t.Fatal(err)
			}
			if b.digest != digest || b.last() != (i == len(specs)-1) {
				t.Fatalf("part %d of %d: %+v", i, len(specs), b)
			}
			said, err := listsOf(b.spec, newWords())
			if err != nil {
				t.Fatal(err)
			}
			got.add(said)
			part, err := fileOf(b.spec)
			if err != nil {
				t.Fatal(err)
			}
			changes = append(changes, decoded(t, part)...)
		}
		want := lists{meters: batch.Meters, positions: batch.Positions, coverage: batch.Coverage, seals: batch.Seals}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(lists{})); diff != "" {
			t.Fatalf("want -, got +:\n%s", diff)
		}
		if diff := cmp.Diff(batch.Changes, changes, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("want -, got +:\n%s", diff)
		}
	})
}

// Lists that are larger than a block are dealt out, too.
func TestLongListsAreSeveralParts(t *testing.T) {
	batch := &Batch{Meters: []Meter{}}
	for n := range 9000 {
		batch.Positions = append(batch.Positions, Position{Group: "example.com", Kind: fmt.Sprint("Kind", n), ResourceVersion: "4711"})
		batch.Seals = append(batch.Seals, Seal{Interval: usage.Window{Start: int64(n), End: int64(n + 1)}})
	}
	specs, err := specsOf(batch, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got lists
	for _, spec := range specs {
		encoded, _, err := encodeBlock(spec)
		if err != nil {
			t.Fatal(err)
		}
		if len(encoded) > maxSpecBytes || len(spec.Positions) > maxItems || len(spec.Sealed) > maxItems {
			t.Errorf("a part has %d bytes, %d positions and %d seals", len(encoded), len(spec.Positions), len(spec.Sealed))
		}
		said, err := listsOf(spec, newWords())
		if err != nil {
			t.Fatal(err)
		}
		got.add(said)
	}
	want := lists{meters: []Meter{}, positions: batch.Positions, seals: batch.Seals}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(lists{})); diff != "" {
		t.Error(diff)
	}
}

// Whatever byte of a block changes: it is found.
func TestAnyChangedByteIsFound(t *testing.T) {
	batch := &Batch{
		Time: 1_700_000_000, Changes: rapid.SliceOfN(anyChange(), 3, 3).Example(1), Meters: []Meter{{Name: "vm", Dimensions: []usage.Dimension{{Name: "a", Unit: "b"}}}},
		Positions: []Position{{Kind: "Pod", ResourceVersion: "17"}}, Seals: []Seal{{Digest: Digest{1}}},
		Coverage: []usage.Stretch{{Meter: "vm", Coverage: usage.CoverageUnknown}},
	}
	specs, err := specsOf(batch, []Gap{{From: 1, To: 2, Reason: "it was lost"}})
	if err != nil {
		t.Fatal(err)
	}
	spec := specs[0]
	spec.Sequence, spec.Writer, spec.Cluster, spec.PreviousDigest = 3, "me", "here", Digest{1}.String()
	encoded, _, err := encodeBlock(spec)
	if err != nil {
		t.Fatal(err)
	}
	key := Key{From: 3, To: 3}
	if _, err := openBlock(Stored{Key: key, Spec: encoded}); err != nil {
		t.Fatal(err)
	}
	for at := range encoded {
		changed := bytes.Clone(encoded)
		changed[at] ^= 1 << (at % 8)
		if _, err := openBlock(Stored{Key: key, Spec: changed}); err == nil {
			t.Fatalf("byte %d: %q instead of %q in %q", at, changed[at], encoded[at], encoded[max(0, at-20):min(len(encoded), at+20)])
		}
	}
}

func TestHandmadeBlocks(t *testing.T) {
	valid := func() *v1alpha1.UsageBlockSpec {
		specs, err := specsOf(&Batch{Time: 1}, nil)
		if err != nil {
			t.Fatal(err)
		}
		specs[0].Sequence = 3
		return specs[0]
	}
	key := Key{From: 3, To: 3}
	for name, change := range map[string]func(*v1alpha1.UsageBlockSpec){
		"of another sequence":            func(s *v1alpha1.UsageBlockSpec) { s.Sequence = 4 },
		"merged, without what it covers": func(s *v1alpha1.UsageBlockSpec) { s.Kind = v1alpha1.BlockCompacted },
		"that covers others": func(s *v1alpha1.UsageBlockSpec) {
			s.Covers = &v1alpha1.BlockCovers{From: 3, To: 3, Digest: Digest{}.String()}
		},
		"that covers something without a digest":  func(s *v1alpha1.UsageBlockSpec) { s.Covers = &v1alpha1.BlockCovers{From: 3, To: 3} },
		"after something that is no digest":       func(s *v1alpha1.UsageBlockSpec) { s.PreviousDigest = "sha256:17" },
		"that is part 1 of 1":                     func(s *v1alpha1.UsageBlockSpec) { s.Part.Index = 1 },
		"that is a part of what began before all": func(s *v1alpha1.UsageBlockSpec) { s.Part = v1alpha1.BlockPart{Index: 3, Count: 5} },
		"of a newer format":                       func(s *v1alpha1.UsageBlockSpec) { s.Format = v1alpha1.BlockFormatArchived + 1 },
	} {
		t.Run(name, func(t *testing.T) {
			spec := valid()
			change(spec)
			encoded, _, err := encodeBlock(spec)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := openBlock(Stored{Key: key, Spec: encoded}); err == nil {
				t.Error("it was taken for a block")
			}
		})
	}
}

func TestKeys(t *testing.T) {
	for name, want := range map[string]Key{
		"000000000017":              {From: 17, To: 17},
		"000000000001-000000000016": {From: 1, To: 16},
		"1234567890123":             {From: 1234567890123, To: 1234567890123},
		"17":                        {}, "000000000000": {}, "0000000000017": {}, "000000000017-000000000016": {}, "000000000017-000000000017": {},
		"99999999999999999999": {}, "block": {}, "": {},
	} {
		key, ok := ParseKey(name)
		if ok != (want != Key{}) || ok && (key != want || key.String() != name) {
			t.Errorf("%q: got %v, %v", name, key, ok)
		}
	}
}
