package timeline_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// failing is a test of either kind.
type failing interface {
	Helper()
	Fatal(args ...any)
}

// resources are all on one page.
func resources(t failing, s *timeline.Snapshot, f *timeline.Filters, w usage.Window) []timeline.History {
	t.Helper()
	list, more, err := s.Resources(context.Background(), f, w, timeline.Place{}, timeline.Bounds{Resources: 1000, Segments: math.MaxInt})
	if err != nil || more != nil {
		t.Fatal(err, more)
	}
	return list
}

// listed is what pages say of each resource: its segments, each once.
type listed map[timeline.ResourceKey][]string

func (l listed) note(key timeline.ResourceKey, kind usage.ChangeKind, x usage.Segment) {
	text := fmt.Sprintln(kind, x, x.End, *x.Subject)
	if !slices.Contains(l[key], text) {
		l[key] = append(l[key], text)
	}
}

// counted are what a query counts of the world: what resources held in its window, and
// how many segments there ever were of each.
func (w *world) counted(q *timeline.Query) (want listed, all map[timeline.ResourceKey]int) {
	want, all = listed{}, map[timeline.ResourceKey]int{}
	for i := range w.segments {
		c := &w.segments[i]
		key := timeline.ResourceKey{Namespace: c.Subject.Namespace, Type: c.Subject.ResourceType, Name: c.Subject.Resource.Name, UID: c.Subject.Resource.UID}
		if !w.counts(c, *q) || len(q.UIDs) > 0 && key.UID != q.UIDs[0] {
			continue
		}
		all[key]++
		if touches(c, q.Window) {
			want.note(key, c.Kind, c.Segment)
		}
	}
	return want, all
}

// reading is what a test has read of a list.
type reading struct {
	got   listed
	parts map[timeline.ResourceKey][]usage.Window
	last  timeline.ResourceKey
}

func (r *reading) page(t *rapid.T, list []timeline.History, b timeline.Bounds) (segments int) {
	for _, h := range list {
		if order := h.Compare(r.last); order < 0 || order == 0 && r.parts[h.ResourceKey] == nil {
			t.Fatalf("%v comes after %v", h.ResourceKey, r.last)
		}
		r.last = h.ResourceKey
		r.parts[r.last] = append(r.parts[r.last], h.Window)
		for kind, held := range map[usage.ChangeKind][]usage.Segment{usage.Put: h.Segments, usage.Less: h.Less, usage.More: h.More} {
			for _, x := range held {
				segments++
				if x.Touches(h.Window) {
					r.got.note(r.last, kind, x)
				}
			}
		}
	}
	if len(list) > b.Resources || segments > b.Segments && len(list) > 1 {
		t.Fatalf("a page has %d resources and %d segments: %d and %d may be", len(list), segments, b.Resources, b.Segments)
	}
	return segments
}

// read reads all pages.
func read(t *rapid.T, s *timeline.Snapshot, q *timeline.Query, b timeline.Bounds) *reading {
	r := &reading{got: listed{}, parts: map[timeline.ResourceKey][]usage.Window{}}
	var room int
	b.Room = func(segments int) error {
		room = segments
		return nil
	}
	for from := (timeline.Place{}); ; {
		room = b.Segments
		list, more, err := s.Resources(t.Context(), &q.Filters, q.Window, from, b)
		if err != nil {
			t.Fatal(err)
		}
		if n := r.page(t, list, b); n > room {
			t.Fatalf("%d segments were collected, and there was room for %d", n, room)
		}
		if more == nil {
			return r
		}
		if *more == from {
			t.Fatalf("after %+v comes the same again", from)
		}
		from = *more
	}
}

// cut checks that resources were cut where they had to be, one part after the other, up to where
// there is nothing more to say.
func (r *reading) cut(t *rapid.T, of *world, q timeline.Query, all map[timeline.ResourceKey]int, b timeline.Bounds) {
	w := q.Window
	for key, parts := range r.parts {
		if len(parts) > 1 && all[key] <= max(b.Segments, b.Each) {
			t.Fatalf("%v has %d segments, and was cut into %v", key, all[key], parts)
		}
		next := w.Start
		for _, part := range parts {
			if part.Start != next {
				t.Fatalf("%v was cut into %v: want one after the other in %v", key, parts, w)
			}
			next = part.End
		}
		q.Window.Start = next
		if rest, _ := of.counted(&q); next < w.End && rest[key] != nil {
			t.Fatalf("%v is said of %v: want %v", key, parts, w)
		}
	}
}

