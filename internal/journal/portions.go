package journal

import (
	"hash/fnv"
	"iter"
	"math"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// portions add up a whole journal as a fold does, in a fraction of the memory: changes lie
// compressed, as they came, in portions by the instance that they are of. What is of one
// segment is in one portion, so that each can be folded by itself: when the portions are
// handed out, and when much of one would be dropped.
type portions struct {
	all     [portionCount]portion
	horizon int64 // see fold
}

// portionCount is how many portions there are: of a million segments one has 16,000, which
// take some 5 MB while they are folded.
const portionCount = 64

// portionLeast is how many changes that may be dropped it takes to look for them.
var portionLeast = 2048 // tests set it

// portion is the changes of some instances.
type portion struct {
	wrapped [][]byte
	parcel  parcel
	count   int
	// spare is about how many changes would be dropped if it were folded.
	spare int
	// starts are the hours in which segments of it start: what starts in none of them has no
	// change in it.
	starts map[int64]struct{}
	// ends is how many changes ended by the hour that ends then.
	ends map[int64]int
}

func newPortions() *portions { return &portions{horizon: everything} }

// of is the portion in which a change is: the same each time, so that what is restored is in the
// same order.
func (p *portions) of(c *usage.Change) (at *portion, number int) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(c.Subject.Instance.UID)) // it never fails
	number = int(h.Sum32() % portionCount)
	return &p.all[number], number
}

const hourSeconds = 3600

// hour is the hour of a moment.
func hour(moment int64) int64 {
	h := moment / hourSeconds
	if moment%hourSeconds < 0 {
		h--
	}
	return h
}

// add takes in a change.
func (p *portions) add(c *usage.Change) {
	at, number := p.of(c)
	expired := expired(c, p.horizon)
	switch {
	case c.HasKey() && (c.Kind == usage.Void || expired):
		if _, may := at.starts[hour(c.Start.At)]; !may {
			return // nothing is there that it is about
		}
		at.spare += 2
	case expired:
		return
	case c.End.IsZero():
		at.spare++ // what is open is mostly replaced
	}
	at.add(c)
	// Not all at the same time.
	if at.spare >= max(portionLeast, at.count/4+at.count*number/(8*portionCount)) {
		p.fold(at)
	}
}

// add appends a change.
func (at *portion) add(c *usage.Change) {
	if at.starts == nil {
		at.starts, at.ends = map[int64]struct{}{}, map[int64]int{}
	}
	at.starts[hour(c.Start.At)] = struct{}{}
	if !c.End.IsZero() && c.Kind != usage.Void {
		at.ends[hour(latestOf(c))+1]++
	}
	at.count++
	at.parcel.add(c)
	if at.parcel.isFull() {
		at.wrapped = append(at.wrapped, at.parcel.wrap())
	}
}

// after moves the horizon: what had ended by then is dropped.
func (p *portions) after(horizon int64) {
	if horizon <= p.horizon {
		return
	}
	before := p.horizon
	p.horizon = horizon
	if hour(before) == hour(horizon) {
		return
	}
	for i := range p.all {
		at := &p.all[i]
		for until, n := range at.ends {
			if until <= hour(horizon) {
				at.spare += n
				delete(at.ends, until)
			}
		}
	}
}

// fold drops what is void, or replaced, or expired.
func (p *portions) fold(at *portion) {
	left := p.take(at)
	for i := range left {
		at.add(&left[i])
	}
}

// take is what a portion adds up to. The portion is empty then.
func (p *portions) take(at *portion) []usage.Change {
	f := newFold(true)
	f.horizon, f.pruneAt = p.horizon, math.MaxInt
	f.changes = make([]usage.Change, 0, at.count)
	was := *at
	*at = portion{parcel: parcel{bytes: was.parcel.bytes}}
	for i, wrapped := range was.wrapped {
		if err := unwrapped(wrapped, f.add); err != nil {
			unreadablePortion(err)
		}
		was.wrapped[i] = nil
	}
	if err := readParcel(was.parcel.bytes, f.add); err != nil {
		unreadablePortion(err)
	}
	at.parcel.bytes = at.parcel.bytes[:0]
	return f.result()
}

// unreadablePortion says that a portion is not what was put into it: something else has
// written to this memory.
func unreadablePortion(err error) {
	panic("journal: what was read cannot be read again: " + err.Error())
}

// size is how many changes there are at most.
func (p *portions) size() (all int64) {
	for i := range p.all {
		all += int64(p.all[i].count)
	}
	return all
}

// result hands out each portion, which is let go of.
func (p *portions) result() iter.Seq[[]usage.Change] {
	return func(yield func([]usage.Change) bool) {
		for i := range p.all {
			left := p.take(&p.all[i])
			p.all[i] = portion{}
			if len(left) > 0 && !yield(left) {
				return
			}
		}
	}
}
