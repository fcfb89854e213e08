package usageapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// publicTypes are the seven types of that API, by ours.
var publicTypes = map[string]string{
	"vm": "vm", "volume": "volume", "vpc": "vpc", "connection": "connect_connection",
	"cluster": "nks_cluster", "node_pool": "nks_node_pool", "load_balancer": "nks_load_balancer",
}

func publicType(resourceType string) string { return cmp.Or(publicTypes[resourceType], resourceType) }

// ownTypes are resource types by that API's names, or by ours.
func ownTypes(names []string) []string {
	var own []string
	for _, name := range names {
		for mine, public := range publicTypes {
			if name == public {
				name = mine
				break
			}
		}
		own = append(own, name)
	}
	slices.Sort(own)
	return slices.Compact(own)
}

const (
	defaultRecords = 100
	maxRecords     = 1000
)

// listUsage answers with what resources used, resource by resource.
func (c *call) listUsage() error {
	query := c.request.URL.Query()
	filters, window, err := c.usageFilters(query)
	if err != nil {
		return err
	}
	cursor := query.Get("cursor")
	if err := c.check(c.unlikePublic(filters), cursor); err != nil {
		return err
	}
	if len(filters.ResourceTypes) == 0 {
		// A client of that API knows its seven types.
		for own := range publicTypes {
			filters.ResourceTypes = append(filters.ResourceTypes, own)
		}
	}
	limit, err := recordLimit(query)
	if err != nil {
		return err
	}
	after, err := parseResourceCursor(cursor)
	if err != nil {
		return err
	}
	known := c.tell(filters, window)
	histories, next, err := c.resourcePage(filters, window, after, limit)
	if err != nil {
		return err
	}
	var instead *usageRecord
	if len(histories) == 0 && cursor == "" && window.Start != math.MinInt64 && isUnknown(&known) && !c.omitsUnknown() {
		record := unknownRecord(filters, window)
		instead = &record
	}
	return c.writeRecords(pagination{NextCursor: next, Limit: limit}, histories, instead)
}

// writeRecords writes what resources used, or what there is instead; nil: nothing.
func (c *call) writeRecords(page pagination, histories []timeline.History, instead *usageRecord) error {
	out := c.array("items")
	paging, err := json.Marshal(page)
	if err != nil {
		return err
	}
	out.before = `"pagination":` + string(paging) + ","
	for i := range histories {
		if err := c.alive(); err != nil {
			return err
		}
		if record, used := c.record(&histories[i]); used {
			dimensions := record.Dimensions
			record.Dimensions = []usageDimension{}
			if err := addList(out, record, "dimensions", dimensions, out.dimension); err != nil {
				return err
			}
		}
		histories[i] = timeline.History{} // it is written: what it took is free
	}
	if instead != nil {
		if err := out.add(*instead); err != nil {
			return err
		}
	}
	return out.end()
}

// dimension writes one of a record's.
func (a *array) dimension(d *usageDimension) error {
	if len(d.Children) == 0 {
		return a.value(d)
	}
	head := struct {
		*usageSegment
		Children []usageSegment `json:"children"`
	}{&d.usageSegment, []usageSegment{}}
	return a.object(head, "children", len(d.Children), func(i int) error { return a.value(&d.Children[i]) })
}

// unlikePublic are the filters without the types of that API: there are these, metered or not.
func (c *call) unlikePublic(f *timeline.Filters) *timeline.Filters {
	other := *f
	other.ResourceTypes = slices.DeleteFunc(slices.Clone(f.ResourceTypes), func(t string) bool { return publicTypes[t] != "" })
	return &other
}

// unknownRecord says of a window that nothing is known of it: it is of no resource, and has a
// dimension without a quantity.
func unknownRecord(f *timeline.Filters, w usage.Window) usageRecord {
	record := usageRecord{StartedAt: stamp(w.Start), EndedAt: stamp(w.End)}
	if len(f.Namespaces) == 1 {
		record.ProjectID = f.Namespaces[0].Name
	}
	if len(f.ResourceTypes) == 1 {
		record.ResourceType = publicType(f.ResourceTypes[0])
	}
	record.Dimensions = []usageDimension{{usageSegment: usageSegment{
		ID:        wire.ID("unknown", record.ProjectID, record.ResourceType, record.StartedAt, record.EndedAt),
		StartedAt: record.StartedAt, EndedAt: record.EndedAt, Accuracy: usage.Partial.String(),
	}}}
	return record
}

