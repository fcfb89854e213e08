package account

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// fact is what a stream holds from a moment on.
type fact struct {
	held
	moment
	revision int64
}

// truth is what happened.
type truth struct {
	facts map[stream][]fact
	// streams are those of an object, by its UID.
	streams map[string]map[stream]bool
	names   map[string]string   // of objects, by UID
	changes map[string][]string // what was written of each object, by UID, for people
	counts  counts
}

// counts are of what was seen.
type counts struct {
	writes, changes int
	kinds           map[string]int
	widest          time.Duration // between the earliest and the latest moment of a write
}

// truth works out what the history means.
func (h *history) truth() *truth {
	t := &truth{
		facts: map[stream][]fact{}, streams: map[string]map[stream]bool{}, names: map[string]string{}, changes: map[string][]string{},
		counts: counts{kinds: map[string]int{}},
	}
	w := newWorld()
	for _, e := range h.events {
		if strings.HasPrefix(e.key, recordsKey) {
			continue
		}
		before, now := w.learn(e)
		if now == nil {
			continue
		}
		written := h.when(e)
		if !written.earliest.IsZero() {
			t.counts.widest = max(t.counts.widest, written.latest.Sub(written.earliest))
			t.counts.writes++
		}
		t.tell(e, now, written)
		if stamp := now.stamped(); !now.gone && (before == nil || stamp.After(before.stamped())) {
			written = written.back(stamp)
		}
		for other := range w.near(now) {
			t.note(w, other, written, e.revision, false)
		}
		t.note(w, now, written, e.revision, true)
	}
	return t
}

// note brings what an object holds up to date. own: it is the one that was written.
func (t *truth) note(w *world, of *thing, when moment, revision int64, own bool) {
	var now map[stream]stated
	if !of.gone {
		now = w.holds(of)
	}
	for s := range t.streams[of.uid] {
		if _, still := now[s]; !still {
			t.set(s, when, now[stream{s.uid, s.container, ""}], revision, of, own)
		}
	}
	for s, what := range now {
		if s.dimension != "" {
			t.set(s, when, what, revision, of, own)
		}
	}
}

// set notes what a stream holds from the moment on. What the object itself states of
// when it began or ended is believed where it is possible: not before the object was
// made, nor, of a beginning, before what was so before. An end is believed from when what
// it held began: what was seen of it meanwhile never was.
func (t *truth) set(s stream, when moment, what stated, revision int64, of *thing, own bool) {
	facts := t.facts[s]
	last := fact{moment: moment{earliest: of.moment("metadata", "creationTimestamp")}}
	if n := len(facts); n > 0 {
		last = facts[n-1]
	}
	if last.held == what.held {
		return
	}
	possible := func(says time.Time, since moment) bool {
		return own && !says.Before(since.earliest.Truncate(time.Second))
	}
	switch {
	case last.level == 0 && possible(what.since, last.moment):
		when = when.back(what.since)
	case what.level == 0 && possible(what.until, began(facts)):
		when = when.back(what.until)
		for len(facts) > 1 && facts[len(facts)-2].level != 0 && facts[len(facts)-1].earliest.After(when.earliest) {
			facts = facts[:len(facts)-1]
		}
	}
	if t.streams[s.uid] == nil {
		t.streams[s.uid] = map[stream]bool{}
		t.counts.kinds[of.kind]++
	}
	t.streams[s.uid][s] = true
	t.facts[s] = append(facts, fact{what.held, when, revision})
	t.counts.changes++
}

// began is when the last of the facts began to hold anything.
func began(facts []fact) moment {
	first := len(facts) - 1
	for first > 0 && facts[first-1].level != 0 {
		first--
	}
	return facts[first].moment
}

// tell notes what was written, for people.
func (t *truth) tell(e event, now *thing, when moment) {
	t.names[now.uid] = fmt.Sprintf("%s %s/%s", now.kind, now.namespace, now.name)
	line := fmt.Sprintf("revision %d, %s: ", e.revision, when)
	if now.gone {
		line += "removed"
	} else {
		owner := now.controller()
		line += fmt.Sprintf("written, stamped %s, label %q, owner %s %s, phase %q", now.stamped().UTC().Format("15:04:05"), now.label(deploymentLabel),
			owner.text("kind"), owner.text("name"), now.text("status", "phase"))
		if deleted := now.text("metadata", "deletionTimestamp"); deleted != "" {
			line += ", deleted " + deleted
		}
	}
	t.changes[now.uid] = append(t.changes[now.uid], line)
}

// tolerance is how far off a moment may be.
const tolerance = time.Second

// possible is all that a stream may have held in the second, give or take tolerance.
func (t *truth) possible(s stream, second int64) []held {
	from, to := time.Unix(second, 0).Add(-tolerance), time.Unix(second+1, 0).Add(tolerance)
	facts := t.facts[s]
	var found []held
	for i := -1; i < len(facts); i++ {
		if i+1 < len(facts) && facts[i+1].latest.Before(from) {
			continue
		}
		if i >= 0 && facts[i].earliest.After(to) {
			break
		}
		what := held{}
		if i >= 0 {
			what = facts[i].held
		}
		if !slices.Contains(found, what) {
			found = append(found, what)
		}
	}
	return found
}

// certain is what a stream held all through the second; false: it changed then, or
// may have.
func (t *truth) certain(s stream, second int64) (held, bool) {
	from, to := time.Unix(second, 0), time.Unix(second+1, 0)
	now := held{}
	for _, f := range t.facts[s] {
		switch {
		case !f.latest.After(from):
			now = f.held
		case f.earliest.Before(to):
			return now, false
		}
	}
	return now, true
}

// settle is for how long after its start what is under no deployment is put under the
// next one from its start.
const settle = 10 * time.Second

// settles tells whether the stream was under no deployment in the second, and under
// that one soon after it had begun.
func (t *truth) settles(s stream, second int64, deployment string) bool {
	return t.settlesFrom(s, second, deployment, func(f fact) time.Time { return f.latest })
}

// settlesFrom is settles, with the moment at which what was under no deployment was seen to begin.
func (t *truth) settlesFrom(s stream, second int64, deployment string, seen func(fact) time.Time) bool {
	facts := t.facts[s]
	at := time.Unix(second, 0)
	for i, f := range facts {
		begins := f.level != 0 && f.deployment == "" && (i == 0 || facts[i-1].level == 0)
		if !begins || f.earliest.After(at.Add(time.Second+tolerance)) {
			continue
		}
		for _, next := range facts[i+1:] {
			if next.level == 0 || next.earliest.Sub(seen(f)) > settle+2*tolerance {
				break
			}
			if next.deployment == deployment && at.Before(next.latest.Add(tolerance)) {
				return true
			}
		}
	}
	return false
}

// story is what a stream held, in words.
func (t *truth) story(s stream) string {
	var all []string
	for _, f := range t.facts[s] {
		all = append(all, fmt.Sprintf("    from %s (revision %d) %s", f.moment, f.revision, f.held))
	}
	return strings.Join(all, "\n")
}

func (h held) String() string {
	if h.level == 0 {
		return "nothing"
	}
	text := fmt.Sprintf("%d of %s %s under %q in %s (%s)", h.level, h.resourceType, h.resource, h.deployment, h.namespace, h.namespaceUID)
	if h.facts != "" {
		text += " {" + h.facts + "}"
	}
	return text
}
