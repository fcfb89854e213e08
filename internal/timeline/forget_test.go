package timeline_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// script makes up what becomes of some holders' segments, hour by hour: they start,
// end and are voided, and are put again long after they have ended; as a ledger
// has it, each holder has one that goes on at most.
type script struct {
	open map[int]*usage.Change // by holder
	past []usage.Change        // that have ended, and may be put again
	now  int64
}

func (s *script) holder(t *rapid.T, n int) *usage.Subject {
	object := usage.Object{Kind: "Pod", Name: fmt.Sprint("pod-", n/2), UID: fmt.Sprint("uid-", n/2)}
	if n >= 4 {
		object = usage.Object{Kind: "Thing", Name: fmt.Sprint("thing-", n/2)} // without a UID
	}
	return &usage.Subject{
		ResourceType: "pod", Resource: object, Instance: object, Container: fmt.Sprint("container-", n%2),
		Account: usage.Account{Namespace: "shop", NamespaceUID: "n1", Deployment: rapid.SampledFrom([]string{"web", "db"}).Draw(t, "deployment")},
	}
}

// change is what happens next; nil: nothing.
func (s *script) change(t *rapid.T) *usage.Change {
	n := rapid.IntRange(0, 5).Draw(t, "holder")
	at := s.now + rapid.Int64Range(1, 3599).Draw(t, "at")
	c := usage.Change{Segment: usage.Segment{
		Meter: "pod", Subject: s.holder(t, n), Dimension: dimensions[0], Level: rapid.Int64Range(1, 100).Draw(t, "level"),
		Start: usage.Boundary{At: at, Evidence: usage.Observed},
	}}
	switch rapid.IntRange(0, 6).Draw(t, "what") {
	case 0, 1: // it starts, or what goes on ends
		if was := s.open[n]; was != nil {
			if at <= was.Start.At {
				return nil
			}
			ended := *was
			ended.End = usage.Boundary{At: at, Evidence: usage.Observed}
			delete(s.open, n)
			s.past = append(s.past, ended)
			return &ended
		}
		s.open[n] = &c
		return &c
	case 2: // it came and went
		if s.open[n] != nil {
			return nil
		}
		c.End = usage.Boundary{At: at + rapid.Int64Range(1, 600).Draw(t, "lasted"), Evidence: usage.Observed}
		if rapid.IntRange(0, 3).Draw(t, "brief") == 0 { // it is not known whether it lasted at all
			c.End = usage.Boundary{At: at, Slack: 30, Evidence: usage.ReplayBound}
			return &c
		}
		s.past = append(s.past, c)
		return &c
	case 3: // what goes on is void
		if was := s.open[n]; was != nil {
			c, c.Kind = *was, usage.Void
			delete(s.open, n)
			return &c
		}
	case 4: // what has ended is corrected
		if len(s.past) > 0 {
			c = rapid.SampledFrom(s.past).Draw(t, "past")
			c.Kind = rapid.SampledFrom([]usage.ChangeKind{usage.Less, usage.More}).Draw(t, "kind")
			return &c
		}
	case 5, 6: // what has ended is put again, void, or otherwise than before
		if len(s.past) > 0 {
			c = rapid.SampledFrom(s.past).Draw(t, "past")
			c.Kind = rapid.SampledFrom([]usage.ChangeKind{usage.Put, usage.Put, usage.Void}).Draw(t, "kind")
			c.End.At = c.Start.At + rapid.Int64Range(1, 9000).Draw(t, "lasted")
			of := *c.Subject
			of.Deployment = rapid.SampledFrom([]string{"web", "db"}).Draw(t, "deployment")
			c.Subject = &of
			return &c
		}
	}
	return nil
}

// A timeline that forgets where series are says what one says that does not forget:
// it is told of no seal until the end.
func TestForgettingChangesNothing(t *testing.T) {
	always := usage.Window{Start: math.MinInt64, End: math.MaxInt64}
	query := timeline.Query{
		Window: usage.Window{Start: second0, End: second0 + length}, Size: timeline.Hour,
		GroupBy: []timeline.Key{timeline.Deployment, timeline.Resource, timeline.Container},
	}
	rapid.Check(t, func(t *rapid.T) {
		s := &script{open: map[int]*usage.Change{}, now: second0 - second0%3600}
		forgets, remembers := timeline.NewHot(drawHot(t)), timeline.New()
		var sealed []usage.Window
		for range rapid.IntRange(1, 12).Draw(t, "hours") {
			for range rapid.IntRange(1, 3).Draw(t, "commits") {
				var c timeline.Commit
				for range rapid.IntRange(0, 6).Draw(t, "changes") {
					if change := s.change(t); change != nil {
						c.Changes = append(c.Changes, *change)
					}
				}
				forgets.Take(c)
				remembers.Take(c)
				if rapid.Bool().Draw(t, "published") {
					forgets.Publish()
					remembers.Publish()
				}
			}
			interval := usage.Window{Start: s.now, End: s.now + 3600}
			forgets.Take(timeline.Commit{Sealed: []usage.Window{interval}})
			sealed = append(sealed, interval)
			s.now += 3600
		}
		apply(forgets, timeline.Commit{})
		apply(remembers, timeline.Commit{Sealed: sealed})
		if want, got := remembers.Snapshot().Segments(), forgets.Snapshot().Segments(); want != got {
			t.Fatalf("%d segments, want %d", got, want)
		}
		for _, filters := range []timeline.Filters{{}, {Deployments: []string{"web"}}} {
			want, got := resources(t, remembers.Snapshot(), &filters, always), resources(t, forgets.Snapshot(), &filters, always)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("resources: want -, got +:\n%s", diff)
			}
		}
		want, got := page(t, tallied(t, remembers.Snapshot(), query), "", 1000), page(t, tallied(t, forgets.Snapshot(), query), "", 1000)
		if diff := cmp.Diff(fmt.Sprintf("%+v", want.Rows), fmt.Sprintf("%+v", got.Rows)); diff != "" {
			t.Fatalf("rows: want -, got +:\n%s", diff)
		}
	})
}

