package journal

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// unitsOf are units of these sizes in KB, one sequence each; 0 is a hole.
func unitsOf(sizes ...int) []unit {
	var units []unit
	for i, size := range sizes {
		if size > 0 {
			at := uint64(i + 1)
			units = append(units, unit{Key: Key{From: at, To: at}, bytes: size * 1000})
		}
	}
	return units
}

// planned is a plan as text: "1-8 9-12".
func planned(units []unit) string {
	var runs []string
	for _, run := range plan(units) {
		runs = append(runs, fmt.Sprintf("%d-%d", run[0].From, run[len(run)-1].To))
	}
	return strings.Join(runs, " ")
}

func TestPlan(t *testing.T) {
	for name, c := range map[string]struct {
		units []unit
		want  string
	}{
		"nothing":                                   {nil, ""},
		"seven small ones wait for an eighth":       {unitsOf(6, 6, 6, 6, 6, 6, 6), ""},
		"eight small ones":                          {unitsOf(6, 6, 6, 6, 6, 6, 6, 6), "1-8"},
		"small ones after a large one":              {unitsOf(400, 6, 6, 6, 6, 6, 6, 6, 6), "2-9"},
		"a large one between":                       {unitsOf(6, 6, 6, 6, 400, 6, 6, 6, 6), ""},
		"a hole between":                            {unitsOf(6, 6, 6, 6, 0, 6, 6, 6, 6), ""},
		"eight of the second tier":                  {unitsOf(40, 40, 40, 40, 40, 40, 40, 40), "1-8"},
		"of the second tier, small ones in between": {unitsOf(40, 40, 6, 40, 40, 40, 6, 40, 40, 40, 6), "1-11"},
		"seven of the second tier and a small one":  {unitsOf(40, 40, 40, 40, 40, 40, 40, 6), ""},
		"as many as make a full one":                {unitsOf(120, 120, 120, 120, 120), "1-4"},
		"large ones stay as they are":               {unitsOf(260, 260, 260, 260, 260, 260, 260, 260), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := planned(c.units); got != c.want {
				t.Errorf("want %q, got %q", c.want, got)
			}
		})
	}
}

func TestPlansAreSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		units := unitsOf(rapid.SliceOfN(rapid.OneOf(rapid.Just(6), rapid.IntRange(0, 500)), 0, 60).Draw(t, "sizes")...)
		at := uint64(0)
		for _, run := range plan(units) {
			bytes := 0
			for i, u := range run {
				if bytes += u.bytes; i > 0 && u.From != run[i-1].To+1 || u.From <= at {
					t.Fatalf("%v: a hole, or twice the same", run)
				}
			}
			if at = run[len(run)-1].To; len(run) < 2 || bytes > maxSpecBytes {
				t.Fatalf("%d units of %d bytes", len(run), bytes)
			}
		}
	})
}

// Merging over and over ends, and leaves few blocks.
func TestCompactionEndsWithFewBlocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var units []unit
		total, written := 0, 0
		for n := range rapid.IntRange(1, 3000).Draw(t, "entries") {
			at := uint64(n + 1)
			size := 5000 + rapid.IntRange(0, 20000).Draw(t, "size")*(n%7/6)
			total += size
			units = append(units, unit{Key: Key{From: at, To: at}, bytes: size})
			for runs := plan(units); len(runs) > 0; runs = plan(units) {
				for _, run := range runs {
					merged := unit{Key: Key{From: run[0].From, To: run[len(run)-1].To}}
					for _, u := range run {
						merged.bytes += u.bytes
					}
					written += merged.bytes
					i := slices.Index(units, run[0])
					units = slices.Insert(slices.Delete(slices.Clone(units), i, i+len(run)), i, merged)
				}
			}
		}
		if most := 3*fan + 2*total/maxSpecBytes + 2; len(units) > most {
			t.Fatalf("%d blocks of %d bytes: %v", len(units), total, units)
		}
		if written > total*(tiers+2) {
			t.Fatalf("%d bytes were written to merge %d", written, total)
		}
	})
}