// without is a resource that held nothing in a window, or of which that is unknown.
func (c *call) without(h *timeline.History, f *timeline.Filters, w usage.Window) usageRecord {
	of := *f
	of.ResourceTypes = []string{h.Type}
	record := usageRecord{Dimensions: []usageDimension{}, StartedAt: stamp(w.Start), EndedAt: stamp(w.End)}
	if known := c.tell(&of, w); isUnknown(&known) && !c.omitsUnknown() {
		record = unknownRecord(&of, w)
	}
	record.ProjectID, record.ResourceID, record.ResourceType, record.Name = h.Namespace, h.UID, publicType(h.Type), h.Name
	return record
}

// noSuchResource is that nothing was recorded under a UID, or not for the caller to see.
func (c *call) noSuchResource(id string) error {
	return &problem{status: http.StatusNotFound, code: wire.NoSuchName, message: fmt.Sprintf(
		"there is no usage of a resource with the UID %q that %s may see: a resource's id is its metadata.uid", id, c.caller.GetName())}
}

// recordLimit is how many resources a page has.
func recordLimit(query url.Values) (int, error) {
	text := query.Get("limit")
	if text == "" {
		return defaultRecords, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > maxRecords {
		return 0, badRequest("limit: want a number from 1 to %d", maxRecords)
	}
	return limit, nil
}

// getUsage answers with what one resource used.
func (c *call) getUsage() error {
	filters, window, err := c.usageFilters(c.request.URL.Query())
	if err != nil {
		return err
	}
	if err := c.check(c.unlikePublic(filters), ""); err != nil {
		return err
	}
	id := c.request.PathValue("resource_id")
	filters.UIDs = []string{id}
	histories, next, err := c.resourcePage(filters, window, timeline.Place{}, maxRecords)
	if err != nil {
		return err
	}
	if next != nil {
		return &problem{
			status: http.StatusBadRequest, code: "too_large",
			message: fmt.Sprintf("from: the resource has more than %d segments in the window: take a shorter one with from and to, or read it in pages: GET /v1/usage with the project_id and resource_type", maxSegments),
		}
	}
	var records []usageRecord
	var types []string
	for i := range histories {
		if record, used := c.record(&histories[i]); used {
			records, types = append(records, record), append(types, record.ResourceType)
		}
	}
	switch {
	case len(records) == 0:
		ever, err := c.everHeld(filters)
		if err != nil {
			return err
		}
		return c.write(c.without(ever, filters, window))
	case len(records) == 1:
		filters.ResourceTypes = ownTypes(types)
		c.tell(filters, window)
		return c.write(records[0])
	}
	return &problem{
		status: 409, code: "conflict",
		message: fmt.Sprintf("the resource is metered as %s: say which with ?resource_type=%s", strings.Join(types, " and as "), types[0]),
	}
}

// usageFilters are those of the URL.
func (c *call) usageFilters(query url.Values) (*timeline.Filters, usage.Window, error) {
	w := usage.Window{Start: math.MinInt64, End: c.known()}
	filters := &timeline.Filters{ResourceTypes: ownTypes(query["resource_type"]), Regions: query["region"], Deployments: query["deployment"]}
	var err error
	if project := query.Get("project_id"); project != "" {
		filters.Namespaces, err = c.one(project)
	} else {
		filters.Namespaces, err = c.all()
	}
	if err != nil {
		return nil, w, err
	}
	if from := query.Get("from"); from != "" {
		if w.Start, err = parseTime("from", from); err != nil {
			return nil, w, err
		}
	}
	if to := query.Get("to"); to != "" {
		end, err := parseTime("to", to)
		if err != nil {
			return nil, w, err
		}
		if end <= w.Start {
			return nil, w, badRequest("to: %s is not after from: want a window that begins before it ends", to)
		}
		w.End = min(w.End, end)
	}
	return filters, w, nil
}

// record is what a resource used within its window; false where that is nothing.
func (c *call) record(h *timeline.History) (record usageRecord, used bool) {
	w := h.Window
	stays, rest := h.Stays(w)
	record = usageRecord{
		Dimensions: make([]usageDimension, 0, len(stays)+len(rest)+len(h.Less)+len(h.More)),
		ProjectID:  h.Namespace, ResourceID: h.UID, ResourceType: publicType(h.Type), Name: h.Name,
	}
	within := usage.Window{Start: math.MaxInt64, End: math.MinInt64}
	note := func(s *usage.Segment, part usage.Window) {
		within = usage.Window{Start: min(within.Start, part.Start), End: max(within.End, part.End)}
		record.Region = cmp.Or(record.Region, s.Subject.Region)
		record.Open = record.Open || s.End.IsZero() && part.End == c.known()
	}
	for i := range stays {
		stay := &stays[i]
		head := usageDimension{usageSegment: c.stay(stay), Children: make([]usageSegment, 0, len(stay.Segments))}
		for j := range stay.Segments {
			note(&stay.Segments[j], stay.Segments[j].Part(w))
			head.Children = append(head.Children, c.segment(&stay.Segments[j], w))
		}
		record.Dimensions = append(record.Dimensions, head)
	}
	for i := range rest {
		note(&rest[i], rest[i].Part(w))
		record.Dimensions = append(record.Dimensions, usageDimension{usageSegment: c.segment(&rest[i], w)})
	}
	for correction, segments := range map[string][]usage.Segment{"less": h.Less, "more": h.More} {
		for i := range segments {
			s := &segments[i]
			part := s.Part(w)
			if part.Seconds() == 0 {
				continue
			}
			note(s, part)
			shown := c.segment(s, w)
			shown.Correction = correction
			shown.ID = wire.ID("correction", correction, strconv.Itoa(i), shown.ID, stamp(s.End.At))
			if correction == "less" {
				negative := json.Number("-" + shown.Quantity.String())
				shown.Quantity, shown.Exact = &negative, "-"+shown.Exact
			}
			record.Dimensions = append(record.Dimensions, usageDimension{usageSegment: shown})
		}
	}
	if len(record.Dimensions) == 0 {
		return record, false
	}
	record.Dimensions = byStart(record.Dimensions)
	record.StartedAt, record.EndedAt = stamp(within.Start), stamp(within.End)
	return record, true
}

// byStart are the dimensions in the order in which they are shown. There may be thousands, and
// each is large: what is sorted is where they are.
func byStart(list []usageDimension) []usageDimension {
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := &list[i], &list[j]
		return cmp.Or(cmp.Compare(a.StartedAt, b.StartedAt), cmp.Compare(a.Dimension, b.Dimension),
			cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Container, b.Container), cmp.Compare(a.ID, b.ID), cmp.Compare(i, j))
	})
	sorted := make([]usageDimension, len(list))
	for to, from := range order {
		sorted[to] = list[from]
	}
	return sorted
}

