package collector

import (
	"context"
	"math"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/memory"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Prepare makes the ledger what the journal says. Meters can be applied then,
// and nothing is followed before Start. That takes a while, and the lock can be had meanwhile, as a
// probe of whether the collector is alive does. The error, a
// *memory.TooSmallError, says that it does not fit into memory.
func (c *Collector) Prepare(ctx context.Context, state *journal.State) error {
	now := c.now().Unix()
	var entries []*ledger.Meter
	for i := range state.Meters {
		entries = append(entries, restoredMeter(&state.Meters[i]))
	}
	var sealed []usage.Window
	for _, seal := range state.Seals {
		sealed = append(sealed, seal.Interval)
	}
	kept, packed := now-c.Retention, int64(math.MinInt64) // nothing is packed
	if n := len(sealed); n > 0 {
		kept = min(kept, sealed[n-1].End) // what is not sealed yet is needed, however old
		packed = c.packedUntil(sealed[n-1])
	}
	restored := ledger.New()
	portions, all := state.InPortions()
	guard, taken, tooLarge := memory.NewGuard(c.Memory), int64(0), error(nil)
	byName := restored.RestorePacked(entries, func(yield func([]usage.Change) bool) {
		for changes := range portions {
			c.seed(changes)
			if !yield(changes) {
				return
			}
			taken += int64(len(changes))
			if tooLarge = guard.Fits(taken, all); tooLarge != nil {
				return
			}
		}
	}, sealed, kept, packed)
	if tooLarge != nil {
		return tooLarge
	}
	c.takeUp(ctx, state, now, restored, byName)
	c.Discover()
	return nil
}

// takeUp goes on with a ledger that was restored.
func (c *Collector) takeUp(ctx context.Context, state *journal.State, now int64, as *ledger.Ledger, byName map[string]*ledger.Meter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ctx, c.ledger = ctx, as
	c.since, c.began = now, now
	c.restored = restored{
		time: state.Time, positions: map[schema.GroupKind]journal.Position{}, ledger: byName,
		meters: map[string]journal.Meter{}, moved: map[string]int64{}, checked: make(chan struct{}),
		checking: state.Sequence > 0,
	}
	if !c.restored.checking {
		close(c.restored.checked)
	}
	for _, m := range state.Meters {
		c.restored.meters[m.Name] = m
		c.since = min(c.since, m.Since)
	}
	for _, p := range state.Positions {
		c.restored.positions[schema.GroupKind{Group: p.Group, Kind: p.Kind}] = p
		c.restored.ahead = max(c.restored.ahead, source.Revision(p.ResourceVersion))
		c.chronology.After(source.Revision(p.ResourceVersion), p.Time)
	}
	for _, seal := range state.Seals {
		c.digest = seal.Digest
	}
	c.coverage = slices.Clone(state.Coverage)
}

// seed has the graph know what holds something.
func (c *Collector) seed(changes []usage.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range changes {
		if s := &changes[i]; s.End.IsZero() && s.Kind == usage.Put {
			c.graph.Seed(s.Subject.Instance.UID, s.Subject.Deployment)
		}
	}
}

// restoredMeter is the ledger's meter as the journal knows it.
func restoredMeter(m *journal.Meter) *ledger.Meter {
	entry := ledger.NewMeter(m.Name, m.Since, m.Dimensions)
	if m.Defined != 0 {
		entry.Defined = m.Defined
	}
	if m.Measured != nil {
		entry.History = m.Measured
	}
	return entry
}
