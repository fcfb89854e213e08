package timeline_test

import (
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// seriesTotals are what the segments of a world say of its series up to a moment.
type seriesTotals struct {
	held, sealed       map[timeline.SeriesKey]*big.Int
	lessSaid, moreSaid map[timeline.Measure]*big.Int
}

func (w *world) seriesTotals(through int64, byDeployment bool) *seriesTotals {
	s := &seriesTotals{
		held: map[timeline.SeriesKey]*big.Int{}, sealed: map[timeline.SeriesKey]*big.Int{},
		lessSaid: map[timeline.Measure]*big.Int{}, moreSaid: map[timeline.Measure]*big.Int{},
	}
	for i := range w.segments {
		c := &w.segments[i]
		key := timeline.SeriesKey{Namespace: c.Subject.Namespace, ResourceType: c.Subject.ResourceType, Dimension: c.Dimension}
		if byDeployment {
			key.Deployment = c.Subject.Deployment
		}
		end := c.End.At
		if c.End.IsZero() {
			end = through
		}
		amount := new(big.Int).Mul(big.NewInt(c.Level), big.NewInt(max(0, min(end, through)-c.Start.At)))
		measure := timeline.Measure{ResourceType: key.ResourceType, Dimension: c.Dimension}
		earliest, _ := c.Start.StartBounds()
		switch {
		case c.Kind == usage.Less && earliest < through:
			plus(s.lessSaid, measure, new(big.Int).Mul(big.NewInt(c.Level), big.NewInt(c.End.At-c.Start.At)))
		case c.Kind == usage.More && earliest < through:
			plus(s.moreSaid, measure, new(big.Int).Mul(big.NewInt(c.Level), big.NewInt(c.End.At-c.Start.At)))
		case c.Kind == usage.Put:
			plus(s.sealed, key, amount)
			if c.HasKey() && earliest < through && (c.End.IsZero() || c.End.At >= through) {
				plus(s.held, key, big.NewInt(c.Level))
			}
		}
	}
	return s
}

func plus[K comparable](sums map[K]*big.Int, key K, n *big.Int) {
	if sums[key] == nil {
		sums[key] = new(big.Int)
	}
	sums[key].Add(sums[key], n)
}

func sameSums[K comparable](t *rapid.T, what string, got, want map[K]*big.Int) {
	for _, of := range []map[K]*big.Int{got, want} {
		for key := range of {
			g, w := got[key], want[key]
			if g == nil {
				g = new(big.Int)
			}
			if w == nil {
				w = new(big.Int)
			}
			if g.Cmp(w) != 0 {
				t.Fatalf("%s of %v: got %s, want %s", what, key, g, w)
			}
		}
	}
}

// Running totals that go on from commit to commit say what the segments say, and what
// totals that begin anew say; none ever decreases.
func TestRunningTotalsAreWhatWasHeld(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, byDeployment := drawWorld(t), rapid.Bool().Draw(t, "by deployment")
		running, last := timeline.NewRunningTotals(byDeployment), map[timeline.SeriesKey]*big.Int{}
		w.bitByBit(t, func(line *timeline.Timeline) {
			s := line.Snapshot()
			if rapid.IntRange(0, 3).Draw(t, "no scrape") == 0 {
				return
			}
			running.Advance(s)
			for _, r := range running.Awake() {
				is := exactly(t, r.Sealed())
				if was := last[r.SeriesKey]; was != nil && is.Cmp(was) < 0 {
					t.Fatalf("%v was %s, and is %s", r.SeriesKey, was, is)
				}
				last[r.SeriesKey] = is
			}
			fresh := timeline.NewRunningTotals(byDeployment)
			fresh.Advance(s)
			want := w.seriesTotals(s.Sealed(), byDeployment)
			for name, totals := range map[string]*timeline.RunningTotals{"going on": running, "begun anew": fresh} {
				held := map[timeline.SeriesKey]*big.Int{}
				for _, r := range totals.Awake() {
					plus(held, r.SeriesKey, exactly(t, r.Held()))
					want := want.sealed[r.SeriesKey]
					if want == nil {
						want = new(big.Int) // "elsewhere", for a moment
					}
					if got := exactly(t, r.Sealed()); got.Cmp(want) != 0 {
						t.Fatalf("%s: sealed of %v: got %s, want %s", name, r.SeriesKey, got, want)
					}
				}
				sameSums(t, name+": held", held, want.held)
				for measure := range want.lessSaid {
					less, _ := totals.Corrected(measure)
					if exactly(t, less).Cmp(want.lessSaid[measure]) != 0 {
						t.Fatalf("%s: less of %v: got %s, want %s", name, measure, less, want.lessSaid[measure])
					}
				}
				for measure := range want.moreSaid {
					_, more := totals.Corrected(measure)
					if exactly(t, more).Cmp(want.moreSaid[measure]) != 0 {
						t.Fatalf("%s: more of %v: got %s, want %s", name, measure, more, want.moreSaid[measure])
					}
				}
			}
			if len(fresh.Grown()) > 0 {
				t.Fatal("the first Advance has added something")
			}
		})
	})
}

