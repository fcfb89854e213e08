package attribution

import (
	"cmp"
	"slices"
	"strings"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Holder is an object that a meter reads.
type Holder struct {
	Meter, UID string
}

// Shares is an index of things that several holders can have. Each thing counts once:
// for the oldest holder that has it.
//
// The result depends on what is known, not on the order of arrival. It is not
// safe for concurrent use: a single writer owns it.
type Shares struct {
	holders map[Holder]*sharer
	things  map[usage.Thing][]*sharer // in the order of their age
}

type sharer struct {
	Holder
	created int64
	things  []usage.Thing // in order, each once
}

// NewShares returns an empty index.
func NewShares() *Shares {
	return &Shares{holders: map[Holder]*sharer{}, things: map[usage.Thing][]*sharer{}}
}

// Have replaces what a holder has; a holder without things is forgotten. created is the
// object's creation, in seconds since the epoch. It returns the other holders for which
// something now counts that did not, or the reverse, in order.
func (s *Shares) Have(h Holder, created int64, things []usage.Thing) []Holder {
	at := s.holders[h]
	if at == nil && len(things) == 0 {
		return nil
	}
	if at == nil {
		at = &sharer{Holder: Holder{strings.Clone(h.Meter), strings.Clone(h.UID)}, created: created}
		s.holders[at.Holder] = at
	}
	now := make([]usage.Thing, len(things))
	for i, t := range things {
		now[i] = usage.Thing{ResourceType: strings.Clone(t.ResourceType), Dimension: strings.Clone(t.Dimension), Key: strings.Clone(t.Key)}
	}
	slices.SortFunc(now, compareThings)
	now = slices.Compact(now)
	var changed []Holder
	touch := func(t usage.Thing, change func(usage.Thing)) {
		before := s.first(t)
		change(t)
		after := s.first(t)
		for _, other := range [2]*sharer{before, after} {
			if before != after && other != nil && other != at {
				changed = append(changed, other.Holder)
			}
		}
	}
	for _, t := range at.things {
		if _, still := slices.BinarySearchFunc(now, t, compareThings); !still {
			touch(t, func(t usage.Thing) { s.leave(at, t) })
		}
	}
	had := at.things
	at.things = now
	for _, t := range now {
		if _, already := slices.BinarySearchFunc(had, t, compareThings); !already {
			touch(t, func(t usage.Thing) { s.enter(at, t) })
		}
	}
	if len(now) == 0 {
		delete(s.holders, h)
	}
	slices.SortFunc(changed, func(a, b Holder) int {
		return cmp.Or(strings.Compare(a.UID, b.UID), strings.Compare(a.Meter, b.Meter))
	})
	return slices.Compact(changed)
}

// Counts tells whether a thing counts for the holder.
func (s *Shares) Counts(h Holder, t usage.Thing) bool {
	first := s.first(t)
	return first != nil && first.Holder == h
}

func (s *Shares) first(t usage.Thing) *sharer {
	if having := s.things[t]; len(having) > 0 {
		return having[0]
	}
	return nil
}

func (s *Shares) enter(at *sharer, t usage.Thing) {
	having := s.things[t]
	i, _ := slices.BinarySearchFunc(having, at, byAge)
	s.things[t] = slices.Insert(having, i, at)
}

func (s *Shares) leave(at *sharer, t usage.Thing) {
	having := s.things[t]
	i, _ := slices.BinarySearchFunc(having, at, byAge)
	if having = slices.Delete(having, i, i+1); len(having) == 0 {
		delete(s.things, t)
	} else {
		s.things[t] = having
	}
}

func byAge(a, b *sharer) int {
	return cmp.Or(cmp.Compare(a.created, b.created), strings.Compare(a.UID, b.UID), strings.Compare(a.Meter, b.Meter))
}

func compareThings(a, b usage.Thing) int {
	return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.Dimension, b.Dimension), strings.Compare(a.ResourceType, b.ResourceType))
}
