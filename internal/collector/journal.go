package collector

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/meter"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// restored is what the journal knew of a former run, until it is taken up.
type restored struct {
	time      int64  // of the journal's last entry; 0: there is none
	ahead     uint64 // the revision of the kind that had come furthest by then
	positions map[schema.GroupKind]journal.Position
	meters    map[string]journal.Meter
	ledger    map[string]*ledger.Meter
	// checking tells that the kinds are being compared with what the journal knew:
	// nobody's surroundings are complete. Then moved waits.
	checking bool
	moved    map[string]int64 // since when at the earliest, in seconds since the epoch
	lost     int64            // from when on a kind's history is lost; 0: no kind's is
	checked  chan struct{}    // closed when checking ends
}

// resume is the meter as the journal knows it; nil when it does not.
// Called under the lock.
func (c *Collector) resume(m *meter.Meter, target Target, now int64) *metering {
	known, found := c.restored.meters[m.Name()]
	if !found {
		return nil
	}
	entry := c.restored.ledger[m.Name()]
	delete(c.restored.meters, m.Name())
	kind := target.Mapping.GroupVersionKind.GroupKind()
	if (schema.GroupKind{Group: known.Group, Kind: known.Kind}) != kind {
		c.stopRestored(known, entry, now)
		return nil
	}
	version, carried, _ := strings.Cut(known.Version, editing)
	at := newMetering(m, version, entry)
	at.carried = carried
	if known.Listed {
		at.from, at.durable = max(1, source.Revision(c.restored.positions[kind].ResourceVersion)), true
	}
	return at
}

// Resumes tells whether the journal knows the meter, of that kind, and it has not been applied yet.
func (c *Collector) Resumes(name string, kind schema.GroupKind) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, known := c.restored.meters[name]
	return known && m.Group == kind.Group && m.Kind == kind.Kind
}

// stopForgotten ends the meters that the journal knows and that are applied no
// more: they went while nobody looked. Called under the lock.
func (c *Collector) stopForgotten() {
	for name, known := range c.restored.meters {
		c.stopRestored(known, c.restored.ledger[name], c.now().Unix())
	}
	clear(c.restored.meters)
	clear(c.restored.ledger)
}

// stopRestored ends a meter that the journal knows and that is not applied as it was. What
// came since its kind was seen last is unknown. What holds nothing any more keeps nothing of
// what it followed. Called under the lock.
func (c *Collector) stopRestored(known journal.Meter, entry *ledger.Meter, now int64) {
	kind := schema.GroupKind{Group: known.Group, Kind: known.Kind}
	position := c.restored.positions[kind]
	if f := c.feeds[kind]; f != nil {
		position = f.position(kind)
	}
	seen := c.restored.time
	if position.Time != 0 {
		seen = min(seen, position.Time)
	}
	seen = max(seen, c.ledger.Sealed(), entry.Since) // what is sealed is said already, and how it is known
	c.coverMeter(entry, seen, now, usage.CoverageUnknown)
	var had []string
	c.ledger.Objects(entry, func(uid string) { had = append(had, uid) })
	c.ledger.Stop(entry, seen, now)
	slices.Sort(had)
	for _, uid := range had {
		if _, holds := c.ledger.Holding(uid); !holds {
			c.graph.Unseed(uid)
			c.reattribute(c.graph.Hold(uid, false), "", ledger.Between(ledger.Resumed, seen, now))
		}
	}
}

// checkedAll tells the feeds that wait for it that every kind has been compared
// with what the journal knew, and puts what moved meanwhile where it belongs.
// Called under the lock.
func (c *Collector) checkedAll() {
	if !c.restored.checking || !c.settled() {
		return
	}
	c.restored.checking = false
	close(c.restored.checked)
	if c.readable() {
		c.graph.UnseedAll()
	}
	moved, now := c.restored.moved, c.now().Unix()
	c.restored.moved = nil
	for _, uid := range slices.Sorted(maps.Keys(moved)) {
		since := c.restored.since(moved[uid], now)
		if owner, _, unknown := c.graph.Unknown(uid); unknown {
			if _, vanished := c.vanished[owner.UID]; !vanished {
				c.remember(uid, provisional{since: since, came: since, restored: true})
				continue // the journal knows better than the reference
			}
			c.recall(uid, owner)
		}
		c.lift(uid)
		c.reattribute([]string{uid}, "", since)
	}
}

// since is when an object that is not where the last run had it can have come there: that
// run saw what happened before a kind's history was lost, and did not move it.
func (r *restored) since(earliest, now int64) ledger.Moments {
	return ledger.Between(ledger.Resumed, min(max(earliest, r.lost), now), now)
}

// lift puts an object right that the journal has under an owner below the top: the run
// before had not found all its owners, and it was never there. Called under the lock.
func (c *Collector) lift(uid string) {
	for _, owner := range c.graph.Between(uid) {
		if since, held := c.ledger.Placed(uid, owner); held {
			c.put(uid, ledger.Moments{End: since, Start: since})
		}
	}
}

// recall puts an object, whose owner is gone and forgotten, where the journal has it,
// and with it what that owner owned else. Called under the lock.
func (c *Collector) recall(uid string, owner usage.Object) {
	for _, name := range slices.Sorted(maps.Keys(c.meters)) {
		held := c.ledger.HeldBy(c.meters[name].ledger, uid)
		if held == nil {
			continue
		}
		end := held.Resource
		if end.UID == uid {
			end = owner // the meter bills the object itself
		}
		c.graph.Recall(uid, end, held.Deployment)
		return
	}
}

