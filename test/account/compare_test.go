package account

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// interval is the length of one, in seconds.
const interval = 60

// difference is a stretch of a stream of which the ledger says something wrong.
type difference struct {
	stream
	from, to       int64
	expected, said string
}

// verdict is how truth and ledger compare.
type verdict struct {
	// compared are the seconds of streams in which there was something, or is said to
	// have been. Of those, within are the ones that agree because a change is near,
	// bounded because of a segment's bounds, and covered because the journal says that
	// nobody saw them as they happened.
	compared, within, bounded, covered int
	differences                        []difference
}

// compare compares each second from one to the other.
func compare(t *truth, l *ledger, from, to int64) *verdict {
	v := &verdict{}
	keys := map[stream]bool{}
	for s := range t.facts {
		keys[s] = true
	}
	for s := range l.parts {
		keys[s] = true
	}
	for _, s := range slices.SortedFunc(maps.Keys(keys), stream.compare) {
		v.stream(t, l, s, from, to)
	}
	return v
}

func (v *verdict) stream(t *truth, l *ledger, s stream, from, to int64) {
	now := difference{}
	for second := from; second <= to; second++ {
		found := difference{}
		if second < to {
			found = v.second(t, l, s, second)
		}
		if found.expected == now.expected && found.said == now.said {
			continue
		}
		if now.expected != "" {
			now.to = second
			v.differences = append(v.differences, now)
		}
		found.stream, found.from = s, second
		now = found
	}
}

// second is what is wrong in a second; empty: nothing.
func (v *verdict) second(t *truth, l *ledger, s stream, second int64) difference {
	said, wrong := l.at(s, second)
	is, certain := t.certain(s, second)
	if wrong == "" && certain && said == is {
		if is.level != 0 {
			v.compared++
		}
		return difference{}
	}
	v.compared++
	possible := t.possible(s, second)
	switch {
	case wrong != "":
	case agrees(possible, said), said.deployment != "" && t.settles(s, second, said.deployment) && agrees(possible, unattributed(said)):
		v.within++
		return difference{}
	case bounded(t, l, s, possible, second):
		v.bounded++
		return difference{}
	case covered(l, s, possible, said, second), remembered(t, l, s, said, second):
		v.covered++
		return difference{}
	default:
		wrong = said.String()
	}
	var expected []string
	for _, h := range possible {
		expected = append(expected, h.String())
	}
	if l.exact(said, second) || l.exact(possible[0], second) {
		wrong += " (Exact)"
	}
	return difference{expected: strings.Join(expected, " or "), said: wrong}
}

func unattributed(h held) held {
	h.deployment = ""
	return h
}

// agrees tells whether what is said may have been so. How much it is and where it
// belongs may have changed in the same second, each in its own half of it.
func agrees(possible []held, said held) bool {
	if said.level == 0 {
		return slices.Contains(possible, said)
	}
	level := slices.ContainsFunc(possible, func(h held) bool { return h.level == said.level })
	return level && slices.ContainsFunc(possible, func(h held) bool {
		h.level = said.level
		return h == said
	})
}

// bounded tells whether a segment that is not in an Exact record, or a correction,
// says that it may have reached into the second, and what it held was so. It may have been
// under no deployment first, and soon after it was said to have begun under the one that it
// is put under.
func bounded(t *truth, l *ledger, s stream, possible []held, second int64) bool {
	return slices.ContainsFunc(l.parts[s], func(p part) bool {
		inside := p.sign > 0 && p.earliest-1 <= second && second <= p.latest
		outside := p.from <= second && second < p.to
		held := agrees(possible, p.held) ||
			agrees(possible, unattributed(p.held)) && t.settlesFrom(s, second, p.deployment, func(fact) time.Time { return time.Unix(p.from, 0) })
		return inside && !outside && (p.earliest < p.from || p.latest > p.to) && held && !l.exact(p.held, second)
	})
}

// covered tells whether the journal says that nobody saw the second as it happened.
func covered(l *ledger, s stream, possible []held, said held, second int64) bool {
	if l.exact(said, second) || slices.ContainsFunc(possible, func(h held) bool { return h.level != 0 && l.exact(h, second) }) {
		return false
	}
	meter, known := l.meters[s]
	return slices.ContainsFunc(slices.Collect(maps.Keys(l.coverage)), func(name string) bool {
		return (name == meter || !known) && slices.ContainsFunc(l.coverage[name], func(c stretch) bool {
			return (c.coverage == "Estimated" || c.coverage == "Unknown") && c.from-1 <= second && second <= c.to
		})
	})
}

// followers are kinds whose objects keep the workload that was seen last, as the truth names them.
var followers = []string{"PersistentVolumeClaim ", "Service ", "Gateway "}

// remembered tells whether a follower is under another workload than it was left under in a
// stretch that the journal says nobody saw. Nothing has placed it since: it keeps the
// workload that was seen last, however much it holds.
func remembered(t *truth, l *ledger, s stream, said held, second int64) bool {
	follows := slices.ContainsFunc(followers, func(kind string) bool { return strings.HasPrefix(t.names[s.uid], kind) })
	if !follows || said.level == 0 {
		return false
	}
	if !agrees(unattributedAll(t.possible(s, second)), unattributed(said)) {
		return false
	}
	return slices.ContainsFunc(l.coverage[l.meters[s]], func(c stretch) bool {
		if c.coverage == "Observed" || c.to >= second {
			return false
		}
		left := t.possible(s, c.to+1)
		for at := c.to + 1; at <= second; at++ {
			if !slices.ContainsFunc(t.possible(s, at), func(h held) bool {
				return slices.ContainsFunc(left, func(was held) bool { return was.level != 0 && was.deployment == h.deployment })
			}) {
				return false
			}
		}
		return true
	})
}

func unattributedAll(all []held) []held {
	out := make([]held, len(all))
	for i, h := range all {
		out[i] = unattributed(h)
	}
	return out
}

// tell is a difference with all that it takes to look into it.
func (d difference) tell(t *truth, l *ledger) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s (%s) %s %s, from %s to %s (%d s):\n  expected %s\n  said     %s\n", t.names[d.uid], d.uid, d.container, d.dimension,
		clockTime(d.from), clockTime(d.to), d.to-d.from, d.expected, d.said)
	fmt.Fprintf(&text, "  it held\n%s\n  the ledger says\n", t.story(d.stream))
	for _, p := range l.parts[d.stream] {
		if p.to >= d.from-2*interval && p.from <= d.to+2*interval {
			fmt.Fprintln(&text, p)
		}
	}
	return text.String()
}
