package ledger

import (
	"crypto/sha256"
	"fmt"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// pods are pods of CronJobs that last three minutes each, with two containers and two
// dimensions.
type pods struct {
	*Ledger
	meter          *Meter
	perHour        int64
	began, started int64
	ended          int64
}

func newPods(perHour int64) *pods {
	const began = 1_700_000_000 / anHour * anHour
	return &pods{
		Ledger: New(), perHour: perHour, began: began,
		meter: NewMeter("container", began, []usage.Dimension{{Name: "cpu", Unit: usage.Core}, {Name: "memory", Unit: usage.Byte}}),
	}
}

func (p *pods) start(n int64) int64 { return p.began + n*anHour/p.perHour }

// podUID is a UID as Kubernetes gives them, which nothing compresses.
func podUID(n int64) string {
	b := sha256.Sum256(strconv.AppendInt(nil, n, 10))
	return fmt.Sprintf("%x-%x-4%x-%x-%x", b[:4], b[4:6], b[6:8], b[7:9], b[10:16])[:36]
}

func (p *pods) pod(n, now int64) *Observation {
	job, uid := n%200, podUID(n)
	namespace := fmt.Sprintf("team-%d", job%40)
	subject := usage.Subject{
		ResourceType: "container",
		Resource:     usage.Object{APIVersion: "batch/v1", Kind: "CronJob", Name: fmt.Sprintf("report-%d", job), UID: fmt.Sprintf("%08x-1f3d-4c55-8e0b-000000000000", job)},
		Instance:     usage.Object{APIVersion: "v1", Kind: "Pod", Name: fmt.Sprintf("report-%d-%d-%s", job, 29_000_000+n/200, uid[:5]), UID: uid},
		Account:      usage.Account{Namespace: namespace, NamespaceUID: namespace + "-5a2e-4d7b-b1c9-000000000000", Deployment: fmt.Sprintf("report-%d", job)},
	}
	o := &Observation{Meter: p.meter, UID: uid, Origin: Live, Created: p.start(n), Written: now, After: now - 2, Now: now}
	for _, container := range []string{"app", "proxy"} {
		m := usage.Member{Active: true, Levels: []int64{250, 512 << 20}, Subject: subject, Start: usage.Boundary{At: p.start(n), Evidence: usage.ObjectTime}}
		m.Subject.Container = container
		o.Members = append(o.Members, m)
	}
	return o
}

// pass lets time pass until a moment.
func (p *pods) pass(until int64) {
	for ; p.start(p.ended)+180 < until; p.ended++ {
		for ; p.start(p.started) <= p.start(p.ended)+180; p.started++ {
			if err := p.Observe(p.pod(p.started, p.start(p.started))); err != nil {
				panic(err)
			}
		}
		p.Remove(p.pod(p.ended, p.start(p.ended)+180))
		if p.ended%100 == 0 {
			p.Take(NewTaken(p.Opened()))
			p.Changed()
		}
	}
}

// threadTime is how long the thread has computed. What else runs on the machine does not count.
func threadTime(tb testing.TB) time.Duration {
	const ofThread = 3 // CLOCK_THREAD_CPUTIME_ID
	var at syscall.Timespec
	if _, _, failed := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, ofThread, uintptr(unsafe.Pointer(&at)), 0); failed != 0 {
		tb.Fatal(failed)
	}
	return time.Duration(at.Nano())
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// What a ledger takes that keeps 72 hours of what ended, after so many hours, and what a pod
// costs that has ended: to keep, to pack, and to learn something of.
func BenchmarkPast(b *testing.B) {
	for _, side := range []struct {
		perHour, hours int64
		packs          bool
	}{{2000, 12, false}, {2000, 12, true}, {20000, 12, false}, {20000, 12, true}, {20000, 80, true}} {
		b.Run(fmt.Sprintf("perHour=%d/hours=%d/packs=%v", side.perHour, side.hours, side.packs), func(b *testing.B) {
			for b.Loop() {
				runtime.LockOSThread()
				before := heap()
				p := newPods(side.perHour)
				var packing, longest time.Duration
				for hour := range side.hours {
					w := usage.Window{Start: p.began + hour*anHour, End: p.began + (hour+1)*anHour}
					p.pass(w.End)
					p.Seal(w)
					for left := side.packs; left; {
						began := threadTime(b)
						left = p.Pack(w.Start)
						took := threadTime(b) - began
						longest, packing = max(longest, took), packing+took
					}
					p.Forget(w.End - 72*anHour)
				}
				after := heap()
				kept := min(p.ended, 72*side.perHour)
				b.ReportMetric(float64(after-before)/float64(kept), "bytes/ended-pod")
				b.ReportMetric(float64(after-before)/(1<<20), "MiB")
				if side.packs {
					b.ReportMetric(float64(packing.Nanoseconds())/float64(p.ended), "ns/packed-pod")
					b.ReportMetric(float64(longest.Microseconds()), "longest-step-µs")
					stored := 0
					for _, x := range p.packed.blocks {
						stored += len(x.bytes)
					}
					b.ReportMetric(float64(stored)/float64(p.packed.objects), "block-bytes/packed-pod")
				}
				const facts = 1000
				began := threadTime(b)
				first := max(0, p.ended-72*side.perHour) + side.perHour
				for n := range int64(facts) {
					i := first + n*(p.ended-2*side.perHour-first)/facts
					moment := usage.Boundary{At: p.start(i) + 60, Evidence: usage.ManagedFields}
					if err := p.Reattribute(podUID(i), at(moment), func(_ *Meter, s *usage.Subject) { s.Deployment = "other" }); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64((threadTime(b)-began).Nanoseconds())/facts, "ns/late-fact")
				if len(p.Unwritten()) < facts {
					b.Fatal("nothing was learnt")
				}
				runtime.KeepAlive(p)
				runtime.UnlockOSThread()
			}
		})
	}
}

// What it takes to take in what changes nothing, and what is new.
func BenchmarkObserve(b *testing.B) {
	for _, packs := range []bool{false, true} {
		p := newPods(2000)
		p.pass(p.began + 4*anHour)
		p.Seal(usage.Window{Start: p.began + 2*anHour, End: p.began + 3*anHour})
		for left := packs; left; {
			left = p.Pack(p.began + 2*anHour)
		}
		b.Run(fmt.Sprintf("unchanged/packed=%v", packs), func(b *testing.B) {
			o := p.pod(p.started-1, p.start(p.started-1)+1)
			for b.Loop() {
				_ = p.Observe(o)
			}
		})
		b.Run(fmt.Sprintf("unknown/packed=%v", packs), func(b *testing.B) {
			o := &Observation{Meter: p.meter, UID: podUID(1 << 40), Now: p.began + 4*anHour}
			for b.Loop() {
				_ = p.Observe(o)
			}
		})
	}
}
