package usageapi

import (
	"cmp"
	"math"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

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
	cursor := query.Get("cursor")
	if err := c.check(filters, cursor); err != nil {
		return err
	}
	c.tell(filters, window)
	if uid := query.Get("uid"); uid != "" {
		found := c.snapshot.Resource(filters, uid)
		if len(found) == 0 {
			return c.noSuchResource(uid)
		}
		return c.answerResources(found, window, "")
	}
	after, err := parseResourceCursor(cursor)
	if err != nil {
		return err
	}
	histories := c.snapshot.Resources(filters, window, after, defaultRecords+1)
	if len(histories) == 0 && cursor == "" {
		if err := c.checkHolders(filters); err != nil {
			return err
		}
	}
	more := len(histories) > defaultRecords
	if more {
		histories = histories[:defaultRecords]
	}
	next := ""
	if more {
		next = resourceCursor(histories[defaultRecords-1].ResourceKey)
	}
	return c.answerResources(histories, window, next)
}

func (c *call) answerResources(histories []timeline.History, w usage.Window, next string) error {
	list := wire.ResourceList{Resources: []wire.Resource{}, Known: stamp(c.known()), Sealed: stamp(c.snapshot.Sealed()), Next: next, To: stamp(w.End)}
	if w.Start != math.MinInt64 {
		list.From = stamp(w.Start)
	}
	for i := range histories {
		h := &histories[i]
		shown := wire.Resource{Namespace: h.Namespace, ResourceType: h.Type, Name: h.Name, UID: h.UID, Segments: []wire.Segment{}, Totals: []wire.Quantity{}}
		for j := range h.Segments {
			s := &h.Segments[j]
			if !s.Touches(w) {
				continue
			}
			shown.NamespaceUID, shown.APIVersion, shown.Kind = s.Subject.NamespaceUID, s.Subject.Resource.APIVersion, s.Subject.Resource.Kind
			shown.Segments = append(shown.Segments, c.evident(s, w))
		}
		for correction, segments := range map[string][]usage.Segment{"less": h.Less, "more": h.More} {
			for j := range segments {
				if segments[j].Touches(w) {
					made := c.evident(&segments[j], w)
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
		if len(shown.Segments)+len(shown.Corrections) > 0 {
			list.Resources = append(list.Resources, shown)
		}
	}
	var err error
	if list.Meters, err = c.metersOf(&list); err != nil {
		return err
	}
	return c.write(list)
}

// metersOf are the meters of a list's segments, those that are still applied.
func (c *call) metersOf(list *wire.ResourceList) ([]wire.Meter, error) {
	used := map[string]bool{}
	for i := range list.Resources {
		r := &list.Resources[i]
		for _, segments := range [][]wire.Segment{r.Segments, r.Corrections} {
			for j := range segments {
				used[segments[j].Meter] = true
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
