package archive

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/usage-operator/usage-operator/internal/journal"
)

// crashing is a site at which the operator ends before or after its nth write.
type crashing struct {
	blocks blockStore
	objects
	writes, at int
	after      bool
}

func (c *crashing) write(do func() error) error {
	c.writes++
	switch {
	case c.at == 0 || c.writes < c.at:
		return do()
	case c.writes == c.at && c.after:
		_ = do()
	}
	return errStopped
}

func (c *crashing) create(ctx context.Context, name string, content []byte) error {
	return c.write(func() error { return c.objects.create(ctx, name, content) })
}

// crashingBlocks are the journal's part of it.
type crashingBlocks struct {
	blockStore
	*crashing
}

func (c crashingBlocks) Create(ctx context.Context, key journal.Key, spec []byte) error {
	return c.write(func() error { return c.blockStore.Create(ctx, key, spec) })
}

func (c crashingBlocks) Delete(ctx context.Context, key journal.Key) error {
	return c.write(func() error { return c.blockStore.Delete(ctx, key) })
}

func (c *crashing) site() site { return site{crashingBlocks{c.blocks, c}, c} }

// An operator that ends before any write to the archive or to the journal, or before the
// answer to it comes, leaves a ledger that says what it said; and the next one completes
// it to the same ledger, cut as far.
func TestACrashAtAnyWriteOfACut(t *testing.T) {
	h := someDays(t)
	plain := blockStore{}
	all := site{plain, objects{}}
	var states []map[string]any
	o, state, err := all.start()
	for _, batch := range append([]*journal.Batch{nil}, h.batches...) {
		if err == nil && batch != nil {
			err = o.append(batch)
			state, _ = all.journal(journal.Options{}).Load(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, said(state))
	}
	calm := &crashing{blocks: blockStore{}, objects: objects{}}
	if err := calm.site().run(h.batches); err != nil {
		t.Fatal(err)
	}
	want, err := calm.site().read()
	if err != nil {
		t.Fatal(err)
	}
	end := int64(DayOf(h.end()))
	if !leftOut(calm.blocks, end) || len(calm.blocks) > 8 {
		t.Fatalf("%d blocks are left, and nothing was left out of them until %s", len(calm.blocks), moment(end))
	}
	finish := maps.Clone(states[len(states)-1])
	finish["time"] = want["time"]
	if diff := cmp.Diff(finish, want); diff != "" {
		t.Fatalf("before and after the cut, want - got +:\n%s", diff)
	}
	for at := 1; at <= calm.writes; at++ {
		for _, after := range []bool{false, true} {
			crashed(t, h, states, want, at, after)
		}
	}
	t.Logf("%d writes", calm.writes)
}

// crashed has an operator end at a write, and another one complete its work.
func crashed(t *testing.T, h *history, states []map[string]any, want map[string]any, at int, after bool) {
	t.Helper()
	c := &crashing{blocks: blockStore{}, objects: objects{}, at: at, after: after}
	if err := c.site().run(h.batches); !errors.Is(err, errStopped) {
		t.Fatalf("write %d: %v", at, err)
	}
	left := site{c.blocks, c.objects}
	got, err := left.read()
	if err != nil {
		t.Fatalf("write %d, after: %t: what is left: %v", at, after, err)
	}
	if !slices.ContainsFunc(states, func(s map[string]any) bool {
		s = maps.Clone(s)
		if got["time"].(int64) > h.batches[len(h.batches)-1].Time {
			s["time"] = got["time"] // one of those that say nothing more
		}
		return cmp.Equal(s, got)
	}) {
		t.Fatalf("write %d, after: %t: what is left is no state that there was: %v", at, after, got)
	}
	if err := left.run(h.batches); err != nil {
		t.Fatalf("write %d, after: %t: the next operator: %v", at, after, err)
	}
	got, err = left.read()
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("write %d, after: %t: the next operator (%v), want - got +:\n%s", at, after, err, diff)
	}
}
