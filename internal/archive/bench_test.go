package archive

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// aBatchDay is 17 hours of a day with so many pods an hour, each of which lives for three
// minutes and has two containers that hold two dimensions.
func aBatchDay(t testing.TB, podsAnHour int) *history {
	t.Helper()
	h, err := newHistory()
	if err != nil {
		t.Fatal(err)
	}
	const hours = 17
	n, start := 0, int64(firstDay)+aDay-hours*3600
	if err := h.advance(start, nil, nil); err != nil {
		t.Fatal(err)
	}
	for hour := start; hour < int64(firstDay)+aDay; hour += 3600 {
		var changes []usage.Change
		for i := range podsAnHour {
			n++
			at := hour + int64(i)*3400/int64(podsAnHour)
			subject := vm(n)
			subject.Resource.UID = fmt.Sprintf("%x", sha256.Sum256([]byte(subject.Resource.UID)))[:32] // as random as a UID is
			subject.Instance = usage.Object{Kind: "Pod", Name: subject.Resource.Name, UID: subject.Resource.UID}
			for _, container := range []string{"main", "proxy"} {
				of := *subject
				of.Container = container
				for _, dimension := range []usage.Dimension{vcpu, {Name: "memory", Unit: usage.Byte}} {
					c := held(n, 500, usage.Boundary{At: at, Evidence: usage.ObjectTime})
					c.Subject, c.Dimension = &of, dimension
					c.End = usage.Boundary{At: at + 180, Evidence: usage.ObjectTime}
					changes = append(changes, c)
				}
			}
		}
		if err := h.advance(hour+3600, changes, nil); err != nil {
			t.Fatal(err)
		}
		h.segments = nil // what ended is in no later interval
		clear(h.at)
	}
	return h
}

// What 17 hours of 2,000 pods an hour take: to read their journal (twice, as for a first
// day), to prove and to write the chapter in a directory; in memory meanwhile, and in the
// archive.
func BenchmarkADay(b *testing.B) {
	h := aBatchDay(b, 2000)
	for b.Loop() {
		folder := b.TempDir()
		a, err := Open(b.Context(), Options{URL: "file://" + folder, Cluster: clusterA, Writes: true})
		if err != nil {
			b.Fatal(err)
		}
		if n, err := a.CatchUp(b.Context(), h.source(), h.end()); n != 1 || err != nil {
			b.Fatalf("%d chapters: %v", n, err)
		}
		b.ReportMetric(float64(a.end.Segments.Rows), "rows")
		b.ReportMetric(float64(a.end.Segments.Size)/float64(a.end.Segments.Rows), "bytes/row")
		file, err := os.Stat(filepath.Join(folder, firstDay.manifest()))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(file.Size()), "manifest-bytes")
	}
	before := heap()
	c := &collection{begin: firstDay, end: firstDay.Next()}
	if err := c.read(b.Context(), h.source(), &Archive{cluster: clusterA}); err != nil {
		b.Fatal(err)
	}
	chapter := c.chapter(firstDay, [32]byte{})
	b.ReportMetric(float64(heap()-before)/float64(len(chapter.Segments)), "heap-bytes/row")
	runtime.KeepAlive(c)
	runtime.KeepAlive(h)
}

func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
