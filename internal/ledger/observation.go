package ledger

import "github.com/usage-operator/usage-operator/internal/usage"

// Origin is how an observation came about. It decides how far a moment that
// the object does not state can be known.
type Origin uint8

const (
	// Live: the watch delivered it as it happened.
	Live Origin = iota
	// First: the first list of a meter. What was before is not known.
	First
	// Resumed: a list after the watch was interrupted. What differs happened
	// at some moment since After.
	Resumed
	// Replayed: the watch delivered it, long after it happened.
	Replayed
)

const (
	// aSecond is how many seconds apart the bounds of a moment that is known to the
	// second may be: moments are cut off to seconds, by two clocks.
	aSecond = 1
	// prompt is how many seconds apart the bounds may be of what was seen live. The
	// second between them is at most aSecond from each.
	prompt = 2 * aSecond
	// skew is how far the API servers' clocks, which objects are stamped by, may be
	// from the operator's, in seconds.
	skew = 5
)

// Observation is what a meter read from one object at one moment.
type Observation struct {
	Meter *Meter
	// UID is the object that was read, its members' Instance.UID. The ledger keeps
	// this very string.
	UID     string
	Members []usage.Member // in the order of their containers, each once
	// Created is when the object was created; 0: it is not known.
	Created int64
	// Written is the newest time at which the object says that it was written; 0: it does not say.
	Written int64
	// Fields is how many fields the object says that somebody manages. A write
	// that only takes fields away leaves Written as it was, and fewer fields.
	Fields uint32
	// After and Before are when what it shows can have happened: not before After,
	// and not after Before. 0 for Before: until Now.
	After, Before int64
	// Now is when it was observed.
	Now int64
	// Origin is how it came about.
	Origin Origin
	// Told is when the change was, if another object's brought it; zero: it was the object's own.
	Told Moments
	// Existed tells that the object was there before: if the meter does not know
	// it, it was none of the meter's then.
	Existed bool
}

// note keeps what the next observation is dated by.
func (at *object) note(o *Observation) {
	if o.Created != 0 {
		at.created = o.Created
	}
	at.seen, at.fields, at.absent = o.knownAt(at.seen), o.Fields, len(o.Members) == 0
}

// knownAt is the latest moment at which the object was surely as observed: its
// last write, and never before what the watch had delivered already.
func (o *Observation) knownAt(seen int64) int64 {
	if o.Written <= o.newest() {
		seen = max(seen, o.Written)
	}
	return max(seen, o.After-skew)
}

// latest is the moment by which what is shown had happened.
func (o *Observation) latest() int64 {
	if o.Before == 0 {
		return o.Now
	}
	return o.Before
}

// sameWrite is for how many seconds after a write another one of the same
// second is believed: the two cannot be told apart by their times. In a list it
// is the write that was seen before: what differs is what the meter makes of it.
const sameWrite = 10

// Dates tells whether the newest write can have been when the object says: not more than a
// second outside of what is known otherwise. Who writes the object can write the times in
// its managedFields, too.
func (o *Observation) Dates() bool {
	return o.Written != 0 && o.Written <= o.newest() && o.Written >= o.After-aSecond
}

// newest is the latest moment at which it can say that it was written.
func (o *Observation) newest() int64 {
	if o.Origin == First { // of an edited meter: what there is now is not all of the edit's moment
		return o.Now + aSecond
	}
	return o.latest() + aSecond
}

// writtenIsNews tells whether the newest write is the one that brought this
// observation: later than what was seen before. A write that only removes
// fields leaves no time, so an old one tells nothing.
func (o *Observation) writtenIsNews(at *object) bool {
	if !o.Dates() {
		return false
	}
	return o.Written > at.seen ||
		(o.Written == at.seen && (o.Origin == Live || o.Origin == Replayed) && o.Fields >= at.fields && o.latest()-o.Written <= sameWrite)
}

// moments are when the change that the observation shows ended what was before
// and started what is now. They are the same moment, unless nobody saw it.
func (o *Observation) moments(at *object) Moments {
	if !o.Told.Start.IsZero() {
		return o.Told
	}
	if o.writtenIsNews(at) && o.Origin != Resumed {
		written := usage.Boundary{At: o.Written, Evidence: usage.ManagedFields}
		return Moments{End: written, Start: written}
	}
	// In a list the newest write is one of those that nobody saw. It need not be the
	// last: one that only takes fields away leaves no time.
	return Between(o.Origin, max(o.After, at.seen), o.latest())
}

