package controllers

import (
	"sync"

	"github.com/usage-operator/usage-operator/internal/lru"
	"github.com/usage-operator/usage-operator/internal/timeline"
)

// The memory that reports may take: one is computed at a time, which takes about
// maxGroups*650 + maxCells*16 bytes, and tallies of maxKept bytes are kept.
const (
	// maxGroups and maxCells bound one report.
	maxGroups = 50_000
	maxCells  = 2_500_000
	// maxKept is how many bytes all tallies that are kept may take.
	maxKept = 64 << 20
)

var reportLimits = timeline.Limits{Groups: maxGroups, Cells: maxCells}

// tallies keeps those of reports that go on, so that an interval more costs what
// it adds.
type tallies struct {
	kept   *lru.Cache[reportKey, keptTally]
	limits timeline.Limits
	// adding is held while a report is computed, so that at most one tally is not
	// weighed yet.
	adding sync.Mutex
}

type keptTally struct {
	fingerprint string
	tally       *timeline.Tally
}

func newTallies(bytes int) *tallies {
	return &tallies{kept: lru.New[reportKey, keptTally](bytes), limits: reportLimits}
}

// use calls with the report's tally of a query as it is up to a moment: the one
// that is kept and goes on, or a new one. The tally is the callee's until it
// returns; then it is kept, unless there was an error.
func (t *tallies) use(report reportKey, query timeline.Query, s *timeline.Snapshot, until int64, call func(*timeline.Tally) error) error {
	t.adding.Lock()
	defer t.adding.Unlock()
	fingerprint := query.Fingerprint()
	k, kept := t.kept.Take(report)
	if !kept || k.fingerprint != fingerprint {
		tally, err := timeline.NewTally(query)
		if err != nil {
			return err
		}
		tally.Limit(t.limits)
		k = keptTally{fingerprint: fingerprint, tally: tally}
	}
	if err := k.tally.Advance(s, until); err != nil {
		return err
	}
	if err := call(k.tally); err != nil {
		return err
	}
	t.kept.Put(report, k, int(k.tally.Bytes()))
	return nil
}

// drop forgets a report's tally.
func (t *tallies) drop(report reportKey) { t.kept.Drop(report) }
