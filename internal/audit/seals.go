package audit

import (
	"runtime"
	"slices"
	"strconv"
	"sync"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// verifySeals recomputes every sealed interval's digest from the segments, and
// compares it with the chain. Each is computed from the digest that the seal
// before states, so that one that is wrong does not make those after it wrong.
func (a *auditor) verifySeals() {
	s := &sweep{holdings: a.held}
	ahead := make([]*recomputed, 0, runtime.GOMAXPROCS(0)) // several at a time
	var before journal.Seal
	for i, seal := range a.state.Seals {
		previous := before
		before = seal
		if seal.Interval.End <= a.sealsDone {
			continue
		}
		a.sealsDone = seal.Interval.End
		r := &recomputed{Seal: seal, number: i, previous: previous}
		if a.inRange(seal.Interval.Start, seal.Interval.End) {
			r.segments, r.coverage = s.cut(seal.Interval), a.coverage.Cut(seal.Interval)
			r.inRange = true
		}
		if ahead = append(ahead, r); len(ahead) == cap(ahead) {
			a.compareSeals(ahead)
			ahead = ahead[:0]
		}
	}
	a.compareSeals(ahead)
}

// recomputed is a seal, and what it should be.
type recomputed struct {
	journal.Seal
	number   int
	previous journal.Seal
	inRange  bool // it is to be recomputed
	segments []usage.Segment
	coverage []usage.Stretch
	digest   journal.Digest
}

func (a *auditor) compareSeals(seals []*recomputed) {
	var computing sync.WaitGroup
	for _, r := range seals {
		computing.Go(func() {
			r.digest = ledger.Digest(r.previous.Digest, r.Interval, r.segments, r.coverage)
			r.segments = nil
		})
	}
	computing.Wait()
	for _, r := range seals {
		if r.number > 0 && r.Interval.Start != r.previous.Interval.End {
			a.report.differ(Difference{
				In: InInterval, Name: intervalName(r.Interval), Field: "startTime",
				Expected: instant(r.previous.Interval.End), Found: instant(r.Interval.Start),
				Detail: "intervals are sealed one after the other",
			})
		}
		if r.inRange {
			a.Progress("recomputing intervals", r.number, len(a.state.Seals))
			a.report.interval(r.Seal)
			a.compareSeal(r)
		}
	}
}

func (a *auditor) compareSeal(r *recomputed) {
	partial := slices.ContainsFunc(r.coverage, func(s usage.Stretch) bool { return s.Coverage == usage.CoverageUnknown })
	switch {
	case r.digest != r.Digest:
		a.report.differ(Difference{
			In: InInterval, Name: intervalName(r.Interval), Field: "digest",
			Expected: r.digest.String(), Found: r.Digest.String(),
			Detail: "expected is what the segments amount to, found is what it was sealed with",
		})
	case partial != r.Partial:
		a.report.differ(Difference{
			In: InInterval, Name: intervalName(r.Interval), Field: "partial",
			Expected: strconv.FormatBool(partial), Found: strconv.FormatBool(r.Partial),
		})
	}
}

// verifyKept looks for the seal that somebody kept the digest of. It stands for
// its interval and all before.
func (a *auditor) verifyKept() {
	kept := func(s journal.Seal) bool { return s.Digest == a.Seal }
	if a.Seal == (journal.Digest{}) || slices.ContainsFunc(a.state.Seals, kept) {
		return
	}
	a.report.differ(Difference{
		In: InInterval, Name: "any", Field: "digest", Expected: a.Seal.String(), Found: "nothing",
		Detail: "an interval was sealed with this digest once, and none is now: the journal was rewritten, or is another one",
	})
}

// sealed are the sealed intervals, and the limits that bind their records, by their starts.
func sealed(seals []journal.Seal) (intervals map[int64]usage.Window, limits map[int64]usage.Limits) {
	intervals, limits = make(map[int64]usage.Window, len(seals)), map[int64]usage.Limits{}
	for _, seal := range seals {
		intervals[seal.Interval.Start] = seal.Interval
		if !seal.Limits.IsZero() {
			limits[seal.Interval.Start] = seal.Limits
		}
	}
	return intervals, limits
}
