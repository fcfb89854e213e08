package timeline

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
)

// cursor is where a page ends: the row that was its last. It says all that is
// needed to go on, on any replica, whatever has happened since.
type cursor struct {
	// Query tells the query from others.
	Query string `json:"q"`
	// Start is the window's, in seconds since the epoch.
	Start int64 `json:"s"`
	// Group are the row's values, key by key.
	Group []string `json:"g"`
}

// CursorError says why a cursor is of no use.
type CursorError struct{ Reason string }

func (e *CursorError) Error() string {
	return "the cursor " + e.Reason + ": take the one that the page before gave, or none to begin with the first page"
}

// After is the cursor of the page that begins after a row.
func (t *Tally) After(last *Row) string { return newCursor(t.query.Fingerprint(), last).String() }

func newCursor(query string, last *Row) cursor {
	c := cursor{Query: query, Start: last.Window.Start}
	for _, value := range last.Group {
		c.Group = append(c.Group, value.Value)
	}
	c.Group = append(c.Group, string(last.Unit))
	return c
}

// String is the form that people carry from one page to the next.
func (c cursor) String() string {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // names of < would take six times as much
	if err := encoder.Encode(c); err != nil {
		panic(fmt.Sprintf("timeline: a cursor has no JSON: %v", err)) // strings and a number have
	}
	return base64.RawURLEncoding.EncodeToString(bytes.TrimRight(text.Bytes(), "\n"))
}

// parseCursor reads what String wrote for the query.
func parseCursor(text, query string) (cursor, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	var c cursor
	if err != nil || json.Unmarshal(raw, &c) != nil {
		return c, errUnreadable
	}
	if c.Query != query {
		return c, &CursorError{"is of another report, or of another period"}
	}
	return c, nil
}

var errUnreadable = &CursorError{"cannot be read"}

// after is the first row that a cursor lets come: its window, and the place of its group.
func (r *rows) after(c cursor) (window, next int, err error) {
	window, found := r.calendar.indexOf(c.Start)
	labels, ok := r.parse(c.Group)
	if !found || !ok {
		return 0, 0, errUnreadable
	}
	if window < r.windows && r.unknown[window] {
		return window + 1, 0, nil // it has one row
	}
	next, found = slices.BinarySearchFunc(r.groups, labels, func(g *group, labels []label) int { return compareLabels(g.labels, labels) })
	if found {
		next++
	}
	return window, next, nil
}

// parse reads labels out of a cursor.
func (g *grouping) parse(values []string) ([]label, bool) {
	labels := make([]label, len(g.keys))
	for i, key := range g.keys {
		fields := []*string{&labels[i].value}
		if key.uid() != "" || key == Dimension {
			fields = append(fields, &labels[i].uid)
		}
		for _, field := range fields {
			if len(values) == 0 {
				return nil, false
			}
			*field, values = values[0], values[1:]
		}
	}
	return labels, len(values) == 0
}

// Fingerprint tells the query from others.
func (q *Query) Fingerprint() string {
	text, err := json.Marshal(struct {
		Query
		Zone string
	}{*q, q.zone().String()})
	if err != nil {
		panic(fmt.Sprintf("timeline: a query has no JSON: %v", err))
	}
	digest := sha256.Sum256(text)
	return hex.EncodeToString(digest[:8])
}
