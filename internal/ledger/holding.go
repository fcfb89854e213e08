package ledger

import "github.com/usage-operator/usage-operator/internal/usage"

// Holding is since when the object holds something by any meter, without a pause;
// false when it holds nothing.
func (l *Ledger) Holding(uid string) (since usage.Boundary, holds bool) {
	for at := l.objects[uid]; at != nil; at = at.next {
		for _, s := range at.streams {
			if !s.holdsAny() {
				continue
			}
			began := usage.Boundary{At: s.member.began}
			for i := range s.open {
				if s.open[i].level != 0 && s.open[i].start.At == began.At {
					began = s.open[i].start
				}
			}
			if !holds || began.At < since.At {
				since, holds = began, true
			}
		}
	}
	return since, holds
}

// HoldsBy tells whether the object holds something by the meter.
func (l *Ledger) HoldsBy(m *Meter, uid string) bool {
	at := l.objects.find(m, uid)
	return at != nil && at.active()
}

// HeldMembers is what the object holds by the meter, by container.
func (l *Ledger) HeldMembers(m *Meter, uid string) []usage.Member {
	at := l.objects.find(m, uid)
	if at == nil {
		return nil
	}
	members := make([]usage.Member, len(at.streams))
	for i, s := range at.streams {
		members[i] = usage.Member{Subject: *s.subject(), Active: true, Levels: s.levels()}
	}
	return members
}

// LastEnd is when the object held something last, of what is kept; false when
// that is not known.
func (l *Ledger) LastEnd(uid string) (end usage.Boundary, known bool) {
	for _, at := range l.all(uid) {
		at.eachStream(func(s *stream) {
			for i := range s.ended {
				if c := &s.ended[i]; !known || c.end > end.At {
					end, known = c.endBoundary(), true
				}
			}
		})
	}
	return end, known
}
