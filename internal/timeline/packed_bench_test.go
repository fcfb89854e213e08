package timeline_test

import (
	"crypto/sha256"
	"fmt"
	"runtime"
	"testing"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// uid is one as Kubernetes gives them, which nothing compresses.
func uid(n int) string {
	b := sha256.Sum256(fmt.Append(nil, n))
	return fmt.Sprintf("%x-%x-4%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// BenchmarkPacked is what a segment takes that is hot, and one that is packed: of pods of three
// minutes with two containers of two dimensions, 2,000 an hour for ten days, with UIDs that are
// random. Then what it takes to look for what a day held, by pod, that has to be unpacked.
func BenchmarkPacked(b *testing.B) {
	timeline.PackInBlocksOf(timeline.BlockRecords)
	defer timeline.PackInBlocksOf(5)
	for name, hot := range map[string]timeline.Hot{"hot": allHot, "packed": {Bytes: timeline.DefaultColdBytes}, "unkept": {}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				before := live()
				c := newCluster(timeline.NewHot(hot), 2_000, b.Elapsed)
				c.uid = uid
				for range 10 * 24 {
					c.hour()
				}
				held := live() - before
				s := c.line.Snapshot()
				segments, bytes := s.Cold()
				b.ReportMetric(held/float64(s.Segments()), "bytes/segment")
				if segments > 0 {
					b.ReportMetric(float64(bytes)/float64(segments), "bytes/packed-segment")
				}
				day := second0 - second0%86400 + 3*86400
				for shape, q := range map[string]timeline.Query{
					"by-pod":    {Window: usage.Window{Start: day, End: day + 86400}, Size: timeline.None, GroupBy: []timeline.Key{timeline.Resource}},
					"half-hour": {Window: usage.Window{Start: day + 1800, End: day + 86400 + 1800}, Size: timeline.None, GroupBy: []timeline.Key{timeline.Namespace}},
					"tenant":    {Window: usage.Window{Start: day, End: day + 86400}, Size: timeline.None, GroupBy: []timeline.Key{timeline.Resource}, Filters: timeline.Filters{Namespaces: []timeline.NamespaceRef{{Name: "team-7", UID: "team-7"}}}},
				} {
					took := c.took(func() {
						tally, err := timeline.NewTally(q)
						if err == nil {
							err = tally.Advance(s, s.Sealed())
						}
						if err != nil {
							b.Fatal(err)
						}
					})
					b.ReportMetric(float64(took.Microseconds())/1000, shape+"-ms")
				}
				runtime.KeepAlive(c)
			}
		})
	}
}
