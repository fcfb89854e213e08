package controllers

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/publisher"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// What one namespace takes costs no other one a record, as long as that takes no more
// than its share. The oracle takes from those that take most, byte by byte, until the
// rest fits.
func TestANamespaceUnderItsShareLosesNothing(t *testing.T) {
	const hour, through = 3600, 100 * 3600
	rapid.Check(t, func(t *rapid.T) {
		schedule := Schedule{Interval: hour, Budget: rapid.Int64Range(1, 300).Draw(t, "budget")}
		sizes, takes := map[string]map[int64]publisher.Size{}, map[string]int64{}
		for n := range rapid.IntRange(1, 6).Draw(t, "namespaces") {
			bytes := rapid.MapOfN(rapid.Int64Range(90, 100), rapid.Int64Range(0, 60), 1, 8).Draw(t, "bytes")
			of, name := map[int64]publisher.Size{}, fmt.Sprint("tenant-", n)
			for at, b := range bytes {
				of[at*hour] = publisher.Size{Records: 1, Bytes: b}
				takes[name] += b
			}
			sizes[name] = of
		}
		left := allowed(takes, schedule.Budget)
		share := schedule.share(sizes)
		var kept, spared int64
		for name, of := range sizes {
			from := schedule.fits(of, share, through)
			kept, spared = kept+endedAfter(of, from, hour), spared+endedAfter(of, through-hour, hour)
			newest := endedAfter(of, from-hour, hour) // with one interval more
			switch {
			case takes[name] <= left[name] && from > 0:
				t.Fatalf("%s takes %d, less than its share, and loses what is before %d h", name, takes[name], from/hour)
			case takes[name] > left[name] && from == 0 && of[through-hour].Bytes+of[through].Bytes < takes[name]:
				t.Fatalf("%s takes %d, its share is %d, and it loses nothing", name, takes[name], left[name])
			case from > 0 && from < through-hour && newest <= share:
				t.Fatalf("%s loses more than it has to: from %d h on it takes %d of %d", name, from/hour-1, newest, share)
			}
		}
		if kept > schedule.Budget+spared {
			t.Fatalf("all take %d of %d, and %d are spared", kept, schedule.Budget, spared)
		}
	})
}

// endedAfter is how many bytes those of intervals that ended after the moment take.
func endedAfter(sizes map[int64]publisher.Size, moment, interval int64) (bytes int64) {
	for start, size := range sizes {
		if start+interval > moment {
			bytes += size.Bytes
		}
	}
	return bytes
}

// allowed is how much is left of each, when all that have most lose a byte, again and
// again, until all fit the budget.
func allowed(takes map[string]int64, budget int64) map[string]int64 {
	left, all := map[string]int64{}, int64(0)
	for name, n := range takes {
		left[name], all = n, all+n
	}
	for all > budget {
		var most int64
		for _, n := range left {
			most = max(most, n)
		}
		for name, n := range left {
			if n == most {
				left[name], all = n-1, all-1
			}
		}
	}
	return left
}

func TestWhoIsToldOfWhom(t *testing.T) {
	var s shares
	names := func(told []excess) (names []string) {
		for _, e := range told {
			names = append(names, e.namespace)
		}
		return names
	}
	over := func(from int64, bytes map[string]int64) map[string]excess {
		found := map[string]excess{}
		for name, b := range bytes {
			found[name] = excess{bytes: b, keptFrom: from}
		}
		return found
	}
	expect := func(what string, got []excess, want ...string) {
		t.Helper()
		if !slices.Equal(names(got), want) {
			t.Errorf("%s: told of %v, want %v", what, names(got), want)
		}
	}
	expect("the most first", s.found(over(100, map[string]int64{"red": 5, "blue": 9}), 0, 1000), "blue", "red")
	expect("the same again", s.found(over(100, map[string]int64{"red": 5}), 0, 1060))
	expect("a later moment within the hour", s.found(over(200, map[string]int64{"red": 5}), 0, 1120))
	if got := s.keptFrom("red"); got != 200 {
		t.Errorf("kept from %d, want 200", got)
	}
	s.found(over(150, map[string]int64{"red": 5}), 0, 1180)
	if got := s.keptFrom("red"); got != 200 {
		t.Errorf("a moment went back to %d: what was pruned would be published again", got)
	}
	expect("an hour later", s.found(over(300, map[string]int64{"red": 5}), 0, 1000+toldAgain), "red")
	many := map[string]int64{}
	for n := range 3 * toldAtMost {
		many[fmt.Sprintf("tenant-%02d", n)] = int64(100 + n)
	}
	if got := s.found(over(400, many), 0, 1010+toldAgain); len(got) != toldAtMost-1 || got[0].namespace != "tenant-29" {
		t.Errorf("told of %v: want nine, those that take most", names(got))
	}
	s.found(nil, 400, 1020+toldAgain)
	if got := s.most(10); len(got) != 0 || s.keptFrom("red") != 0 {
		t.Errorf("the retention prunes all of it, and %v are over their share still", names(got))
	}
	reduced := func(namespace string) []record.Reduced {
		return s.reduced([]record.Reduced{{Namespace: namespace}}, 1010+toldAgain)
	}
	if got := reduced("red"); len(got) != 1 {
		t.Error("what is pruned of many namespaces silenced that the records of one list less")
	}
	if got := reduced("red"); len(got) != 0 {
		t.Error("told of it twice")
	}
}

