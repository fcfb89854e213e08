package usageapi

import (
	"encoding/json"
	"errors"
	"io"
	"iter"
	"slices"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// hourlyRequest asks for a namespace's hours.
type hourlyRequest struct {
	Namespace string `json:"namespace"`
	Query     string `json:"query"`
}

// hourlyItem is what was used in one hour.
type hourlyItem struct {
	// Container and Deployment are empty where it is no container's usage.
	Container      string       `json:"container"`
	Deployment     string       `json:"deployment"`
	EndTimestamp   string       `json:"end_timestamp"`
	Quantity       *json.Number `json:"quantity"`
	StartTimestamp string       `json:"start_timestamp"`
	UnitName       string       `json:"unit_name"`
	figures
}

const hour = 3600

// hourlyDetails answers with what a namespace used, hour by hour of UTC.
func (c *call) hourlyDetails() error {
	name := c.request.PathValue("namespace")
	namespaces, err := c.one(name)
	if err != nil {
		return err
	}
	var asked hourlyRequest
	if err := c.body(&asked); err != nil {
		return err
	}
	if asked.Namespace != "" && asked.Namespace != name {
		return badRequest("namespace: the body says %q, and the path %q: they have to be the same", asked.Namespace, name)
	}
	filter, err := parseHourlyQuery(asked.Query)
	if err != nil {
		return err
	}
	window, err := parseWindow("query: from", filter.from, c.now-24*hour, "query: to", filter.to, c.now)
	if err != nil {
		return err
	}
	q := timeline.Query{
		Window:  usage.Window{Start: usage.Interval(window.Start, hour).Start, End: usage.Interval(window.End-1, hour).End},
		Size:    timeline.Hour,
		GroupBy: []timeline.Key{timeline.Container, timeline.Deployment, timeline.ResourceType},
		Filters: timeline.Filters{
			Namespaces: namespaces, Deployments: filter.deployments, Containers: filter.containers,
			ResourceTypes: filter.resourceTypes, Dimensions: filter.dimensions,
		},
	}
	if err := c.check(&q.Filters, ""); err != nil {
		return err
	}
	c.tell(&q.Filters, q.Window)
	filters := q.Filters
	alone := len(q.Containers) > 0 && !slices.Contains(q.Containers, "")
	list := c.ofContainers(q, alone)
	if !alone {
		// Of what no container uses, that API does not say the deployment.
		q.GroupBy, q.Containers = []timeline.Key{timeline.ResourceType}, []string{""}
		list = byWindow(c.rows(q), list)
	}
	out := c.array("hourly_usage_items")
	for row, err := range list {
		if err == nil {
			err = out.add(c.hourlyItem(&row))
		}
		if err != nil {
			return err
		}
	}
	if !out.begun {
		if err := c.checkHolders(&filters); err != nil {
			return err
		}
	}
	return out.end()
}

// ofContainers are the rows that say what containers used; if they are all that there are,
// also those that say that nothing is known.
func (c *call) ofContainers(q timeline.Query, alone bool) iter.Seq2[timeline.Row, error] {
	return func(yield func(timeline.Row, error) bool) {
		for row, err := range c.rows(q) {
			if (err != nil || valueOf(&row, timeline.Container) != "" || alone && !row.Known) && !yield(row, err) {
				return
			}
		}
	}
}

func (c *call) hourlyItem(r *timeline.Row) hourlyItem {
	return hourlyItem{
		Container: valueOf(r, timeline.Container), Deployment: valueOf(r, timeline.Deployment),
		StartTimestamp: stamp(r.Window.Start), EndTimestamp: stamp(r.Window.End),
		Quantity: hours(r), UnitName: r.Unit.HourUnit(r.Name), figures: c.figuresOf(r),
	}
}

// body reads the request's, which is one JSON object.
func (c *call) body(into any) error {
	decoder := json.NewDecoder(c.request.Body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil && decoder.Decode(&struct{}{}) != io.EOF {
		err = errors.New("there is more than one object")
	}
	if err == nil {
		return nil
	}
	if p := problemOf(err); p.status != 500 {
		return p
	}
	return badRequest("the body is not the JSON object that it has to be: %v: /openapi.json describes it", err)
}
