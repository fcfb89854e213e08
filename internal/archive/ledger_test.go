package archive

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

const (
	// firstDay is 2026-11-20, and metering begins at half past six.
	firstDay = Day(1795132800)
	began    = int64(firstDay) + 6*3600 + 1800
	clusterA = "0d5c8a3e-cluster-a"
)

// blockStore is a journal.Store in memory.
type blockStore map[journal.Key]journal.Stored

func (b blockStore) Create(_ context.Context, key journal.Key, spec []byte) error {
	if _, there := b[key]; there {
		return journal.ErrExists
	}
	b[key] = journal.Stored{Key: key, Spec: slices.Clone(spec)}
	return nil
}

func (b blockStore) Get(_ context.Context, key journal.Key) (journal.Stored, error) {
	stored, there := b[key]
	if !there {
		return journal.Stored{}, journal.ErrNotFound
	}
	return stored, nil
}

func (b blockStore) Keys(context.Context) ([]journal.Key, error) {
	return slices.Collect(maps.Keys(b)), nil
}

func (b blockStore) List(_ context.Context, each func(journal.Stored) error) error {
	for _, key := range slices.SortedFunc(maps.Keys(b), func(a, b journal.Key) int { return cmp.Compare(a.From, b.From) }) {
		if err := each(b[key]); err != nil {
			return err
		}
	}
	return nil
}

func (b blockStore) Delete(_ context.Context, key journal.Key) error {
	delete(b, key)
	return nil
}

// history is a ledger that was kept for some days: its journal, and all that it has.
type history struct {
	blocks   blockStore
	journal  *journal.Journal
	segments []usage.Change
	at       map[usage.SegmentKey]int // of segments that have a key
	late     []usage.Change           // Less and More
	coverage []usage.Stretch
	seals    []journal.Seal
	batches  []*journal.Batch
}

func newHistory() (*history, error) {
	h := &history{blocks: blockStore{}, at: map[usage.SegmentKey]int{}}
	h.journal = journalIn(h.blocks)
	_, err := h.journal.Load(context.Background())
	return h, err
}

func journalIn(blocks journal.Store) *journal.Journal {
	return journal.New(journal.Options{Store: blocks, Writer: "operator", Cluster: clusterA, Clock: someClock(), Log: logr.Discard()})
}

func someClock() *clocktesting.FakeClock {
	return clocktesting.NewFakeClock(time.Unix(int64(firstDay)+365*aDay, 0))
}

func (h *history) source() Journal {
	return Journal{Store: h.blocks, Clock: someClock(), Log: logr.Discard()}
}

// end is where what is sealed ends.
func (h *history) end() int64 {
	if len(h.seals) == 0 {
		return began
	}
	return h.seals[len(h.seals)-1].Interval.End
}

// sealedParts are the parts of the segments in the interval, from all of them.
func sealedParts(segments []usage.Change, interval usage.Window) []usage.Segment {
	var inside []usage.Segment
	for _, s := range segments {
		if part, ok := s.Cut(interval, interval.End); ok {
			inside = append(inside, part)
		}
	}
	slices.SortFunc(inside, func(a, b usage.Segment) int {
		return cmp.Or(usage.CompareAccounts(a.Subject.Account, b.Subject.Account), a.Compare(b))
	})
	return inside
}

// advance commits changes, each of which is of what is not sealed yet, or corrects what
// is, and seals the intervals until a moment.
func (h *history) advance(until int64, changes []usage.Change, coverage []usage.Stretch) error {
	for _, c := range changes {
		switch c.Kind {
		case usage.Less, usage.More:
			h.late = append(h.late, c)
			continue
		case usage.Put:
			at, known := h.at[c.Key()]
			if known = known && c.HasKey(); known {
				h.segments[at] = c
				continue
			}
			if c.HasKey() {
				h.at[c.Key()] = len(h.segments)
			}
			h.segments = append(h.segments, c)
		}
	}
	h.coverage = append(h.coverage, coverage...)
	batch := &journal.Batch{Time: until, Changes: changes, Coverage: coverage}
	if len(h.seals) == 0 {
		batch.Meters = []journal.Meter{{Name: "vm", ResourceType: "vm", Kind: "VM", Since: began, Listed: true, Measured: []usage.Metered{{Since: began}}}}
	}
	var previous journal.Digest
	if n := len(h.seals); n > 0 {
		previous = h.seals[n-1].Digest
	}
	for at := h.end(); at < until; {
		interval := usage.Interval(at, 3600)
		interval.Start = at
		if at = interval.End; at > until {
			break
		}
		previous = ledger.Digest(previous, interval, sealedParts(h.segments, interval), usage.CutCoverage(h.coverage, interval))
		unknown := func(s usage.Stretch) bool { return s.Coverage == usage.CoverageUnknown }
		seal := journal.Seal{Interval: interval, Digest: previous, Partial: slices.ContainsFunc(usage.CutCoverage(h.coverage, interval), unknown)}
		batch.Seals, h.seals = append(batch.Seals, seal), append(h.seals, seal)
	}
	h.batches = append(h.batches, batch)
	if err := h.journal.Append(context.Background(), batch); err != nil {
		return err
	}
	_, err := h.journal.Compact(context.Background())
	return err
}

