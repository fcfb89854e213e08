package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/steadyclock"
	"github.com/usage-operator/usage-operator/internal/usage"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// told is a health, and what it tells: Events by their reason, and log lines.
type told struct {
	*Health
	events, lines []string
}

func newTold(budget int64) *told {
	t := &told{}
	t.Health = &Health{
		Log:           funcr.New(func(_, line string) { t.lines = append(t.lines, line) }, funcr.Options{}),
		Announce:      func(a announcement) { t.events = append(t.events, a.kind+" "+a.reason) },
		JournalBudget: budget,
	}
	return t
}

func (t *told) expect(test *testing.T, events ...string) {
	test.Helper()
	if !slices.Equal(t.events, events) {
		test.Errorf("events %q, want %q", t.events, events)
	}
	if len(t.lines) != len(events) {
		test.Errorf("log lines %q, want one for each of %q", t.lines, events)
	}
	t.events, t.lines = nil, nil
}

func TestAnOutageIsToldOnceAndItsEndOnce(t *testing.T) {
	h := newTold(0)
	for i := range 20 {
		h.failed(noon.Add(time.Duration(i)*time.Second), fmt.Errorf("try %d: no space", i))
	}
	h.expect(t, "Warning JournalUnavailable")
	if since, err := h.Degraded(); !since.Equal(noon) || err == nil || err.Error() != "try 19: no space" {
		t.Errorf("degraded since %s: %v", since, err)
	}
	if f := h.finding(); f.reason != v1alpha1.ReasonJournalUnavailable || !strings.Contains(f.message, "2026-11-21T12:00:00Z: try 19") {
		t.Errorf("the meters say %+v", f)
	}
	for range 3 {
		h.committed(noon.Add(time.Minute), journal.Size{})
	}
	h.expect(t, "Normal JournalAvailable")
	if _, err := h.Degraded(); err != nil || h.finding() != (finding{}) {
		t.Errorf("still degraded: %v, %+v", err, h.finding())
	}
}

func TestABudgetIsTold(t *testing.T) {
	h := newTold(1 << 20)
	h.sized(journal.Size{Bytes: 1 << 20})
	h.expect(t)
	for range 3 {
		h.sized(journal.Size{Bytes: 1<<20 + 1})
	}
	h.expect(t, "Warning JournalOverBudget")
	if f := h.finding(); f.reason != "" || !strings.Contains(f.message, "--journal-budget=1Mi") {
		t.Errorf("the meters say %+v: want a message, and nothing in their way", f)
	}
	h.sized(journal.Size{})
	h.expect(t, "Normal JournalWithinBudget")

	unbounded := newTold(0)
	unbounded.sized(journal.Size{Bytes: 1 << 50})
	unbounded.expect(t)
}

func TestAClockIsTold(t *testing.T) {
	h := newTold(0)
	h.jumped(steadyclock.Jump{From: noon, To: noon.Add(time.Hour)})
	h.expect(t, "Warning ClockSetAhead")
	if h.finding() != (finding{}) {
		t.Errorf("set ahead, it stands in nobody's way: %+v", h.finding())
	}
	h.jumped(steadyclock.Jump{From: noon, To: noon.Add(-time.Hour)})
	h.expect(t, "Warning ClockBehind")
	if f := h.finding(); f.reason != v1alpha1.ReasonClockBehind || !strings.Contains(f.message, "2026-11-21T11:00:00Z") {
		t.Errorf("the meters say %+v", f)
	}
	h.jumped(steadyclock.Jump{From: noon, To: noon, Over: true})
	h.expect(t, "Normal ClockCaughtUp")
	if h.finding() != (finding{}) {
		t.Errorf("caught up, and the meters say %+v", h.finding())
	}
}

func TestLags(t *testing.T) {
	h := newTold(0)
	something := &journal.Batch{Changes: make([]usage.Change, 1)}
	at := noon.Unix()
	expect := func(seconds, commit, seal int64) {
		t.Helper()
		if f := h.figures(at + seconds); f.commitLag != commit || f.sealLag != seal {
			t.Errorf("after %d s: %d s to be committed, %d s to be sealed; want %d and %d", seconds, f.commitLag, f.sealLag, commit, seal)
		}
	}
	expect(0, 0, 0)
	h.changed(at + 1)
	h.changed(at + 3)
	expect(5, 4, 0)
	h.batched(at+5, something)
	h.changed(at + 6)
	expect(10, 9, 0) // of what is pending, not of what came after it
	h.committed(noon.Add(10*time.Second), journal.Size{})
	expect(10, 4, 0)
	h.batched(at+11, something)
	h.committed(noon.Add(11*time.Second), journal.Size{})
	expect(100, 0, 0)
	h.batched(at+100, something) // changes that nobody has noticed before
	expect(160, 60, 0)
	h.failed(noon.Add(160*time.Second), errors.New("no space"))
	expect(170, 70, 0)
	h.waits(at + 180)
	expect(170, 70, 0)
	expect(200, 100, 20)
}

func TestAJournalThatIsTooLargeIsTold(t *testing.T) {
	h := newTold(0)
	h.tooLarge(errors.New("raise the limit to 2 GiB"))
	h.expect(t, "Warning MemoryTooSmall")
}
