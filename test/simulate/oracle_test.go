package simulate

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/controllers"
	"github.com/usage-operator/usage-operator/internal/audit"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

func clockTime(seconds int64) string { return time.Unix(seconds, 0).UTC().Format("15:04:05") }

// said is a part of what the journal says of a stream.
type said struct {
	held
	from, to int64 // seconds since the epoch
	sign     int   // -1: it is taken off
	change   *usage.Change
}

func (p said) String() string {
	return fmt.Sprintf("%s [%s-%d %s, %s+%d %s) %d of %q of %s in %s", p.change.Kind, clockTime(p.from), p.change.Start.Slack, p.change.Start.Evidence,
		clockTime(p.to), p.change.End.Slack, p.change.End.Evidence, p.level, p.deployment, p.resource, p.namespaceUID)
}

// account is all that the journal says of a stream.
type account struct {
	said   []said
	doubts []usage.Window // where bounds leave open what was so
	// unknown is where the journal says itself that it does not know, and may say nothing.
	unknown []usage.Window
}

// check compares what the journal has with the truth, up to the wanted moment.
func (s *simulation) check(wanted int64) {
	answers := controllers.NewAnswers()
	fresh := journal.New(journal.Options{
		Store: &handle{store: s.store}, Writer: "oracle", Cluster: "cluster", Clock: clock.RealClock{}, Follower: &follower{Answers: answers, simulation: s},
	})
	state, err := fresh.Load(context.Background())
	if err != nil {
		s.problem("the journal cannot be loaded: %v", err)
		return
	}
	sealed := int64(0)
	if n := len(state.Seals); n > 0 {
		sealed = state.Seals[n-1].Interval.End
	}
	if sealed < wanted {
		s.problem("sealed until %s: want %s, long after it", clockTime(sealed), clockTime(wanted))
	}
	w := usage.Window{Start: s.first.Unix() + 2, End: sealed}
	accounts := read(state, sealed)
	s.extent = measure(accounts, state.Coverage, w)
	s.excuse(accounts, state.Coverage, sealed)
	s.compareStreams(accounts, w)
	s.compareBounds(accounts, state.Coverage)
	s.compareSeals(accounts, state)
	s.compareDigests(state)
	s.compareTimelines(map[string]*timeline.Snapshot{
		"a fresh load": answers.Snapshot(), "the operator": s.operator.answers.Snapshot(), "the standby": s.standby.answers.Snapshot(),
	}, accounts, usage.Window{Start: s.first.Unix() / 3600 * 3600, End: sealed})
	s.verify()
}

// read sorts what the journal says by streams.
func read(state *journal.State, until int64) map[stream]*account {
	accounts := map[stream]*account{}
	for i := range state.Segments {
		c := &state.Segments[i]
		subject := c.Subject
		key := stream{uid: subject.Instance.UID, container: subject.Container, dimension: c.Dimension.Name}
		a := accounts[key]
		if a == nil {
			a = &account{}
			accounts[key] = a
		}
		part := said{
			held: held{
				level: c.Level, namespace: subject.Namespace, namespaceUID: subject.NamespaceUID, deployment: subject.Deployment, resource: subject.Resource.UID,
			},
			from: c.Start.At, to: until, sign: 1, change: c,
		}
		if !c.End.IsZero() {
			part.to = c.End.At
			a.doubt(c.End, 0, int64(c.End.Slack))
		}
		a.doubt(c.Start, int64(c.Start.Slack), 0)
		if c.Kind == usage.Less {
			part.sign = -1
		}
		a.said = append(a.said, part)
	}
	return accounts
}

// doubt notes what the bounds of a boundary leave open.
func (a *account) doubt(b usage.Boundary, before, after int64) {
	if before+after > 0 {
		a.doubts = append(a.doubts, usage.Window{Start: b.At - before, End: b.At + after})
	}
}

// at is what is said of the second that begins at the moment; more than one
// answer, or one that is taken off and was not there, is wrong.
func (a *account) at(second int64) (held, error) {
	sums := map[held]int{}
	for _, p := range a.said {
		if p.from <= second && second < p.to {
			sums[p.held] += p.sign
		}
	}
	var one held
	n := 0
	for what, sum := range sums {
		switch {
		case sum < 0:
			return held{}, fmt.Errorf("%s is taken off, and was not there", what)
		case sum > 0:
			one, n = what, n+sum
		}
	}
	if n > 1 {
		return held{}, fmt.Errorf("%d things are held at once, one is %s", n, one)
	}
	return one, nil
}

// began is when the segment that is said of the second starts, where that has bounds: the
// ledger counts from there in which time it settles.
func (a *account) began(second int64) time.Time {
	for _, p := range a.said {
		if p.from <= second && second < p.to && p.sign > 0 && p.change.Start.Slack > 0 {
			return time.Unix(p.change.Start.At, 0)
		}
	}
	return time.Time{}
}