// blocksOf are blocks with these keys, each of which was written after the one before it.
func blocksOf(keys ...Key) []*block {
	var blocks []*block
	for _, key := range keys {
		b := &block{Key: key, spec: &v1alpha1.UsageBlockSpec{Kind: v1alpha1.BlockEntry}, previous: Digest{byte(key.From - 1)}, link: Digest{byte(key.To)}}
		if key.From != key.To {
			b.spec.Kind = v1alpha1.BlockCompacted
		}
		blocks = append(blocks, b)
	}
	return blocks
}

func names(blocks []*block) string {
	var out []string
	for _, b := range blocks {
		out = append(out, fmt.Sprintf("%d-%d", b.From, b.To))
	}
	return strings.Join(out, " ")
}

func TestTile(t *testing.T) {
	for name, c := range map[string]struct {
		keys []Key
		want string
	}{
		"nothing":                      {nil, ""},
		"one after the other":          {[]Key{{1, 1}, {2, 2}, {3, 3}}, "1-1 2-2 3-3"},
		"the covering one":             {[]Key{{1, 1}, {2, 2}, {1, 2}, {3, 3}}, "1-2 3-3"},
		"the covering one of several":  {[]Key{{1, 1}, {2, 2}, {1, 2}, {3, 3}, {1, 3}}, "1-3"},
		"overlapping, one leaves more": {[]Key{{1, 6}, {4, 10}, {7, 7}, {8, 8}, {9, 9}, {10, 10}}, "1-6 7-7 8-8 9-9 10-10"},
		"overlapping, nothing else":    {[]Key{{1, 6}, {4, 10}}, "4-10"},
		"a hole":                       {[]Key{{1, 1}, {3, 3}}, "1-1 3-3"},
		"the beginning is missing":     {[]Key{{5, 6}, {7, 7}}, "5-6 7-7"},
	} {
		t.Run(name, func(t *testing.T) {
			end := uint64(0)
			for _, key := range c.keys {
				end = max(end, key.To)
			}
			if got := names(tile(blocksOf(c.keys...), end)); got != c.want {
				t.Errorf("want %q, got %q", c.want, got)
			}
		})
	}
}

// bestOf is the oracle: of every choice of blocks that do not overlap, how many
// sequences the best one leaves out, and how many blocks it has.
func bestOf(keys []Key, end uint64) (least uint64, fewest int) {
	least = end + 1
	for choice := range 1 << len(keys) {
		missing, count, ok := leftOut(keys, choice, end)
		if ok && (missing < least || missing == least && count < fewest) {
			least, fewest = missing, count
		}
	}
	return least, fewest
}

// leftOut is how many sequences a choice of blocks leaves out; false if they overlap.
func leftOut(keys []Key, choice int, end uint64) (missing uint64, count int, ok bool) {
	held := map[uint64]bool{}
	for i, key := range keys {
		if choice>>i&1 == 0 {
			continue
		}
		count++
		for at := key.From; at <= key.To; at++ {
			if held[at] {
				return 0, 0, false
			}
			held[at] = true
		}
	}
	return end - uint64(len(held)), count, true
}

func TestTileLeavesOutTheLeast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var keys []Key
		end := uint64(0)
		for range rapid.IntRange(0, 10).Draw(t, "blocks") {
			from := rapid.Uint64Range(1, 12).Draw(t, "from")
			key := Key{From: from, To: from + rapid.Uint64Range(0, 4).Draw(t, "length")}
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
				end = max(end, key.To)
			}
		}
		least, fewest := bestOf(keys, end)
		chain := tile(blocksOf(keys...), end)
		missing := end
		for i, b := range chain {
			missing -= b.To - b.From + 1
			if i > 0 && b.From <= chain[i-1].To {
				t.Fatalf("of %v: %s", keys, names(chain))
			}
		}
		if missing != least || len(chain) != fewest {
			t.Fatalf("of %v: %s leaves out %d, and %d blocks can leave out %d", keys, names(chain), missing, fewest, least)
		}
	})
}
