package asking

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usageapi"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// question is a report that is asked for.
type question struct {
	*call
	spec     *wire.FleetSpec
	resolved *report.Resolved
	// keys are those that are asked for, the hub's own included, each once.
	keys []timeline.Key
	// byCluster and byCustomer tell that the hub's own are among them.
	byCluster, byCustomer bool
	// all tells that the reader sees all of all clusters, and asks all of them.
	all bool
	// clusters are those that are asked, and missed, the names that each does not know.
	clusters []*asked
	missed   map[unknownName]*missing
	// read is how many rows were read, of all clusters.
	read int
}

// asked is what one cluster says.
type asked struct {
	member
	customers map[string]string // by namespace
	filters   timeline.Filters
	snapshot  *timeline.Snapshot
	whole     *report.Whole
	through   int64 // up to when it was added up
	doubts    map[doubtKey]doubt
}

// unknownName is a name that a filter has, or a key.
type unknownName struct {
	key  timeline.Key
	name string
}

// missing is in how many clusters there is no such name, and what the first of them says.
type missing struct {
	clusters int
	said     error
}

const (
	// mostRows is how many rows a report may have, on all pages, and mostRead how many those
	// of all clusters may be.
	mostRows, mostRead = 100_000, 1_000_000
)

// report answers with what each cluster's operator says, and what that adds up to.
func (c *call) report() error {
	q, err := c.ask()
	if err != nil {
		return err
	}
	cursor, kept := c.pins.unpin(q.resolved.From)
	if kept != nil && kept.of != q.fingerprint() {
		return usageapi.Problem(http.StatusBadRequest, "bad_request", "startFrom: it is of another report: ask for that, or leave it out", 0)
	}
	if kept == nil {
		if kept, err = q.answer(); err != nil {
			return err
		}
	}
	answer := &wire.FleetReport{}
	var rows []timeline.Row
	next := ""
	if top := c.request.URL.Query().Get("top"); top != "" {
		ranking, err := q.top(kept.rows, top)
		if err != nil {
			return err
		}
		var count int64
		rows = ranking.Rows
		answer.Others, count = usageapi.OthersOf(ranking.Others)
		answer.RowCount = new(count + int64(len(rows)))
	} else if rows, next, err = c.pins.page(kept, cursor, q.resolved.Limit); err != nil {
		return err
	}
	whole := kept.whole
	if q.resolved.From != "" {
		whole = nil
	} else {
		answer.Clusters = kept.clusters
	}
	answer.UsageReportStatus = *report.Answer(q.resolved, whole, rows, next, kept.sealed)
	answer.Rows = usageapi.Rows(answer.UsageReportStatus.Rows, rows)
	answer.Visible, answer.MeteringBegan = kept.visible, stamped(kept.whole.Coverage.Began)
	if q.resolved.From == "" && next == "" && answer.RowCount == nil {
		answer.RowCount = new(int64(len(rows)))
	}
	c.tell(kept)
	return c.write(answer)
}

// tell sets the headers of an answer.
func (c *call) tell(m *made) {
	header := c.writer.Header()
	header.Set(wire.VisibleHeader, m.visible)
	if known := m.whole.Coverage; known.Seconds() > 0 {
		header.Set(wire.CoverageHeader, report.Percent(&known))
	}
	if began := m.whole.Coverage.Began; began > 0 {
		header.Set(wire.BeganHeader, stamped(began))
	}
}

