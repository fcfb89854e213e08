package meter

import (
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// maxThings is how many things that others can have too count for one member.
const maxThings = 256

// Shares tells whether objects of the meter can have things that others have too.
func (m *Meter) Shares() bool {
	return slices.ContainsFunc(m.distinct, func(e *expression) bool { return e != nil })
}

// Things are what members have that others can have too.
func (m *Meter) Things(members []usage.Member) []usage.Thing {
	var things []usage.Thing
	for i := range members {
		if !members[i].Active {
			continue
		}
		for dimension, keys := range members[i].Things {
			for _, key := range keys {
				things = append(things, m.thing(&members[i], dimension, key))
			}
		}
	}
	return things
}

func (m *Meter) thing(member *usage.Member, dimension int, key string) usage.Thing {
	return usage.Thing{ResourceType: m.resourceType, Dimension: m.dimensions[dimension].Of(member.Subject.Of).Name, Key: key}
}

// Count makes a member hold those of its things that count.
func (m *Meter) Count(member *usage.Member, counts func(usage.Thing) bool) {
	if !member.Active || member.Things == nil {
		return
	}
	member.Levels = slices.Clone(member.Levels)
	for dimension, keys := range member.Things {
		if m.distinct[dimension] == nil {
			continue
		}
		held := int64(0)
		for _, key := range keys {
			if counts(m.thing(member, dimension, key)) {
				held++
			}
		}
		member.Levels[dimension] = held * m.dimensions[dimension].Unit.Scale()
	}
}

// things reads what a member has in a dimension that others can have too.
func (r *reading) things(member *usage.Member, dimension int) {
	keys := r.keys(r.meter.distinct[dimension])
	if len(keys) == 0 {
		return
	}
	if member.Things == nil {
		member.Things = make([][]string, len(member.Levels))
	}
	keys = keys[:min(len(keys), maxThings)]
	member.Things[dimension] = keys
	member.Levels[dimension] = int64(len(keys)) * r.meter.dimensions[dimension].Unit.Scale()
}
