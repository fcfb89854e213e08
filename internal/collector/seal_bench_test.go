package collector

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// collecting is a collector of so many resources with two dimensions each, so many to an account.
func collecting(b *testing.B, resources, perAccount int) *Collector {
	b.Helper()
	c, _ := collectingBy(b, resources, perAccount)
	return c
}

// podUID is that of one of the pods of collecting.
func podUID(i int) string { return fmt.Sprintf("%08d-0000-4000-8000-0123456789ab", i) }

// collectingBy is collecting, and the meter by which it does.
func collectingBy(b *testing.B, resources, perAccount int) (*Collector, *ledger.Meter) {
	b.Helper()
	c := New(Options{Clock: clock.RealClock{}, Log: logr.Discard()})
	m := ledger.NewMeter("container", 0, []usage.Dimension{{Name: "cpu", Unit: usage.Core}, {Name: "memory", Unit: usage.Byte}})
	for i := range resources {
		uid := podUID(i)
		o := usage.Object{APIVersion: "v1", Kind: "Pod", Name: fmt.Sprint("pod-", i), UID: uid}
		account := usage.Account{Namespace: fmt.Sprint("ns-", i/max(100, perAccount)), NamespaceUID: fmt.Sprint("uid-", i/max(100, perAccount)), Deployment: fmt.Sprint("web-", i/perAccount)}
		if err := c.ledger.Observe(&ledger.Observation{Meter: m, UID: uid, Written: 1000, After: 999, Now: 1000, Members: []usage.Member{{
			Active: true, Levels: []int64{500, 1 << 30},
			Subject: usage.Subject{ResourceType: "container", Resource: o, Instance: o, Container: "c", Account: account},
		}}}); err != nil {
			b.Fatal(err)
		}
	}
	return c, m
}

// What an event waits at most for the lock while an interval is sealed, and its
// records are cut, in milliseconds.
func BenchmarkWaitWhileSealing(b *testing.B) {
	c := collecting(b, 100_000, 10)
	c.Batch(1000, nil)
	c.Changed()
	interval := usage.Window{Start: 3600, End: 7200}
	var longest time.Duration
	for b.Loop() {
		over := make(chan struct{})
		go func() {
			defer close(over)
			c.Batch(interval.End+1, &interval)
			for _, account := range c.Accounts(interval, interval.End) {
				c.Cut(account, interval, interval.End)
			}
			c.Batch(interval.End+1, nil)
		}()
		for waiting := true; waiting; {
			select {
			case <-over:
				waiting = false
			default:
			}
			began := c.Clock.Now()
			c.Alive()
			longest = max(longest, c.Clock.Since(began))
		}
		interval = interval.Next()
	}
	b.ReportMetric(float64(longest)/float64(time.Millisecond), "longest-wait-ms")
}
