// Package verification tells whether a hub's ledger of a cluster adds up: whether its blocks
// are what was written, and one chain; whether its rows are what the blocks say; and whether
// every interval that the cluster sealed is what the rows amount to.
//
// It shares the audit of a journal (internal/audit) and the digest of an interval
// (internal/ledger) with usage-operator verify, and reads nothing but the hub's database.
package verification

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/audit"
	"github.com/usage-operator/usage-operator/internal/hub"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Report is what came out.
type Report struct {
	Cluster hub.Cluster `json:"cluster"`
	Name    string      `json:"name"`
	// Rows are those of segments, of the commits that are complete.
	Rows int `json:"rows"`
	// Blocks is the audit of the blocks, and Recomputed that of the rows.
	Blocks     *audit.Report `json:"blocks"`
	Recomputed *audit.Report `json:"recomputed"`
	// Difference is the first one between the blocks and the rows, or the chain's head; nil:
	// there is none.
	Difference *audit.Difference `json:"difference,omitempty"`
	// Fork is the last block that was refused, since the chain has another one there.
	Fork *Fork `json:"fork,omitempty"`
}

// Fork is a block that was refused.
type Fork struct {
	Sequence uint64 `json:"sequence"`
	Digest   string `json:"digest"`
}

// OK tells whether there is no difference. A fork is none: the chain goes on without it.
func (r *Report) OK() bool { return r.first() == nil }

// Verify verifies a cluster's ledger as it is now. The error says why something could not
// be read; that something is not as it should be is in the report.
func Verify(ctx context.Context, s *hub.Store, cluster hub.Cluster, clock clock.Clock, progress func(string, int, int)) (*Report, error) {
	r := &Report{Cluster: cluster}
	err := s.View(ctx, cluster, func(v *hub.View) error { return r.look(ctx, v, clock, progress) })
	return r, err
}

func (r *Report) look(ctx context.Context, v *hub.View, clock clock.Clock, progress func(string, int, int)) error {
	r.Name = v.Head.Name
	if f := v.Head.Fork; f.Sequence > 0 {
		r.Fork = &Fork{Sequence: f.Sequence, Digest: f.Digest.String()}
	}
	var err error
	if r.Blocks, err = audit.Verify(ctx, audit.Input{Blocks: v, Records: none{}, Clock: clock, Progress: progress}); err != nil {
		return err
	}
	r.compareHead(v.Head)
	state := &journal.State{Sequence: v.Head.Counted, Head: v.Head.Digest}
	if state.Seals, err = v.Seals(ctx); err != nil {
		return err
	}
	if state.Coverage, err = v.Coverage(ctx); err != nil {
		return err
	}
	rows, err := r.addUp(ctx, v, state)
	if err != nil {
		return err
	}
	if err := r.compareRows(ctx, v, rows, state); err != nil {
		return err
	}
	r.Recomputed = audit.Recompute(state, progress)
	return nil
}

// addUp adds up the rows of segments that count, and digests those of each block.
func (r *Report) addUp(ctx context.Context, v *hub.View, state *journal.State) (rows sums, err error) {
	rows = sums{}
	state.Segments, err = journal.AddUp(func(each func(*usage.Change)) error {
		return v.Changes(ctx, func(sequence uint64, c *usage.Change) error {
			rows.add(sequence, c)
			if sequence <= v.Head.Counted {
				r.Rows++
				each(c)
			}
			return nil
		})
	})
	return rows, err
}

// none are the records that a hub has.
type none struct{}

func (none) List(context.Context, func(*audit.Published) error) error { return nil }

// compareHead compares where the chain says that it is with what its blocks say.
func (r *Report) compareHead(head *hub.Head) {
	if r.Blocks.Sequence != head.Counted {
		r.differ(head.Counted, "sequence", fmt.Sprint(r.Blocks.Sequence), fmt.Sprint(head.Counted),
			"expected is the last complete commit of the blocks, found is the one up to which the hub counts rows")
	}
	if head.Counted == head.Sequence && head.Sequence > 0 && r.Blocks.Head != head.Digest.String() {
		r.differ(head.Sequence, "digest", r.Blocks.Head, head.Digest.String(),
			"expected is what the blocks end with, found is what the hub has the next block follow")
	}
}

