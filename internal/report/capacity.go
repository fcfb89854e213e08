package report

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Comparison says which metrics are capacity, and which are held of it. The pod that runs
// a virtual machine is no container's usage: the machine is counted with what its guest has.
type Comparison struct {
	// Dimension is what is compared: cpu.
	Dimension string
	Unit      usage.Unit
	// Capacity is what nodes have, Held, what containers and machines hold.
	Capacity, Held []timeline.Metric
}

// Comparisons are all of them. GPUs are whole ones: what requests a part of one is of
// another resource.
var Comparisons = []Comparison{
	{"cpu", usage.Core, metrics("node_pool", "vcpu"), metrics("container", "cpu", "vm", "vcpu")},
	{"memory", usage.Byte, metrics("node_pool", "memory"), metrics("container", "memory", "vm", "memory")},
	{"gpu", usage.Count, metrics("node_pool", "gpu"), metrics(
		"container", "extended_resource/nvidia.com/gpu", "container", "extended_resource/amd.com/gpu",
		"container", "extended_resource/gpu.intel.com/i915", "container", "extended_resource/gpu.intel.com/xe", "vm", "gpu")},
}

func metrics(names ...string) (list []timeline.Metric) {
	for pair := range slices.Chunk(names, 2) {
		list = append(list, timeline.Metric{ResourceType: pair[0], Dimension: pair[1]})
	}
	return list
}

// Balance is what became of capacity in a window, in the part of it in which both sides
// are known:
//
//	Attributed + Unattributed + Idle = Capacity + Beyond
//
// It adds up hours of UTC, and what is known of them. In each Idle is what is left of the capacity, and
// Beyond what is held above it (guests may have more CPUs than their node), so that one of
// the two is zero, and none is negative.
type Balance struct {
	Capacity usage.Amount
	// Attributed is held under deployments, Unattributed under none.
	Attributed, Unattributed usage.Amount
	Idle, Beyond             usage.Amount
	// Compared are the seconds in which both sides are known, Unknown the others of the
	// window, as far as it has come.
	Compared, Unknown int64
	Accuracy          usage.Accuracy
}

// maxPieces is how many pieces of known time a comparison has at most.
const maxPieces = 2000

// Balances are those of windows in a row that do not overlap, up to a moment, in seconds
// since the epoch. The errors are a timeline's TooLargeError, and the context's.
func (c *Comparison) Balances(ctx context.Context, s *timeline.Snapshot, windows []usage.Window, until int64) ([]Balance, error) {
	windows = slices.Clone(windows)
	out := make([]Balance, len(windows))
	for i := range windows {
		windows[i].End = max(windows[i].Start, min(windows[i].End, until))
		out[i].Unknown = windows[i].Seconds()
	}
	pieces := c.pieces(s, windows)
	if len(pieces) > maxPieces {
		return nil, &timeline.TooLargeError{What: "pieces of known time", Wanted: len(pieces), Max: maxPieces, Remedy: "ask for less time at once"}
	}
	for _, piece := range pieces {
		hours, err := c.hours(ctx, s, piece, until)
		if err != nil {
			return nil, err
		}
		for i := range hours {
			at := slices.IndexFunc(windows, func(w usage.Window) bool { return w.Contains(hours[i].start) })
			out[at].add(&hours[i])
		}
	}
	return out, nil
}

// pieces are the times of which both sides are known, cut where a window begins within
// an hour of UTC.
func (c *Comparison) pieces(s *timeline.Snapshot, windows []usage.Window) (pieces []usage.Window) {
	of := func(list []timeline.Metric) timeline.Filters { return timeline.Filters{Metrics: list} }
	containers := slices.DeleteFunc(slices.Clone(c.Held), func(m timeline.Metric) bool { return m.ResourceType != "container" })
	for i, w := range windows {
		for _, seen := range s.Seen(w, of(c.Capacity), of(containers), of(c.Held)) {
			if last := len(pieces) - 1; i > 0 && last >= 0 && pieces[last].End == seen.Start && seen.Start%3600 == 0 {
				pieces[last].End = seen.End
				continue
			}
			pieces = append(pieces, seen)
		}
	}
	return pieces
}

