package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/internal/memory"
)

const mebi = 1 << 20

// watched is a Memory, and what it tells.
type watched struct {
	*Memory
	clock         *clocktesting.FakeClock
	elected       chan struct{}
	held          int64
	events, lines []string
}

func newWatched() *watched {
	w := &watched{clock: clocktesting.NewFakeClock(noon), elected: make(chan struct{})}
	w.Memory = &Memory{
		Log:      funcr.New(func(_, line string) { w.lines = append(w.lines, line) }, funcr.Options{}),
		Clock:    w.clock,
		Limit:    memory.Limit{Bytes: 900 * mebi, Container: 1000 * mebi},
		Announce: func(a announcement) { w.events = append(w.events, a.kind+" "+a.reason+": "+a.note) },
		Elected:  w.elected, Segments: func() int { return 1234567 },
		read: func() memory.Reading { return memory.Reading{Held: w.held} },
	}
	return w
}

// runs lets hours pass in which what is held grows by so many MiB an hour.
func (w *watched) runs(hours float64, growth float64) {
	const step = 5 * time.Minute
	for passed := time.Duration(0); passed.Hours() < hours; passed += step {
		w.clock.Step(step)
		w.held += int64(growth * step.Hours() * mebi)
		w.look()
	}
}

func (w *watched) expect(t *testing.T, lines int, events ...string) {
	t.Helper()
	begins := func(event, want string) bool { return strings.HasPrefix(event, want+": ") }
	if !slices.EqualFunc(w.events, events, begins) {
		t.Errorf("events %q, want %q", w.events, events)
	}
	if len(w.lines) != lines {
		t.Errorf("%d log lines, want %d: %q", len(w.lines), lines, w.lines)
	}
	w.events, w.lines = nil, nil
}

func TestTheMemoryLimitIsToldOfAheadOfTime(t *testing.T) {
	w := newWatched()
	close(w.elected)
	w.held = 100 * mebi
	w.runs(24, 0)
	w.expect(t, 0)
	w.runs(36, 10) // 800 MiB are left for: 80 h, and less and less
	w.expect(t, 1, "Warning MemoryNearLimit")
	near := w.finding()
	for _, part := range []string{"of the limit of 900 MiB", "240 MiB more each day", "about 2026-11-2", "1234567 segments", "raise resources.limits.memory of the operator's Deployment to "} {
		if !strings.Contains(near, part) {
			t.Errorf("%q does not say %q", near, part)
		}
	}
	if h := (&Health{Memory: w.Memory}); h.finding().message != near || h.finding().reason != "" {
		t.Errorf("the meters say %+v", h.finding())
	}
	w.runs(1, 10)
	if w.finding() != near {
		t.Errorf("after an hour it says something else: %q", w.finding())
	}
	w.runs(24, 0)
	w.expect(t, 1, "Normal MemoryWithinLimit")
	if w.finding() != "" {
		t.Errorf("it still says %q", w.finding())
	}
}

// What is held may be near the limit without growing, or too fast to be foreseen.
func TestMemoryThatIsNearlyFull(t *testing.T) {
	w := newWatched()
	close(w.elected)
	w.held = 820 * mebi
	w.runs(0.1, 0)
	w.expect(t, 1, "Warning MemoryNearLimit")
	w.held = 780 * mebi // nearly
	w.runs(1, 0)
	w.expect(t, 0)
	w.held = 600 * mebi
	w.runs(1, 0)
	w.expect(t, 1, "Normal MemoryWithinLimit")
}

// A replica that stands by tells its log, and people once it leads.
func TestAStandbyNearItsMemoryLimit(t *testing.T) {
	w := newWatched()
	w.held = 820 * mebi
	w.runs(2, 0)
	w.expect(t, 1)
	close(w.elected)
	w.runs(1, 0)
	w.expect(t, 0, "Warning MemoryNearLimit")
}

func TestNoMemoryLimit(t *testing.T) {
	w := newWatched()
	w.Limit = memory.Limit{}
	w.runs(24, 1000)
	w.expect(t, 0)
	if (*Memory)(nil).finding() != "" {
		t.Error("what is not watched is near its limit")
	}
}
