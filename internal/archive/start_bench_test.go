package archive

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/timelines"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// aCutLedger is a journal of which nothing is left, and an archive in a directory with so many
// days of so many pods an hour, each of which lives for three minutes and holds two dimensions.
func aCutLedger(b *testing.B, days, podsAnHour int) (blockStore, Past) {
	b.Helper()
	past := Past{Options{URL: "file://" + b.TempDir(), Cluster: clusterA}}
	a, err := Open(b.Context(), Options{URL: past.URL, Cluster: clusterA, Writes: true})
	if err != nil {
		b.Fatal(err)
	}
	var last journal.Digest
	n := 0
	for day := firstDay; day < firstDay+Day(days*aDay); day = day.Next() {
		c := &Chapter{Day: day, PreviousSeal: last}
		for at := int64(day); at < int64(day.Next()); at += 3600 {
			interval := usage.Window{Start: at, End: at + 3600}
			var inside []usage.Segment
			for i := range podsAnHour {
				n++
				for _, dimension := range []usage.Dimension{vcpu, {Name: "memory", Unit: usage.Byte}} {
					change := held(n, 500, usage.Boundary{At: at + int64(i)*3400/int64(podsAnHour), Evidence: usage.ObjectTime})
					change.Dimension = dimension
					change.End = usage.Boundary{At: change.Start.At + 180, Evidence: usage.ObjectTime}
					c.Segments = append(c.Segments, change)
				}
			}
			sorted := &Chapter{Segments: c.Segments[len(c.Segments)-2*podsAnHour:]}
			sorted.order()
			for i := range sorted.Segments {
				inside = ledger.AppendCut(inside, &sorted.Segments[i].Segment, interval)
			}
			last = ledger.Digest(last, interval, inside, nil)
			c.Seals = append(c.Seals, journal.Seal{Interval: interval, Digest: last})
		}
		c.order()
		if err := a.write(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
	in := site{blocks: blockStore{}}
	clock := clocktesting.NewFakeClock(time.Unix(int64(a.last.Next())+60, 0))
	j := in.journal(journal.Options{Past: past, Cuts: true, Clock: clock})
	if _, err := j.Load(b.Context()); err != nil {
		b.Fatal(err)
	}
	said := &journal.Archived{
		Window:   usage.Window{Start: int64(a.first), End: int64(a.last.Next())},
		Manifest: a.last.manifest(), Digest: a.link, Seal: last,
	}
	for _, batch := range []*journal.Batch{{Time: said.End}, {Time: said.End + 1, Archived: said}} {
		if err := j.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	if err := j.Recall(b.Context()); err != nil {
		b.Fatal(err)
	}
	if _, err := j.Compact(b.Context()); err != nil || !leftOut(in.blocks.(blockStore), said.End) {
		b.Fatal("nothing was left out", err)
	}
	return in.blocks.(blockStore), past
}

// resident is how much memory the process has, in bytes, on Linux.
func resident(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal("what is resident is read on Linux alone: ", err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return float64(kib) / 1024
}

// What a start of a cut journal takes by how many days are archived: until it meters, and until
// it answers from all of the history. Run one at a time: the resident memory is the most that the
// process had, of which about 60 MiB are what made the archive.
func BenchmarkAStart(b *testing.B) {
	for _, days := range []int{10, 100, 400} {
		for name, o := range map[string]journal.Options{
			"metering": {Lately: true},
			"history":  {OnlyTold: true, Follower: timelines.NewHot(timeline.Hot{Days: 2, Bytes: timeline.DefaultColdBytes})},
			"both":     {Follower: timelines.NewHot(timeline.Hot{Days: 2, Bytes: timeline.DefaultColdBytes})},
		} {
			b.Run(fmt.Sprintf("%s/%d-days", name, days), func(b *testing.B) {
				blocks, past := aCutLedger(b, days, 200)
				made, before := resident(b), heap()
				o.Store, o.Past, o.Cluster, o.Retention = blocks, past, clusterA, 3*aDay
				o.Clock, o.Log, o.Writer = clocktesting.NewFakeClock(time.Unix(int64(firstDay)+int64(days+1)*aDay, 0)), logr.Discard(), "operator"
				for b.Loop() {
					state, err := journal.New(o).Load(b.Context())
					if err != nil || len(state.Seals) != 24*days {
						b.Fatal(len(state.Seals), err)
					}
				}
				b.ReportMetric(resident(b), "resident-MiB")
				b.ReportMetric(made, "made-MiB")
				b.ReportMetric(float64(heap()-before)/(1<<20), "heap-MiB")
			})
		}
	}
}
