package timeline

import (
	"context"
	"hash/maphash"

	"github.com/usage-operator/usage-operator/internal/lru"
)

// Pager gives the rows of queries page by page, however many they are: it adds up
// no more windows at a time than fit, of one window no more groups than fit, and keeps
// what it added up for the next page, or for the same one again.
//
// It is safe for concurrent use.
type Pager struct {
	most int // about how many cells are added up at a time
	// building has room for as many parts as may be added up at the same time: what
	// asks for more waits, instead of taking memory.
	building chan struct{}
	seed     maphash.Seed
	plans    *lru.Cache[planKey, *plan]
	parts    *lru.Cache[partKey, *rows]
}

// planKey is what decides how many windows are added up at a time.
type planKey struct {
	query   string // its fingerprint
	lineage *int
	version uint64
}

// plan is how a query is added up: so many windows at a time or, of one, the groups
// between two cuts.
type plan struct {
	windows int
	cuts    [][]label
}

type partKey struct {
	planKey
	until  int64
	first  int // window
	groups int // the number of their range
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
	return &Pager{
		most: cells / partsKept, building: make(chan struct{}, builtAtOnce), seed: maphash.MakeSeed(),
		plans: lru.New[planKey, *plan](maxPlans), parts: lru.New[partKey, *rows](cells),
	}
}

// Page is at most limit of the rows that a query has up to a moment, in seconds
// since the epoch, after a cursor, and the cursor of the next page: "" for both
// the first page and what comes after the last. It says what a Tally that is
// advanced up to then says. The error is one of NewTally's, a CursorError, or the
// context's.
func (p *Pager) Page(ctx context.Context, s *Snapshot, q Query, until int64, after string, limit int) (list []Row, next string, err error) {
	r, err := p.newReading(ctx, s, q, until)
	if err != nil {
		return nil, "", err
	}
	from, err := r.place(after)
	if err != nil {
		return nil, "", err
	}
	some := false
	for ; r.has(from); from = r.next(from) {
		part, err := r.part(from)
		if err != nil {
			return nil, "", err
		}
		ranged := len(r.plan.cuts) > 0
		if ranged && from.groups == 0 {
			some = false
		}
		window, group := 0, 0
		if after != "" {
			some = ranged // of this window there was a row before
			if window, group, err = part.after(from.last); err != nil {
				return nil, "", err
			}
			after = ""
		}
		before := len(list)
		var more bool
		if list, more = part.append(list, window, group, limit, !ranged); more {
			return list, newCursor(r.key.query, &list[limit-1]).String(), nil
		}
		some = some || len(list) > before
		if some || !r.endsUnknown(from, part) {
			continue
		}
		if len(list) == limit {
			return list, newCursor(r.key.query, &list[limit-1]).String(), nil
		}
		list = append(list, part.unknownRow(0))
	}
	return list, "", nil
}

// endsUnknown tells whether the part is the last of a window whose groups are cut, and
// the window has a row without a group if none of the parts has one.
func (r *reading) endsUnknown(at step, part *rows) bool {
	return len(r.plan.cuts) > 0 && at.groups == len(r.plan.cuts) && part.unknown[0]
}

// reading is a query whose parts are read one after the other.
type reading struct {
	*Pager
	ctx      context.Context
	snapshot *Snapshot
	query    Query
	until    int64
	all      calendar
	key      planKey
	plan     *plan
}

// step is where a reading is: at a window, and a range of groups.
type step struct {
	window, groups int
	last           cursor // of the page before; only where a page begins
}

func (p *Pager) newReading(ctx context.Context, s *Snapshot, q Query, until int64) (*reading, error) {
	if err := q.validate(); err != nil {
		return nil, err
	}
	all, err := newCalendar(q.Window, q.Size, q.zone())
	if err != nil {
		return nil, err
	}
	r := &reading{Pager: p, ctx: ctx, snapshot: s, query: q, until: until, all: all, key: planKey{query: q.Fingerprint(), lineage: s.lineage, version: s.version}}
	return r, r.prepare()
}

// place is where the page after a cursor begins.
func (r *reading) place(after string) (at step, err error) {
	if after == "" {
		return at, nil
	}
	if at.last, err = parseCursor(after, r.key.query); err != nil {
		return at, err
	}
	window, found := r.all.indexOf(at.last.Start)
	g := newGrouping(r.query.GroupBy)
	labels, ok := g.parse(at.last.Group)
	if !found || !ok {
		return at, errUnreadable
	}
	at.window, at.groups = window-window%r.plan.windows, rangeWith(r.plan.cuts, labels)
	return at, nil
}

func (r *reading) has(at step) bool { return at.window < r.all.windows() && r.all[at.window] < r.until }

func (r *reading) next(at step) step {
	if at.groups < len(r.plan.cuts) {
		return step{window: at.window, groups: at.groups + 1}
	}
	return step{window: at.window + r.plan.windows}
}

// After is the cursor of the page of a query's rows that begins after one of them.
func (q *Query) After(last *Row) string { return newCursor(q.Fingerprint(), last).String() }

// prepare decides how the query is added up.
func (r *reading) prepare() error {
	if kept, known := r.plans.Get(r.key); known {
		r.plan = kept
		return nil
	}
	outline := newTally(r.query, r.all)
	found, err := outline.spread(r.ctx, r.snapshot, r.query.Window, r.seed)
	if err != nil {
		return err
	}
	groups := max(1, found.groups())
	r.plan = &plan{windows: min(max(1, r.most/groups), r.all.windows())}
	if ranges := groups * (1 + labelCells) / max(1, r.most); r.plan.windows == 1 && ranges > 0 {
		r.plan.cuts = found.cuts(ranges + 1)
	}
	r.plans.Put(r.key, r.plan, 1+len(r.plan.cuts))
	return nil
}

// part is what some windows and groups have.
func (r *reading) part(at step) (*rows, error) {
	key := partKey{planKey: r.key, until: r.until, first: at.window, groups: at.groups}
	if kept, known := r.parts.Get(key); known {
		return kept, nil
	}
	builds := false
	err := rest(r.ctx, func() error {
		select {
		case r.building <- struct{}{}:
			builds = true
			return nil
		case <-r.ctx.Done():
			return r.ctx.Err() // nobody is there to read it
		}
	})
	if builds { // also when it may not go on
		defer func() { <-r.building }()
	}
	if err != nil {
		return nil, err
	}
	if kept, known := r.parts.Get(key); known { // by now
		return kept, nil
	}
	some := r.all[at.window:min(at.window+r.plan.windows+1, len(r.all))]
	t := newPart(r.query, some, r.until, rangeOf(r.plan.cuts, at.groups))
	if err := t.AdvanceFor(r.ctx, r.snapshot, r.until); err != nil {
		return nil, err
	}
	made := t.rows()
	t.members, t.byLabels, t.byHolder, t.byNumber = nil, nil, nil, nil // it goes no further
	r.parts.Put(key, made, t.Cells()+labelCells*len(made.groups))
	return made, nil
}
