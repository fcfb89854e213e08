package ledger

import (
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Gathering cuts what an account holds inside a window bit by bit, so that others
// use the ledger in between. Of what is sealed that is Cut; what is not may have
// changed meanwhile, and then its account is among the Changed.
type Gathering struct {
	window  usage.Window
	now     int64
	ended   bool // something of the account may have ended inside the window
	streams []*stream
	key     usage.Account
	packed  *packed
	blocks  []portion // in which something of the account may be
}

// Gather begins to cut what the account holds.
func (l *Ledger) Gather(g *Gathering, key usage.Account, w usage.Window, now int64) {
	g.window, g.now, g.streams = w, now, g.streams[:0]
	g.key, g.packed, g.blocks = key, &l.packed, l.packed.overlapping(w)
	if len(g.blocks) > 0 {
		hash := l.packed.accountHash(key)
		g.blocks = slices.DeleteFunc(g.blocks, func(p portion) bool { return !p.block.hasAccount(hash) })
	}
	a := l.accounts[key]
	if a == nil {
		return
	}
	g.ended = a.latest > w.Start
	for s := a.streams; s != nil; s = s.next {
		g.streams = append(g.streams, s)
	}
}

// Next appends what comes next, in no particular order, until that are so many
// segments or more; over tells that it is all. The ledger may not change meanwhile.
func (g *Gathering) Next(segments []usage.Segment, most int) (_ []usage.Segment, over bool) {
	for most += len(segments); len(g.streams) > 0 && len(segments) < most; g.streams = g.streams[1:] {
		segments = g.streams[0].gather(segments, g.window, g.now, g.ended)
	}
	for ; len(g.streams) == 0 && len(g.blocks) > 0 && len(segments) < most; g.blocks = g.blocks[1:] {
		segments = g.packed.gather(segments, g.blocks[0], g.key, g.window, g.now)
	}
	return segments, len(g.streams)+len(g.blocks) == 0
}

// gather appends the stream's segments inside the window, as far as now.
func (s *stream) gather(segments []usage.Segment, w usage.Window, now int64, ended bool) []usage.Segment {
	var subject *usage.Subject // the segments share it
	add := func(segment usage.Segment) {
		part, ok := segment.Cut(w, now)
		if !ok {
			return
		}
		if subject == nil {
			subject = s.subject()
		}
		part.Subject = subject
		segments = append(segments, part)
	}
	if ended {
		for i := range s.ended {
			if s.ended[i].latest() > w.Start {
				add(s.segmentOf(&s.ended[i]))
			}
		}
	}
	for i := range s.open {
		if s.open[i].level != 0 {
			add(s.segment(i))
		}
	}
	return segments
}
