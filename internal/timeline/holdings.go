package timeline

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Intervals are the sealed ones that a window touches, in order.
func (s *Snapshot) Intervals(w usage.Window) []usage.Window {
	first, _ := slices.BinarySearchFunc(s.sealed, w.Start, func(interval usage.Window, start int64) int {
		if interval.End <= start {
			return -1
		}
		return 1
	})
	end := first
	for end < len(s.sealed) && s.sealed[end].Start < w.End {
		end++
	}
	return s.sealed[first:end]
}

// Coverage are the stretches within an interval that were not observed, in
// canonical form.
func (s *Snapshot) Coverage(interval usage.Window) []usage.Stretch {
	return s.coverage.Cut(interval)
}

// HoldingKey tells a holding from every other.
type HoldingKey struct {
	Interval usage.Window
	Account  usage.Account
}

// Holding is what an account held in an interval.
type Holding struct {
	HoldingKey
	// Segments are cut to the interval, in canonical order.
	Segments []usage.Segment
	// More tells that they are not all: only the first, as many as were asked for.
	More bool
}

// Holdings are what accounts held in the sealed intervals that a window touches, as
// they were sealed: what corrects them is not in it. They come interval by
// interval, in the order of accounts; with after, those after that one.
func (s *Snapshot) Holdings(f *Filters, w usage.Window, after *HoldingKey) iter.Seq[Holding] {
	return s.HoldingsContext(context.Background(), f, w, after)
}

// HoldingsContext are Holdings that end early when the context is done.
func (s *Snapshot) HoldingsContext(ctx context.Context, f *Filters, w usage.Window, after *HoldingKey) iter.Seq[Holding] {
	return s.HoldingsUpTo(ctx, f, w, after, math.MaxInt)
}

// HoldingsUpTo are HoldingsContext with no more segments of each than most: HoldingFrom has
// the others. It takes memory for twice as many segments, whatever accounts held, besides
// those that are returned.
func (s *Snapshot) HoldingsUpTo(ctx context.Context, f *Filters, w usage.Window, after *HoldingKey, most int) iter.Seq[Holding] {
	return func(yield func(Holding) bool) {
		whole := w // the intervals may begin before it
		if touched := s.Intervals(w); len(touched) > 0 {
			whole.Start = min(w.Start, touched[0].Start)
		}
		of := s.byAccount(f, whole)
		accounts := slices.SortedFunc(maps.Keys(of.hot), usage.CompareAccounts)
		if after != nil {
			w.Start = max(w.Start, after.Interval.Start)
		}
		for _, interval := range s.Intervals(w) {
			for some := range slices.Chunk(after.left(interval, accounts), of.atOnce()) {
				if !of.eachHolding(ctx, some, interval, most, yield) {
					return
				}
			}
		}
	}
}

// HoldingFrom are the segments of one holding after one of them, in canonical order; nil: from
// the first on. They come at most so many at a time, or somewhat more where several are the
// same, and take memory for twice as many. After an error, which is the context's, it ends.
func (s *Snapshot) HoldingFrom(ctx context.Context, f *Filters, key HoldingKey, after *usage.Segment, most int) iter.Seq2[[]usage.Segment, error] {
	return func(yield func([]usage.Segment, error) bool) {
		of := s.byAccount(f, key.Interval)
		for more := true; more; {
			found, err := of.first(ctx, []usage.Account{key.Account}, key.Interval, after, most)
			if err != nil {
				yield(nil, err)
				return
			}
			if more = found.more; len(found.list) == 0 {
				return
			}
			last := found.list[len(found.list)-1]
			if after = &last; !yield(found.list, nil) {
				return
			}
		}
	}
}

// left are the accounts, in order, that come after the key in an interval; nil: all.
func (k *HoldingKey) left(interval usage.Window, accounts []usage.Account) []usage.Account {
	if k == nil || interval != k.Interval {
		return accounts
	}
	past, found := slices.BinarySearchFunc(accounts, k.Account, usage.CompareAccounts)
	if found {
		past++
	}
	return accounts[past:]
}

// accountClasses are classes by account.
type accountClasses struct {
	snapshot *Snapshot
	filters  *Filters
	hot      map[usage.Account][]*class
	cold     map[usage.Account]map[int]*class // by number: those of which something is cold
}

// byAccount are the classes that the filters let through and that may matter from the
// window's start on.
func (s *Snapshot) byAccount(f *Filters, w usage.Window) *accountClasses {
	of := &accountClasses{snapshot: s, filters: f, hot: map[usage.Account][]*class{}, cold: map[usage.Account]map[int]*class{}}
	s.since(w.Start, func(id int, c *class) {
		if !f.matches(&c.words) {
			return
		}
		of.hot[c.Account] = append(of.hot[c.Account], c)
		if !c.hasCold(w) {
			return
		}
		if of.cold[c.Account] == nil {
			of.cold[c.Account] = map[int]*class{}
		}
		of.cold[c.Account][id] = c
	})
	return of
}

