package controllers

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/util/workqueue"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/publisher"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// ledgerInMemory is a ledger whose namespaces are all there. It is safe for concurrent use.
type ledgerInMemory struct {
	mu *sync.Mutex
	*ledger.Ledger
}

func (ledgerInMemory) Ready() bool                           { return true }
func (ledgerInMemory) Coverage(usage.Window) []usage.Stretch { return nil }
func (ledgerInMemory) Home(a usage.Account) string           { return a.Namespace }

func (l ledgerInMemory) Accounts(w usage.Window, now int64) []usage.Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Ledger.Accounts(w, now)
}

func (l ledgerInMemory) Changed() []usage.Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Ledger.Changed()
}

func (l ledgerInMemory) Forget(before int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Ledger.Forget(before)
}

// newLedgerInMemory has one VM with a vCPU since the moment, which is sealed.
func newLedgerInMemory(t testing.TB, began int64) ledgerInMemory {
	t.Helper()
	l := ledger.New()
	l.Seal(usage.Window{Start: began - 3600, End: began})
	object := usage.Object{APIVersion: "v1", Kind: "VM", Name: "db", UID: "uid"}
	err := l.Observe(&ledger.Observation{
		Meter: ledger.NewMeter("vm", 0, []usage.Dimension{{Name: "vcpu", Unit: usage.Core}}), UID: "uid", Written: began, After: began, Now: began,
		Members: []usage.Member{{Active: true, Levels: []int64{1000}, Subject: usage.Subject{
			ResourceType: "vm", Resource: object, Instance: object, Account: usage.Account{Namespace: "shop", Deployment: "web"},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return ledgerInMemory{&sync.Mutex{}, l}
}

// run is one run of the operator, with intervals of one length.
type run struct {
	length   int64
	from, to int64
	listLate bool // the records that there are become known only after what is sealed is published
}

// cluster is where runs leave what they do.
type cluster struct {
	server *recordServer
	ledger ledgerInMemory
	sealed []usage.Window
}

// do seals, and publishes, as the keeper and the controller do. It returns what
// could not be published.
func (c *cluster) do(t testing.TB, a run) (failed []error) {
	ctx := context.Background()
	now := clocktesting.NewFakeClock(time.Unix(a.from, 0))
	r := &UsageRecordReconciler{
		Ledger: c.ledger, Publisher: publisher.New(c.server.client(t), logr.Discard()), Clock: now, Namespace: "usage-system",
		Schedule: Schedule{Interval: a.length, Refresh: 1, Retention: 72 * 3600}, Sealed: NewSealed(), Health: &Health{},
	}
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[record.Key]())
	defer queue.ShutDown()
	publish := func(sealed ...usage.Window) {
		if n := len(sealed); n > 0 {
			r.Sealed.through.Store(sealed[n-1].End)
			r.publish(ctx, queue, sealed)
		}
		for queue.Len() > 0 {
			key, _ := queue.Get()
			if _, err := r.Reconcile(ctx, key); err != nil {
				failed = append(failed, err)
			}
			queue.Done(key)
		}
	}
	if a.listLate {
		publish(c.sealed...)
	}
	c.server.listTo(t, r.Publisher, now.Now())
	if !a.listLate {
		publish(c.sealed...)
	}
	keeper, live := &Keeper{Schedule: r.Schedule}, newLive(r.Schedule.Refresh)
	for at := a.from; at <= a.to; at += 30 {
		now.SetTime(time.Unix(at, 0))
		for {
			next := keeper.after(c.sealed[len(c.sealed)-1].End)
			if next.End+settle > at {
				break
			}
			c.ledger.Seal(next)
			c.sealed = append(c.sealed, next)
			publish(next)
		}
		live.note(r.Ledger.Changed(), at)
		if current := r.Schedule.interval(at, r.Sealed.Through()); current != live.current {
			live.enter(current, r.Ledger.Accounts(current, at), at)
		}
		add(queue, openPriority, live.due(at)...)
		publish()
		if (at-a.from)%tidyEvery == 0 {
			r.adopt(ctx, queue, math.MinInt64, at)
			publish()
		}
	}
	return failed
}

// wrong is what there should not be once the run has ended.
func (c *cluster) wrong(a run) (faults []string) {
	schedule := Schedule{Interval: a.length}
	through := c.sealed[len(c.sealed)-1].End
	final := map[usage.Window]bool{}
	for _, r := range c.server.all() {
		of := usage.Window{Start: r.Spec.StartTime.Unix(), End: r.Spec.EndTime.Unix()}
		line := fmt.Sprintf("%s %s %s to %s", r.Name, r.Status.Phase, text(r.Spec.StartTime.Time), text(r.Spec.EndTime.Time))
		switch {
		case r.Status.Phase != v1alpha1.PhaseFinal:
			if !schedule.unsealed(of, through) {
				faults = append(faults, "of no interval that is under way: "+line)
			}
		case !slices.Contains(c.sealed, of) || r.Spec.Deployment != "web":
			faults = append(faults, "of no interval that is sealed, or of nothing: "+line)
		default:
			final[of] = true
		}
	}
	for _, interval := range c.sealed[1:] {
		if !final[interval] {
			faults = append(faults, fmt.Sprintf("missing: the record of %v", interval))
		}
	}
	return faults
}

const hoursSince = 1_790_000_000 / 3600 * 3600

func newCluster(t testing.TB) *cluster {
	return &cluster{
		server: newRecordServer(), ledger: newLedgerInMemory(t, hoursSince),
		sealed: []usage.Window{{Start: hoursSince - 3600, End: hoursSince}},
	}
}

// leave puts an Open record of the interval into the cluster, of a deployment
// that turned out to have used nothing.
func (c *cluster) leave(interval usage.Window) {
	in := record.Input{
		Key: record.Key{Account: usage.Account{Namespace: "shop", Deployment: "mistaken"}, Interval: interval}, Namespace: "shop",
		Segments: []usage.Segment{{Meter: "vm", Subject: &usage.Subject{}, Dimension: usage.Dimension{Name: "vcpu", Unit: usage.Core}, Level: 1, Start: usage.Boundary{At: interval.Start}}},
	}
	for _, r := range record.For(in) {
		c.server.keep(r)
	}
}

func TestAnotherIntervalLength(t *testing.T) {
	lengths := []int64{60, 300, 900, 1800, 3600}
	for _, before := range lengths {
		for _, after := range lengths {
			for name, downtime := range map[string]int64{"at once": 30, "over the interval's end": 3000, "after hours": 3*3600 + 90} {
				t.Run(fmt.Sprintf("%d s to %d s %s", before, after, name), func(t *testing.T) {
					c := newCluster(t)
					first := run{length: before, from: hoursSince, to: hoursSince + 630}
					second := run{length: after, from: first.to + downtime, to: first.to + downtime + 3600}
					third := run{length: before, from: second.to + 30, to: second.to + 1800}
					for _, a := range []run{first, second, third} {
						if failed := c.do(t, a); len(failed) > 0 {
							t.Errorf("with %d s: %d times not published, such as: %v", a.length, len(failed), failed[0])
						}
						for _, fault := range c.wrong(a) {
							t.Errorf("with %d s: %s", a.length, fault)
						}
						c.leave(usage.Interval(a.to, a.length))
					}
				})
			}
		}
	}
}

func TestAnyRunOfIntervalLengths(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newCluster(t)
		at := int64(hoursSince)
		for range rapid.IntRange(2, 4).Draw(rt, "runs") {
			a := run{
				length:   rapid.SampledFrom([]int64{60, 120, 600, 1200, 1800, 3600}).Draw(rt, "length"),
				from:     at + rapid.Int64Range(0, 4000).Draw(rt, "downtime"),
				listLate: rapid.Bool().Draw(rt, "listLate"),
			}
			a.to = a.from + rapid.Int64Range(1, 40).Draw(rt, "minutes")*60 // what began with the run is looked at a minute later
			if failed := c.do(t, a); len(failed) > 0 {
				rt.Fatalf("%+v: not published: %v", a, failed[0])
			}
			if faults := c.wrong(a); len(faults) > 0 {
				rt.Fatalf("%+v: %v", a, faults)
			}
			c.leave(usage.Interval(a.to, a.length))
			at = a.to
		}
	})
}

func TestIntervalsFollowEachOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		schedule := Schedule{Interval: rapid.SampledFrom([]int64{60, 300, 3600}).Draw(t, "length")}
		sealed := rapid.Int64Range(1, 200).Draw(t, "sealed") * 60
		for end := sealed; end < sealed+3*3600; {
			next := schedule.interval(end, end)
			if next.Start != end || next.End <= end || next.End%schedule.Interval != 0 {
				t.Fatalf("after %d comes %v", end, next)
			}
			for _, at := range []int64{next.Start, next.End - 1} {
				if got := schedule.interval(at, sealed); got != next {
					t.Fatalf("%d is in %v, want %v", at, got, next)
				}
			}
			if !schedule.unsealed(next, sealed) || schedule.unsealed(usage.Window{Start: next.Start, End: next.End + 60}, sealed) || schedule.unsealed(next, next.End) {
				t.Fatalf("%v is not the only one that starts then", next)
			}
			end = next.End
		}
	})
}