// publishHours has the records of a deployment of the namespace written, of so many
// containers, in each of the hours.
func publishHours(t *testing.T, p *publisher.Publisher, namespace, home string, containers int, hours ...int64) {
	t.Helper()
	for _, hour := range hours {
		in := record.Input{
			Key: record.Key{
				Account:  usage.Account{Namespace: namespace, Deployment: "web"},
				Interval: usage.Window{Start: hoursSince + hour*3600, End: hoursSince + (hour+1)*3600},
			},
			Namespace: home, Final: true,
		}
		pod := usage.Object{Name: "pod", UID: namespace}
		for n := range containers {
			in.Segments = append(in.Segments, usage.Segment{
				Subject:   &usage.Subject{ResourceType: "container", Resource: pod, Instance: pod, Container: fmt.Sprint(n), Account: in.Account},
				Dimension: usage.Dimension{Name: "cpu", Unit: usage.Core}, Level: 1000,
				Start: usage.Boundary{At: in.Interval.Start, Evidence: usage.IntervalCut}, End: usage.Boundary{At: in.Interval.End, Evidence: usage.IntervalCut},
			})
		}
		if err := p.Publish(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOnlyWhoIsOverItsShareIsPruned(t *testing.T) {
	server := newRecordServer()
	p := publisher.New(server.client(t), logr.Discard())
	publishHours(t, p, "blue", "blue", 4, 0, 1, 2, 3, 4, 5)
	publishHours(t, p, "departed", "usage-system", 2, 2)
	publishHours(t, p, "usage-system", "usage-system", 2, 0, 5)
	publishHours(t, p, "red", "red", 400, 1, 2, 3, 4, 5)
	var tells []string
	r := &UsageRecordReconciler{
		Ledger: newLedgerInMemory(t, hoursSince+6*3600), Namespace: "usage-system", Sealed: NewSealed(),
		Schedule: Schedule{Interval: 3600, Retention: 72 * 3600, Budget: 500 << 10},
		Health:   &Health{Announce: func(a announcement) { tells = append(tells, a.reason+" of "+a.namespace) }},
	}
	r.Sealed.through.Store(hoursSince + 6*3600)
	kept := func() map[string]int {
		found := map[string]int{}
		for _, object := range server.all() {
			if object.Spec.Part.Index == 0 {
				found[object.Spec.Namespace]++
			}
		}
		return found
	}
	// A restart knows records by their metadata alone.
	for _, publisher := range []*publisher.Publisher{p, publisher.New(server.client(t), logr.Discard())} {
		if r.Publisher = publisher; publisher != p {
			server.listTo(t, publisher, time.Unix(hoursSince+6*3600, 0))
			r.shares = shares{}
		}
		r.prune(t.Context(), hoursSince+6*3600)
		want := map[string]int{"blue": 6, "departed": 1, "usage-system": 2, "red": 2}
		if got := kept(); !maps.Equal(got, want) {
			t.Errorf("kept %v, want %v", got, want)
		}
	}
	if want := []string{"RecordsOverShare of red"}; !slices.Equal(tells, want) {
		t.Errorf("told %v, want %v", tells, want)
	}
	if r.keptFrom("blue", hoursSince+6*3600) != r.retainedFrom(hoursSince+6*3600) {
		t.Error("records of blue would not be put back")
	}
}

// What the sizes of records are is known after a restart, too, before any is read.
func TestSizesOutliveARestart(t *testing.T) {
	server := newRecordServer()
	p := publisher.New(server.client(t), logr.Discard())
	publishHours(t, p, "red", "red", 300, 0, 1)
	publishHours(t, p, "departed", "usage-system", 2, 1)
	again := publisher.New(server.client(t), logr.Discard())
	server.listTo(t, again, time.Unix(hoursSince+2*3600, 0))
	if diff := cmp.Diff(p.Sizes(), again.Sizes()); diff != "" {
		t.Errorf("sizes before (-) and after (+) a restart: %s", diff)
	}
}
