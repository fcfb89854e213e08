package timeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Series are the largest groups of a query, window by window, what the other groups of
// each measure add up to, and what all of them do: in each window the lines and the
// others of a measure are its total.
type Series struct {
	// Windows are those that have begun, each up to where figures go.
	Windows []usage.Window
	// Coverage is how each window is known to the meters of what the query asks for.
	Coverage []Coverage
	// Lines are in the order of a ranking, Others and Totals in the order of measures.
	Lines, Others, Totals []Line
}

// Line is what a group, or several together, held in each window.
type Line struct {
	Group []Value // of a line of one group
	Measure
	// Count is how many groups it is of.
	Count  int
	Points []Point
}

// Point is an amount; Known is false where it cannot be told.
type Point struct {
	Amount   usage.Amount
	Known    bool
	Accuracy usage.Accuracy
}

const (
	// MaxSeriesWindows is how many windows series may have: the hours of a quarter.
	MaxSeriesWindows = 2_250
	// MaxPoints is how many points series may have in total.
	MaxPoints = 60_000
)

// errCorrected is that groups say less than nothing, which corrections never make of a window.
var errCorrected = errors.New("timeline: the others of a window hold less than nothing")

// Series returns the series of a query up to a moment, in seconds since the epoch, with at
// most that many groups of each measure, by what they held in the whole time. The errors
// are those of Page, and a TooLargeError for more than MaxPoints.
func (p *Pager) Series(ctx context.Context, s *Snapshot, q Query, until int64, most int) (*Series, error) {
	q.Zeros = false
	whole := q
	whole.Size = None
	ranking, err := p.Top(ctx, s, whole, until, most)
	if err != nil {
		return nil, err
	}
	out, err := newSeries(s, &q, until)
	if err != nil {
		return nil, err
	}
	lines := out.addLines(ranking)
	if points := (len(out.Lines) + len(out.Others)) * len(out.Windows); points > MaxPoints {
		return nil, &TooLargeError{What: "groups times windows", Wanted: points, Max: MaxPoints, Remedy: "ask for fewer groups, for some dimensions, or for larger windows"}
	}
	total := q
	total.GroupBy = []Key{ResourceType}
	if !slices.Contains(q.GroupBy, ResourceType) {
		total.GroupBy = nil
	}
	totals := map[Measure]int{}
	if err := p.eachRow(ctx, s, total, until, func(window int, row *Row) { out.total(totals, window, row) }); err != nil {
		return nil, err
	}
	slices.SortFunc(out.Totals, func(a, b Line) int { return a.Compare(b.Measure) })
	if len(lines) > 0 {
		narrowed := q
		narrowed.Filters = narrow(&q, ranking.Rows)
		err = p.eachRow(ctx, s, narrowed, until, func(window int, row *Row) {
			if line, is := lines[lineOf(row)]; is {
				out.Lines[line].Points[window] = Point{row.Amount, row.Known, row.Accuracy}
			}
		})
	}
	if err != nil {
		return nil, err
	}
	return out, out.subtract()
}

func newSeries(s *Snapshot, q *Query, until int64) (*Series, error) {
	c, err := newCalendar(q.Window, q.Size, q.zone())
	if err != nil {
		return nil, err
	}
	if c.windows() > MaxSeriesWindows {
		return nil, &TooLargeError{What: Windows, Wanted: c.windows(), Max: MaxSeriesWindows, Remedy: "take larger windows, or less time at once"}
	}
	out := &Series{}
	for i := 0; i < c.windows() && c[i] < until; i++ {
		w := c.window(i)
		w.End = min(w.End, until)
		out.Windows = append(out.Windows, w)
		out.Coverage = append(out.Coverage, s.CoverageOf(&q.Filters, w))
	}
	return out, nil
}

// addLines adds a line for each row of a ranking, and for the others of each measure, and
// returns which line is of which group.
func (s *Series) addLines(r *Ranking) map[string]int {
	lines := map[string]int{}
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Unit == "" {
			continue // that nothing is known, which the coverage says
		}
		lines[lineOf(row)] = len(s.Lines)
		s.Lines = append(s.Lines, Line{Group: row.Group, Measure: Measure{ResourceType: typeOf(row), Dimension: row.Dimension}, Count: 1, Points: s.points()})
	}
	for i := range r.Others {
		o := &r.Others[i]
		s.Others = append(s.Others, Line{Measure: o.Measure, Count: o.Count, Points: s.points()})
	}
	return lines
}

