package usageapi

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// unattributed is how a request names usage that is under no deployment.
const unattributed = "-"

// wholeCluster is the organization that has all namespaces.
const wholeCluster = "-"

// chartItem is a bucket.
type chartItem struct {
	// Timestamp is when it begins, in seconds since the epoch.
	Timestamp int64        `json:"timestamp"`
	Values    []chartValue `json:"values"`
}

// chartValue is one bar.
type chartValue struct {
	ID    string       `json:"id"`
	Name  string       `json:"name"`
	Type  string       `json:"type"`
	Value *json.Number `json:"value"`
	Unit  string       `json:"unit"`
	figures
}

var buckets = map[string]timeline.Size{"": timeline.Day, "hourly": timeline.Hour, "daily": timeline.Day, "monthly": timeline.Month}

// charts answers with what a deployment used, bucket by bucket.
func (c *call) charts() error {
	query := c.request.URL.Query()
	namespaces, err := c.organization(c.request.PathValue("organization_id"))
	if err != nil {
		return err
	}
	window, err := parseWindow("from", query.Get("from"), month(c.now).Start, "to", query.Get("to"), c.now)
	if err != nil {
		return err
	}
	size, known := buckets[strings.ToLower(query.Get("bucketing_strategy"))]
	if !known {
		return badRequest("bucketing_strategy: want hourly, daily or monthly")
	}
	deployment := c.request.PathValue("deployment_id")
	if deployment == unattributed {
		deployment = ""
	}
	q := timeline.Query{
		Window: window, Size: size, GroupBy: []timeline.Key{timeline.ResourceType},
		Filters: timeline.Filters{Namespaces: namespaces, Deployments: []string{deployment}},
	}
	if err := noSuchName(c.snapshot.Check(c.ctx, &q.Filters), http.StatusNotFound); err != nil {
		return err
	}
	c.tell(&q.Filters, window)
	out := c.array("data")
	var item *chartItem
	for row, err := range c.rows(q) {
		if err != nil {
			return err
		}
		if item != nil && item.Timestamp != row.Window.Start {
			if err := out.add(item); err != nil {
				return err
			}
			item = nil
		}
		if item == nil {
			item = &chartItem{Timestamp: row.Window.Start}
		}
		item.Values = append(item.Values, c.chartValue(&row))
	}
	if item != nil {
		if err := out.add(item); err != nil {
			return err
		}
	}
	return out.end()
}

func (c *call) chartValue(r *timeline.Row) chartValue {
	f := c.figuresOf(r)
	return chartValue{
		ID: metricName(f.ResourceType, r.Name), Name: f.ResourceType + " " + r.Name, Type: f.ResourceType,
		Value: hours(r), Unit: r.Unit.HourUnit(r.Name), figures: f,
	}
}

// organization are the namespaces of one.
func (c *call) organization(id string) ([]timeline.NamespaceRef, error) {
	if id == wholeCluster {
		return c.all()
	}
	return c.one(id)
}

// chartCodes are what that API calls what can be wrong.
var chartCodes = map[int]string{
	http.StatusBadRequest:      "costs.invalid_date_range",
	http.StatusForbidden:       "organization.invalid_access",
	http.StatusNotFound:        "organization.not_found",
	http.StatusTooManyRequests: "billing_service.rate_limited",
}

const errorCodesHeader = "x-cloud-error-codes"

// refuseWithCodes says what is wrong in the codes of that API.
func refuseWithCodes(w http.ResponseWriter, p *problem) {
	code, named := chartCodes[p.status]
	if !named {
		code = p.code
	}
	switch {
	case p.status == http.StatusNotFound && p.code == wire.NoSuchName:
		code = "deployment.not_found"
	case p.status == http.StatusInternalServerError:
		code = "billing_service.failed_request"
	}
	w.Header().Set(errorCodesHeader, code)
	refuseAs(w, p, map[string]any{"errors": []map[string]string{{"code": code, "message": p.message}}})
}
