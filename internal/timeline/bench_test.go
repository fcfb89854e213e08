package timeline_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

const month = 31 * 24 * 3600

// fleet is what resources held in a month: three dimensions each, which change
// twice; a hundred resources to a deployment, ten deployments to a namespace.
func fleet(resources int) timeline.Commit {
	c := timeline.Commit{Sealed: []usage.Window{{Start: second0, End: second0 + month}}}
	dimensions := []usage.Dimension{{Name: "vcpu", Unit: usage.Core}, {Name: "memory", Unit: usage.Byte}, {Name: "storage", Unit: usage.Byte}}
	c.Meters = []timeline.Meter{{Name: "vm", ResourceType: "vm", Since: second0, Dimensions: dimensions}}
	for i := range resources {
		object := usage.Object{APIVersion: "v1", Kind: "VM", Name: fmt.Sprint("vm-", i), UID: fmt.Sprintf("%036d", i)}
		namespace := fmt.Sprint("tenant-", i/1000)
		subject := &usage.Subject{
			ResourceType: "vm", Resource: object, Instance: object,
			Account: usage.Account{Namespace: namespace, NamespaceUID: namespace, Deployment: fmt.Sprint("app-", i/100)},
		}
		for j, dimension := range dimensions {
			first, second := second0+int64(i*7919+j*104729)%(month/2), second0+month/2+int64(i*6151+j)%(month/2)
			times := []int64{second0, first, second, 0}
			for k := range 3 {
				change := usage.Change{Segment: usage.Segment{
					Meter: "vm", Subject: subject, Dimension: dimension, Level: int64(1000 * (k + 1 + i%7)),
					Start: usage.Boundary{At: times[k], Evidence: usage.Observed},
				}}
				if times[k+1] != 0 {
					change.End = usage.Boundary{At: times[k+1], Evidence: usage.Observed}
				}
				c.Changes = append(c.Changes, change)
			}
		}
	}
	return c
}

func BenchmarkReport(b *testing.B) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		b.Fatal(err)
	}
	line := timeline.New()
	load(line, fleet(100_000))
	snapshot := line.Snapshot()
	whole := usage.Window{Start: second0, End: second0 + month}
	by := []timeline.Key{timeline.Namespace, timeline.Deployment, timeline.ResourceType}
	tenant := timeline.Filters{Namespaces: []timeline.NamespaceRef{{Name: "tenant-42"}}}
	for name, q := range map[string]timeline.Query{
		"hour":       {Window: whole, Size: timeline.Hour, GroupBy: by},
		"day":        {Window: whole, Size: timeline.Day, Zone: berlin, GroupBy: by},
		"none":       {Window: whole, Size: timeline.None, GroupBy: by},
		"tenant/day": {Window: whole, Size: timeline.Day, Zone: berlin, GroupBy: by, Filters: tenant},
		"resource":   {Window: whole, Size: timeline.None, GroupBy: []timeline.Key{timeline.Resource}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tally, err := timeline.NewTally(q)
				if err == nil {
					err = tally.Advance(snapshot, snapshot.Sealed())
				}
				if err == nil {
					_, err = tally.Page("", 500)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	all := fleet(100_000)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var line *timeline.Timeline
	for b.Loop() {
		line = timeline.New()
		load(line, all)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(len(all.Changes)), "bytes/segment")
	runtime.KeepAlive(line)
}
