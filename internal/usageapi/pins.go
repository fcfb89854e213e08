package usageapi

import (
	"crypto/rand"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/timeline"
)

// pins keeps the snapshots that pages are read from, so that all pages of a query show
// what was known when the first was made, and each uses what was computed for the one
// before. They are few, and kept for a short time: a cursor without its snapshot, after
// a pause, a restart, or on another replica, continues with what is known then.
type pins struct {
	clock clock.PassiveClock

	mu   sync.Mutex
	kept []*pinned // the one used most recently last
}

type pinned struct {
	id       string
	snapshot *timeline.Snapshot
	used     time.Time
}

const (
	// pinsKept is how many snapshots are kept, and pinnedFor, for how long after they were used.
	pinsKept, pinnedFor = 8, 2 * time.Minute
	// afterPin stands between a pin and the cursor.
	afterPin = "."
)

// pin is a cursor that goes on with a snapshot; "" stays so.
func (p *pins) pin(s *timeline.Snapshot, cursor string) string {
	if cursor == "" {
		return ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.kept, func(kept *pinned) bool { return kept.snapshot == s })
	if i < 0 {
		p.kept = append(p.kept, &pinned{id: rand.Text(), snapshot: s})
		i = len(p.kept) - 1
	}
	id := p.kept[i].id
	p.use(i)
	p.kept = slices.Delete(p.kept, 0, max(0, len(p.kept)-pinsKept))
	return id + afterPin + cursor
}

// unpin is the cursor itself, and the snapshot that it goes on with; nil: that is not kept.
func (p *pins) unpin(text string) (cursor string, s *timeline.Snapshot) {
	id, cursor, isPinned := strings.Cut(text, afterPin)
	if !isPinned {
		return text, nil
	}
	p.expire()
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.kept, func(kept *pinned) bool { return kept.id == id })
	if i < 0 {
		return cursor, nil
	}
	s = p.kept[i].snapshot
	p.use(i)
	return cursor, s
}

// use notes that a snapshot is used now.
func (p *pins) use(i int) {
	at := p.kept[i]
	at.used = p.clock.Now()
	p.kept = append(slices.Delete(p.kept, i, i+1), at)
}

// expire lets go of the snapshots that have not been used for a while.
func (p *pins) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	p.kept = slices.DeleteFunc(p.kept, func(kept *pinned) bool { return now.Sub(kept.used) > pinnedFor })
}

// goOn makes the call answer from the snapshot of the page before, if that is kept, and
// returns the cursor without its pin.
func (c *call) goOn(text string) (cursor string) {
	cursor, s := c.pins.unpin(text)
	if s != nil {
		c.snapshot = s
	}
	return cursor
}