func (h held) String() string {
	if h.level == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%d of %q of %s in %s (%s)", h.level, h.deployment, h.resource, h.namespace, h.namespaceUID)
}

// excuse lets pass what the journal itself calls Estimated: nobody looked, and the
// history was gone. Who mounted a claim then, or what owned the owner that went then, is
// not known later either. Of what it calls Unknown it may say nothing; and, with
// -simulate.full, of what it calls Estimated no more than that.
func (s *simulation) excuse(accounts map[stream]*account, coverage []usage.Stretch, until int64) {
	for key := range s.truth.facts {
		if accounts[key] == nil {
			accounts[key] = &account{}
		}
	}
	for _, stretch := range coverage {
		if stretch.Coverage < usage.CoverageEstimated {
			continue
		}
		for key, a := range accounts {
			if meterOf[key.dimension] != stretch.Meter {
				continue
			}
			if stretch.Coverage == usage.CoverageUnknown || s.full {
				a.unknown = append(a.unknown, stretch.Window)
				continue
			}
			w := stretch.Window
			if key.dimension == "storage" || s.lostOwner(key.uid, w) {
				w.End = until
			}
			a.doubts = append(a.doubts, w)
		}
	}
}

// lostOwner tells whether an owner above the object went within the window.
func (s *simulation) lostOwner(uid string, w usage.Window) bool {
	for _, o := range s.objects {
		for above := o.owner; o.uid == uid && above != nil; above = above.owner {
			if went := above.leftAt.Unix(); !above.there && w.Start-1 <= went && went <= w.End {
				return true
			}
		}
	}
	return false
}

// meterOf are the meters by what they measure.
var meterOf = map[string]string{"cpu": "container", "memory": "container", "storage": "volume", "size": "widget"}

// compareStreams compares each stream with the truth, second by second.
func (s *simulation) compareStreams(accounts map[stream]*account, w usage.Window) {
	streams := s.truth.streams()
	for key := range accounts {
		if _, known := s.truth.facts[key]; !known {
			streams = append(streams, key)
		}
	}
	slices.SortFunc(streams, stream.compare)
	for _, key := range streams {
		a := accounts[key]
		if a == nil {
			a = &account{}
		}
		var began int64
		var difference string
		tell := func(second int64, now string) {
			if now == difference {
				return
			}
			if difference != "" {
				s.problem("%s %s %s, from %s until %s: %s; the journal says %v", s.truth.names[key.uid], key.container, key.dimension,
					clockTime(began), clockTime(second), difference, a.said)
			}
			began, difference = second, now
		}
		for second := w.Start; second < w.End; second++ {
			tell(second, s.compareSecond(key, a, second))
		}
		tell(w.End, "")
	}
}

// compareSecond is the difference; empty: there is none.
func (s *simulation) compareSecond(key stream, a *account, second int64) string {
	is, err := a.at(second)
	if err != nil {
		return err.Error()
	}
	at := time.Unix(second, 0)
	possible := s.truth.within(key, at.Add(-tolerance), at.Add(time.Second+tolerance))
	settled, surely := s.truth.settled(key, at)
	unsettled := surely && is.level != 0 && is.deployment == ""
	if !unsettled && slices.ContainsFunc(append(s.truth.edited(key, at, is), is), func(said held) bool { return agrees(possible, said) }) {
		return ""
	}
	if deployment, soon := s.truth.settles(key, at, a.began(second)); soon && is.deployment == deployment {
		nowhere := is
		nowhere.deployment = ""
		if agrees(possible, nowhere) {
			return ""
		}
	}
	doubts := a.doubts
	if is.level == 0 {
		doubts = slices.Concat(doubts, a.unknown, s.truth.stated[key])
	}
	agreed := slices.ContainsFunc(possible, func(h held) bool { return h.level == is.level })
	for _, d := range doubts {
		if agreed { // what it is under is in doubt from the second on that cuts its level off
			d.Start, d.End = d.Start-1, d.End+1
		}
		if d.Contains(second) {
			return ""
		}
	}
	if unsettled {
		return fmt.Sprintf("said %s, and it settled under %q", is, settled)
	}
	return fmt.Sprintf("said %s, true is %s", is, possible)
}

// agrees tells whether what is said was so at some moment of them. What it is under
// may have changed another second than how much it is: each is cut off by itself.
func agrees(possible []held, is held) bool {
	level := func(h held) bool { return h.level == is.level }
	place := func(h held) bool {
		h.level = is.level
		return h == is
	}
	return slices.ContainsFunc(possible, level) && (is.level == 0 || slices.ContainsFunc(possible, place))
}

