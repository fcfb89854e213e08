package collector

import (
	"hash/fnv"
	"maps"
	"math"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// An object that says that it is a part of another one (a virtual machine's pod)
// is metered by itself until that one is known, holds something and vouches for
// it (attribution.Representations), and again when that ends. What the meter read
// of it last is kept, so that neither has to wait for the object to change.

// part is an object that says that it is a part of others.
type part struct {
	read        ledger.Observation // what the meter read of it last
	object      Quarantined        // its namespace and name
	began       int64              // when it was seen to hold something: nothing of it is before
	represented bool               // the ledger has nothing of it, for another object has
	// claimed is when it came to show the keys that it shows, or they to stand for it: what it
	// held by itself until then stays its own. Zero: it has always been so, or that is not known.
	claimed attribution.Span
	// waits tells that nothing is decided, and the ledger has nothing of it: not all
	// kinds that it names have been listed.
	waits bool
	// doubted tells that it is represented by what is known so far, after a restart, and that
	// the ledger has it by itself: an older one may be to come that the key stands for.
	doubted bool
}

// represent takes in what a meter read of an object that can be a part of others.
// Called under the lock.
func (c *Collector) represent(r reading, o *ledger.Observation, object *unstructured.Unstructured, e event) {
	at, uid := r.at, o.UID
	claimed := attribution.Part{UID: uid, Created: object.GetCreationTimestamp().Unix()}
	if slices.ContainsFunc(o.Members, func(m usage.Member) bool { return m.Active }) {
		claimed.Claims = r.claims
	}
	shown := at.showing(uid, r.shows, e)
	changed := at.represented.Claim(claimed)
	if len(claimed.Claims) == 0 {
		before := at.parts[uid]
		delete(at.parts, uid)
		o.Existed = o.Existed || before != nil && before.represented
		c.hand(at, o, quarantinedOf(object))
		if before != nil && before.represented {
			c.holdsNow(uid, e.moments())
		}
	} else {
		c.stand(at, shown, o, object, e)
	}
	c.makeWay(at, changed, uid, e.moments())
}

// shown are the keys that an object shows, in short, and since when, if it showed others before.
type shown struct {
	keys  uint64
	since attribution.Span
}

// showing notes what keys an object shows, and tells since when, if it is known to have shown
// others before. Another object may have vouched for these keys for long: not for this one.
func (at *metering) showing(uid string, keys []string, e event) attribution.Span {
	was, seen := at.shown[uid]
	if len(keys) == 0 {
		return was.since
	}
	h := fnv.New64a()
	for _, key := range keys {
		_, _ = h.Write(append([]byte(key), 0)) // never fails
	}
	now := shown{keys: h.Sum64(), since: was.since}
	if seen && now.keys != was.keys && e.origin != ledger.First {
		now.since = spanOf(e.moments())
	}
	at.shown[uid] = now
	return now.since
}

// stand takes in an object that claims to be a part of others, and has shown the keys since then.
func (c *Collector) stand(at *metering, shown attribution.Span, o *ledger.Observation, object *unstructured.Unstructured, e event) {
	claims := at.represented.Claims(o.UID)
	p, known := at.parts[o.UID]
	if !known {
		p = &part{object: quarantinedOf(object), began: beganAt(o.Members, e.before)}
		at.parts[o.UID] = p
	}
	if waited := p.read; known && p.waits {
		// As of when it was seen first: nothing has been said of it since.
		o.After, o.Before, o.Origin, o.Existed = waited.After, waited.Before, waited.Origin, waited.Existed
	}
	p.read = *o
	holds := c.ledger.HoldsBy(at.ledger, o.UID)
	p.claimed = p.claimed.Later(shown)
	if (!known || p.waits) && !holds && c.unlisted(claims) {
		p.waits = true
		return
	}
	c.decide(at, p, known && !p.waits, holds, e)
}

// decide hands an object's reading on, as it is now: by itself, or not. known
// tells that it was decided before.
func (c *Collector) decide(at *metering, p *part, known, holds bool, e event) {
	o := p.read
	p.waits = false
	_, since, represented := at.represented.By(o.UID)
	if p.doubted = represented && holds && c.restored.checking; p.doubted {
		represented = false
	}
	was := p.represented
	p.represented = represented
	began := beganAt(o.Members, e.after)
	seenBefore := e.origin == ledger.Resumed && began < e.after
	switch {
	case !represented:
		// It may have been represented when nobody looked: it was none of the meter's then.
		o.Existed = o.Existed || was || !known && !holds && seenBefore
		c.hand(at, &o, p.object)
	case known && was, !holds && (seenBefore || since.Before <= max(began, at.ledger.Defined)):
		o.Members = nil
		c.hand(at, &o, p.object)
	default: // it was itself until then
		c.hand(at, &o, p.object)
		c.hand(at, p.at(nil, since.Later(p.claimed), c.now().Unix()), p.object)
	}
	c.holdsNow(o.UID, e.moments())
}

// beganAt is since when an object says that it holds something, and the other
// moment when it does not say.
func beganAt(members []usage.Member, otherwise int64) int64 {
	began := int64(math.MaxInt64)
	for i := range members {
		switch m := &members[i]; {
		case !m.Active:
		case m.Start.IsZero():
			return otherwise
		default:
			began = min(began, m.Start.At)
		}
	}
	return began
}

// at is what the object held changed to members, because of others, in the span.
func (p *part) at(members []usage.Member, when attribution.Span, now int64) *ledger.Observation {
	o := p.read
	o.Members, o.Written, o.Existed, o.Origin = members, 0, true, ledger.Live
	o.After, o.Before, o.Now = when.After, when.Before, now
	return &o
}

// makeWay is turn for what another part came to say at the moment, or no more: what a key stood
// for until then stays as it was. Called under the lock.
func (c *Collector) makeWay(at *metering, changed []string, except string, moments ledger.Moments) {
	for _, uid := range changed {
		if p := at.parts[uid]; p != nil && uid != except && !p.represented {
			p.claimed = p.claimed.Later(spanOf(moments))
		}
	}
	c.turn(at, changed, except, moments)
}

// turn hands on those that are represented now and were not, and the other way
// round, but for one: from the moment on. Called under the lock.
func (c *Collector) turn(at *metering, changed []string, except string, moments ledger.Moments) {
	for _, uid := range changed {
		p := at.parts[uid]
		if p == nil || uid == except || p.waits {
			continue
		}
		_, since, represented := at.represented.By(uid)
		if represented == p.represented {
			continue
		}
		if p.doubted = represented && c.restored.checking && c.ledger.HoldsBy(at.ledger, uid); p.doubted {
			continue
		}
		p.represented = represented
		if represented {
			c.hand(at, p.at(nil, since.Later(p.claimed), c.now().Unix()), p.object)
			c.holdsNow(uid, moments)
			continue
		}
		members := slices.Clone(p.read.Members)
		for i := range members {
			c.place(at, uid, &members[i].Subject)
		}
		when := spanOf(moments)
		if p.began > when.Before {
			when = attribution.Span{After: p.began, Before: p.began}
		}
		c.hand(at, p.at(members, when, c.now().Unix()), p.object)
		c.holdsNow(uid, moments)
	}
}

func spanOf(m ledger.Moments) attribution.Span {
	return attribution.Span{After: m.End.At, Before: m.Start.At}
}

// unlisted tells whether a kind that is named, and metered, has not been listed,
// or compared with what the journal has of it. Called under the lock.
func (c *Collector) unlisted(claims []usage.Claim) bool {
	return slices.ContainsFunc(claims, func(claim usage.Claim) bool {
		f := c.feeds[schema.GroupKind(claim.Kind)]
		return f != nil && len(f.meters) > 0 && (!f.isSettled || c.restored.checking)
	})
}

// decideAll decides those that waited for a kind to be listed. Called under the lock.
func (c *Collector) decideAll() {
	if c.restored.checking {
		return
	}
	for _, at := range c.meters {
		for _, uid := range slices.Sorted(maps.Keys(at.parts)) {
			c.decideOne(at, at.parts[uid], false)
			c.believe(at, uid)
		}
	}
}

// believe takes out of the ledger what is represented now that all kinds have been checked.
func (c *Collector) believe(at *metering, uid string) {
	p := at.parts[uid]
	_, since, represented := at.represented.By(uid)
	if doubted := p.doubted; !doubted || !represented {
		p.doubted = false
		return
	}
	p.doubted, p.represented = false, true
	since = since.Later(p.claimed)
	c.hand(at, p.at(nil, since, c.now().Unix()), p.object)
	c.holdsNow(uid, ledger.Between(ledger.Resumed, since.After, since.Before))
}

// decideOne decides one that waits; anyway, or when it need not wait any more.
func (c *Collector) decideOne(at *metering, p *part, anyway bool) {
	if !p.waits || !anyway && c.unlisted(at.represented.Claims(p.read.UID)) {
		return
	}
	for i := range p.read.Members {
		c.place(at, p.read.UID, &p.read.Members[i].Subject)
	}
	c.decide(at, p, false, false, event{origin: p.read.Origin, after: p.read.After, before: p.read.Before})
}

// vouching is what an object vouches for, to one meter.
type vouching struct {
	reader
	keys   [][]string
	shares []string
}

// vouches reads what an object of the feed vouches for.
func (f *feed) vouches(object *unstructured.Unstructured) []vouching {
	asking := f.asking()
	read := make([]vouching, len(asking))
	for i, r := range asking {
		read[i].reader = r
		read[i].keys, read[i].shares = r.meter.Vouches(f.groupKind(), object)
	}
	return read
}

// asking are the meters whose objects can be a part of the feed's.
func (f *feed) asking() []reader {
	f.collector.mu.Lock()
	defer f.collector.mu.Unlock()
	if len(f.meters) == 0 {
		return nil
	}
	return f.askers()
}

// askers are asking's, under the lock, in order.
func (f *feed) askers() []reader {
	var readers []reader
	for _, at := range f.collector.meters {
		if at.represented != nil && slices.Contains(at.meter.Representatives(), f.groupKind()) {
			readers = append(readers, reader{at: at, meter: at.meter})
		}
	}
	return readers
}

func (f *feed) groupKind() usage.GroupKind { return usage.GroupKind(f.kind()) }

// know takes in what an object vouches for, and whether it held something before. Called
// under the lock, when the ledger has it as it is.
func (c *Collector) know(f *feed, v vouching, object *unstructured.Unstructured, e event, held bool) {
	if !v.current(c) {
		return
	}
	uid := string(object.GetUID())
	began, active := c.holding(uid)
	moments := e.moments()
	since := spanOf(moments)
	switch {
	case e.origin == ledger.First: // it may have done so all the time
		since = attribution.Span{After: v.at.ledger.Defined, Before: v.at.ledger.Defined}
	case active && !held && (e.isNews() || began.After >= e.after):
		// It had not begun when it was seen before: it has since the ledger says.
		since = attribution.Span{}
	}
	if end, known := c.ledger.LastEnd(uid); !active && known {
		moments = ledger.Moments{End: end, Start: usage.Boundary{At: end.At + int64(end.Slack)}}
	}
	c.turn(v.at, v.at.represented.Know(attribution.Representative{
		Kind: f.groupKind(), Namespace: object.GetNamespace(), Name: object.GetName(), UID: uid,
		Vouches: v.keys, Shares: v.shares, Since: since, Active: active, Began: began,
	}), "", moments)
}

// holding is since when an object holds something by any meter.
func (c *Collector) holding(uid string) (began attribution.Span, active bool) {
	since, active := c.ledger.Holding(uid)
	return attribution.Span{After: since.At - int64(since.Slack), Before: since.At}, active
}

// lose takes in that an object that may have vouched for others is gone. Called
// under the lock, when the ledger has it as gone.
func (f *feed) lose(namespace, name, uid string, moments ledger.Moments) {
	c := f.collector
	if end, known := c.ledger.LastEnd(uid); known {
		moments = ledger.Moments{End: end, Start: usage.Boundary{At: end.At + int64(end.Slack)}}
	}
	for _, r := range f.askers() {
		c.turn(r.at, r.at.represented.Lose(f.groupKind(), namespace, name, uid), "", moments)
	}
}

// forgetPart takes in that an object that claimed to be a part of others is
// gone. Called under the lock, before the ledger has it as gone.
func (c *Collector) forgetPart(at *metering, uid string, moments ledger.Moments) {
	delete(at.shown, uid)
	p := at.parts[uid]
	if p == nil {
		return
	}
	waited := p.waits
	c.decideOne(at, p, true)
	if waited && at.meter.Shares() { // what it had counts for others from then on, and was not theirs before
		for _, other := range slices.Sorted(maps.Keys(at.parts)) {
			c.decideOne(at, at.parts[other], true)
		}
	}
	if _, since, represented := at.represented.By(uid); represented && since.Before > moments.End.At {
		// It went before anything else held it: it was itself until then.
		c.hand(at, p.at(p.read.Members, since, c.now().Unix()), p.object)
	}
	delete(at.parts, uid)
	c.makeWay(at, at.represented.Forget(uid), "", moments)
}

// forgetParts takes in which objects that claimed something a list does not have.
// Called under the lock, before the ledger has them as gone.
func (f *feed) forgetParts(moments ledger.Moments) {
	for _, at := range f.meters {
		for _, uid := range slices.Sorted(maps.Keys(at.parts)) {
			if _, there := f.listed[uid]; !there {
				f.collector.forgetPart(at, uid, moments)
			}
		}
		maps.DeleteFunc(at.shown, func(uid string, _ shown) bool { _, there := f.listed[uid]; return !there })
	}
}

// loseMissing takes in which objects that may have vouched for others a list does
// not have. Called under the lock, when the ledger has them as gone.
func (f *feed) loseMissing(moments ledger.Moments) {
	there := func(uid string) bool { _, there := f.listed[uid]; return there }
	for _, r := range f.askers() {
		for _, o := range r.at.represented.Missing(f.groupKind(), there) {
			f.lose(o.Namespace, o.Name, o.UID, moments)
		}
	}
}

// reviewRepresentatives takes in that objects of the feed hold something by fewer
// meters, from now on. Called under the lock.
func (f *feed) reviewRepresentatives(now int64) {
	for _, r := range f.askers() {
		changed := r.at.represented.Review(f.groupKind(), f.collector.holding)
		f.collector.turn(r.at, changed, "", ledger.Between(ledger.Live, now, now))
	}
}

// askRepresentatives reads anew what those vouch for that a meter's objects can be a part of.
func (c *Collector) askRepresentatives(at *metering) {
	for _, kind := range at.meter.Representatives() {
		if f := c.feeds[schema.GroupKind(kind)]; f != nil && f.begun && len(f.meters) > 0 {
			f.source.Replay(f.meters[0])
		}
	}
}
