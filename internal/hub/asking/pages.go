package asking

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi"
)

// pins keeps the reports of which somebody has read a page, so that all pages show what was
// known when the first was made. They are few, and kept for a short time: a cursor without its
// report, after a pause, or on another replica, goes on with what is known then.
type pins struct {
	clock clock.PassiveClock

	mu   sync.Mutex
	kept []*pinned // the one used most recently last
}

type pinned struct {
	id   string
	made *made
	used time.Time
}

const (
	// pinsKept is how many reports are kept, and pinnedFor, for how long after they were used.
	pinsKept, pinnedFor = 4, 2 * time.Minute
	// afterPin stands between a pin and the cursor.
	afterPin = "."
)

// cursor is the last row of a page.
type cursor struct {
	Start int64
	Group []string
	Unit  string
}

// page is at most limit rows of a report, after a cursor, and the next page's.
func (p *pins) page(m *made, text string, limit int) (rows []timeline.Row, next string, err error) {
	from := 0
	if text != "" {
		last, err := parseCursor(text, m)
		if err != nil {
			return nil, "", err
		}
		var found bool
		if from, found = slices.BinarySearchFunc(m.rows, last, func(a, b timeline.Row) int { return compareRows(&a, &b) }); found {
			from++
		}
	}
	to := min(from+limit, len(m.rows))
	if rows = m.rows[from:to]; to == len(m.rows) {
		return rows, "", nil
	}
	last := &rows[len(rows)-1]
	c := cursor{Start: last.Window.Start, Unit: string(last.Unit)}
	for _, v := range last.Group {
		c.Group = append(c.Group, v.Value)
	}
	said, err := json.Marshal(c)
	if err != nil {
		return nil, "", err
	}
	return rows, p.pin(m) + afterPin + base64.RawURLEncoding.EncodeToString(said), nil
}

// parseCursor is the row that a cursor is of.
func parseCursor(text string, of *made) (timeline.Row, error) {
	said, err := base64.RawURLEncoding.DecodeString(text)
	var c cursor
	if err == nil {
		err = json.Unmarshal(said, &c)
	}
	if err == nil && len(of.rows) > 0 && len(c.Group) != len(of.rows[0].Group) {
		err = fmt.Errorf("it has %d values", len(c.Group))
	}
	if err != nil {
		return timeline.Row{}, usageapi.Problem(http.StatusBadRequest, "bad_request", "startFrom: this is no nextPage of this report: leave it out for the first page", 0)
	}
	row := timeline.Row{Window: usage.Window{Start: c.Start}, Dimension: usage.Dimension{Unit: usage.Unit(c.Unit)}}
	for _, value := range c.Group {
		row.Group = append(row.Group, timeline.Value{Value: value})
	}
	return row, nil
}

// pin keeps a report, and returns under which name.
func (p *pins) pin(m *made) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.kept, func(kept *pinned) bool { return kept.made == m })
	if i < 0 {
		p.kept = append(p.kept, &pinned{id: rand.Text(), made: m})
		i = len(p.kept) - 1
	}
	at := p.kept[i]
	p.use(i)
	p.kept = slices.Delete(p.kept, 0, max(0, len(p.kept)-pinsKept))
	return at.id
}

// unpin is the cursor itself, and the report that it goes on with; nil: that is not kept.
func (p *pins) unpin(text string) (cursor string, m *made) {
	id, cursor, is := strings.Cut(text, afterPin)
	if !is {
		return text, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	p.kept = slices.DeleteFunc(p.kept, func(kept *pinned) bool { return now.Sub(kept.used) > pinnedFor })
	i := slices.IndexFunc(p.kept, func(kept *pinned) bool { return kept.id == id })
	if i < 0 {
		return cursor, nil
	}
	m = p.kept[i].made
	p.use(i)
	return cursor, m
}

// use notes that a report is used now.
func (p *pins) use(i int) {
	at := p.kept[i]
	at.used = p.clock.Now()
	p.kept = append(slices.Delete(p.kept, i, i+1), at)
}

// top are the largest rows of each metric, and what the others add up to.
func (q *question) top(rows []timeline.Row, text string) (*timeline.Ranking, error) {
	most, err := strconv.Atoi(text)
	bad := func(message string) (*timeline.Ranking, error) {
		return nil, usageapi.Problem(http.StatusBadRequest, "bad_request", message, 0)
	}
	switch {
	case err != nil || most < 1 || most > usageapi.MaxPage:
		return bad(fmt.Sprintf("top: want how many rows of each metric, 1 to %d", usageapi.MaxPage))
	case q.resolved.Size != timeline.None:
		return bad("top: windowSize: want none: what used most is told of the whole time")
	case q.resolved.From != "":
		return bad("top: startFrom: leave it out: there is one page")
	}
	ranking := rank(rows, most)
	if n := len(ranking.Rows); n > timeline.MaxRanked {
		return nil, &timeline.TooLargeError{What: "rows of all metrics", Wanted: n, Max: timeline.MaxRanked, Remedy: "ask for fewer of each, or for some resource types or dimensions"}
	}
	return ranking, nil
}