// compareBounds finds bounds of how much is held that are wider than they need to be: each
// write has the API server's time, and objects state since when they hold something. Less well
// is known what the journal calls Estimated, and what was written twice while a watch lagged.
func (s *simulation) compareBounds(accounts map[stream]*account, coverage []usage.Stretch) {
	for key, a := range accounts {
		before := held{}
		for _, p := range a.said {
			from := p.change.Start
			resized := p.level != before.level
			before = p.held
			if p.sign < 0 || !resized || from.Slack <= lagged || from.At <= s.first.Unix()+2 {
				continue
			}
			doubtful := slices.ContainsFunc(coverage, func(c usage.Stretch) bool {
				return c.Meter == meterOf[key.dimension] && c.Coverage >= usage.CoverageEstimated && c.Start-2 <= from.At && c.End+2 >= from.At-int64(from.Slack)
			})
			if !doubtful {
				s.problem("%s %s %s begins within %d s: it is known better than that; the journal says %v", s.truth.names[key.uid], key.container, key.dimension, from.Slack, a.said)
			}
		}
	}
}

// lagged is for how many seconds at most a watch lags, or the API server is away.
const lagged = 40

// compareDigests recomputes every seal from what the journal has now.
func (s *simulation) compareDigests(state *journal.State) {
	s.mu.Lock()
	seals := len(s.seals)
	s.mu.Unlock()
	if len(state.Seals) != seals {
		s.problem("the journal has %d seals, and there were %d", len(state.Seals), seals)
	}
	var previous journal.Digest
	for _, seal := range state.Seals {
		byAccount := map[usage.Account][]usage.Segment{}
		for i := range state.Segments {
			c := &state.Segments[i]
			if c.Kind != usage.Put {
				continue
			}
			if part, inside := c.Cut(seal.Interval, seal.Interval.End); inside {
				byAccount[c.Subject.Account] = append(byAccount[c.Subject.Account], part)
			}
		}
		var keys []usage.Account
		for key := range byAccount {
			keys = append(keys, key)
		}
		slices.SortFunc(keys, usage.CompareAccounts)
		var segments []usage.Segment
		for _, key := range keys {
			slices.SortFunc(byAccount[key], usage.Segment.Compare)
			segments = append(segments, byAccount[key]...)
		}
		previous = ledger.Digest(previous, seal.Interval, segments, usage.CutCoverage(state.Coverage, seal.Interval))
		if previous != seal.Digest {
			s.problem("the digest of interval %s is not that of what the journal has of it", clockTime(seal.Interval.Start))
			previous = seal.Digest
		}
	}
}

// verify lets the product's own verification look at the journal.
func (s *simulation) verify() {
	report, err := audit.Verify(context.Background(), audit.Input{
		Blocks: &handle{store: s.store}, Records: nothingPublished{}, Namespace: "kube-system", Clock: clock.RealClock{},
	})
	switch {
	case err != nil:
		s.problem("the journal cannot be verified: %v", err)
	case !report.OK():
		s.problem("the verification finds a difference: %+v", *report.First)
	}
}

// nothingPublished are the records of a cluster in which nothing was published yet.
type nothingPublished struct{}

func (nothingPublished) List(context.Context, func(*audit.Published) error) error { return nil }

// compareTimelines compares the timelines of a fresh load, of the operator that leads
// and of the standby with each other, and with the sums of what the journal says.
func (s *simulation) compareTimelines(timelines map[string]*timeline.Snapshot, accounts map[stream]*account, w usage.Window) {
	want := map[string]int64{}
	for key, a := range accounts {
		for _, p := range a.said {
			want[key.dimension] += int64(p.sign) * p.level * (usage.Window{Start: p.from, End: p.to}).Intersect(w).Seconds()
		}
	}
	rows := map[string]string{}
	for name, snapshot := range timelines {
		tally, err := timeline.NewTally(timeline.Query{Window: w, Size: timeline.None, GroupBy: []timeline.Key{timeline.Namespace, timeline.Deployment, timeline.Resource, timeline.Instance, timeline.Container}})
		if err == nil {
			err = tally.Advance(snapshot, w.End)
		}
		if err != nil {
			s.problem("the timeline of %s does not answer: %v", name, err)
			return
		}
		got := map[string]int64{}
		for _, total := range tally.Totals() {
			if !total.Amount.IsZero() {
				got[total.Name] += amountOf(total.Amount)
			}
		}
		for dimension, sum := range want {
			if got[dimension] != sum {
				s.problem("the timeline of %s has a total of %s of %d: the journal's segments and corrections sum to %d", name, dimension, got[dimension], sum)
			}
		}
		page, err := tally.Page("", math.MaxInt32)
		if err != nil {
			s.problem("the timeline of %s has no rows: %v", name, err)
			return
		}
		rows[name] = fmt.Sprint(page.Rows)
	}
	for _, name := range []string{"the operator", "the standby"} {
		if diff := cmp.Diff(rows["a fresh load"], rows[name]); diff != "" {
			s.problem("a fresh load of the journal gives another timeline than %s has (-fresh +%s):\n%s", name, name, diff)
		}
	}
}

func amountOf(a usage.Amount) int64 {
	var n int64
	if _, err := fmt.Sscan(a.String(), &n); err != nil {
		panic(err)
	}
	return n
}
