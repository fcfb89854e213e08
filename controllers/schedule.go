package controllers

import (
	"maps"
	"math"
	"slices"

	"github.com/usage-operator/usage-operator/internal/fairshare"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/publisher"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Schedule says when records are written. All times are in seconds.
type Schedule struct {
	Interval    int64 // a record's length; it divides an hour
	Flush       int64 // how often changes are written to the journal at most
	SealTimeout int64 // how long after its end an interval waits for what has not been seen of it
	Refresh     int64 // how often an Open record is brought up to date at most; 0: there are none
	Retention   int64 // how long after its end a record is kept
	Budget      int64 // how many bytes all records may take together; 0: any
	Deployments int64 // how many deployments of a namespace have records of their own in an interval; 0: any
	// JournalBudget is how many bytes the journal may take until people are told; 0: any.
	JournalBudget int64
	// ReportBudget is how many bytes the statuses of all reports may take; 0: any.
	ReportBudget int64
}

// interval is the one that the moment is in: aligned to the clock, but for what
// is sealed of it. It is shorter than others where the length was changed in between.
func (s *Schedule) interval(at, sealedThrough int64) usage.Window {
	w := usage.Interval(at, s.Interval)
	if sealedThrough < w.End {
		w.Start = max(w.Start, sealedThrough)
	}
	return w
}

// unsealed tells whether there is such an interval after what is sealed.
func (s *Schedule) unsealed(w usage.Window, sealedThrough int64) bool {
	return w.Start >= sealedThrough && w == s.interval(w.Start, sealedThrough)
}

// intervalsKept is how many intervals the budget has room for at least: the records
// of one take no more than that part of it.
const intervalsKept = 16

// intervalBudget is how many bytes the records of one interval may take; 0: any.
func (s *Schedule) intervalBudget() int64 { return (s.Budget + intervalsKept - 1) / intervalsKept }

// limits are those that bind the records of an interval. They depend only on what was
// held in it.
func (s *Schedule) limits(held *record.Holdings) usage.Limits {
	return record.Limit(held, s.intervalBudget(), s.Deployments)
}

// holdings are what was held in a sealed interval.
func holdings(from interface {
	Accounts(w usage.Window, now int64) []usage.Account
	Cut(account usage.Account, w usage.Window, now int64) []usage.Segment
}, interval usage.Window) *record.Holdings {
	return &record.Holdings{
		Accounts: from.Accounts(interval, interval.End),
		Cut:      func(a usage.Account) []usage.Segment { return from.Cut(a, interval, interval.End) },
	}
}

// share is the most bytes that the records of one namespace may take, given how
// many those of each take: all fit the budget then, and none that takes less loses
// any because of what another takes. math.MaxInt64: all fit as they are.
func (s *Schedule) share(sizes map[string]map[int64]publisher.Size) int64 {
	if s.Budget == 0 {
		return math.MaxInt64
	}
	takes := make([]int64, 0, len(sizes))
	for _, of := range sizes {
		takes = append(takes, bytesOf(of))
	}
	return fairshare.Level(takes, s.Budget)
}

// coarse are the namespaces whose records of the interval that starts then take more
// than their share of an interval's budget.
func (s *Schedule) coarse(sizes map[string]map[int64]publisher.Size, start int64) (over []string) {
	if s.Budget == 0 {
		return nil
	}
	takes := make([]int64, 0, len(sizes))
	for _, of := range sizes {
		takes = append(takes, of[start].Bytes)
	}
	share := fairshare.Level(takes, s.intervalBudget())
	for namespace, of := range sizes {
		if of[start].Bytes > share {
			over = append(over, namespace)
		}
	}
	return over
}

func bytesOf(sizes map[int64]publisher.Size) (bytes int64) {
	for _, size := range sizes {
		bytes += size.Bytes
	}
	return bytes
}

// fits is the moment from which on the records of one namespace fit its share, given
// their sizes by the start of their interval; 0: all of them do. The interval that
// was sealed last is kept at any size: publishing records only to delete them at once
// is of no use.
func (s *Schedule) fits(sizes map[int64]publisher.Size, share, sealedThrough int64) int64 {
	left := share
	for _, start := range slices.Backward(slices.Sorted(maps.Keys(sizes))) {
		if left -= sizes[start].Bytes; left < 0 {
			return max(0, min(start, sealedThrough-2*s.Interval)+s.Interval)
		}
	}
	return 0
}

// soon is how many seconds after its first Open record what changed of a new account is
// written again, at most.
const soon int64 = 5

// live decides when Open records are written: when an account first appears in
// an interval, and when its segments changed, but not more often than refresh. What
// appears within the interval is written sooner again at first, after soon, then after
// twice as long, and so on: of ten pods that start, the first alone is no live view.
type live struct {
	refresh int64
	waiting map[usage.Account]int64 // since when
	written map[usage.Account]int64 // in the interval
	pauses  map[usage.Account]int64 // from that on, until it is written again
	current usage.Window
	// most is how many deployments of a namespace have Open records in an interval, those
	// that come first; 0: any. named is how many have.
	most  int64
	named map[string]int64
}

func newLive(refresh int64) *live {
	return &live{
		refresh: refresh, waiting: map[usage.Account]int64{}, named: map[string]int64{},
		written: map[usage.Account]int64{}, pauses: map[usage.Account]int64{},
	}
}

// enter begins an interval with the accounts that hold something in it.
func (l *live) enter(interval usage.Window, accounts []usage.Account, now int64) {
	first := l.current == usage.Window{} // what there is has only begun to be listed
	l.current = interval
	clear(l.written)
	clear(l.pauses)
	clear(l.named)
	l.note(accounts, now)
	if first {
		return
	}
	for _, account := range accounts {
		l.pauses[account] = l.refresh
	}
}

// note takes in which accounts changed.
func (l *live) note(changed []usage.Account, now int64) {
	if l.refresh == 0 {
		return
	}
	for _, account := range changed {
		if _, waits := l.waiting[account]; !waits {
			l.waiting[account] = now
		}
	}
}

// pause is how long the account, which is written now, waits until it is written again.
func (l *live) pause(account usage.Account, again bool) int64 {
	pause, known := l.pauses[account]
	switch {
	case !known:
		pause = soon
	case again:
		pause *= 2
	}
	return min(pause, l.refresh)
}

// due are the records to write now.
func (l *live) due(now int64) []record.Key {
	var keys []record.Key
	for account, since := range l.waiting {
		written, again := l.written[account]
		switch {
		case again && now-written < l.pauses[account]:
			continue
		case account.Deployment == "" && now-since < ledger.Settle:
			continue // it may find its deployment yet
		}
		delete(l.waiting, account)
		if !again && account.Deployment != "" {
			if l.most > 0 && l.named[account.Namespace] >= l.most {
				continue // the Final records say what it used
			}
			l.named[account.Namespace]++
		}
		l.written[account], l.pauses[account] = now, l.pause(account, again)
		keys = append(keys, record.Key{Account: account, Interval: l.current})
	}
	return keys
}