func every(*class, *object) bool { return true }

// accountsAtOnce is how many accounts are looked at together, and unpackedAccounts if something
// is cold: it is unpacked once for all of them.
const accountsAtOnce, unpackedAccounts = 16, 256

func (a *accountClasses) atOnce() int {
	if len(a.cold) > 0 {
		return unpackedAccounts
	}
	return accountsAtOnce
}

// eachHolding calls with what some accounts, in order, held in an interval; false: it ended early.
func (a *accountClasses) eachHolding(ctx context.Context, some []usage.Account, interval usage.Window, most int, yield func(Holding) bool) bool {
	for len(some) > 0 {
		found, err := a.first(ctx, some, interval, nil, most)
		if err != nil {
			return false
		}
		some = some[len(some):]
		rest := found.list
		for len(rest) > 0 {
			account := rest[0].Subject.Account
			n := slices.IndexFunc(rest, func(s usage.Segment) bool { return s.Subject.Account != account })
			held := Holding{HoldingKey: HoldingKey{Interval: interval, Account: account}, Segments: rest}
			if n >= 0 {
				held.Segments = rest[:n:n]
			}
			rest = rest[len(held.Segments):]
			if len(rest) == 0 && found.more {
				switch {
				case !found.moreOf(account):
					some = found.from(*found.next)
				case len(held.Segments) < len(found.list):
					some = found.from(account) // with those that come after it, from its first segment on
					continue
				default:
					some, held.More = found.from(account)[1:], true
				}
			}
			if ctx.Err() != nil || !yield(held) {
				return false
			}
		}
	}
	return true
}

// firsts are the first segments of some accounts after a place, in the order of accounts and,
// of each, in canonical order.
type firsts struct {
	accounts []usage.Account
	after    *usage.Segment
	most     int
	list     []usage.Segment
	more     bool           // there are some after those of the list
	next     *usage.Account // the first of which there are
}

// first are the first segments of some accounts in an interval, cut to it.
func (a *accountClasses) first(ctx context.Context, some []usage.Account, interval usage.Window, after *usage.Segment, most int) (*firsts, error) {
	found := &firsts{accounts: some, after: after, most: max(1, most)}
	looked := 0
	var failed error
	take := func(o occurrence) {
		if looked++; looked%lookedAtOnce == 0 && failed == nil {
			failed = pause(ctx)
		}
		if failed != nil {
			return
		}
		if part, inside := o.segment().Cut(interval, interval.End); inside {
			found.add(part)
		}
	}
	packed := map[int]*class{}
	for _, account := range some {
		for _, c := range a.hot[account] {
			c.each(interval, c.occurringUpTo(a.filters, every, most, take))
		}
		maps.Copy(packed, a.cold[account])
	}
	var err error
	if len(packed) > 0 {
		err = a.snapshot.cold.eachIn(ctx, interval, func(id int) bool { return packed[id] != nil }, func(id int, c *chunk) {
			c.each(interval, packed[id].occurringUpTo(a.filters, every, most, take))
		})
	}
	found.trim()
	return found, cmp.Or(failed, err, ctx.Err())
}

// compareHeld orders segments by account, then as they are listed.
func compareHeld(a, b usage.Segment) int {
	if a.Subject != b.Subject {
		if order := usage.CompareAccounts(a.Subject.Account, b.Subject.Account); order != 0 {
			return order
		}
	}
	return a.Compare(b)
}

func (f *firsts) add(s usage.Segment) {
	if f.after != nil && s.Compare(*f.after) <= 0 {
		return
	}
	if f.more && compareHeld(s, f.list[f.most-1]) > 0 { // the list begins with those that are sorted
		f.beyond(&s)
		return
	}
	if f.list = append(f.list, s); len(f.list)/2 > f.most {
		f.trim()
	}
}

// beyond notes a segment that comes after those of the list.
func (f *firsts) beyond(s *usage.Segment) {
	if f.next == nil || usage.CompareAccounts(s.Subject.Account, *f.next) < 0 {
		f.next = &s.Subject.Account
	}
	f.more = true
}

// trim leaves the first, and those that are the same as the last of them.
func (f *firsts) trim() {
	slices.SortFunc(f.list, compareHeld)
	end := min(f.most, len(f.list))
	for end > 0 && end < len(f.list) && compareHeld(f.list[end], f.list[end-1]) == 0 {
		end++
	}
	if end < len(f.list) {
		f.beyond(&f.list[end])
		clear(f.list[end:])
		f.list = f.list[:end]
	}
}

// from are the accounts from one on.
func (f *firsts) from(account usage.Account) []usage.Account {
	i, _ := slices.BinarySearchFunc(f.accounts, account, usage.CompareAccounts)
	return f.accounts[i:]
}

// moreOf tells whether there are more segments of an account than those of the list.
func (f *firsts) moreOf(account usage.Account) bool { return f.next != nil && *f.next == account }
