package audit

import (
	"cmp"
	"slices"

	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// holdings are all segments of the journal, account by account in canonical order.
type holdings struct {
	segments []usage.Change
	byStart  []int32 // their indexes, by the earliest moment at which they may have started
}

// hold is the holdings of changes, which it may reorder. What corrects a sealed
// interval is not in it: the interval stays as it was sealed.
func hold(changes []usage.Change) *holdings {
	changes = slices.DeleteFunc(changes, func(c usage.Change) bool { return c.Kind != usage.Put })
	slices.SortFunc(changes, func(a, b usage.Change) int {
		return cmp.Or(usage.CompareAccounts(a.Subject.Account, b.Subject.Account), a.Compare(b.Segment))
	})
	h := &holdings{segments: changes, byStart: make([]int32, len(changes))}
	for i := range h.byStart {
		h.byStart[i] = int32(i)
	}
	slices.SortFunc(h.byStart, func(a, b int32) int { return cmp.Compare(earliest(&changes[a]), earliest(&changes[b])) })
	return h
}

// earliest is when the segment may have started.
func earliest(c *usage.Change) int64 {
	at, _ := c.Start.StartBounds()
	return at
}

// over tells whether the segment had ended by the moment, whatever its bounds.
func over(c *usage.Change, moment int64) bool {
	_, latest := c.End.EndBounds()
	return !c.End.IsZero() && max(latest, c.Start.At) <= moment
}

// of are the account's segments inside a sealed interval.
func (h *holdings) of(account usage.Account, interval usage.Window) []usage.Segment {
	first, _ := slices.BinarySearchFunc(h.segments, account, func(c usage.Change, account usage.Account) int {
		return usage.CompareAccounts(c.Subject.Account, account)
	})
	var inside []usage.Segment
	for i := first; i < len(h.segments) && h.segments[i].Subject.Account == account; i++ {
		inside = ledger.AppendCut(inside, &h.segments[i].Segment, interval)
	}
	return inside
}

// within is what was held in a sealed interval, if limits bind its records; nil if none
// does, where it is not needed.
func (h *holdings) within(interval usage.Window, limits usage.Limits) *record.Holdings {
	if limits.IsZero() {
		return nil
	}
	s := &sweep{holdings: h}
	held := map[usage.Account][]usage.Segment{}
	var accounts []usage.Account
	for _, segment := range s.cut(interval) {
		account := segment.Subject.Account
		if held[account] == nil {
			accounts = append(accounts, account)
		}
		held[account] = append(held[account], segment)
	}
	return &record.Holdings{Accounts: accounts, Cut: func(a usage.Account) []usage.Segment { return held[a] }}
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
	for s.next < len(s.byStart) && earliest(&s.segments[s.byStart[s.next]]) < interval.End {
		s.next++
	}
	fresh := slices.Clone(s.byStart[begun:s.next])
	slices.Sort(fresh)
	s.active = merged(slices.DeleteFunc(s.active, func(i int32) bool {
		return over(&s.segments[i], interval.Start)
	}), fresh)
	inside := make([]usage.Segment, 0, len(s.active))
	for _, i := range s.active {
		inside = ledger.AppendCut(inside, &s.segments[i].Segment, interval)
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