// Of each Advance but the first, what was added is all that was sealed since the one
// before, also of series that are not awake any more; and what the journal says again
// when it is loaded anew is not added again.
func TestWhatRunningTotalsAddIsWhatWasSealed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		running, added := timeline.NewRunningTotals(true), map[timeline.SeriesKey]*big.Int{}
		advance := func(line *timeline.Timeline) {
			running.Advance(line.Snapshot())
			for _, r := range running.Grown() {
				plus(added, r.SeriesKey, exactly(t, r.Added()))
			}
		}
		advance(timeline.New())
		line := w.bitByBit(t, func(line *timeline.Timeline) {
			if rapid.IntRange(0, 3).Draw(t, "scrape") == 0 {
				advance(line)
			}
		})
		advance(line)
		advance(w.timeline())
		want := w.seriesTotals(w.sealed, true)
		sameSums(t, "added", added, want.sealed)
	})
}

// Texts that tenants choose are bounded, and make no series that is not valid.
func TestSeriesTextsAreBounded(t *testing.T) {
	long := strings.Repeat("ü", timeline.MaxSeriesText)
	var c timeline.Commit
	for i, deployment := range []string{long + "a", long + "b", "\xff\xfe", "web"} {
		object := usage.Object{Kind: "VM", Name: fmt.Sprint(i), UID: fmt.Sprint(i)}
		c.Changes = append(c.Changes, usage.Change{Segment: usage.Segment{
			Meter: "vm", Dimension: usage.Dimension{Name: "device", Unit: usage.Count}.Of(long), Level: 1,
			Subject: &usage.Subject{ResourceType: "vm", Resource: object, Instance: object, Account: usage.Account{Namespace: "shop", Deployment: deployment}},
			Start:   usage.Boundary{At: second0, Evidence: usage.Observed},
		}})
	}
	line := timeline.New()
	apply(line, c)
	totals := timeline.NewRunningTotals(true)
	totals.Advance(line.Snapshot())
	held := map[string]string{}
	for _, r := range totals.Awake() {
		for _, text := range []string{r.Deployment, r.Name} {
			if len(text) > timeline.MaxSeriesText || !utf8.ValidString(text) {
				t.Errorf("a series has %q", text)
			}
		}
		if r.Measure().Name != "device" {
			t.Errorf("it measures %v", r.Measure())
		}
		held[r.Deployment] = r.Held().String()
	}
	if len(held) != 3 || held[long[:timeline.MaxSeriesText]] != "2" || held["web"] != "1" {
		t.Errorf("held %v", held)
	}
}

// BenchmarkRunningTotals is what a scrape costs after a commit, of virtual machines of
// three dimensions each, after so many days of which each has pods that came and went.
func BenchmarkRunningTotals(b *testing.B) {
	for _, c := range []struct{ resources, days int }{{10_000, 1}, {10_000, 30}, {100_000, 1}} {
		b.Run(fmt.Sprintf("%d/%dd", c.resources, c.days), func(b *testing.B) {
			all := fleet(c.resources)
			all.Sealed = nil
			for i := range all.Changes { // what goes on, and nothing else
				all.Changes[i].Start.At, all.Changes[i].End = second0-int64(i%3), usage.Boundary{}
			}
			line := timeline.New()
			apply(line, all)
			day := second0 - second0%86400
			for n := range c.days {
				apply(line, timeline.Commit{Changes: ended(day+int64(n)*86400, 10_000)})
				apply(line, timeline.Commit{Sealed: []usage.Window{{Start: day + int64(n)*86400, End: day + int64(n+1)*86400}}})
			}
			for _, by := range []bool{false, true} {
				b.Run(map[bool]string{false: "namespaces", true: "deployments"}[by], func(b *testing.B) {
					totals := timeline.NewRunningTotals(by)
					totals.Advance(line.Snapshot())
					b.ReportAllocs()
					for b.Loop() {
						totals.Advance(line.Snapshot())
					}
					b.ReportMetric(float64(len(totals.Awake())), "series")
				})
				b.Run("first", func(b *testing.B) {
					for b.Loop() {
						timeline.NewRunningTotals(by).Advance(line.Snapshot())
					}
				})
			}
		})
	}
}

// ended are pods that began and ended within a day, three minutes each, of ten
// deployments that are new on that day.
func ended(day int64, pods int) []usage.Change {
	var changes []usage.Change
	for n := range pods {
		start := day + int64(n)*86400/int64(pods)
		for _, c := range job(n, start, true) {
			c.Subject.Account = usage.Account{Namespace: "batch", NamespaceUID: "batch", Deployment: fmt.Sprint("run-", day, "-", n%10)}
			c.Subject.Resource.UID = fmt.Sprint(time.Unix(start, 0), n)
			changes = append(changes, c)
		}
	}
	return changes
}
