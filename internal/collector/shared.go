package collector

import (
	"cmp"
	"slices"

	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/meter"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Things that several objects can have, such as an address, count for the oldest
// object that has them (attribution.Shares); and what an object holds may be told by
// another one (other.go). The last reading of each of these objects is kept, so that
// what counts for an object can change without an event of its own.

// sharer is an object that has such things, or names another one.
type sharer struct {
	at      *metering
	meter   *meter.Meter       // that it was read by
	read    ledger.Observation // with all its things
	object  Quarantined        // its namespace and name
	waits   bool               // not in the ledger yet: not all kinds are listed
	claimed []usage.Thing
	other   usage.Named // the object that tells what it holds; zero: none
}

func (at *metering) holder(uid string) attribution.Holder {
	return attribution.Holder{Meter: at.meter.Name(), UID: uid}
}

// hand hands what is read of an object to the ledger, with the things that count for
// it. Called under the lock.
func (c *Collector) hand(at *metering, o *ledger.Observation, object Quarantined) {
	h := at.holder(o.UID)
	before := c.sharers[h]
	things, other := at.meter.Things(o.Members), otherOf(o.Members)
	if before == nil && len(things) == 0 && other == (usage.Named{}) {
		c.deliver(at, o, object)
		return
	}
	now := &sharer{at: at, meter: at.meter, read: *o, object: object, claimed: things, other: other}
	if before != nil && before.waits {
		// As of when it was seen first: nothing has been said of it since.
		now.read.After, now.read.Before, now.read.Origin, now.read.Existed = before.read.After, before.read.Before, before.read.Origin, before.read.Existed
	}
	c.sharers[h] = now
	if now.isAlone() {
		delete(c.sharers, h)
	}
	changed := c.shares.Have(h, object.created, things)
	if c.unready(now) {
		now.waits = true
		return
	}
	when := now.when(before)
	c.tell(h, now)
	if len(things) == 0 {
		if end, known := c.ledger.LastEnd(o.UID); known {
			when = attribution.Span{After: end.At, Before: end.At + int64(end.Slack)}
		}
	}
	c.shift(changed, when)
}

// isAlone tells whether what the object holds depends on no other one.
func (s *sharer) isAlone() bool { return len(s.claimed) == 0 && s.other == (usage.Named{}) }

// unready tells whether what counts for an object is not known yet. Called under the lock.
func (c *Collector) unready(s *sharer) bool {
	return len(s.claimed) > 0 && c.sharersUnlisted() || s.other != (usage.Named{}) && c.otherUnread(s.at)
}

// when is the moment since which an object has what it has.
func (s *sharer) when(before *sharer) attribution.Span {
	o := &s.read
	switch {
	case o.Origin == ledger.First: // it may have had it all the time
		return attribution.Span{After: s.at.ledger.Defined, Before: s.at.ledger.Defined}
	case before == nil || len(before.claimed) == 0:
		for i := range o.Members {
			if start := o.Members[i].Start; !start.IsZero() && o.Members[i].Active {
				began := max(start.At, s.at.ledger.Defined)
				return attribution.Span{After: began, Before: began}
			}
		}
	}
	if o.Origin != ledger.Resumed && o.Dates() {
		return attribution.Span{After: o.Written, Before: o.Written}
	}
	return attribution.Span{After: o.After, Before: max(o.After, o.Before)}
}

// tell delivers an object to the ledger with what counts for it. Called under the lock.
func (c *Collector) tell(h attribution.Holder, s *sharer) {
	o := s.read
	if s.waits {
		s.widen(&o)
	}
	s.waits = false
	o.Told = c.tellEarlier(s, o)
	o.Members = c.counting(h, s)
	c.deliver(s.at, &o, s.object)
}

// counting are an object's members with levels of what counts for it. Called under the lock.
func (c *Collector) counting(h attribution.Holder, s *sharer) []usage.Member {
	members := slices.Clone(s.read.Members)
	for i := range members {
		s.meter.Count(&members[i], func(t usage.Thing) bool { return c.shares.Counts(h, t) })
	}
	if other := s.told(h.UID); other != nil {
		for i := range members {
			other.Put(&members[i])
		}
	}
	return members
}

// shift changes what counts for others, from the moment on. Called under the lock.
func (c *Collector) shift(changed []attribution.Holder, when attribution.Span) {
	for _, h := range changed {
		s := c.sharers[h]
		if !c.tells(h, s) {
			continue // it is told, or read anew, all the same
		}
		o := c.again(h, s)
		o.After, o.Before = when.After, when.Before
		c.deliver(s.at, o, s.object)
	}
}

// tells is whether the ledger has the object as the present meter reads it. Called under the lock.
func (c *Collector) tells(h attribution.Holder, s *sharer) bool {
	return s != nil && !s.waits && s.meter == s.at.meter && c.meters[h.Meter] == s.at
}

// again is what was read of an object last, with what counts for it now. Called under the lock.
func (c *Collector) again(h attribution.Holder, s *sharer) *ledger.Observation {
	o := s.read
	o.Members = c.counting(h, s)
	for i := range o.Members {
		c.place(s.at, h.UID, &o.Members[i].Subject)
	}
	o.Written, o.Existed, o.Origin, o.Now = 0, true, ledger.Live, c.now().Unix()
	return &o
}

// tellNow delivers an object that waits, because it is deleted. Called under the lock,
// before the ledger ends it.
func (c *Collector) tellNow(at *metering, uid string) {
	if s := c.sharers[at.holder(uid)]; s != nil && s.waits {
		c.tell(at.holder(uid), s)
	}
}

// tellMissing tells the ledger of those that wait and that the meter's list does not
// have. Called under the lock, before the ledger has them as gone.
func (c *Collector) tellMissing(at *metering) {
	var gone []string
	for h, s := range c.sharers {
		if _, there := at.listed[h.UID]; s.at == at && s.waits && !there {
			gone = append(gone, h.UID)
		}
	}
	slices.Sort(gone)
	for _, uid := range gone {
		c.tellNow(at, uid)
	}
}

// unshare removes a deleted object: what counted for it counts for others. Called under
// the lock, after the ledger has ended it.
func (c *Collector) unshare(at *metering, uid string, moments ledger.Moments) {
	h := at.holder(uid)
	s := c.sharers[h]
	if s == nil {
		return
	}
	c.tellSharing(s)
	delete(c.sharers, h)
	if end, known := c.ledger.LastEnd(uid); known {
		moments = ledger.Moments{End: end, Start: usage.Boundary{At: end.At + int64(end.Slack)}}
	}
	c.shift(c.shares.Have(h, 0, nil), spanOf(moments))
}

// tellSharing delivers the objects that wait and have what the object has, as it was
// while that object existed. Called under the lock.
func (c *Collector) tellSharing(with *sharer) {
	if len(with.claimed) == 0 {
		return // it shares nothing, as a claim that another object tells of
	}
	var waiting []attribution.Holder
	for h, s := range c.sharers {
		if s != with && s.waits && slices.ContainsFunc(s.claimed, func(t usage.Thing) bool { return slices.Contains(with.claimed, t) }) {
			waiting = append(waiting, h)
		}
	}
	slices.SortFunc(waiting, func(a, b attribution.Holder) int {
		return cmp.Or(cmp.Compare(a.UID, b.UID), cmp.Compare(a.Meter, b.Meter))
	})
	for _, h := range waiting {
		c.tell(h, c.sharers[h])
	}
}

// unshareAll takes in that a meter is gone. Called under the lock, when the ledger
// has what it held as ended.
func (c *Collector) unshareAll(at *metering, now int64) {
	var gone []string
	for h, s := range c.sharers {
		if s.at == at {
			gone = append(gone, h.UID)
		}
	}
	slices.Sort(gone)
	for _, uid := range gone {
		c.unshare(at, uid, ledger.Between(ledger.Live, now, now))
	}
}

// sharersUnlisted tells whether a kind whose objects can have such things has not
// been listed, or compared with what the journal has of it. Called under the lock.
func (c *Collector) sharersUnlisted() bool {
	if c.restored.checking {
		return true
	}
	for _, at := range c.meters {
		if at.meter.Shares() && !at.feed.isSettled {
			return true
		}
	}
	return false
}

// tellAll tells the ledger of those that waited, the oldest first. Called under the lock.
func (c *Collector) tellAll() {
	var waiting []attribution.Holder
	for h, s := range c.sharers {
		if s.waits {
			waiting = append(waiting, h)
		}
	}
	slices.SortFunc(waiting, func(a, b attribution.Holder) int {
		return cmp.Or(cmp.Compare(c.sharers[a].object.created, c.sharers[b].object.created), cmp.Compare(a.UID, b.UID), cmp.Compare(a.Meter, b.Meter))
	})
	for _, h := range waiting {
		s := c.sharers[h]
		if c.unready(s) {
			continue
		}
		for i := range s.read.Members {
			c.place(s.at, h.UID, &s.read.Members[i].Subject)
		}
		c.tell(h, s)
	}
}