// readable tells whether all kinds that are followed can be read, and were.
// Called under the lock.
func (c *Collector) readable() bool {
	for _, f := range c.feeds {
		if !f.known {
			return false
		}
	}
	return true
}

// moves notes that an object is to be put where it belongs once all kinds have been
// checked: it was not there before the moment. Called under the lock.
func (c *Collector) moves(uid string, earliest int64) {
	if earliest == 0 {
		earliest = c.restored.time
	}
	if before, known := c.restored.moved[uid]; !known || earliest < before {
		c.restored.moved[uid] = earliest
	}
}

// Committed tells that the journal has the batch: the meters that it knows as
// listed go on where they are, whatever happens to the operator.
func (c *Collector) Committed(batch *journal.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range batch.Meters {
		if at := c.meters[m.Name]; at != nil && m.Listed && !at.durable {
			at.durable = true
			c.Notify(m.Name)
		}
	}
}

// Awaited tells whether a meter that is listed waits for the journal to have it.
func (c *Collector) Awaited() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range c.meters {
		if at.goesOn() && !at.durable {
			return true
		}
	}
	return false
}

// Unwritten tells whether there is anything that the journal does not have.
func (c *Collector) Unwritten() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ledger.HasUnwritten() || len(c.unwritten) > 0
}

// Batch is what the journal does not have yet, and how far every source has
// come. With an interval, that interval is sealed by it: from then on nothing in
// it changes.
func (c *Collector) Batch(now int64, seal *usage.Window) *journal.Batch {
	var seals []journal.Seal
	if seal != nil {
		c.mu.Lock()
		c.sealWithout(seal.End)
		c.mu.Unlock()
		seals = []journal.Seal{c.seal(*seal)}
		c.pack(*seal)
	} else if c.PackAtOnce {
		c.pack(usage.Window{})
	}
	c.mu.Lock()
	most := c.ledger.Opened()
	c.mu.Unlock()
	taken := ledger.NewTaken(most)
	c.mu.Lock()
	defer c.mu.Unlock()
	b := &journal.Batch{Time: now, Meters: c.journalMeters(), Positions: c.positions(), Coverage: c.unwritten, Seals: seals}
	c.unwritten = nil
	c.ledger.Take(taken)
	c.mu.Unlock()
	b.Changes = taken.Changes() // of as many as there are: the lock is not held meanwhile
	c.mu.Lock()
	c.counted.corrections(b.Changes)
	return b
}

// cover notes how a stretch is known to the feed's meters, those included that are taken up
// later. Called under the lock.
func (f *feed) cover(from, to int64, coverage usage.Coverage) {
	c := f.collector
	sealed := c.ledger.Sealed()
	f.stretches = slices.DeleteFunc(f.stretches, func(s usage.Stretch) bool { return s.End <= sealed })
	f.stretches = append(f.stretches, usage.Stretch{Window: usage.Window{Start: from, End: to}, Coverage: coverage})
	for _, at := range f.meters {
		c.cover(at, from, to, coverage)
	}
}

// cover notes how a stretch is known to one meter, as far as it is not sealed and
// the meter's. Called under the lock.
func (c *Collector) cover(at *metering, from, to int64, coverage usage.Coverage) {
	c.coverMeter(at.ledger, from, to, coverage)
}

func (c *Collector) coverMeter(m *ledger.Meter, from, to int64, coverage usage.Coverage) {
	s := usage.Stretch{Meter: m.Name, Window: usage.Window{Start: max(from, c.ledger.Sealed(), m.Since), End: to}, Coverage: coverage}
	if s.Seconds() > 0 {
		c.coverage = append(c.coverage, s)
		c.unwritten = append(c.unwritten, s)
		c.counted.lost[Lost{s.Meter, s.Coverage}] += s.Seconds()
	}
}

func (c *Collector) journalMeters() []journal.Meter {
	meters := make([]journal.Meter, 0, len(c.meters))
	for name, at := range c.meters {
		kind := at.feed.kind()
		meters = append(meters, journal.Meter{
			Name: name, Version: at.taken(), ResourceType: at.meter.ResourceType(), Group: kind.Group, Kind: kind.Kind,
			Since: at.ledger.Since, Dimensions: at.ledger.Dimensions(), Listed: at.goesOn(),
			Defined: at.ledger.Defined, Measured: at.ledger.History,
		})
	}
	// What has not been taken up yet is still to be.
	for name, known := range c.restored.meters {
		known.Name = name
		meters = append(meters, known)
	}
	slices.SortFunc(meters, func(a, b journal.Meter) int { return cmp.Compare(a.Name, b.Name) })
	return meters
}

// goesOn tells whether the next run can go on with the meter at its feed's position: it has
// been listed, and no later than that. Called under the lock.
func (at *metering) goesOn() bool {
	return at.from != 0 && (!at.feed.source.Behind() || at.from <= source.Revision(at.feed.resourceVersion))
}

// editing is between the versions of a meter that was edited from the first one to the
// second, where no list has shown yet what it reads differently.
const editing = ">"

// taken is the version of the meter by which all that the journal has was read. A run that
// ends before what an edit changes has been listed leaves that to the next one. Called under
// the lock.
func (at *metering) taken() string {
	if at.editing() {
		return at.unedited + editing + at.version
	}
	return at.version
}

// editing tells that no list has shown yet what the meter reads since it was edited.
func (at *metering) editing() bool { return at.relisting || at.edited != (attribution.Span{}) }
