package timeline

import (
	"maps"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Value is one of the values that tell a row from others: the key's, or the UID
// of what the key names.
type Value struct{ Key, Value string }

// Row is what a group held in a window.
type Row struct {
	Window usage.Window
	Group  []Value
	usage.Dimension
	Amount usage.Amount
	// Known tells that the amount says something: false where nothing is known to
	// have been held, and nobody can tell.
	Known    bool
	Accuracy usage.Accuracy
	// Since is the accuracy but for the time before the meters began: what the life of
	// what is in the row leaves unknown.
	Since usage.Accuracy
}

// Total is what everything held of a measure.
type Total struct {
	Measure
	Amount usage.Amount
}

// Page is a part of a tally's rows.
type Page struct {
	Rows []Row
	// Count is how many rows there are on all pages.
	Count int
	// Next is where the next page begins; "" after the last one.
	Next string
}

// Window is what has been added up: of a window that is not over, what has passed.
func (t *Tally) Window() usage.Window { return usage.Window{Start: t.calendar.start(), End: t.through} }

// Totals are what all rows add up to, by resource type and dimension.
func (t *Tally) Totals() []Total { return inOrderOfMeasures(t.totals) }

// inOrderOfMeasures are sums that are not zero.
func inOrderOfMeasures(sums map[Measure]*sum) []Total {
	totals := make([]Total, 0, len(sums))
	for measure, amount := range maps.All(sums) {
		if !amount.isZero() {
			totals = append(totals, Total{Measure: measure, Amount: amount.amount()})
		}
	}
	slices.SortFunc(totals, func(a, b Total) int { return a.Compare(b.Measure) })
	return totals
}

// Page is the rows after a cursor, the Next of another page: at most limit of
// them, by window, then by group. The error is a CursorError.
func (t *Tally) Page(after string, limit int) (*Page, error) {
	r := t.rows()
	window, next := 0, 0
	if after != "" {
		c, err := parseCursor(after, t.query.Fingerprint())
		if err == nil {
			window, next, err = r.after(c)
		}
		if err != nil {
			return nil, err
		}
	}
	page := &Page{Count: r.count()}
	var more bool
	if page.Rows, more = r.append(nil, window, next, limit, true); more {
		page.Next = t.After(&page.Rows[limit-1])
	}
	return page, nil
}

// append appends the rows from one on, until there are as many as limit; with unknown also
// those of windows of which nothing is known. More tells that this was not all.
func (r *rows) append(list []Row, window, next, limit int, unknown bool) (all []Row, more bool) {
	for ; window < r.windows; window, next = window+1, 0 {
		if unknown && r.unknown[window] && next == 0 {
			if len(list) == limit {
				return list, true
			}
			list = append(list, r.unknownRow(window))
			continue
		}
		for ; next < len(r.groups); next++ {
			row, there := r.row(window, r.groups[next])
			if !there {
				continue
			}
			if len(list) == limit {
				return list, true
			}
			list = append(list, row)
		}
	}
	return list, false
}

// Corrected is how many corrections of sealed intervals are counted in.
func (t *Tally) Corrected() int { return t.corrected }

// rows are what a tally says now.
type rows struct {
	*Tally
	groups  []*group // that say something, in order
	windows int      // that have begun
	doubts  [][]doubt
	lost    []bool // by measure: there is something of it that its meter has not seen
	unknown []bool // by window: it has a row that says that nothing is known of it
}

func (t *Tally) rows() *rows {
	r := &rows{Tally: t, doubts: t.doubts()}
	for _, doubts := range r.doubts {
		r.lost = append(r.lost, slices.ContainsFunc(doubts, func(d doubt) bool { return d != doubt{} }))
	}
	t.sort()
	r.groups = t.sorted
	if t.through > t.calendar.start() {
		r.windows = t.calendar.at(t.through-1) + 1
	}
	r.unknown = r.unknownWindows()
	return r
}

// sort puts the groups in order that hold something since they were sorted last.
func (t *Tally) sort() {
	if len(t.unsorted) == 0 {
		return
	}
	slices.SortFunc(t.unsorted, compareGroups)
	old := t.sorted
	t.sorted = make([]*group, 0, len(old)+len(t.unsorted))
	for _, g := range t.unsorted {
		// Few are new: what is before each goes over as it is.
		n, _ := slices.BinarySearchFunc(old, g, compareGroups)
		t.sorted = append(append(t.sorted, old[:n]...), g)
		old = old[n:]
	}
	t.sorted, t.unsorted = append(t.sorted, old...), nil
}

func compareGroups(a, b *group) int { return compareLabels(a.labels, b.labels) }

// says is how well it is known what a group held in a window, whether anything
// is, and whether it is a row.
func (r *rows) says(window int, g *group) (accuracy, since usage.Accuracy, known, there bool) {
	if g.accuracy != nil {
		accuracy = g.accuracy[window]
	}
	since = accuracy
	nothing := g.held(window).isZero()
	there = r.query.Zeros || !nothing || accuracy != usage.Exact
	known = !nothing
	passed := r.calendar.window(window).Intersect(r.Window()).Seconds()
	for _, m := range g.measures {
		d := &r.doubts[m][window]
		accuracy, since = max(accuracy, d.accuracy), max(since, d.since)
		known = known || d.unknown < passed
	}
	return accuracy, since, known, there || !known
}

func (r *rows) count() int {
	count := 0
	for _, unknown := range r.unknown {
		if unknown {
			count++
		}
	}
	for _, g := range r.groups {
		if r.plain(g) {
			for i := range g.cells[:min(r.windows, len(g.cells))] {
				if !g.cells[i].isZero() {
					count++
				}
			}
			continue
		}
		for window := range r.windows {
			if _, _, _, there := r.says(window, g); there {
				count++
			}
		}
	}
	return count
}

// plain tells that a row of the group is where it held something.
func (r *rows) plain(g *group) bool {
	return !r.query.Zeros && g.accuracy == nil &&
		!slices.ContainsFunc(g.measures, func(m int) bool { return r.lost[m] })
}

func (r *rows) row(window int, g *group) (Row, bool) {
	accuracy, since, known, there := r.says(window, g)
	if !there {
		return Row{}, false
	}
	return Row{
		Window: r.calendar.window(window), Group: r.values(g.labels), Dimension: g.dimension,
		Amount: g.held(window).amount(), Known: known, Accuracy: accuracy, Since: since,
	}, true
}

// held is what the group held in a window.
func (g *group) held(window int) sum {
	if g.cells == nil { // in this part
		return sum{}
	}
	return g.cells[window]
}

// values are labels as rows show them.
func (g *grouping) values(labels []label) []Value {
	values := make([]Value, 0, len(labels)+1)
	for i, key := range g.keys {
		values = append(values, Value{Key: string(key), Value: labels[i].value})
		if uid := key.uid(); uid != "" {
			values = append(values, Value{Key: string(uid), Value: labels[i].uid})
		}
	}
	return values
}
