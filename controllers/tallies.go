package controllers

import (
	"container/list"
	"sync"

	"github.com/usage-operator/usage-operator/internal/timeline"
)

// tallies keeps those of reports that go on, so that an interval more costs what
// it adds. Those that were used least recently go first when there are too many.
// One that takes more than half of the room is not kept: it would drive out all
// others at each seal, to save less than they do.
type tallies struct {
	mu    sync.Mutex
	known map[reportKey]*list.Element
	order list.List // of *kept, the most recently used first
	cells int
	room  int // for how many cells
}

type kept struct {
	report      reportKey
	fingerprint string
	tally       *timeline.Tally
	cells       int
}

// maxKept is how many cells all tallies that are kept may have: about 64 MiB.
const maxKept = 2_000_000

func newTallies(room int) *tallies { return &tallies{known: map[reportKey]*list.Element{}, room: room} }

// take is the report's tally of the query: the one that is kept, or a new one.
// Nobody else gets it until it is put back.
func (t *tallies) take(report reportKey, query timeline.Query) (*timeline.Tally, error) {
	t.mu.Lock()
	at := t.known[report]
	t.remove(report)
	t.mu.Unlock()
	if at != nil {
		if k := at.Value.(*kept); k.fingerprint == query.Fingerprint() {
			return k.tally, nil
		}
	}
	return timeline.NewTally(query)
}

// put keeps a report's tally.
func (t *tallies) put(report reportKey, query timeline.Query, tally *timeline.Tally) {
	k := &kept{report: report, fingerprint: query.Fingerprint(), tally: tally, cells: tally.Cells()}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(report)
	if k.cells > t.room/2 {
		return
	}
	t.known[report] = t.order.PushFront(k)
	t.cells += k.cells
	for t.cells > t.room {
		t.remove(t.order.Back().Value.(*kept).report)
	}
}

// drop forgets a report's tally.
func (t *tallies) drop(report reportKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(report)
}

func (t *tallies) remove(report reportKey) {
	if at := t.known[report]; at != nil {
		t.cells -= at.Value.(*kept).cells
		t.order.Remove(at)
		delete(t.known, report)
	}
}
