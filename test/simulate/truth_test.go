package simulate

import (
	"cmp"
	"slices"
	"time"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// stream is what one member of an object holds of one dimension.
type stream struct{ uid, container, dimension string }

func (s stream) compare(other stream) int {
	return cmp.Or(cmp.Compare(s.uid, other.uid), cmp.Compare(s.container, other.container), cmp.Compare(s.dimension, other.dimension))
}

// held is what a stream holds at a moment, and where that belongs.
type held struct {
	level                   int64 // base units; 0 is nothing, and then the rest is zero
	namespace, namespaceUID string
	deployment, resource/* its UID */ string
}

// fact is what a stream holds from a moment on.
type fact struct {
	at time.Time
	held
}

// truth is what happened: for each stream what it held, from when on.
type truth struct {
	names map[string]string // of objects, by UID, for people
	facts map[stream][]fact
	// brief are those that turned out to be none when an earlier end was stated: at
	// their moment they were so.
	brief map[stream][]fact
	edits []edit // of the widgets' meter
	// stated are the ends that were stated in the second in which the meter was suspended,
	// of what was held until then: it may have ended, or not.
	stated map[stream][]usage.Window
	first  time.Time // when the operator began to look
	full   bool      // as in a scenario
}

func newTruth() *truth {
	return &truth{names: map[string]string{}, facts: map[stream][]fact{}, brief: map[stream][]fact{}, stated: map[stream][]usage.Window{}}
}

// set notes what the stream holds from the moment on. What it was thought to hold
// later is not so.
func (t *truth) set(s stream, at time.Time, what held) {
	if what.level == 0 {
		what = held{}
	}
	facts := t.facts[s]
	for n := len(facts); n > 0 && !facts[n-1].at.Before(at); n = len(facts) {
		t.brief[s] = append(t.brief[s], facts[n-1])
		facts = facts[:n-1]
	}
	now := held{}
	if n := len(facts); n > 0 {
		now = facts[n-1].held
	}
	if now != what {
		facts = append(facts, fact{at: at, held: what})
	}
	t.facts[s] = facts
}

// streams are all that ever held something, in order.
func (t *truth) streams() []stream {
	var all []stream
	for s := range t.facts {
		all = append(all, s)
	}
	slices.SortFunc(all, stream.compare)
	return all
}

// within are the things that the stream held at any moment within (from, to).
func (t *truth) within(s stream, from, to time.Time) []held {
	facts := t.facts[s]
	current := held{}
	var all []held
	for _, f := range facts {
		switch {
		case !f.at.After(from):
			current = f.held
		case f.at.Before(to):
			all = append(all, f.held)
		}
	}
	for _, f := range t.brief[s] {
		if f.at.After(from) && f.at.Before(to) {
			all = append(all, f.held)
		}
	}
	return append([]held{current}, all...)
}

// settles tells whether the stream was in nobody's deployment at the moment for so
// short a time from its start on that it counts as the next one's from the start.
func (t *truth) settles(s stream, at, began time.Time) (deployment string, soon bool) {
	facts := slices.Concat(t.facts[s], t.brief[s])
	slices.SortStableFunc(facts, func(a, b fact) int { return a.at.Compare(b.at) })
	for i := range facts {
		// The ledger counts from when the level changed last, not from when the object
		// was first in nobody's deployment: a known difference, see doc.go.
		again := t.full && i > 0 && facts[i-1].level != 0 && facts[i-1].deployment == ""
		if facts[i].level == 0 || facts[i].deployment != "" || again {
			continue
		}
		for j := i + 1; j < len(facts); j++ {
			if facts[j].level == 0 {
				continue
			}
			if facts[j].deployment != "" {
				if at.Add(time.Second+tolerance).After(facts[i].at) && at.Before(facts[j].at.Add(tolerance)) && facts[j].at.Sub(t.since(facts[i].at, began)) < settle {
					return facts[j].deployment, true
				}
				break
			}
		}
	}
	return "", false
}

// settled is the deployment that the stream came under so soon after it began to hold
// something, with nothing else in between, that it counts as that one's from its start.
func (t *truth) settled(s stream, at time.Time) (deployment string, surely bool) {
	facts := t.facts[s]
	if len(facts) < 2 || len(t.brief[s]) > 0 || !facts[0].at.After(t.first.Add(2*tolerance)) {
		return "", false
	}
	began, then := facts[0], facts[1]
	if began.level == 0 || began.deployment != "" || then.level != began.level || then.deployment == "" || then.at.Sub(began.at) > settle-2*time.Second {
		return "", false
	}
	return then.deployment, at.After(began.at.Add(tolerance)) && at.Before(then.at.Add(-tolerance))
}

// since is the moment, or, without -simulate.full, when the operator or what is said began
// later: the ledger counts from where its segment starts.
func (t *truth) since(at, began time.Time) time.Time {
	for _, other := range []time.Time{t.first, began} {
		if !t.full && at.Before(other) {
			at = other
		}
	}
	return at
}

// edit is when the widgets' meter began to read sizes times another factor.
type edit struct {
	at       time.Time
	from, to int64
}

// edited are what may be said instead: of a change in the same second as an edit, either
// may have come first.
func (t *truth) edited(s stream, at time.Time, is held) []held {
	var all []held
	for _, e := range t.edits {
		if s.dimension != "size" || at.Add(-tolerance).After(e.at) || at.Add(time.Second+tolerance).Before(e.at) {
			continue
		}
		for _, factors := range [][2]int64{{e.from, e.to}, {e.to, e.from}} {
			other := is
			other.level = is.level / factors[0] * factors[1]
			all = append(all, other)
		}
	}
	return all
}
