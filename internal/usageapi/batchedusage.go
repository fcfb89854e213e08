package usageapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// batchedRequest asks for customers' usage by metric and window.
type batchedRequest struct {
	WindowSize   string   `json:"window_size"`
	StartingOn   string   `json:"starting_on"`
	EndingBefore string   `json:"ending_before"`
	CustomerIDs  []string `json:"customer_ids"` // UIDs of namespaces; none is all
	// BillableMetrics are by their ids, or by names such as vm.vcpu; none is all.
	BillableMetrics []struct {
		ID      string          `json:"id"`
		GroupBy *batchedGroupBy `json:"group_by"`
	} `json:"billable_metrics"`
}

// batchedGroupBy tells usage apart by a key, such as deployment.
type batchedGroupBy struct {
	Key    string   `json:"key"`
	Values []string `json:"values"` // none is all
}

type batchedRow struct {
	CustomerID   string `json:"customer_id"`
	CustomerName string `json:"customer_name"`
	billableMetric
	StartTimestamp string       `json:"start_timestamp"`
	EndTimestamp   string       `json:"end_timestamp"`
	Value          *json.Number `json:"value"` // null where nobody knows
	// Groups are the values by the key's values, where a metric is grouped.
	Groups map[string]*json.Number `json:"groups,omitempty"`
	figures
}

type batchedAnswer struct {
	Data     []batchedRow `json:"data"`
	NextPage *string      `json:"next_page"`
	groups   int          // of all rows
}

// tooManyGroups is that one row would have more groups than a page.
func tooManyGroups(key timeline.Key) error {
	return &problem{
		status: http.StatusBadRequest, code: "too_large",
		message: fmt.Sprintf("billable_metrics: group_by: a row has more than %d groups by %s: choose some with values, or ask POST /v1alpha1/report, which tells groups in pages", groupsOnPage, key),
	}
}

const (
	// rowsOnPage is how many rows a page has, and groupsOnPage, how many groups those of
	// all its rows: a row that has more of them itself cannot be told.
	rowsOnPage, groupsOnPage = 1000, 10_000

	// maxMetrics is how many metrics a request has at most: each that is grouped is a query.
	maxMetrics = 100
)

// batchedUsage answers with a page of customers' usage.
func (c *call) batchedUsage() error {
	var asked batchedRequest
	if err := c.body(&asked); err != nil {
		return err
	}
	next := c.goOn(c.request.URL.Query().Get("next_page"))
	queries, err := c.batches(&asked)
	if err != nil {
		return err
	}
	at, err := parseBatchCursor(next, len(queries))
	if err != nil {
		return err
	}
	for i := range queries {
		if err := c.checkQuery(&queries[i].Query, "billable_metrics: group_by", next); err != nil {
			return err
		}
	}
	all := queries[0].Filters
	all.Metrics = slices.Clone(all.Metrics)
	for i := range queries[1:] {
		all.Metrics = append(all.Metrics, queries[i+1].Metrics...)
	}
	c.tell(&all, queries[0].Window)
	answer := batchedAnswer{Data: []batchedRow{}}
	for ; at.Query < len(queries); at = (batchCursor{Query: at.Query + 1}) {
		next, err := c.batch(&answer, &queries[at.Query], at.After)
		if err != nil {
			return err
		}
		if next != "" {
			text := c.pins.pin(c.snapshot, batchCursor{Query: at.Query, After: next}.String())
			answer.NextPage = &text
			break
		}
	}
	return c.write(answer)
}

// batch is one query, and the key that tells its rows apart within a customer's
// metric; "" is none.
type batch struct {
	timeline.Query
	key timeline.Key
	// metrics are those of the rows so far.
	metrics map[timeline.Measure]billableMetric
}

// billableMetric is how answers name a metric.
type billableMetric struct {
	BillableMetricID   string `json:"billable_metric_id"`
	BillableMetricName string `json:"billable_metric_name"`
}

func (b *batch) metric(m timeline.Measure) billableMetric {
	named, known := b.metrics[m]
	if !known {
		named = billableMetric{
			BillableMetricID:   metricID(&m),
			BillableMetricName: fmt.Sprintf("%s %s (%s)", m.ResourceType, m.Name, m.Unit.SpokenHours(m.Name)),
		}
		if m.Unit == "" { // of a window of which nothing is known
			named.BillableMetricName = strings.TrimSpace(m.ResourceType + " " + m.Name + " (unknown)")
		}
		if b.metrics == nil {
			b.metrics = map[timeline.Measure]billableMetric{}
		}
		b.metrics[m] = named
	}
	return named
}

