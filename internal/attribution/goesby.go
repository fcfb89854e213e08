package attribution

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// sharedName is a name that several of a kind may go by, by one of the meter's rules.
type sharedName struct {
	kind usage.GroupKind
	rule int
	name string
}

// company is who goes by a name, and who claims to be a part of any of those.
type company struct {
	by     map[named]struct{}
	claims map[*part]struct{}
}

func (r *Representations) company(name sharedName) *company {
	at := r.shared[name]
	if at == nil {
		name.name = strings.Clone(name.name)
		at = &company{by: map[named]struct{}{}, claims: map[*part]struct{}{}}
		r.shared[name] = at
	}
	return at
}

// forgetShared forgets a name that no object goes by, and none claims.
func (r *Representations) forgetShared(name sharedName) {
	if at := r.shared[name]; at != nil && len(at.by)+len(at.claims) == 0 {
		delete(r.shared, name)
	}
}

// goesBy replaces the names that a representative goes by. Those that claim one of them
// claim it too now, or no more.
func (r *Representations) goesBy(at *representative, names []string) {
	if slices.Equal(at.shares, names) {
		return
	}
	again := map[*part]struct{}{}
	for rule := range max(len(at.shares), len(names)) {
		was, is := nameOf(at.shares, rule), nameOf(names, rule)
		if was == is {
			continue
		}
		if was != "" {
			of := r.shared[sharedName{at.kind, rule, was}]
			delete(of.by, at.named)
			maps.Copy(again, of.claims)
			r.forgetShared(sharedName{at.kind, rule, was})
		}
		if is != "" {
			of := r.company(sharedName{at.kind, rule, is})
			of.by[at.named] = struct{}{}
			maps.Copy(again, of.claims)
		}
	}
	at.shares = make([]string, len(names))
	for rule, name := range names {
		at.shares[rule] = strings.Clone(name)
	}
	at.kept = true // those that leave come again
	defer func() { at.kept = false }()
	for p := range again {
		r.leave(p)
		r.enterAll(p)
		r.touch(p)
	}
}

func nameOf(names []string, rule int) string {
	if rule >= len(names) {
		return ""
	}
	return names[rule]
}

// enterAll enters all that an object says: what names one that may be several, once for each.
func (r *Representations) enterAll(at *part) {
	for _, c := range at.said {
		if !c.Shared {
			r.enter(at, c)
			continue
		}
		of := r.company(sharedName{c.Kind, c.Rule, c.Name})
		of.claims[at] = struct{}{}
		for _, by := range slices.SortedFunc(maps.Keys(of.by), byName) {
			r.enter(at, usage.Claim{Kind: c.Kind, Namespace: by.namespace, Name: by.name, Rule: c.Rule, Keys: c.Keys})
		}
	}
}

// leaveShared takes an object out of those that claim names.
func (r *Representations) leaveShared(at *part) {
	for _, c := range at.said {
		if !c.Shared {
			continue
		}
		name := sharedName{c.Kind, c.Rule, c.Name}
		if of := r.shared[name]; of != nil {
			delete(of.claims, at)
			r.forgetShared(name)
		}
	}
}

func byName(a, b named) int {
	return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
}

// represented is by whom an object is represented; nil: by none. Of several it is who has
// done so longest.
func (at *part) represented() (by *representative) {
	var since Span
	for i := range at.claims {
		c := &at.claims[i]
		if !c.holds(at) {
			continue
		}
		if began := c.since(); by == nil || began.Before < since.Before {
			by, since = c.of, began
		}
	}
	return by
}

// since is from when on a claim that holds has held.
func (c *claiming) since() Span {
	since := c.of.began
	for _, s := range c.seats {
		since = since.Later(c.of.vouched[vouched{s.rule, s.key}])
	}
	return since
}

// cloned are claims that keep nothing else in memory.
func cloned(claims []usage.Claim) []usage.Claim {
	all := slices.Clone(claims)
	for i := range all {
		c := &all[i]
		c.Namespace, c.Name, c.UID = strings.Clone(c.Namespace), strings.Clone(c.Name), strings.Clone(c.UID)
		c.Keys = slices.Clone(c.Keys)
		for k := range c.Keys {
			c.Keys[k] = strings.Clone(c.Keys[k])
		}
	}
	return all
}