// ask reads what is asked for.
func (c *call) ask() (*question, error) {
	for name := range c.request.URL.Query() {
		if name != "top" {
			return nil, usageapi.Problem(http.StatusBadRequest, "bad_request", fmt.Sprintf("there is no parameter %q; there are top", name), 0)
		}
	}
	q := &question{call: c, spec: &wire.FleetSpec{}, missed: map[unknownName]*missing{}}
	decoder := json.NewDecoder(http.MaxBytesReader(c.writer, c.request.Body, usageapi.MaxBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(q.spec)
	if err == nil && decoder.Decode(&struct{}{}) != io.EOF {
		err = errors.New("there is more than one object")
	}
	if large, is := errors.AsType[*http.MaxBytesError](err); is {
		return nil, large
	}
	if err != nil {
		return nil, usageapi.Problem(http.StatusBadRequest, "bad_request", fmt.Sprintf("the body is not the JSON object that it has to be: %v: docs/fleet.md describes it", err), 0)
	}
	if f := q.spec.Filters; f != nil && f.NamespaceSelector != nil {
		return nil, unlabeled()
	}
	window := q.spec.ReportWindow
	window.GroupBy = q.ownKeys()
	if err := usageapi.Validate(&window); err != nil {
		return nil, err
	}
	request := report.Request{Window: &window}
	if f := q.spec.Filters; f != nil {
		request.Filters = &f.ReportFilters
	}
	if q.resolved, err = report.Resolve(request, c.now); err != nil {
		return nil, usageapi.Refused(err)
	}
	return q, nil
}

// ownKeys takes the hub's own keys out of those that are asked for, and returns those by which
// each cluster tells rows apart.
func (q *question) ownKeys() (keys []v1alpha1.GroupKey) {
	byNamespace := false
	for _, key := range q.spec.GroupBy {
		if slices.Contains(q.keys, timeline.Key(key)) {
			continue
		}
		q.keys = append(q.keys, timeline.Key(key))
		switch key {
		case wire.Cluster:
			q.byCluster = true
		case wire.Customer:
			q.byCustomer = true
		default:
			byNamespace = byNamespace || timeline.Key(key) == timeline.Namespace
			keys = append(keys, key)
		}
	}
	if q.byCustomer && !byNamespace {
		keys = append(keys, v1alpha1.GroupKey(timeline.Namespace))
	}
	return keys
}

// fingerprint is of what is asked, but for the page, and of who asks.
func (q *question) fingerprint() string {
	spec := *q.spec
	spec.StartFrom, spec.Limit = "", 0
	text, err := json.Marshal([]any{q.reader.Name, q.reader.Sees, q.fleet.Customers, q.resolved.Window, spec})
	if err != nil {
		panic(fmt.Sprintf("asking: a report's spec has no JSON: %v", err)) // it was read from JSON
	}
	return string(text)
}

// answer asks every cluster, one after the other: what is in memory is one ledger more than
// what is kept, and the rows.
func (q *question) answer() (*made, error) {
	if err := q.choose(); err != nil {
		return nil, err
	}
	merging := newMerging(q)
	for _, of := range q.clusters {
		if err := q.of(of, merging); err != nil {
			return nil, err
		}
	}
	for _, name := range q.missed {
		if name.clusters == len(q.clusters) {
			return nil, usageapi.NoSuchName(name.said)
		}
	}
	return merging.result(), nil
}

// of asks one cluster.
func (q *question) of(of *asked, merging *merging) error {
	query := q.resolved.Query
	query.Filters = of.filters
	if err := q.check(of, &query); err != nil {
		return err
	}
	known := of.snapshot.Time()
	tally, err := timeline.NewTally(query)
	if err != nil {
		return usageapi.Refused(err)
	}
	tally.Limit(timeline.Limits{Groups: mostRows, Cells: mostRead})
	if err := tally.AdvanceFor(q.ctx, of.snapshot, known); err != nil {
		return usageapi.Refused(err)
	}
	of.through = tally.Window().End
	of.whole = report.WholeOf(tally)
	page, err := tally.Page("", math.MaxInt)
	if err != nil {
		return err
	}
	if q.read += len(page.Rows); q.read > mostRead {
		return tooMany(q.read, mostRead)
	}
	return merging.add(of, page.Rows)
}

func tooMany(rows, most int) error {
	return &timeline.TooLargeError{What: "rows", Wanted: rows, Max: most, Remedy: "take fewer keys to group by, larger windows, fewer clusters, or less time at once"}
}

// check notes the names that the cluster does not know.
func (q *question) check(of *asked, query *timeline.Query) error {
	f := query.Filters
	for {
		err := of.snapshot.Check(q.ctx, &f)
		if err == nil {
			err = of.snapshot.CheckKeys(q.ctx, &f, query.GroupBy)
		}
		unknown, is := errors.AsType[*timeline.NoSuchName](err)
		if !is {
			return err
		}
		name := unknownName{unknown.Key, unknown.Name}
		if q.missed[name] == nil {
			q.missed[name] = &missing{said: err}
		}
		q.missed[name].clusters++
		if !without(&f, name) {
			return nil
		}
	}
}

// without takes a name out of filters, to look at the others; false: it is of a key.
func without(f *timeline.Filters, name unknownName) bool {
	rest := func(list *[]string) bool {
		before := len(*list)
		*list = slices.DeleteFunc(slices.Clone(*list), func(s string) bool { return s == name.name })
		return len(*list) < before
	}
	switch name.key {
	case timeline.ResourceType:
		return rest(&f.ResourceTypes)
	case timeline.Dimension:
		return rest(&f.Dimensions)
	case timeline.Deployment:
		return rest(&f.Deployments)
	case timeline.Region:
		return rest(&f.Regions)
	}
	attribute, is := name.key.Attribute()
	if !is {
		return false
	}
	others := map[string][]string{}
	for key, values := range f.Attributes {
		if key == attribute {
			rest(&values)
		}
		if len(values) > 0 {
			others[key] = values
		}
	}
	f.Attributes = others
	return true
}
