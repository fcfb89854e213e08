package timeline

import (
	"context"

	"github.com/usage-operator/usage-operator/internal/lru"
)

// Pager gives the rows of queries page by page, however many they are: it adds up
// no more windows at a time than fit, and keeps what it added up for whoever asks
// for the next page, or the same again.
//
// It is safe for concurrent use.
type Pager struct {
	most int // about how many cells are added up at a time
	// building has room for as many parts as may be added up at the same time: what
	// asks for more waits, instead of taking memory.
	building chan struct{}
	plans    *lru.Cache[planKey, int]
	parts    *lru.Cache[partKey, *rows]
}

// planKey is what decides how many windows are added up at a time.
type planKey struct {
	query   string // its fingerprint
	lineage *int
	version uint64
}

type partKey struct {
	planKey
	until int64
	first int // window
}

const (
	// partsKept is how many parts of the largest size there is room for.
	partsKept = 8
	// builtAtOnce is how many parts may be added up at the same time.
	builtAtOnce = 4
	// maxPlans is how many queries' are kept.
	maxPlans = 4096
	// labelCells is how many cells what is known of a group takes as much as, beside its own.
	labelCells = 16
)

// NewPager keeps about so many cells of 16 bytes.
func NewPager(cells int) *Pager {
	return &Pager{most: cells / partsKept, building: make(chan struct{}, builtAtOnce), plans: lru.New[planKey, int](maxPlans), parts: lru.New[partKey, *rows](cells)}
}

// Page is at most limit of the rows that a query has up to a moment, in seconds
// since the epoch, after a cursor, and the cursor of the next page: "" for both
// the first page and what comes after the last. It says what a Tally that is
// advanced up to then says. The error is one of NewTally's, a CursorError, or the
// context's while it waits for others.
func (p *Pager) Page(ctx context.Context, s *Snapshot, q Query, until int64, after string, limit int) (list []Row, next string, err error) {
	if err := q.validate(); err != nil {
		return nil, "", err
	}
	all, err := newCalendar(q.Window, q.Size, q.zone())
	if err != nil {
		return nil, "", err
	}
	key := planKey{query: q.Fingerprint(), lineage: s.lineage, version: s.version}
	window, last := 0, cursor{}
	if after != "" {
		if last, err = parseCursor(after, key.query); err != nil {
			return nil, "", err
		}
		found := false
		if window, found = all.indexOf(last.Start); !found {
			return nil, "", errUnreadable
		}
	}
	atOnce := p.plan(s, q, key, all)
	for first := window - window%atOnce; first < all.windows() && all[first] < until; first += atOnce {
		part, err := p.part(ctx, s, q, partKey{planKey: key, until: until, first: first}, all[first:min(first+atOnce+1, len(all))])
		if err != nil {
			return nil, "", err
		}
		from, group := 0, 0
		if after != "" {
			if from, group, err = part.after(last); err != nil {
				return nil, "", err
			}
			after = ""
		}
		var more bool
		if list, more = part.append(list, from, group, limit); more {
			return list, newCursor(key.query, &list[limit-1]).String(), nil
		}
	}
	return list, "", nil
}

// After is the cursor of the page of a query's rows that begins after one of them.
func (q *Query) After(last *Row) string { return newCursor(q.Fingerprint(), last).String() }

// plan is how many windows are added up at a time.
func (p *Pager) plan(s *Snapshot, q Query, key planKey, all calendar) int {
	atOnce, known := p.plans.Get(key)
	if !known {
		outline := newTally(q, all)
		outline.begin(s)
		atOnce = min(max(1, p.most/max(1, outline.breadth(s))), all.windows())
		p.plans.Put(key, atOnce, 1)
	}
	return atOnce
}

// breadth is how many groups there may be.
func (t *Tally) breadth(s *Snapshot) int {
	t.members = make([]int32, s.classes.size)
	segments := 0
	s.since(t.query.Window.Start, func(id int, c *class) {
		if t.member(id, c) != none && t.grouping.byHolder {
			segments += c.breadth(t.query.Window)
		}
	})
	if !t.grouping.byHolder {
		return len(t.groups)
	}
	return segments
}

// part is what some windows have.
func (p *Pager) part(ctx context.Context, s *Snapshot, q Query, key partKey, some calendar) (*rows, error) {
	if kept, known := p.parts.Get(key); known {
		return kept, nil
	}
	select {
	case p.building <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err() // nobody is there to read it
	}
	defer func() { <-p.building }()
	if kept, known := p.parts.Get(key); known { // by now
		return kept, nil
	}
	t := newPart(q, some, key.until)
	if err := t.Advance(s, key.until); err != nil {
		return nil, err
	}
	r := t.rows()
	t.members, t.byLabels, t.byHolder, t.byNumber = nil, nil, nil, nil // it goes no further
	p.parts.Put(key, r, t.Cells()+labelCells*len(r.groups))
	return r, nil
}