var windowSizes = map[string]timeline.Size{"hour": timeline.Hour, "day": timeline.Day, "none": timeline.None}

// batches are the queries that a request asks: one for all metrics that are not
// grouped, and one for each that is.
func (c *call) batches(asked *batchedRequest) ([]batch, error) {
	if n := len(asked.BillableMetrics); n > maxMetrics {
		return nil, badRequest("billable_metrics: there are %d, want at most %d: ask for others in a request of their own, or for all metrics with none", n, maxMetrics)
	}
	size, known := windowSizes[strings.ToLower(asked.WindowSize)]
	if !known {
		return nil, badRequest("window_size: %q is none of hour, day, none", asked.WindowSize)
	}
	for field, text := range map[string]string{"starting_on": asked.StartingOn, "ending_before": asked.EndingBefore} {
		if text == "" {
			return nil, badRequest("%s: want a time such as 2026-11-01T00:00:00Z", field)
		}
	}
	window, err := parseWindow("starting_on", asked.StartingOn, 0, "ending_before", asked.EndingBefore, 0)
	if err != nil {
		return nil, err
	}
	namespaces, err := c.customers(asked.CustomerIDs)
	if err != nil {
		return nil, err
	}
	plain := batch{Query: timeline.Query{
		Window: window, Size: size, Zone: time.UTC, GroupBy: []timeline.Key{timeline.Namespace, timeline.ResourceType},
		Filters: timeline.Filters{Namespaces: namespaces},
	}}
	if len(asked.BillableMetrics) == 0 {
		return []batch{plain}, nil
	}
	var batches []batch
	visible, err := c.within()
	if err != nil {
		return nil, err
	}
	metrics := c.snapshot.Metrics(&timeline.Filters{Namespaces: visible})
	for i := range asked.BillableMetrics {
		m := &asked.BillableMetrics[i]
		metric, err := findMetric(metrics, m.ID)
		if err != nil {
			return nil, err
		}
		if m.GroupBy == nil {
			plain.Metrics = append(plain.Metrics, metric)
			continue
		}
		grouped, err := plain.groupedBy(m.GroupBy)
		if err != nil {
			return nil, err
		}
		grouped.Metrics = []timeline.Metric{metric}
		batches = append(batches, *grouped)
	}
	if len(plain.Metrics) > 0 {
		batches = append([]batch{plain}, batches...)
	}
	return batches, nil
}

// groupedBy is the batch with its rows told apart by a key.
func (b batch) groupedBy(by *batchedGroupBy) (*batch, error) {
	key, err := timeline.ParseKey(by.Key)
	if err != nil {
		return nil, badRequest("billable_metrics: group_by: %v", err)
	}
	if key == timeline.Namespace || key == timeline.ResourceType || key == timeline.Dimension {
		return nil, badRequest("billable_metrics: group_by: rows are told apart by %s as they are: take another key, such as deployment", key)
	}
	b.key = key
	b.GroupBy = append(slices.Clone(b.GroupBy), key)
	if len(by.Values) == 0 {
		return &b, nil
	}
	values := slices.Sorted(slices.Values(by.Values))
	switch attribute, is := key.Attribute(); {
	case is:
		b.Attributes = map[string][]string{attribute: values}
	case key == timeline.Deployment:
		b.Deployments = values
	case key == timeline.Container:
		b.Containers = values
	case key == timeline.Region:
		b.Regions = values
	default:
		return nil, badRequest("billable_metrics: group_by: values of %s cannot be chosen: leave values out", key)
	}
	return &b, nil
}

func findMetric(known []timeline.Measure, id string) (timeline.Metric, error) {
	var names []string
	for i := range known {
		m := &known[i]
		name := metricName(m.ResourceType, m.Name)
		if id == name || strings.EqualFold(id, metricID(m)) {
			return timeline.Metric{ResourceType: m.ResourceType, Dimension: m.Name}, nil
		}
		names = append(names, name)
	}
	unknown := &timeline.NoSuchName{Key: "metric", Name: id, Known: slices.Compact(names)}
	return timeline.Metric{}, &problem{
		status: http.StatusBadRequest, code: wire.NoSuchName,
		message: "billable_metrics: " + unknown.Error() + ": want one, or an id that an answer gave",
	}
}

