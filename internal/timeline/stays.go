package timeline

import (
	"cmp"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Stay is a time without a pause in which an instance, or a container of one, held
// something under a bundle.
type Stay struct {
	// Window is the stay, as far as it lies within what was asked for.
	Window usage.Window
	// Began is when it began, in seconds since the epoch, whatever was asked for.
	Began int64
	// Open tells that it goes on.
	Open     bool
	Accuracy usage.Accuracy
	// Segments are what was held, within what was asked for: there is one at least.
	Segments []usage.Segment
}

// Stays are those within a window, and the segments there that are under no bundle.
func (h *History) Stays(w usage.Window) (stays []Stay, others []usage.Segment) {
	type place struct{ instance, container, bundle string }
	bundled := map[place][]*usage.Segment{}
	var places []place // in the order in which they come
	for i := range h.Segments {
		s := &h.Segments[i]
		at := place{s.Subject.Instance.UID, s.Subject.Container, s.Subject.Bundle}
		switch {
		case at.bundle != "":
			if bundled[at] == nil {
				places = append(places, at)
			}
			bundled[at] = append(bundled[at], s)
		case s.Part(w).Seconds() > 0:
			others = append(others, *s)
		}
	}
	for _, at := range places {
		segments := bundled[at]
		slices.SortStableFunc(segments, func(a, b *usage.Segment) int { return cmp.Compare(a.Start.At, b.Start.At) })
		for len(segments) > 0 {
			n, whole := together(segments)
			if stay := newStay(segments[:n], whole, w); len(stay.Segments) > 0 {
				stays = append(stays, stay)
			}
			segments = segments[n:]
		}
	}
	return stays, others
}

// together is how many of the first segments follow each other without a pause, and when.
func together(segments []*usage.Segment) (n int, whole usage.Window) {
	whole = segments[0].Part(always)
	for n = 1; n < len(segments) && segments[n].Start.At <= whole.End; n++ {
		whole.End = max(whole.End, segments[n].Part(always).End)
	}
	return n, whole
}

func newStay(segments []*usage.Segment, whole, w usage.Window) Stay {
	stay := Stay{Window: whole.Intersect(w), Began: whole.Start}
	for _, s := range segments {
		if s.Part(w).Seconds() > 0 {
			stay.Segments = append(stay.Segments, *s)
		}
		stay.Open = stay.Open || s.End.IsZero()
		first, last := s.Start.At == stay.Window.Start, s.End.At == stay.Window.End
		if first && s.Start.Slack > 0 || last && s.End.Slack > 0 {
			stay.Accuracy = usage.Estimated
		}
	}
	return stay
}
