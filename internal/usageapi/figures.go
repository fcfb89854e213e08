package usageapi

import (
	"encoding/json"
	"iter"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// digits are those after the point of a quantity.
const digits = 6

// figures are what every answer has beside what its public shape has: the exact
// figure, and how well it is known.
type figures struct {
	ResourceType string  `json:"resource_type"`
	Dimension    string  `json:"dimension"`
	Exact        *string `json:"exact"`
	ExactUnit    string  `json:"exact_unit"`
	Accuracy     string  `json:"accuracy"`
	// Sealed tells that the figure is final, but for corrections that say so.
	Sealed bool `json:"sealed"`
}

// figuresOf are a row's.
func (c *call) figuresOf(r *timeline.Row) figures {
	f := figures{
		ResourceType: valueOf(r, timeline.ResourceType), Dimension: r.Name, ExactUnit: r.Unit.ExactUnit(),
		Accuracy: r.Accuracy.String(), Sealed: r.Window.End <= c.snapshot.Sealed(),
	}
	if r.Known {
		exact := r.Amount.String()
		f.Exact = &exact
	}
	return f
}

// hours is a row's amount in unit-hours; nil where nobody knows.
func hours(r *timeline.Row) *json.Number {
	if !r.Known {
		return nil
	}
	return hoursOf(r.Dimension, r.Amount)
}

func hoursOf(d usage.Dimension, amount usage.Amount) *json.Number {
	number := json.Number(d.Unit.Hours(amount, digits))
	return &number
}

// valueOf is one of the values that tell a row from others.
func valueOf(r *timeline.Row, key timeline.Key) string {
	for i := range r.Group {
		if r.Group[i].Key == string(key) {
			return r.Group[i].Value
		}
	}
	return ""
}

// rowsAtOnce is how many rows are taken from the timeline at a time.
const rowsAtOnce = 1000

// rows are all that a query has, but for those that the request omits. The last one
// may come with an error.
func (c *call) rows(q timeline.Query) iter.Seq2[timeline.Row, error] {
	all := c.rowsAfter(q, "", rowsAtOnce)
	if !c.omitsUnknown() {
		return all
	}
	return func(yield func(timeline.Row, error) bool) {
		for row, err := range all {
			if (err != nil || row.Known) && !yield(row, err) {
				return
			}
		}
	}
}

// rowsAfter are those after a cursor, taken some at a time.
func (c *call) rowsAfter(q timeline.Query, after string, atOnce int) iter.Seq2[timeline.Row, error] {
	return func(yield func(timeline.Row, error) bool) {
		for {
			list, next, err := c.page(q, after, atOnce)
			if err != nil {
				yield(timeline.Row{}, err)
				return
			}
			for i := range list {
				if !yield(list[i], nil) {
					return
				}
			}
			if next == "" {
				return
			}
			after = next
		}
	}
}

// page is at most limit of them, and the cursor of the next page.
func (c *call) page(q timeline.Query, after string, limit int) (list []timeline.Row, next string, err error) {
	list, next, err = c.pager.Page(c.ctx, c.snapshot, q, c.known(), after, limit)
	if gone := c.alive(); gone != nil {
		return nil, "", gone
	}
	return list, next, err
}

// byWindow are the rows of both, window by window, those of the first before
// those of the second.
func byWindow(first, second iter.Seq2[timeline.Row, error]) iter.Seq2[timeline.Row, error] {
	return func(yield func(timeline.Row, error) bool) {
		next, stop := iter.Pull2(first)
		defer stop()
		row, err, more := next()
		for other, otherErr := range second {
			for ; more && (err != nil || row.Window.Start <= other.Window.Start); row, err, more = next() {
				if !yield(row, err) {
					return
				}
			}
			if !yield(other, otherErr) {
				return
			}
		}
		for ; more; row, err, more = next() {
			if !yield(row, err) {
				return
			}
		}
	}
}