// customers are the namespaces with these UIDs; of those that who asks may see.
func (c *call) customers(ids []string) ([]timeline.NamespaceRef, error) {
	within, err := c.all()
	if len(ids) == 0 || err != nil {
		return within, err
	}
	known, all := within, within == nil
	if all {
		now, err := c.Namespaces(c.ctx, labels.Everything())
		if err != nil {
			return nil, err
		}
		known = append(c.snapshot.Namespaces(), now...)
	}
	found := []timeline.NamespaceRef{}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		i := slices.IndexFunc(known, func(ref timeline.NamespaceRef) bool { return ref.UID == id && id != "" })
		switch {
		case i >= 0:
			found = append(found, known[i])
		case all:
			return nil, notFound("customer_ids: there is no namespace with the UID %q, and nothing was recorded under one", id)
		default:
			return nil, forbidden("customer_ids: %s may not see the usage of a namespace with the UID %q: a customer's id is its namespace's metadata.uid", c.caller.GetName(), id)
		}
	}
	return found, nil
}

// batch appends rows until there is a page of them, and gives the cursor of what
// comes next; "" is nothing.
func (c *call) batch(answer *batchedAnswer, b *batch, after string) (next string, err error) {
	var pending *pendingRow
	var last timeline.Row
	for row, err := range c.rowsAfter(b.Query, after, rowsOnPage+1) {
		if err != nil {
			return "", err
		}
		if pending == nil || !pending.takes(&row) {
			c.take(answer, pending, b)
			pending = nil
			if len(answer.Data) >= rowsOnPage || answer.groups >= groupsOnPage {
				return b.After(&last), nil
			}
			pending = &pendingRow{first: row, known: true}
		}
		if pending.take(&row, b.key); len(pending.groups) > groupsOnPage {
			return "", tooManyGroups(b.key)
		}
		last = row
	}
	c.take(answer, pending, b)
	return "", nil
}

// take appends a row that is complete, if the request does not omit it.
func (c *call) take(answer *batchedAnswer, p *pendingRow, b *batch) {
	if p != nil && (p.known || !c.omitsUnknown()) {
		answer.Data = append(answer.Data, p.row(c, b))
		answer.groups += len(p.groups)
	}
}

// pendingRow is a customer's metric in a window, with all its groups.
type pendingRow struct {
	first    timeline.Row
	sum      usage.Amount
	known    bool
	accuracy usage.Accuracy
	groups   map[string]*json.Number
}

func (p *pendingRow) takes(r *timeline.Row) bool {
	return p.first.Window == r.Window && p.first.Dimension == r.Dimension &&
		p.first.Group[0] == r.Group[0] && p.first.Group[1] == r.Group[1] && p.first.Group[2] == r.Group[2]
}

func (p *pendingRow) take(r *timeline.Row, key timeline.Key) {
	p.sum, p.known, p.accuracy = p.sum.Plus(r.Amount), p.known && r.Known, max(p.accuracy, r.Accuracy)
	if key == "" {
		return
	}
	if p.groups == nil {
		p.groups = map[string]*json.Number{}
	}
	if r.Unit != "" { // of a group
		p.groups[valueOf(r, key)] = hours(r)
	}
}

func (p *pendingRow) row(c *call, b *batch) batchedRow {
	whole := p.first
	whole.Amount, whole.Known, whole.Accuracy = p.sum, p.known, p.accuracy
	f := c.figuresOf(&whole)
	return batchedRow{
		CustomerID: valueOf(&whole, timeline.Namespace+"UID"), CustomerName: valueOf(&whole, timeline.Namespace),
		billableMetric: b.metric(timeline.Measure{ResourceType: f.ResourceType, Dimension: whole.Dimension}),
		StartTimestamp: stamp(whole.Window.Start), EndTimestamp: stamp(whole.Window.End),
		Value: hours(&whole), Groups: p.groups, figures: f,
	}
}

// batchCursor is where a page begins.
type batchCursor struct {
	Query int    `json:"q"`
	After string `json:"a"` // the timeline's
}

func (b batchCursor) String() string {
	text, err := json.Marshal(b)
	if err != nil {
		panic(fmt.Sprintf("usageapi: a cursor has no JSON: %v", err)) // a number and a string have
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func parseBatchCursor(text string, queries int) (at batchCursor, err error) {
	if text == "" {
		return at, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(raw, &at) != nil || at.Query < 0 || at.Query >= queries {
		return at, badRequest("next_page cannot be read: take the one that the page before gave, with the same body")
	}
	return at, nil
}
