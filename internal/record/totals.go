package record

import (
	"slices"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// totals add up segments by resource type and dimension, in that order.
type totals struct {
	order []total
	used  map[total]usage.Amount
	// held is what the segments that are open hold now, for one second.
	held map[total]usage.Amount
}

type total struct {
	resourceType string
	dimension    usage.Dimension
}

func newTotals(segments []usage.Segment, known usage.Window) totals {
	t := totals{used: map[total]usage.Amount{}, held: map[total]usage.Amount{}}
	for i := range segments {
		s := &segments[i]
		key := totalOf(s)
		used, seen := t.used[key]
		if !seen {
			t.order = append(t.order, key)
		}
		t.used[key] = used.Plus(s.Within(known))
		if s.End.IsZero() {
			t.held[key] = t.held[key].Plus(usage.Held(s.Level, 1))
		}
	}
	slices.SortFunc(t.order, total.compare)
	return t
}

func (t totals) list() []v1alpha1.Total {
	list := make([]v1alpha1.Total, len(t.order))
	for i, key := range t.order {
		unit, sum := key.dimension.Unit, t.used[key]
		list[i] = v1alpha1.Total{
			ResourceType: key.resourceType,
			Dimension:    key.dimension.Name,
			Quantity:     unit.Hours(sum, digits),
			Unit:         unit.HourUnit(key.dimension.Name),
			Exact:        sum.String(),
			ExactUnit:    unit.ExactUnit(),
		}
	}
	return list
}

// summary is the record in one line: what was used ("memory 10 GiB-hour, vcpu
// 2.5 core-hour"), or, as long as something is held, what is held now ("holds
// memory 16 GiB, vcpu 4 core"), which is true until the record is written again.
func (t totals) summary() string {
	if len(t.held) == 0 {
		return t.line("", t.order, func(key total) string {
			return key.dimension.Unit.HourWords(t.used[key], key.dimension.Name, usage.LineDigits)
		})
	}
	held := slices.DeleteFunc(slices.Clone(t.order), func(key total) bool { return t.held[key].IsZero() })
	return t.line("holds ", held, func(key total) string {
		return key.dimension.Unit.LevelWords(t.held[key], key.dimension.Name, usage.LineDigits)
	})
}

func (t totals) line(verb string, keys []total, words func(total) string) string {
	return usage.Line(verb, usage.RecordLine, len(keys), func(i int) (string, string) { return keys[i].resourceType, words(keys[i]) })
}
