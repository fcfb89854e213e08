package ledger

import "slices"

// ends are the objects by the hours in which segments and corrections of them
// ended, so that those are found which are to be forgotten.
type ends map[int64]map[*object]struct{}

const anHour = 3600

// hourOf is the hour of a moment, by one more, so that the zero value is none.
func hourOf(moment int64) int64 { return moment/anHour + 1 }

// due tells whether the hour has begun by the moment: something of it may have ended.
func due(hour, before int64) bool { return (hour-1)*anHour <= before }

func (e ends) note(at *object, moment int64) {
	hour := hourOf(moment)
	if at.ended == hour {
		return
	}
	at.several = at.several || at.ended != 0
	at.ended = hour
	if e[hour] == nil {
		e[hour] = map[*object]struct{}{}
	}
	e[hour][at] = struct{}{}
}

// drop takes an object out of all hours.
func (e ends) drop(at *object) {
	if !at.several {
		e.dropFrom(at.ended, at)
	} else {
		for hour := range e {
			e.dropFrom(hour, at)
		}
	}
	at.ended, at.several = 0, false
}

func (e ends) dropFrom(hour int64, at *object) {
	if delete(e[hour], at); len(e[hour]) == 0 {
		delete(e, hour)
	}
}

// Forget drops segments that ended at or before the moment, whatever their
// bounds, and corrections of what was before it.
func (l *Ledger) Forget(before int64) {
	l.packed.forget(before)
	for hour, objects := range l.ends {
		if !due(hour, before) {
			continue
		}
		over := hour*anHour <= before
		for at := range objects {
			l.forget(at, before)
			if over && at.ended == hour {
				at.ended = 0
			}
		}
		if over {
			delete(l.ends, hour)
		}
	}
}

// forget drops the object's segments that ended before, and the object with its last.
func (l *Ledger) forget(at *object, before int64) {
	if corrections, corrected := l.corrected[at]; corrected {
		corrections = slices.DeleteFunc(corrections, func(c correction) bool { return c.end.At <= before })
		if l.corrected[at] = corrections; len(corrections) == 0 {
			delete(l.corrected, at)
		}
	}
	at.eachStream(func(s *stream) {
		s.ended = slices.DeleteFunc(s.ended, func(c closed) bool { return c.latest() <= before })
		if len(s.ended) == 0 {
			s.ended = nil
			if !slices.Contains(at.streams, s) {
				l.release(s)
			}
		}
	})
	l.forgetObject(at)
}