func (r *Report) differ(sequence uint64, field, expected, found, detail string) {
	if r.Difference == nil {
		name := journal.Key{From: sequence, To: sequence}.String()
		r.Difference = &audit.Difference{In: audit.InBlock, Name: name, Field: field, Expected: expected, Found: found, Detail: detail}
	}
}

// sums are digests over the rows of segments of each block, by its last sequence.
type sums map[uint64]journal.Digest

// add takes a row in: by the digest that intervals are sealed with, which is over all of a segment.
func (s sums) add(sequence uint64, c *usage.Change) {
	what := usage.Window{Start: int64(c.Kind), End: c.Corrects}
	s[sequence] = ledger.Digest(s[sequence], what, []usage.Segment{c.Segment}, nil)
}

// compareRows compares the rows with what every block says. A block that cannot be read is
// in the audit of the blocks.
func (r *Report) compareRows(ctx context.Context, v *hub.View, rows sums, state *journal.State) error {
	told := &hub.Told{}
	err := v.List(ctx, func(stored journal.Stored) error {
		b, err := journal.Open(stored)
		if err == nil {
			err = told.Take(b)
		}
		if err != nil && r.Blocks.OK() {
			r.differ(stored.Key.To, "spec", "", "", "it cannot be read: "+err.Error())
		}
		return nil
	})
	if err != nil {
		return err
	}
	var seals []journal.Seal
	var coverage []usage.Stretch
	for _, said := range told.Blocks {
		seals, coverage = append(seals, said.Seals...), append(coverage, said.Coverage...)
	}
	want := sums{}
	for _, said := range append(told.Blocks, told.Pending...) {
		for i := range said.Changes {
			want.add(said.Block.To, &said.Changes[i])
		}
	}
	for _, sequence := range slices.Sorted(maps.Keys(want)) {
		if rows[sequence] != want[sequence] {
			r.differ(sequence, "segments", want[sequence].String(), rows[sequence].String(),
				"expected is the digest of what the block says of segments, found that of its rows")
		}
	}
	for _, sequence := range slices.Sorted(maps.Keys(rows)) {
		if _, there := want[sequence]; !there {
			r.differ(sequence, "segments", "", rows[sequence].String(), "there are rows of segments that no block says")
		}
	}
	if !slices.Equal(state.Seals, seals) {
		r.differ(v.Head.Counted, "sealed", fmt.Sprint(len(seals)), fmt.Sprint(len(state.Seals)),
			"the rows of seals are not those of the blocks: expected and found are how many there are")
	}
	if !slices.Equal(state.Coverage, coverage) {
		r.differ(v.Head.Counted, "coverage", fmt.Sprint(len(coverage)), fmt.Sprint(len(state.Coverage)),
			"the rows of coverage are not those of the blocks: expected and found are how many there are")
	}
	return nil
}

// Write writes the report for people.
func (r *Report) Write(w io.Writer) error {
	var b strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s "+format+"\n", append([]any{what}, args...)...)
	}
	line("cluster", "%s", r.Cluster)
	line("", "%s", r.Name)
	line("blocks", "%d, up to sequence %d", r.Blocks.Blocks, r.Blocks.Sequence)
	if r.Blocks.Head != "" {
		line("", "head %s", r.Blocks.Head)
	}
	line("rows", "%d, which add up to %d segments", r.Rows, r.Recomputed.Segments)
	line("intervals", "%d sealed ones recomputed from the rows", r.Recomputed.Intervals)
	if r.Recomputed.Intervals > 0 {
		line("", "from %s", r.Recomputed.FirstInterval)
		line("", "to   %s", r.Recomputed.LastInterval)
		line("", "seal %s", r.Recomputed.LastSeal)
	}
	if r.Fork != nil {
		line("fork", "block %d was refused:", r.Fork.Sequence)
		line("", "%s", r.Fork.Digest)
	}
	first := r.first()
	if first == nil {
		b.WriteString("\nAll of it adds up.\n")
	} else {
		fmt.Fprintf(&b, "\nDIFFERENCE in %s %s\n", first.In, first.Name)
		for _, part := range [][2]string{{"field", first.Field}, {"expected", first.Expected}, {"found", first.Found}, {"", first.Detail}} {
			if part[1] != "" {
				fmt.Fprintf(&b, "  %-9s %s\n", part[0], part[1])
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// first is the first difference: of what is stored, before what follows from it.
func (r *Report) first() *audit.Difference {
	return cmp.Or(r.Blocks.First, r.Difference, r.Recomputed.First)
}
