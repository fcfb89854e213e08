package timeline

import "github.com/usage-operator/usage-operator/internal/usage"

// look is how the time from one moment to another is looked at, for every class alike.
type look struct {
	from, until int64
	// hours are stretches of whole hours, each within a window, of which there are sums.
	hours []hours
	// cuts are the rest: what lies in the same hour as a bound of a window that is
	// none of an hour, and what is not sealed.
	cuts []usage.Window
}

// hours are those from one to another, since the epoch, within a window.
type hours struct {
	window   int
	from, to int64
}

func newLook(c calendar, from, until, summed int64) *look {
	l := &look{from: from, until: until}
	for i := c.at(from); i < c.windows() && c[i] < until; i++ {
		w := usage.Window{Start: max(c[i], from), End: min(c[i+1], until)}
		first, last := ceiling(w.Start, secondsOfHour), min(floor(w.End, secondsOfHour), summed)
		if first >= last {
			l.cut(w.Start, w.End)
			continue
		}
		l.cut(w.Start, first*secondsOfHour)
		l.hours = append(l.hours, hours{window: i, from: first, to: last})
		l.cut(last*secondsOfHour, w.End)
	}
	return l
}

// cut adds a stretch to the cuts, or to the last of them.
func (l *look) cut(from, to int64) {
	if from >= to {
		return
	}
	if n := len(l.cuts); n > 0 && l.cuts[n-1].End == from {
		l.cuts[n-1].End = to
		return
	}
	l.cuts = append(l.cuts, usage.Window{Start: from, End: to})
}

// ceiling is a/b, rounded up.
func ceiling(a, b int64) int64 { return -floor(-a, b) }