// doubtful makes the ends of a segment less than certain, sometimes.
func doubtful(t *rapid.T, c *usage.Change) {
	if c.Kind == usage.Less || c.Kind == usage.More || rapid.IntRange(0, 3).Draw(t, "doubtful") != 0 {
		return
	}
	c.Start.Evidence = rapid.SampledFrom([]usage.Evidence{usage.Observed, usage.MeteringStarted, usage.LastKnown}).Draw(t, "started")
	c.Start.Slack = uint32(rapid.SampledFrom([]int64{0, 5, 7200}).Draw(t, "before"))
	if !c.End.IsZero() {
		c.End.Evidence = rapid.SampledFrom([]usage.Evidence{usage.Observed, usage.MeteringStopped}).Draw(t, "stopped")
		c.End.Slack = uint32(rapid.SampledFrom([]int64{0, 5, 7200, 200_000}).Draw(t, "after"))
	}
}

// settled tells that a change corrects nothing that is not sealed.
func settled(c *usage.Change, sealed int64) bool {
	return c.Kind != usage.Less && c.Kind != usage.More || c.End.At <= sealed
}

// truth keeps what changes leave, in a list.
type truth struct {
	world
	last map[usage.SegmentKey]int // where a segment is
}

func (w *truth) take(c usage.Change) {
	key := c.Key()
	key.ResourceUID += c.Subject.Resource.Name // some have no UID
	if i, there := w.last[key]; there && c.HasKey() {
		w.segments[i].Level = 0 // it is another now, or none
		delete(w.last, key)
	}
	if c.Kind == usage.Void {
		return
	}
	if c.HasKey() {
		w.last[key] = len(w.segments)
	}
	w.segments = append(w.segments, c)
}

// Whatever changes, is sealed, comes late, is put right or comes again after it was
// sealed, and whenever readers look: any question over any window is answered as a
// sum over all segments has it.
func TestWhateverComesIsWhatTheOracleSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &script{open: map[int]*usage.Change{}, now: second0 - second0%86400 - rapid.SampledFrom([]int64{0, 3600}).Draw(t, "begins")}
		line, known := timeline.NewHot(drawHot(t)), &truth{last: map[usage.SegmentKey]int{}}
		for range rapid.IntRange(1, 10).Draw(t, "intervals") {
			for range rapid.IntRange(0, 8).Draw(t, "changes") {
				if change := s.change(t); change != nil && settled(change, s.now) {
					doubtful(t, change)
					line.Take(timeline.Commit{Changes: []usage.Change{*change}})
					known.take(*change)
				}
				if rapid.IntRange(0, 3).Draw(t, "published") == 0 {
					line.Publish()
				}
			}
			lasts := rapid.SampledFrom([]int64{60, 3600, 3600, 86400, 30 * 3600}).Draw(t, "lasts")
			line.Take(timeline.Commit{Sealed: []usage.Window{{Start: s.now, End: s.now + lasts}}})
			s.now += lasts
		}
		line.Publish()
		known.segments = slices.DeleteFunc(known.segments, func(c usage.Change) bool { return c.Level == 0 })
		known.sealed = s.now
		for range 4 {
			q := drawQuery(t)
			q.Window.Start = rapid.Int64Range(second0-2*86400, s.now).Draw(t, "from")
			if rapid.Bool().Draw(t, "on the hour") {
				q.Window.Start -= q.Window.Start % 3600
			}
			q.Window.End = q.Window.Start + rapid.SampledFrom([]int64{1, 3600, 5000, 86400, 10 * 86400}).Draw(t, "seconds")
			q.ResourceTypes, q.Metrics, q.Dimensions = nil, nil, nil
			if n := len(q.Namespaces); n > 0 {
				q.Namespaces = []timeline.NamespaceRef{{Name: "shop", UID: "n1"}}
			}
			known.compare(t, line.Snapshot(), q)
		}
	})
}

// What the writer remembers is what may still change, and not what ever was.
func TestWhatHasEndedIsForgotten(t *testing.T) {
	line := timeline.New()
	const pods = 20_000
	runJobs(line, pods, 2, true)
	if got, want := line.Snapshot().Segments(), pods*jobSegments; got != want {
		t.Errorf("%d segments, want %d", got, want)
	}
	streams, holders, objects := line.Remembered()
	if most := pods / 5; streams > most || holders > most || objects > most {
		t.Errorf("of %d pods that have ended %d streams, %d holders and %d objects are remembered", pods, streams, holders, objects)
	}
}
