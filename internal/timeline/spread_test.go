package timeline

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// manyGroups is a ledger of resources in as many deployments, some of each namespace,
// that hold one of two dimensions for an hour; a resource has several segments.
func manyGroups(namespaces, each int) *Timeline {
	line := New()
	var c Commit
	for n := range namespaces {
		for r := range each {
			o := usage.Object{Kind: "VM", Name: fmt.Sprint("vm-", r), UID: fmt.Sprint(n, "-", r)}
			subject := &usage.Subject{
				ResourceType: "vm", Resource: o, Instance: o,
				Account: usage.Account{Namespace: fmt.Sprint("t", n), NamespaceUID: fmt.Sprint(n), Deployment: fmt.Sprint("d", r)},
			}
			for i := range 1 + int64(r%5) {
				for _, d := range []string{"vcpu", "memory"} {
					c.Changes = append(c.Changes, usage.Change{Segment: usage.Segment{
						Meter: "vm", Subject: subject, Dimension: usage.Dimension{Name: d, Unit: usage.Core}, Level: 1 + int64(r),
						Start: usage.Boundary{At: i * 600, Evidence: usage.Observed}, End: usage.Boundary{At: i*600 + 600, Evidence: usage.Observed},
					}})
				}
			}
		}
	}
	line.Take(c)
	line.Publish()
	return line
}

// How many groups there are is known to some percent, and cuts divide them about evenly.
func TestASampleSaysHowGroupsLie(t *testing.T) {
	for _, groupBy := range [][]Key{{Namespace, Resource}, {Namespace, Deployment}, {Resource}, {Deployment, Namespace}} {
		for _, each := range []int{3, 2000} {
			line := manyGroups(5, each)
			q := Query{Window: usage.Window{End: 3600}, Size: None, GroupBy: groupBy}
			tally, err := NewTally(q)
			if err != nil {
				t.Fatal(err)
			}
			found, err := tally.spread(t.Context(), line.Snapshot(), q.Window, maphash.MakeSeed())
			if err != nil {
				t.Fatal(err)
			}
			want := 5 * each * 2
			if got := found.groups(); got < want*85/100 || got > want*115/100 {
				t.Errorf("by %v of %d groups: it says %d", groupBy, want, got)
			}
			if each < 10 {
				continue
			}
			cuts := found.cuts(10)
			whole, _ := NewTally(q)
			if err := whole.Advance(line.Snapshot(), 3600); err != nil {
				t.Fatal(err)
			}
			sizes := make([]int, len(cuts)+1)
			for _, g := range whole.rows().groups {
				sizes[rangeWith(cuts, g.labels)]++
			}
			if slices.Min(sizes) < want/20 || slices.Max(sizes) > want/5 {
				t.Errorf("by %v: ranges have %v groups", groupBy, sizes)
			}
		}
	}
}

// Every group is in one range, and in the one that a cursor is looked for in.
func TestRangesDivideGroups(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := rapid.Custom(func(t *rapid.T) []label {
			return []label{
				{value: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "first"), uid: rapid.SampledFrom([]string{"", "1"}).Draw(t, "uid")},
				{value: rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "second")},
			}
		})
		s := newSpread(maphash.MakeSeed())
		for i, labels := range rapid.SliceOf(draw).Draw(t, "sample") {
			s.add(uint64(i), labels)
		}
		cuts := s.cuts(rapid.IntRange(1, 10).Draw(t, "ranges"))
		labels := draw.Draw(t, "labels")
		of := rangeWith(cuts, labels)
		for i := range len(cuts) + 1 {
			r := rangeOf(cuts, i)
			if r.has(labels) != (i == of) {
				t.Fatalf("of %v, %v is in range %d: %t; a cursor looks in %d", cuts, labels, i, r.has(labels), of)
			}
			if r.has(labels) && (!r.mayHave(labels) || !r.mayHave(labels[:1]) || !r.mayHave(nil)) {
				t.Fatalf("of %v, range %d has %v, and it may not", cuts, i, labels)
			}
		}
	})
}

// However many groups there are, what is added up at a time fits, is kept for the
// next page, and says what one tally says.
func TestPagesOfManyGroupsAreAddedUpOnce(t *testing.T) {
	line := manyGroups(20, 300)
	s := line.Snapshot()
	for _, groupBy := range [][]Key{{Namespace, Resource}, {Resource}, {Namespace, Deployment}} {
		q := Query{Window: usage.Window{End: 3600}, Size: None, GroupBy: groupBy}
		whole, err := NewTally(q)
		if err == nil {
			err = whole.Advance(s, 3600)
		}
		if err != nil {
			t.Fatal(err)
		}
		want, err := whole.Page("", 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		const room = 240_000
		pager := NewPager(room)
		var got []Row
		for after, more := "", true; more; more = after != "" {
			rows, next, err := pager.Page(t.Context(), s, q, 3600, after, 100)
			if err != nil {
				t.Fatal(err)
			}
			got, after = append(got, rows...), next
		}
		if !reflect.DeepEqual(got, want.Rows) {
			t.Errorf("by %v: %d rows are not the %d of one tally", groupBy, len(got), len(want.Rows))
		}
		r, err := pager.newReading(t.Context(), s, q, 3600)
		if err != nil {
			t.Fatal(err)
		}
		for at := (step{}); r.has(at); at = r.next(at) {
			part, kept := pager.parts.Get(partKey{planKey: r.key, until: 3600, first: at.window, groups: at.groups})
			if !kept {
				t.Errorf("by %v: the part of %d is not kept", groupBy, at.groups)
			} else if size := part.Cells() + labelCells*len(part.groups); size > room/4 {
				t.Errorf("by %v: a part takes %d of %d", groupBy, size, room)
			}
		}
	}
}

// A part that nobody waits for any more is not added up.
func TestAPartThatNobodyWaitsForEnds(t *testing.T) {
	s := manyGroups(20, 300).Snapshot()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, groupBy := range [][]Key{{Resource}, {Namespace}} {
		q := Query{Window: usage.Window{End: 3600}, Size: None, GroupBy: groupBy}
		all, err := newCalendar(q.Window, q.Size, q.zone())
		if err != nil {
			t.Fatal(err)
		}
		if err := newPart(q, all, 3600, groupRange{}).AdvanceFor(ctx, s, 3600); !errors.Is(err, context.Canceled) {
			t.Errorf("by %v: %v", groupBy, err)
		}
	}
}
