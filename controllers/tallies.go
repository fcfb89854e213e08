package controllers

import (
	"github.com/usage-operator/usage-operator/internal/lru"
	"github.com/usage-operator/usage-operator/internal/timeline"
)

// tallies keeps those of reports that go on, so that an interval more costs what
// it adds.
type tallies struct {
	kept *lru.Cache[reportKey, keptTally]
}

type keptTally struct {
	fingerprint string
	tally       *timeline.Tally
}

// maxKept is how many cells all tallies that are kept may have: about 64 MiB.
const maxKept = 2_000_000

func newTallies(cells int) *tallies {
	return &tallies{kept: lru.New[reportKey, keptTally](cells)}
}

// take is the report's tally of the query: the one that is kept, or a new one.
// Nobody else gets it until it is put back.
func (t *tallies) take(report reportKey, query timeline.Query) (*timeline.Tally, error) {
	if k, kept := t.kept.Take(report); kept && k.fingerprint == query.Fingerprint() {
		return k.tally, nil
	}
	return timeline.NewTally(query)
}

// put keeps a report's tally.
func (t *tallies) put(report reportKey, query timeline.Query, tally *timeline.Tally) {
	t.kept.Put(report, keptTally{fingerprint: query.Fingerprint(), tally: tally}, tally.Cells())
}

// drop forgets a report's tally.
func (t *tallies) drop(report reportKey) { t.kept.Drop(report) }