// points are zero in each window of which something is known, and otherwise unknown.
func (s *Series) points() []Point {
	points := make([]Point, len(s.Windows))
	for i := range points {
		points[i].Known = s.Coverage[i].Unknown < s.Windows[i].Seconds()
		if s.Coverage[i].Unknown > 0 {
			points[i].Accuracy = usage.Partial
		}
	}
	return points
}

// total takes a row of a query that is grouped by nothing but the measure.
func (s *Series) total(lines map[Measure]int, window int, row *Row) {
	if row.Unit == "" {
		return
	}
	of := Measure{ResourceType: typeOf(row), Dimension: row.Dimension}
	line, known := lines[of]
	if !known {
		line = len(s.Totals)
		lines[of] = line
		s.Totals = append(s.Totals, Line{Measure: of, Points: s.points()})
	}
	s.Totals[line].Points[window] = Point{row.Amount, row.Known, row.Accuracy}
}

// subtract makes the others of each measure what its lines leave of its total.
func (s *Series) subtract() error {
	for i := range s.Others {
		o := &s.Others[i]
		at := slices.IndexFunc(s.Totals, func(l Line) bool { return l.Measure == o.Measure })
		if at < 0 {
			continue
		}
		copy(o.Points, s.Totals[at].Points)
		for j := range s.Lines {
			if s.Lines[j].Measure != o.Measure {
				continue
			}
			for w := range o.Points {
				rest, ok := o.Points[w].Amount.Minus(s.Lines[j].Points[w].Amount)
				if !ok {
					return fmt.Errorf("%w: %s of %s", errCorrected, o.Name, o.ResourceType)
				}
				o.Points[w].Amount = rest
			}
		}
	}
	return nil
}

// lineOf is what tells a row's group from others.
func lineOf(row *Row) string {
	b := appendJoined(nil, []label{{value: string(row.Unit)}})
	for _, v := range row.Group {
		b = appendJoined(b, []label{{value: v.Key, uid: v.Value}})
	}
	return string(b)
}

// narrow are filters that let through what some rows are of, and as little else as
// filters can.
func narrow(q *Query, rows []Row) Filters {
	f := q.Filters
	f.Attributes = map[string][]string{}
	maps.Copy(f.Attributes, q.Attributes)
	for _, key := range q.GroupBy {
		switch name, is := key.Attribute(); {
		case is:
			f.Attributes[name] = valuesOf(rows, key)
		case key == Namespace:
			f.Namespaces = namespacesOf(rows)
		case key == Deployment:
			f.Deployments = valuesOf(rows, key)
		case key == ResourceType:
			f.ResourceTypes = valuesOf(rows, key)
		case key == Resource:
			f.UIDs = valuesOf(rows, Resource.uid())
		case key == Container:
			f.Containers = valuesOf(rows, key)
		case key == Region:
			f.Regions = valuesOf(rows, key)
		}
	}
	return f
}

func valuesOf(rows []Row, key Key) []string {
	var values []string
	for i := range rows {
		values = append(values, valueOf(&rows[i], key))
	}
	slices.Sort(values)
	return slices.Compact(values)
}

func namespacesOf(rows []Row) []NamespaceRef {
	refs := []NamespaceRef{}
	for i := range rows {
		ref := NamespaceRef{Name: valueOf(&rows[i], Namespace), UID: valueOf(&rows[i], Namespace.uid())}
		if !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	return refs
}

func valueOf(r *Row, key Key) string {
	for i := range r.Group {
		if r.Group[i].Key == string(key) {
			return r.Group[i].Value
		}
	}
	return ""
}

// eachRow calls with each row of a query and the number of its window, part by part.
func (p *Pager) eachRow(ctx context.Context, s *Snapshot, q Query, until int64, call func(window int, row *Row)) error {
	r, err := p.newReading(ctx, s, q, until)
	if err != nil {
		return err
	}
	for at := (step{}); r.has(at); at = r.next(at) {
		part, err := r.part(at)
		if err != nil {
			return err
		}
		for w := range part.windows {
			for _, g := range part.groups {
				if row, there := part.row(w, g); there {
					call(at.window+w, &row)
				}
			}
		}
	}
	return nil
}
