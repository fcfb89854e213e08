package usageapi

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// resources answers with what resources held, segment by segment, with evidence.
func (c *call) resources() error {
	query := c.request.URL.Query()
	filters, window, err := c.ownFilters(query)
	if err != nil {
		return err
	}
	filters.Resources = query["name"]
	if uid := query.Get("uid"); uid != "" {
		filters.UIDs = []string{uid}
	}
	cursor := query.Get("cursor")
	if err := c.check(filters, cursor); err != nil {
		return err
	}
	known := c.tell(filters, window)
	after, err := parseResourceCursor(cursor)
	if err != nil {
		return err
	}
	histories, next, err := c.resourcePage(filters, window, after, defaultRecords)
	if err == nil && len(histories) == 0 && cursor == "" {
		err = c.someResource(filters)
	}
	if err != nil {
		return err
	}
	about := wire.ResourceList{Known: stamp(c.known()), Sealed: stamp(c.snapshot.Sealed()), Next: ptr.Deref(next, ""), To: stamp(window.End)}
	if window.Start != math.MinInt64 {
		about.From = stamp(window.Start)
	}
	if about.Meters, err = c.metersOf(histories); err != nil {
		return err
	}
	if len(filters.UIDs) > 0 && len(histories) > 0 { // one resource: as far as its meters go
		of := *filters
		of.ResourceTypes = []string{histories[0].Type}
		known = c.tell(&of, window)
	}
	if known.Seconds() > 0 {
		about.Coverage = report.Coverage(known)
	}
	return c.writeResources(about, histories)
}

func (c *call) writeResources(about wire.ResourceList, histories []timeline.History) (err error) {
	out := c.array("resources")
	if out.before, err = fieldsBefore(about); err != nil {
		return err
	}
	for i := range histories {
		if err := c.alive(); err != nil {
			return err
		}
		if shown := c.resource(&histories[i]); len(shown.Segments)+len(shown.Corrections) > 0 {
			segments := shown.Segments
			shown.Segments = []wire.Segment{}
			if err := addList(out, shown, "segments", segments, func(s *wire.Segment) error { return out.value(s) }); err != nil {
				return err
			}
		}
		histories[i] = timeline.History{} // it is written: what it took is free
	}
	return out.end()
}

// someResource refuses filters by the name or UID of a resource that there never was.
func (c *call) someResource(f *timeline.Filters) error {
	if len(f.UIDs) > 0 {
		_, err := c.everHeld(f)
		return err
	}
	return c.checkHolders(f)
}

// everHeld is what the resource with the filters' UID ever held, or a part of that; the
// error is that there is none.
func (c *call) everHeld(f *timeline.Filters) (*timeline.History, error) {
	ever, _, err := c.resourcePage(f, usage.Window{Start: math.MinInt64, End: math.MaxInt64}, timeline.Place{}, 1)
	if err != nil {
		return nil, err
	}
	if len(ever) == 0 {
		return nil, c.noSuchResource(f.UIDs[0])
	}
	return &ever[0], nil
}

// fieldsBefore are all fields of a list but its resources.
func fieldsBefore(list wire.ResourceList) (string, error) {
	text, err := json.Marshal(struct {
		wire.ResourceList
		Resources any `json:"resources,omitempty"`
	}{ResourceList: list})
	if err != nil {
		return "", err
	}
	return string(text[1:len(text)-1]) + ",", nil
}

// resource is what a resource held within its window.
func (c *call) resource(h *timeline.History) wire.Resource {
	w := h.Window
	shown := wire.Resource{Namespace: h.Namespace, ResourceType: h.Type, Name: h.Name, UID: h.UID, Segments: []wire.Segment{}, Totals: []wire.Quantity{}}
	for i := range h.Segments {
		s := &h.Segments[i]
		if !s.Touches(w) {
			continue
		}
		shown.NamespaceUID, shown.APIVersion, shown.Kind = s.Subject.NamespaceUID, s.Subject.Resource.APIVersion, s.Subject.Resource.Kind
		shown.Segments = append(shown.Segments, c.evident(s, w))
	}
	for correction, segments := range map[string][]usage.Segment{"less": h.Less, "more": h.More} {
		for i := range segments {
			if segments[i].Touches(w) {
				made := c.evident(&segments[i], w)
				made.Correction = correction
				shown.Corrections = append(shown.Corrections, made)
			}
		}
	}
	for _, total := range h.Totals(w) {
		shown.Totals = append(shown.Totals, wire.Quantity{
			Dimension: total.Name, Quantity: total.Unit.Hours(total.Amount, digits), Unit: total.Unit.HourUnit(total.Name),
			Exact: total.Amount.String(), ExactUnit: total.Unit.ExactUnit(),
		})
	}
	return shown
}

// metersOf are the meters of what resources held in their windows, those that are still applied.
func (c *call) metersOf(histories []timeline.History) ([]wire.Meter, error) {
	used := map[string]bool{}
	for i := range histories {
		h := &histories[i]
		for _, segments := range [][]usage.Segment{h.Segments, h.Less, h.More} {
			for j := range segments {
				if segments[j].Touches(h.Window) {
					used[segments[j].Meter] = true
				}
			}
		}
	}
	applied, err := c.Meters(c.ctx)
	if err != nil {
		return nil, err
	}
	meters := []wire.Meter{}
	for i := range applied {
		m := &applied[i]
		if !used[m.Name] {
			continue
		}
		shown := wire.Meter{Name: m.Name, Target: schema.GroupKind{Group: m.Spec.Target.Group, Kind: m.Spec.Target.Kind}.String()}
		for _, d := range m.Spec.Dimensions {
			shown.Dimensions = append(shown.Dimensions, wire.Formula{Dimension: d.Name, Quantity: string(d.Quantity)})
		}
		meters = append(meters, shown)
	}
	slices.SortFunc(meters, func(a, b wire.Meter) int { return cmp.Compare(a.Name, b.Name) })
	return meters, nil
}

// evident is a segment with what it adds up to within a window.
func (c *call) evident(s *usage.Segment, w usage.Window) wire.Segment {
	_ = c.pause() // that the call has ended is seen before the next resource
	made := wire.Segment{
		ID: wire.SegmentID(s), Dimension: s.Dimension.Name, ExactLevel: s.Level,
		Seconds: s.Part(w).Seconds(), Quantity: s.Dimension.Unit.Hours(s.Within(w), digits), HourUnit: s.Dimension.Unit.HourUnit(s.Dimension.Name),
		Meter: s.Meter, Deployment: s.Subject.Deployment, Instance: s.Subject.Instance.Name, Container: s.Subject.Container,
		Region: s.Subject.Region, Bundle: s.Subject.Bundle, Attributes: s.Subject.Attributes.Map(),
	}
	made.Level, made.Unit = s.Dimension.Unit.Shown(s.Level, s.Dimension.Name, usage.LineDigits)
	earliest, latest := s.Start.StartBounds()
	made.Start = wire.Moment{Time: stamp(s.Start.At), Earliest: stamp(earliest), Latest: stamp(latest), Evidence: s.Start.Evidence.String()}
	if !s.End.IsZero() {
		earliest, latest := s.End.EndBounds()
		made.End = &wire.Moment{Time: stamp(s.End.At), Earliest: stamp(earliest), Latest: stamp(latest), Evidence: s.End.Evidence.String()}
	}
	return made
}