// vm is the nth of them.
func vm(n int) *usage.Subject {
	return &usage.Subject{
		ResourceType: "vm", Resource: usage.Object{Kind: "VM", Name: fmt.Sprint("db-", n), UID: fmt.Sprintf("uid-%04d", n)},
		Account:    usage.Account{Namespace: fmt.Sprint("shop-", n%3), NamespaceUID: fmt.Sprint("ns-", n%3), Deployment: "db"},
		Attributes: usage.NewAttributes(map[string]string{"class": "fast\x00"}),
	}
}

var vcpu = usage.Dimension{Name: "vcpu", Unit: usage.Core}

func held(n int, level int64, start usage.Boundary) usage.Change {
	return usage.Change{Segment: usage.Segment{Meter: "vm", Subject: vm(n), Dimension: vcpu, Level: level, Start: start}}
}

// anyHistory is one of up to four days, with machines that start, are resized and end
// within bounds, some of them at midnight, and are corrected.
func anyHistory(t *rapid.T) *history {
	h, err := newHistory()
	if err != nil {
		t.Fatal(err)
	}
	open := map[int]usage.Change{}
	for at := began; at < int64(firstDay)+4*aDay; {
		step := rapid.SampledFrom([]int64{900, 3600, 7 * 3600, aDay}).Draw(t, "step")
		next := at + step
		if rapid.Bool().Draw(t, "until midnight") {
			next = int64(DayOf(at).Next())
		}
		var changes []usage.Change
		for range rapid.IntRange(0, 4).Draw(t, "events") {
			changes = append(changes, event(t, open, at, next)...)
		}
		var coverage []usage.Stretch
		if rapid.IntRange(0, 4).Draw(t, "blind") == 0 {
			coverage = append(coverage, usage.Stretch{Meter: "vm", Coverage: usage.CoverageUnknown,
				Window: usage.Window{Start: rapid.Int64Range(at, next-1).Draw(t, "from"), End: next}})
		}
		if at > began && rapid.IntRange(0, 3).Draw(t, "late") == 0 {
			c := held(rapid.IntRange(0, 5).Draw(t, "vm"), 500, usage.Boundary{At: began, Evidence: usage.Observed})
			c.Kind, c.Corrects, c.End = usage.Less, began, usage.Boundary{At: began + int64(len(h.late)) + 1, Evidence: usage.Observed}
			changes = append(changes, c)
		}
		if err := h.advance(next, changes, coverage); err != nil {
			t.Fatal(err)
		}
		at = next
	}
	return h
}

// event is what happens to a machine between two moments, after what happened to it.
func event(t *rapid.T, open map[int]usage.Change, from, to int64) []usage.Change {
	n := rapid.IntRange(0, 7).Draw(t, "vm")
	at := rapid.SampledFrom([]int64{from, to - 1, min(to-1, int64(DayOf(from).Next())), (from + to) / 2}).Draw(t, "at")
	slack := uint32(rapid.SampledFrom([]int64{0, 0, 30, 1800}).Draw(t, "slack"))
	boundary := usage.Boundary{At: at, Slack: min(slack, uint32(at-from)), Evidence: usage.Observed}
	before, is := open[n]
	if !is {
		if slack > 0 && rapid.Bool().Draw(t, "brief") {
			c := held(n, 1000, usage.Boundary{At: at, Evidence: usage.ReplayBound})
			c.End = usage.Boundary{At: at, Slack: min(slack, uint32(to-at)), Evidence: usage.ReplayBound}
			return []usage.Change{c}
		}
		open[n] = held(n, rapid.Int64Range(1, 8).Draw(t, "level"), boundary)
		return []usage.Change{open[n]}
	}
	if before.Start.At >= at {
		return nil
	}
	before.End = usage.Boundary{At: at, Slack: min(slack, uint32(to-at)), Evidence: usage.ReplayBound}
	delete(open, n)
	return []usage.Change{before}
}

// caughtUp writes all chapters.
func caughtUp(t testing.TB, a *Archive, h *history) {
	t.Helper()
	for {
		n, err := a.CatchUp(t.Context(), h.source(), h.end())
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}