// However pages are bounded, together they say of each resource all that it held in the window, in
// order; a resource is cut where it has more segments than may be, and nowhere else.
func TestPagesOfResourcesAreAllOfThemWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, q := drawWorld(t), drawQuery(t)
		s := w.timeline().Snapshot()
		if rapid.Bool().Draw(t, "one") && len(w.segments) > 0 {
			q.UIDs = []string{rapid.SampledFrom(w.segments).Draw(t, "of").Subject.Resource.UID}
		}
		want, all := w.counted(&q)
		b := timeline.Bounds{Resources: rapid.IntRange(1, 4).Draw(t, "resources"), Segments: rapid.IntRange(1, 12).Draw(t, "segments")}
		if rapid.Bool().Draw(t, "small pages") {
			b.Each = b.Segments + rapid.IntRange(0, 8).Draw(t, "each")
		}
		r := read(t, s, &q, b)
		r.cut(t, w, q, all, b)
		if b.Each != 0 {
			whole := read(t, s, &q, timeline.Bounds{Resources: 100, Segments: b.Each})
			if diff := cmp.Diff(whole.parts, r.parts); diff != "" {
				t.Fatalf("small pages divide resources otherwise: %s", diff)
			}
		}
		if len(r.got) != len(want) {
			t.Fatalf("%d resources: want %d", len(r.got), len(want))
		}
		for key := range want {
			slices.Sort(r.got[key])
			slices.Sort(want[key])
			if !slices.Equal(r.got[key], want[key]) {
				t.Fatalf("%v: got\n%s\nwant\n%s", key, r.got[key], want[key])
			}
		}
	})
}

// A resource of which much more is known than may be on a page is listed in parts that
// have no more.
func TestAResourceOfManySegmentsIsCutByTime(t *testing.T) {
	line := timeline.New()
	var c timeline.Commit
	for i := range int64(1000) {
		c.Changes = append(c.Changes, held("busy", i*10, i*10+10))
	}
	apply(line, c)
	pages, seconds := 0, int64(0)
	w := usage.Window{Start: 5, End: 9_995}
	for from := (timeline.Place{}); ; pages++ {
		list, more, err := line.Snapshot().Resources(t.Context(), &timeline.Filters{}, w, from, timeline.Bounds{Resources: 10, Segments: 100})
		if err != nil || len(list) != 1 || len(list[0].Segments) > 101 {
			t.Fatal(err, len(list), len(list[0].Segments))
		}
		for _, total := range list[0].Totals(list[0].Window) {
			seconds += int64(len(total.Amount.String())) // it is not nothing
		}
		if more == nil {
			break
		}
		from = *more
	}
	if pages < 9 || pages > 11 || seconds == 0 {
		t.Errorf("%d pages: want 10", pages)
	}
}

// gone is a context that is done after it was looked at so many times.
type gone struct {
	context.Context
	looks int
}

func (g *gone) Err() error {
	if g.looks--; g.looks < 0 {
		return context.Canceled
	}
	return nil
}

// When a client goes away while its resources are listed, the listing ends soon after.
func TestWhatNobodyReadsIsNotMade(t *testing.T) {
	line := timeline.New()
	var c timeline.Commit
	for r := range int64(20) {
		for i := range int64(1000) {
			c.Changes = append(c.Changes, held(fmt.Sprint("vm-", r), i*10, i*10+10))
		}
	}
	apply(line, c)
	s := line.Snapshot()
	w := usage.Window{Start: 0, End: 10_000}
	ctx := &gone{Context: t.Context(), looks: 3}
	if _, _, err := s.Resources(ctx, &timeline.Filters{}, w, timeline.Place{}, timeline.Bounds{Resources: 10, Segments: 100}); !errors.Is(err, context.Canceled) {
		t.Errorf("resources: %v", err)
	}
	if ctx.looks < -3 {
		t.Errorf("resources: it went on, and looked %d times more", -ctx.looks)
	}
}
