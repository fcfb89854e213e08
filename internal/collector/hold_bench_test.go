package collector

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// threadTime is how long the thread has computed. What else runs on the machine
// does not count.
func threadTime(tb testing.TB) time.Duration {
	const ofThread = 3 // CLOCK_THREAD_CPUTIME_ID
	var at syscall.Timespec
	if _, _, failed := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, ofThread, uintptr(unsafe.Pointer(&at)), 0); failed != 0 {
		tb.Fatal(failed)
	}
	return time.Duration(at.Nano())
}

// How long the lock is held at most, in milliseconds of computing, by each step
// from the end of one interval to the end of the next: 100,000 resources with
// 200,000 segments, in as many deployments, in one, and in between. The first
// flush has all of them to write.
func BenchmarkHoldWhileSealing(b *testing.B) {
	for _, perAccount := range []int{1, 10, 100_000} {
		b.Run(fmt.Sprint("perDeployment=", perAccount), func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			c := collecting(b, 100_000, perAccount)
			longest := map[string]time.Duration{}
			var step string
			var began time.Duration
			c.mu.watch = func(locked bool) {
				if locked {
					began = threadTime(b)
					return
				}
				longest[step] = max(longest[step], threadTime(b)-began)
			}
			interval := usage.Window{Start: 3600, End: 7200}
			for b.Loop() {
				now := interval.End + 1
				step = "flush"
				c.Batch(now, nil)
				step = "seal"
				c.Batch(now, &interval)
				step = "publish"
				for _, account := range c.Accounts(interval, interval.End) {
					c.Cut(account, interval, interval.End)
				}
				step = "enter"
				c.Accounts(interval.Next(), now)
				step = "live"
				for _, account := range c.Changed() {
					c.Cut(account, interval.Next(), now)
				}
				step = "forget"
				c.Forget(interval.Start)
				interval = interval.Next()
			}
			for step, held := range longest {
				b.ReportMetric(float64(held)/float64(time.Millisecond), step+"-ms")
			}
		})
	}
}

// How long the lock is held at most, in milliseconds of computing, when an hour with 100,000
// pods that ended is sealed and packed, in as many deployments, in 10,000, and in one.
func BenchmarkHoldWhilePacking(b *testing.B) {
	for _, perAccount := range []int{1, 10, 100_000} {
		b.Run(fmt.Sprint("perDeployment=", perAccount), func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			longest := map[string]time.Duration{}
			for b.Loop() {
				const pods = 100_000
				c, m := collectingBy(b, pods, perAccount)
				for i := range pods {
					c.ledger.Remove(&ledger.Observation{Meter: m, UID: podUID(i), Written: 1800, After: 1799, Now: 1800})
				}
				c.Batch(1800, nil)
				c.Changed()
				var step string
				var began time.Duration
				c.mu.watch = func(locked bool) {
					if locked {
						began = threadTime(b)
						return
					}
					longest[step] = max(longest[step], threadTime(b)-began)
				}
				for hour := range int64(3) {
					interval := usage.Window{Start: hour * 3600, End: (hour + 1) * 3600}
					step = "seal"
					c.seal(interval)
					step = "pack"
					c.pack(interval)
					step = "forget"
					c.Forget(interval.Start - 1)
				}
			}
			for step, held := range longest {
				b.ReportMetric(float64(held)/float64(time.Millisecond), step+"-ms")
			}
		})
	}
}
