package timeline

import (
	"math"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// What the writer needs to find the series of a stream is more than the series
// itself, and nearly all streams have ended for good: of most pods of a month
// there will be no change any more. So the writer forgets where the series are of
// streams whose last segment has ended by the end of what is sealed. Readers see
// the same as before.
//
// A change may still come of such a stream: one that the journal says again, a
// segment that is voided, or a new one of a container that starts anew. For what is
// later than what was forgotten, nothing has to be found. For the others, which
// are rare, all series are looked through, once for each commit, however many
// such changes it has.

// forgetLeast is how many streams it takes to look for what to forget.
var forgetLeast = 1024 // tests set it

// never is before any segment.
const never = math.MinInt64

// forget forgets streams, if there may be a fifth of them or more to forget.
func (t *Timeline) forget() {
	if len(t.streams) < t.forgetAt {
		return
	}
	t.forgotten = t.next.through
	streams, known := map[streamKey]*stream{}, newDictionary()
	known.strings = t.strings
	for key, in := range t.streams {
		if !t.over(in) {
			streams[key] = in
			known.remember(key.holder)
		}
	}
	t.streams, t.dictionary = streams, known
	t.forgetAt = max(forgetLeast, len(streams)+len(streams)/4)
}

// over tells whether all of a stream had ended by the end of what is sealed.
func (t *Timeline) over(in *stream) bool {
	for _, at := range in.in {
		s := t.next.classes[at.class].series[at.series]
		if n := len(s.spans); s.open.level != 0 || n > 0 && s.spans[n-1].end > t.next.through {
			return false
		}
	}
	return true
}

// recall finds the series again that changes may be of, where they were forgotten.
func (t *Timeline) recall(changes []usage.Change) {
	wanted := map[identity]*holder{}
	streams := map[streamKey]*stream{}
	for i := range changes {
		c := &changes[i]
		if c.Start.At >= t.forgotten || !c.HasKey() {
			continue
		}
		h := t.holder(c.Subject)
		if in := t.stream(h, c.Dimension.Name); c.Start.At < in.since {
			wanted[h.identity()], streams[streamKey{h, c.Dimension.Name}] = h, in
			in.since, in.in = never, nil // all of it is found again
		}
	}
	if len(wanted) == 0 {
		return
	}
	for id, c := range t.next.classes {
		for i, s := range c.series {
			if h := wanted[s.holder.identity()]; h != nil {
				if in := streams[streamKey{h, c.Dimension.Name}]; in != nil {
					in.in = append(in.in, place{class: id, series: i})
				}
			}
		}
	}
}
