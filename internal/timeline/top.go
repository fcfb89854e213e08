package timeline

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Ranking is the largest rows of each measure of a query, and the sum of the others.
type Ranking struct {
	// Rows are ordered by measure, then largest first; equal ones in the order of rows.
	Rows []Row
	// Others are of the measures that have more rows, in order.
	Others []Others
}

// Others are the rows of a measure that are not in a ranking.
type Others struct {
	Measure
	Count  int
	Amount usage.Amount
	// Known tells that the amount of each is known.
	Known    bool
	Accuracy usage.Accuracy
}

// MaxRanked is how many rows a ranking may have, of all measures.
const MaxRanked = 5000

// errWindows is that a query has several windows.
var errWindows = errors.New("a ranking is of one window: want the window size none")

// Top returns the ranking of a query's rows up to a moment, in seconds since the epoch,
// with at most that many rows of each measure. Rows are of one measure if they have the
// same dimension and unit and, if the query is grouped by it, resource type. It takes
// memory for the ranked rows, and for one part of the query. The errors are those of
// Page.
func (p *Pager) Top(ctx context.Context, s *Snapshot, q Query, until int64, most int) (*Ranking, error) {
	if q.Size != None {
		return nil, errWindows
	}
	r, err := p.newReading(ctx, s, q, until)
	if err != nil {
		return nil, err
	}
	ranks := map[Measure]*ranked{}
	var unknown []Row // that nothing is known, where no part has a row
	for at := (step{}); r.has(at); at = r.next(at) {
		part, err := r.part(at)
		if err != nil {
			return nil, err
		}
		if len(part.unknown) > 0 && part.unknown[0] {
			unknown = []Row{part.unknownRow(0)}
		}
		for _, g := range part.groups {
			row, there := part.row(0, g)
			if !there {
				continue
			}
			of := Measure{ResourceType: typeOf(&row), Dimension: row.Dimension}
			if ranks[of] == nil {
				ranks[of] = &ranked{most: most, others: Others{Measure: of, Known: true}}
			}
			ranks[of].add(row, g.held(0))
		}
		if err := fits(ranks); err != nil {
			return nil, err
		}
	}
	if len(ranks) == 0 {
		return &Ranking{Rows: unknown}, nil
	}
	return rankingOf(ranks), nil
}

// fits is an error if there are more rows than a ranking may have.
func fits(ranks map[Measure]*ranked) error {
	rows := 0
	for _, r := range ranks {
		r.trim()
		rows += len(r.rows)
	}
	if rows > MaxRanked {
		return &TooLargeError{What: "rows of all metrics", Wanted: rows, Max: MaxRanked, Remedy: "ask for fewer of each, or for some resource types or dimensions"}
	}
	return nil
}

func typeOf(r *Row) string { return valueOf(r, ResourceType) }

// ranked are the rows of a measure with the most so far.
type ranked struct {
	most   int
	rows   []rankedRow // in the order in which they come, or the most first
	others Others
	sum    sum // of the others
}

type rankedRow struct {
	Row
	held  sum
	order int
}

func (r *ranked) add(row Row, held sum) {
	r.rows = append(r.rows, rankedRow{row, held, r.others.Count + len(r.rows)})
	if len(r.rows) >= 2*r.most+16 {
		r.trim()
	}
}

// trim adds up what is not among those with the most.
func (r *ranked) trim() {
	slices.SortFunc(r.rows, func(a, b rankedRow) int {
		return cmp.Or(b.held.compare(a.held), cmp.Compare(a.order, b.order))
	})
	for i := min(r.most, len(r.rows)); i < len(r.rows); i++ {
		x := &r.rows[i]
		r.sum.add(x.held)
		r.others.Count++
		r.others.Known = r.others.Known && x.Known
		r.others.Accuracy = max(r.others.Accuracy, x.Accuracy)
	}
	r.rows = slices.Clip(r.rows[:min(r.most, len(r.rows))])
}

func rankingOf(ranks map[Measure]*ranked) *Ranking {
	measures := make([]Measure, 0, len(ranks))
	for of := range ranks {
		measures = append(measures, of)
	}
	slices.SortFunc(measures, Measure.Compare)
	out := &Ranking{}
	for _, of := range measures {
		r := ranks[of]
		r.trim()
		for i := range r.rows {
			out.Rows = append(out.Rows, r.rows[i].Row)
		}
		if r.others.Count > 0 {
			r.others.Amount = r.sum.amount()
			out.Others = append(out.Others, r.others)
		}
	}
	return out
}

// compare compares sums, of which each may be less than nothing by a correction.
func (s sum) compare(other sum) int {
	return cmp.Or(cmp.Compare(int64(s.high), int64(other.high)), cmp.Compare(s.low, other.low))
}
