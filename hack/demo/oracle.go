package main

import (
	"cmp"
	"slices"
)

// The demo keeps its own account of who held what, and when, in order to check the operator's. It shares no code with
// the operator, and adds up in the plainest way there is: second by second.
//
// Its moments come from the API server's answers. A removal leaves no time on any object: its moment is when the demo's
// own watch saw it, which may be a second off what the operator's watch saw.

// account is whose usage it is.
type account struct {
	namespace, deployment string
}

// measure is what is held.
type measure struct {
	resourceType, dimension string
}

// levels are how much is held, in base units: thousandths of a core or a count, and bytes.
type levels map[measure]int64

// holding is one level of one measure, held from a second on until another.
type holding struct {
	account
	measure
	level       int64
	from, until int64 // until is 0 while it is held
	removed     bool  // until is when a removal was seen
}

func (h *holding) heldAt(second int64) bool {
	return h.from <= second && (h.until == 0 || second < h.until)
}

// oracle knows all holdings, and which of them each object has now.
type oracle struct {
	holdings []*holding
	now      map[string]map[measure]*holding // by UID
}

func newOracle() *oracle { return &oracle{now: map[string]map[measure]*holding{}} }

// hold notes that from a moment on the object holds these levels. What it held of the same measures ends then.
func (o *oracle) hold(uid string, of account, from int64, held levels) {
	if o.now[uid] == nil {
		o.now[uid] = map[measure]*holding{}
	}
	for what, level := range held {
		if before := o.now[uid][what]; before != nil {
			before.until = from
		}
		h := &holding{account: of, measure: what, level: level, from: from}
		o.now[uid][what] = h
		o.holdings = append(o.holdings, h)
	}
}

// end notes that the object holds nothing any more since a moment that the API server tells.
func (o *oracle) end(uid string, at int64) { o.close(uid, at, false) }

// remove notes that the object is gone since a moment at which the demo's watch saw it go.
func (o *oracle) remove(uid string, at int64) { o.close(uid, at, true) }

func (o *oracle) close(uid string, at int64, removed bool) {
	for _, h := range o.now[uid] {
		h.until, h.removed = at, removed
	}
	delete(o.now, uid)
}

// total is what one account held of one measure in one interval, in base units times seconds. The truth is exact, or
// from low to high where removals leave a second's doubt.
type total struct {
	account
	measure
	start            int64 // of the interval
	exact, low, high int64
}

// totals are those of the interval that starts then, in order of account and measure.
func (o *oracle) totals(start, seconds int64) []total {
	sums := map[holding]*total{}
	for _, h := range o.holdings {
		key := holding{account: h.account, measure: h.measure}
		exact := h.within(start, seconds, 0)
		low, high := exact, exact
		if h.removed {
			low, high = h.within(start, seconds, -1), h.within(start, seconds, +1)
		}
		if high == 0 {
			continue
		}
		if sums[key] == nil {
			sums[key] = &total{account: h.account, measure: h.measure, start: start}
		}
		sums[key].exact += exact
		sums[key].low += low
		sums[key].high += high
	}
	list := make([]total, 0, len(sums))
	for _, sum := range sums {
		list = append(list, *sum)
	}
	slices.SortFunc(list, total.compare)
	return list
}

// within adds up second by second, with the end moved by some.
func (h *holding) within(start, seconds, moved int64) (sum int64) {
	shifted := *h
	if shifted.until != 0 {
		shifted.until += moved
	}
	for second := start; second < start+seconds; second++ {
		if shifted.heldAt(second) {
			sum += shifted.level
		}
	}
	return sum
}

func (t total) compare(other total) int {
	return cmp.Or(
		cmp.Compare(t.start, other.start),
		cmp.Compare(t.namespace, other.namespace), cmp.Compare(t.deployment, other.deployment),
		cmp.Compare(t.resourceType, other.resourceType), cmp.Compare(t.dimension, other.dimension),
	)
}
