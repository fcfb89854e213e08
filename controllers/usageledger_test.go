package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/memory"
)

// sized is a journal of a size.
type sized struct{ bytes int64 }

func (s *sized) Size() journal.Size { return journal.Size{Blocks: 1, Bytes: s.bytes} }

// TestTheJournalsBudgetIsToldOfAheadOfTime, once, and once that is over; and a journal that is over
// its budget is not told of as one that is about to be.
func TestTheJournalsBudgetIsToldOfAheadOfTime(t *testing.T) {
	clock, j := clocktesting.NewFakeClock(noon), &sized{100 * mebi}
	var events []string
	announce := func(a announcement) { events = append(events, a.kind+" "+a.reason+": "+a.note) }
	l := &LedgerState{
		Log: logr.Discard(), Clock: clock, Journal: j, Schedule: Schedule{JournalBudget: 1000 * mebi}, Announce: announce,
		Health: &Health{Log: logr.Discard(), JournalBudget: 1000 * mebi, Announce: announce, Memory: newWatched().Memory},
	}
	runs := func(hours, growth float64) {
		const step = 5 * time.Minute
		for passed := time.Duration(0); passed.Hours() < hours; passed += step {
			clock.Step(step)
			j.bytes += int64(growth * step.Hours() * mebi)
			l.foresee(j.bytes)
			l.Health.sized(j.Size())
		}
	}
	expect := func(limits string, want ...string) {
		t.Helper()
		if !slices.EqualFunc(events, want, func(e, w string) bool { return strings.HasPrefix(e, w+": ") }) {
			t.Errorf("events %q, want %q", events, want)
		}
		if c := l.withinLimits(); c.Reason != limits || (c.Status == metav1.ConditionTrue) != (limits == v1alpha1.ReasonRoom) {
			t.Errorf("%+v, want %s", c, limits)
		}
		events = nil
	}
	runs(24, 0)
	expect(v1alpha1.ReasonRoom)
	runs(48, 10) // 520 MiB are left for: 52 h
	expect(v1alpha1.ReasonJournalNearBudget, "Warning JournalNearBudget")
	for _, part := range []string{"240Mi a day", "--journal-budget=1000Mi", "about 2026-11-2"} {
		if said := l.withinLimits().Message; !strings.Contains(said, part) {
			t.Errorf("%q does not say %q", said, part)
		}
	}
	runs(60, 10)
	expect(v1alpha1.ReasonJournalOverBudget, "Warning JournalOverBudget")
	j.bytes = 200 * mebi
	runs(48, 0)
	expect(v1alpha1.ReasonRoom, "Normal JournalWithinBudget")
}

func TestBytesAreRoundedUp(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0", 1: "1", 9999: "9999", 10241: "11Ki", 12373221: "12Mi", 1 << 30: "1Gi", 1000 * mebi: "1000Mi", 11 << 30: "11Gi"} {
		if got := rounded(bytes).String(); got != want {
			t.Errorf("%d is %s, want %s", bytes, got, want)
		}
	}
	s := sizeOf(5, 0, memory.Forecast{})
	if s.Limit != nil || s.GrowthPerDay != nil || s.LimitTime != nil {
		t.Errorf("what is not known is said: %+v", s)
	}
}
