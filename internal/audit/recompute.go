package audit

import (
	"math"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Recompute recomputes the digest of every sealed interval from what a ledger says that is
// kept elsewhere, as Verify does from a journal: the state's segments, coverage and seals.
// It reorders the segments.
func Recompute(state *journal.State, progress func(doing string, done, total int)) *Report {
	if progress == nil {
		progress = func(string, int, int) {}
	}
	a := &auditor{
		Input: Input{From: math.MinInt64, To: math.MaxInt64, Progress: progress},
		state: state, held: hold(state.Segments), coverage: usage.Stretches{}.With(state.Coverage...), report: &Report{},
	}
	a.report.journal(state, state.Head)
	a.verifySeals()
	return a.report
}