// segment is one as that API shows it, cut to a window.
func (c *call) segment(s *usage.Segment, w usage.Window) usageSegment {
	_ = c.pause() // that the call has ended is seen before the next resource
	part := s.Part(w)
	amount := s.Within(w)
	accuracy := usage.Exact
	if s.Start.Slack > 0 && part.Start == s.Start.At || s.End.Slack > 0 && part.End == s.End.At || s.Start.Evidence == usage.LastKnown {
		accuracy = usage.Estimated
	}
	return usageSegment{
		ID:        wire.SegmentID(s),
		Dimension: s.Dimension.Name, StartedAt: stamp(part.Start), EndedAt: stamp(part.End),
		Quantity: hoursOf(s.Dimension, amount), Unit: s.Dimension.Unit.HourUnit(s.Dimension.Name),
		Exact: amount.String(), ExactUnit: s.Dimension.Unit.ExactUnit(), Accuracy: accuracy.String(),
		Deployment: s.Subject.Deployment, Instance: s.Subject.Instance.Name, Container: s.Subject.Container,
		Level: s.Dimension.Unit.Level(s.Level), Open: s.End.IsZero() && part.End == c.known(),
	}
}

// stayed is what a stay counts: instances.
var stayed = usage.Dimension{Name: "instance", Unit: usage.Count}

// stay is a bundle's head.
func (c *call) stay(s *timeline.Stay) usageSegment {
	first := &s.Segments[0]
	amount := usage.Held(stayed.Unit.Scale(), s.Window.Seconds())
	subject := first.Subject
	return usageSegment{
		ID:        wire.ID("bundle", subject.Resource.UID, subject.Instance.UID, subject.Container, subject.Bundle, strconv.FormatInt(s.Began, 10)),
		Dimension: subject.Bundle, StartedAt: stamp(s.Window.Start), EndedAt: stamp(s.Window.End),
		Quantity: hoursOf(stayed, amount), Unit: stayed.Unit.HourUnit(stayed.Name),
		Exact: amount.String(), ExactUnit: stayed.Unit.ExactUnit(), Accuracy: s.Accuracy.String(),
		Deployment: subject.Deployment, Instance: subject.Instance.Name, Container: subject.Container,
		Open: s.Open && s.Window.End == c.known(),
	}
}

// write answers with an object.
func (c *call) write(answer any) error {
	c.begin()
	if json.NewEncoder(c.writer).Encode(answer) != nil {
		return errGone
	}
	return nil
}