// Moments are one moment, as the end of what was and as the start of what is:
// the same, unless nobody saw it.
type Moments struct {
	End, Start usage.Boundary
}

// earliest is the earliest moment at which it can have been.
func (m Moments) earliest() int64 {
	earliest, _ := m.Start.StartBounds()
	return min(m.End.At, earliest)
}

// Between is a moment somewhere in [earliest, latest]. What is known to the second
// is exact: what is said is at most a second from what was so. Of what was seen live
// within two seconds, the one in between is said. What a meter sees first, or
// differently, counts from when it looks.
func Between(origin Origin, earliest, latest int64) Moments {
	if promptly := origin == Live && latest-earliest == prompt; promptly || latest-earliest <= aSecond || origin == First {
		seen := usage.Boundary{At: latest, Evidence: usage.Observed}
		if promptly {
			seen.At -= aSecond
		}
		return Moments{End: seen, Start: seen}
	}
	slack := uint32(min(latest-earliest, 1<<32-1))
	return Moments{
		End:   usage.Boundary{At: earliest, Slack: slack, Evidence: usage.ReplayBound},
		Start: usage.Boundary{At: latest, Slack: slack, Evidence: usage.ReplayBound},
	}
}

// begins is when a member that was not active before began to be.
func (o *Observation) begins(member *usage.Member, at *object, changed usage.Boundary) usage.Boundary {
	stated := member.Start
	if at.known {
		if o.believable(stated, at) && (!at.absent || stated.At >= changed.At) {
			return stated
		}
		return changed // what was seen live wins over what is read later
	}
	watched := o.Origin == Live || o.Origin == Replayed
	switch {
	case watched && !at.unreadable && !stated.IsZero() && stated.At < o.After-skew:
		return changed // the watch delivered its creation, and that came later
	case !stated.IsZero() && stated.At < at.meter.Defined:
		return o.found(usage.Boundary{At: at.meter.Defined, Evidence: usage.MeteringStarted})
	case !stated.IsZero() && stated.At <= o.Now:
		return o.found(stated)
	case o.Origin == First:
		return o.found(usage.Boundary{At: at.meter.Defined, Evidence: usage.MeteringStarted})
	}
	return changed
}

// believable tells whether an object that was known not to be active can have
// become so when it says: later than it was last seen, or in that very second,
// unless that is when an earlier activity began. What was known without the
// member did not have it at its creation; what was excluded counts from when it
// is not.
func (o *Observation) believable(stated usage.Boundary, at *object) bool {
	if stated.Evidence != usage.ObjectTime || stated.At > o.Now {
		return false
	}
	return stated.At > at.seen || (stated.At == at.seen && stated.At > at.began)
}

// found is from when on a list can vouch for what began at the moment: nothing
// has changed since the object's last write, and what it was like before that
// only somebody who looked would know.
func (o *Observation) found(began usage.Boundary) usage.Boundary {
	if o.Origin == Live || o.Origin == Replayed {
		return began
	}
	written := o.Written
	if written == 0 || written > o.Now {
		written = o.Now
	}
	if written <= began.At {
		return began
	}
	return usage.Boundary{At: written, Slack: uint32(min(written-began.At, 1<<32-1)), Evidence: usage.ReplayBound}
}

// memberEnd is when a member that is not active any more ended: as the object
// says, when that is not before its activity can have begun, else when the change was seen.
func (s *stream) memberEnd(member *usage.Member, o *Observation, seen usage.Boundary) usage.Boundary {
	if stated := member.End; !stated.IsZero() && (stated.At >= s.beganBy() || stated.At > s.beganAfter()) && stated.At <= o.Now {
		return stated
	}
	return seen
}

// beganBy is when the member's present activity began at the latest: what it holds, it holds
// since then. A restart may find it active later than it was, where it held nothing.
func (s *stream) beganBy() int64 {
	latest := s.member.began
	for i := range s.open {
		if s.open[i].level != 0 {
			latest = min(latest, s.open[i].start.At)
		}
	}
	return latest
}

// beganAfter is the earliest moment at which the member's present activity can have begun: a
// former one may have ended then. One that began before metering did was there when the
// object was known last.
func (s *stream) beganAfter() int64 {
	earliest := s.member.began
	for i := range s.open {
		if s.open[i].level != 0 {
			after, _ := s.open[i].start.StartBounds()
			if s.open[i].start.Evidence == usage.MeteringStarted {
				after = s.object.seen
			}
			earliest = min(earliest, after)
		}
	}
	return earliest
}
