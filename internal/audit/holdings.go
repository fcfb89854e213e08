package audit

import (
	"cmp"
	"slices"

	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// holdings are all segments of the journal, account by account in canonical
// order. Cut to any interval they stay in that order: what held the same
// dimension held it at different times.
type holdings struct {
	segments []usage.Change
	byStart  []int32 // their indexes
}

// hold is the holdings of changes, which it may reorder. What corrects a sealed
// interval is not in it: the interval stays as it was sealed.
func hold(changes []usage.Change) *holdings {
	changes = slices.DeleteFunc(changes, func(c usage.Change) bool { return c.Kind != usage.Put })
	slices.SortFunc(changes, func(a, b usage.Change) int {
		return cmp.Or(ledger.CompareAccounts(a.Subject.Account, b.Subject.Account), a.Compare(b.Segment))
	})
	h := &holdings{segments: changes, byStart: make([]int32, len(changes))}
	for i := range h.byStart {
		h.byStart[i] = int32(i)
	}
	slices.SortFunc(h.byStart, func(a, b int32) int { return cmp.Compare(changes[a].Start.At, changes[b].Start.At) })
	return h
}

// of are the account's segments inside a sealed interval.
func (h *holdings) of(account usage.Account, interval usage.Window) []usage.Segment {
	first, _ := slices.BinarySearchFunc(h.segments, account, func(c usage.Change, account usage.Account) int {
		return ledger.CompareAccounts(c.Subject.Account, account)
	})
	var inside []usage.Segment
	for i := first; i < len(h.segments) && h.segments[i].Subject.Account == account; i++ {
		if part, ok := h.segments[i].Cut(interval, interval.End); ok {
			inside = append(inside, part)
		}
	}
	return inside
}

// accounts are all that hold or held something, in order.
func (h *holdings) accounts() []usage.Account {
	var accounts []usage.Account
	for i := range h.segments {
		if account := h.segments[i].Subject.Account; len(accounts) == 0 || accounts[len(accounts)-1] != account {
			accounts = append(accounts, account)
		}
	}
	return accounts
}

// sweep cuts all holdings to one interval after the other, each no earlier than
// the one before.
type sweep struct {
	*holdings
	next   int     // in byStart: the first that has not begun
	active []int32 // those that have begun and not ended, in canonical order
}

func (s *sweep) cut(interval usage.Window) []usage.Segment {
	begun := s.next
	for s.next < len(s.byStart) && s.segments[s.byStart[s.next]].Start.At < interval.End {
		s.next++
	}
	fresh := slices.Clone(s.byStart[begun:s.next])
	slices.Sort(fresh)
	s.active = merged(slices.DeleteFunc(s.active, func(i int32) bool {
		end := s.segments[i].End
		return !end.IsZero() && end.At <= interval.Start
	}), fresh)
	inside := make([]usage.Segment, 0, len(s.active))
	for _, i := range s.active {
		if part, ok := s.segments[i].Cut(interval, interval.End); ok {
			inside = append(inside, part)
		}
	}
	return inside
}

// merged is both sorted lists as one.
func merged(a, b []int32) []int32 {
	if len(b) == 0 {
		return a
	}
	out := make([]int32, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0] < b[0] {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}
