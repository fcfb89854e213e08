package collector

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/source"
)

// position is where the kind's feed goes on, as the journal knows it.
// Called under the lock.
func (c *Collector) position(kind schema.GroupKind) journal.Position {
	p := c.restored.positions[kind]
	delete(c.restored.positions, kind)
	return p
}

// positions are where the kinds go on after a restart. What is said to be ahead of a kind
// that catches up has something that the other may not have been placed by: a kind in which
// nothing has happened meanwhile goes on from where that one is.
// Called under the lock.
func (c *Collector) positions() []journal.Position {
	positions := make([]journal.Position, 0, len(c.feeds))
	slowest, behind := c.slowest()
	for kind, f := range c.feeds {
		p := f.position(kind)
		if c.restored.checking && f.lost.ResourceVersion != "" {
			positions = append(positions, f.lost) // a run that ends now leaves that to the next one
			continue
		}
		if at := max(f.unmovedSince(), source.Revision(slowest.ResourceVersion)); behind && !f.looks() && at < source.Revision(p.ResourceVersion) {
			p.ResourceVersion, p.Time = strconv.FormatUint(at, 10), min(p.Time, slowest.Time)
		}
		positions = append(positions, p)
	}
	for _, p := range c.restored.positions {
		positions = append(positions, p)
	}
	slices.SortFunc(positions, func(a, b journal.Position) int {
		return cmp.Compare(a.Group+"/"+a.Kind, b.Group+"/"+b.Kind)
	})
	return positions
}

// slowest is where the kind is that catches up, is waited for, and has come least far;
// false: none catches up. Called under the lock.
func (c *Collector) slowest() (journal.Position, bool) {
	var slowest journal.Position
	found, patient := false, c.now().Unix()-int64(turnsAtMost/time.Second)
	for kind, f := range c.feeds {
		if f.ended || max(f.started, c.answered) < patient || !c.turns.awaited(f) {
			continue
		}
		p := f.position(kind)
		if at := source.Revision(p.ResourceVersion); at > 0 && (!found || at < source.Revision(slowest.ResourceVersion)) {
			slowest, found = p, true
		}
	}
	return slowest, found
}

// deliveredByAll is the revision that all kinds have come to which are not far behind. What any of
// them has still to bring may name an owner of a kind that another one met first, ahead of it: that
// kind is followed from there, so that what its objects became since comes in its turn.
// Called under the lock.
func (c *Collector) deliveredByAll() uint64 {
	least, patient := uint64(math.MaxUint64), c.now().Unix()-int64(turnsAtMost/time.Second)
	for kind, f := range c.feeds {
		p := f.position(kind)
		at := source.Revision(p.ResourceVersion)
		if at == 0 || f.ended || p.Time < patient || c.chronology.Earliest(at+1) < patient {
			continue // or its numbers are another etcd's, as those of an aggregated API may be
		}
		least = min(least, at)
	}
	return least
}

// looks tells that a list of the kind is under way, which shows what is so at its position.
// Called under the lock.
func (f *feed) looks() bool {
	return f.listing || slices.ContainsFunc(f.meters, func(at *metering) bool { return at.relisting })
}

// unmovedSince is the revision after which the kind has taken in nothing, and no meter of it
// began: it can go on from there as well as from where it is. Called under the lock.
func (f *feed) unmovedSince() uint64 {
	since := f.moved.Load()
	for _, at := range f.meters {
		since = max(since, at.from)
	}
	return since
}

// position is where the feed goes on after a restart. In the middle of a list
// that is nowhere: it is listed again. Called under the lock.
func (f *feed) position(kind schema.GroupKind) journal.Position {
	p := journal.Position{Group: kind.Group, Kind: kind.Kind, Time: f.passed.Load(), Checked: f.checked}
	if f.listing && !f.checking {
		return p
	}
	p.ResourceVersion = f.resourceVersion
	if at := f.unseen(f.resourceVersion); at > 0 {
		p.Time = max(p.Time, min(at, f.observed.Unix()))
	}
	// While it catches up, what is not covered yet began when it stopped to look.
	if live := f.source.Position().Time; !live.IsZero() {
		p.Time = min(p.Time, live.Unix())
	}
	return p
}
