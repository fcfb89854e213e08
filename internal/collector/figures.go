package collector

import (
	"cmp"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Source is how the watch of one kind gets on.
type Source struct {
	Group, Kind string
	// Reached is the moment up to which everything has been seen, as far as the
	// watch or a barrier has told; before that, when it was started. In seconds
	// since the epoch.
	Reached int64
	// Err is why the kind cannot be read now; nil when it can.
	Err error
}

// Sources are all kinds that are followed, in order.
func (c *Collector) Sources() []Source {
	c.mu.Lock()
	defer c.mu.Unlock()
	sources := make([]Source, 0, len(c.feeds))
	for kind, f := range c.feeds {
		s := Source{Group: kind.Group, Kind: kind.Kind, Reached: max(f.passed.Load(), f.started), Err: f.err}
		if !f.observed.IsZero() {
			s.Reached = max(f.passed.Load(), f.observed.Unix())
		}
		sources = append(sources, s)
	}
	slices.SortFunc(sources, func(a, b Source) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Kind, b.Kind))
	})
	return sources
}

// Lost names a meter, and how it knows what it has not observed.
type Lost struct {
	Meter    string
	Coverage usage.Coverage
}

// counted is what this run has counted.
type counted struct {
	lost       map[Lost]int64 // seconds
	less, more int64
}

func (n *counted) corrections(changes []usage.Change) {
	for i := range changes {
		switch changes[i].Kind {
		case usage.Less:
			n.less++
		case usage.More:
			n.more++
		}
	}
}

// Corrections are how many corrections of sealed intervals this run has made.
func (c *Collector) Corrections() (less, more int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counted.less, c.counted.more
}

// lostKinds are the coverages that are not observed.
var lostKinds = []usage.Coverage{usage.CoverageReplayed, usage.CoverageEstimated, usage.CoverageUnknown}

// Lost is, for each meter and each way in which it knows what it has not
// observed, how many seconds that was in this run.
func (c *Collector) Lost() map[Lost]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	lost := make(map[Lost]int64, len(lostKinds)*len(c.meters))
	for name := range c.meters {
		for _, coverage := range lostKinds {
			key := Lost{name, coverage}
			lost[key] = c.counted.lost[key]
		}
	}
	return lost
}