// hour is what there was in an hour, or a part of one.
type hour struct {
	start, seconds             int64
	capacity, held, unassigned usage.Amount
	accuracy                   usage.Accuracy
}

func (c *Comparison) hours(ctx context.Context, s *timeline.Snapshot, piece usage.Window, until int64) ([]hour, error) {
	var hours []hour
	for at := piece.Start; at < piece.End; {
		end := min(usage.Interval(at, 3600).End, piece.End)
		hours = append(hours, hour{start: at, seconds: end - at})
		at = end
	}
	for _, side := range []struct {
		filters timeline.Filters
		into    func(*hour) *usage.Amount
	}{
		{timeline.Filters{Metrics: c.Capacity}, func(h *hour) *usage.Amount { return &h.capacity }},
		{timeline.Filters{Metrics: c.Held}, func(h *hour) *usage.Amount { return &h.held }},
		{timeline.Filters{Metrics: c.Held, Deployments: []string{""}}, func(h *hour) *usage.Amount { return &h.unassigned }},
	} {
		tally, err := timeline.NewTally(timeline.Query{Window: piece, Size: timeline.Hour, Filters: side.filters})
		if err == nil {
			err = tally.AdvanceFor(ctx, s, until)
		}
		if err != nil {
			return nil, err
		}
		page, err := tally.Page("", math.MaxInt)
		if err != nil {
			return nil, err
		}
		for i := range page.Rows {
			row := &page.Rows[i]
			if row.Unit != c.Unit {
				continue
			}
			h := &hours[usage.Interval(row.Window.Start, 3600).Start/3600-usage.Interval(piece.Start, 3600).Start/3600]
			amount := side.into(h)
			*amount = amount.Plus(row.Amount)
			h.accuracy = max(h.accuracy, row.Accuracy)
		}
	}
	return hours, nil
}

// add adds an hour.
func (b *Balance) add(h *hour) {
	b.Compared += h.seconds
	b.Unknown -= h.seconds
	b.Accuracy = max(b.Accuracy, h.accuracy)
	b.Capacity = b.Capacity.Plus(h.capacity)
	b.Unattributed = b.Unattributed.Plus(h.unassigned)
	attributed, ok := h.held.Minus(h.unassigned)
	if !ok {
		panic(fmt.Sprintf("report: in the hour %d less is held than is unattributed", h.start))
	}
	b.Attributed = b.Attributed.Plus(attributed)
	if idle, ok := h.capacity.Minus(h.held); ok {
		b.Idle = b.Idle.Plus(idle)
		return
	}
	beyond, _ := h.held.Minus(h.capacity)
	b.Beyond = b.Beyond.Plus(beyond)
}

// Plus is the balance of two windows together.
func (b Balance) Plus(other Balance) Balance {
	return Balance{
		Capacity: b.Capacity.Plus(other.Capacity), Attributed: b.Attributed.Plus(other.Attributed),
		Unattributed: b.Unattributed.Plus(other.Unattributed), Idle: b.Idle.Plus(other.Idle), Beyond: b.Beyond.Plus(other.Beyond),
		Compared: b.Compared + other.Compared, Unknown: b.Unknown + other.Unknown, Accuracy: max(b.Accuracy, other.Accuracy),
	}
}

// Cut cuts a window into those of a size, of which the first and the last may be shorter.
// There are at most so many; the error is a timeline's TooLargeError.
func Cut(w usage.Window, size timeline.Size, zone *time.Location, most int) ([]usage.Window, error) {
	if size == timeline.None {
		return []usage.Window{w}, nil
	}
	var list []usage.Window
	for at := w.Start; at < w.End; {
		end := min(timeline.Period(at, size, 0, zone).End, w.End)
		if list = append(list, usage.Window{Start: at, End: end}); len(list) > most {
			return nil, &timeline.TooLargeError{What: timeline.Windows, Wanted: len(list), Max: most, Remedy: "take larger windows, or less time at once"}
		}
		at = end
	}
	return list, nil
}
