package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/collector"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/publisher"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/steadyclock"
	"github.com/usage-operator/usage-operator/internal/usage"
)

func TestSealedIntervalsComeInOrder(t *testing.T) {
	sealed := NewSealed()
	var want []usage.Window
	for n := range int64(5) {
		want = append(want, usage.Window{Start: 60 * n, End: 60 * (n + 1)})
		sealed.Add(journal.Seal{Interval: want[n]}) // nobody takes them
	}
	<-sealed.news
	if got := sealed.take(); !slices.Equal(want, got) || sealed.Through() != 300 {
		t.Errorf("got %v through %d", got, sealed.Through())
	}
	if got := sealed.take(); len(got) != 0 {
		t.Errorf("once more: %v", got)
	}
}

// blocksInMemory is a journal.Store for one user.
type blocksInMemory map[journal.Key]journal.Stored

func (b blocksInMemory) Create(_ context.Context, key journal.Key, spec []byte) error {
	b[key] = journal.Stored{Key: key, Spec: slices.Clone(spec)}
	return nil
}

func (b blocksInMemory) Get(_ context.Context, key journal.Key) (journal.Stored, error) {
	stored, there := b[key]
	if !there {
		return stored, journal.ErrNotFound
	}
	return stored, nil
}

func (b blocksInMemory) Keys(context.Context) ([]journal.Key, error) {
	return slices.Collect(maps.Keys(b)), nil
}
func (b blocksInMemory) List(context.Context, func(journal.Stored) error) error { return nil }
func (b blocksInMemory) Delete(context.Context, journal.Key) error              { return nil }

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		return condition(), nil
	})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// The API server answers no DELETE until it is let go on. Meanwhile the keeper
// commits and seals, and what it has sealed is published.
func TestNobodyWaitsForOldRecordsToBeDeleted(t *testing.T) {
	const old, now = 20_000, hoursSince + 3600
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server := newRecordServer()
	release := make(chan struct{})
	var underWay, most atomic.Int32
	server.deleting = func() {
		n := underWay.Add(1)
		defer underWay.Add(-1)
		for m := most.Load(); n > m; m = most.Load() {
			most.CompareAndSwap(m, n)
		}
		<-release
	}
	for n := range old {
		object := &v1alpha1.UsageRecord{ObjectMeta: metav1.ObjectMeta{
			Namespace: fmt.Sprint("ns-", n%100), Name: fmt.Sprint("web-", n),
			Labels: map[string]string{v1alpha1.LabelInterval: record.IntervalLabel(usage.Window{Start: hoursSince - 80*3600})},
		}}
		if n%2 == 0 {
			object.Annotations = map[string]string{v1alpha1.AnnotationDigest: "sha256:"}
			object.Status.Phase = v1alpha1.PhaseFinal
		}
		server.keep(object)
	}
	clock := clocktesting.NewFakeClock(time.Unix(now, 0))
	steady := steadyclock.New(clock, nil)
	r := &UsageRecordReconciler{
		Ledger: newLedgerInMemory(t, hoursSince), Publisher: publisher.New(server.client(t), logr.Discard()), Clock: steady, Namespace: "usage-system",
		Schedule: Schedule{Interval: 3600, Refresh: 1, Retention: 72 * 3600}, Sealed: NewSealed(), Health: &Health{},
	}
	r.Sealed.through.Store(hoursSince) // retention counts from there
	server.listTo(t, r.Publisher, clock.Now())
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[record.Key]())
	defer queue.ShutDown()
	go r.keepTime(ctx, queue)
	go r.keepTidy(ctx, queue)
	keeper := &Keeper{
		Collector: collector.New(collector.Options{Clock: steady, Log: logr.Discard()}), Clock: steady, Schedule: r.Schedule, Sealed: r.Sealed, Health: r.Health, Log: logr.Discard(),
		Journal: journal.New(journal.Options{Store: blocksInMemory{}, Writer: "a", Clock: steady, Log: logr.Discard()}),
	}
	if _, err := keeper.Journal.Load(ctx); err != nil {
		t.Fatal(err)
	}

	eventually(t, "old records are being deleted", func() bool { clock.Step(time.Second); return underWay.Load() > 1 })
	for end := int64(hoursSince + 3600); end <= hoursSince+3*3600; end += 3600 {
		interval := usage.Window{Start: end - 3600, End: end}
		keeper.pending = &journal.Batch{Time: now, Seals: []journal.Seal{{Interval: interval}}}
		if err := keeper.commit(ctx); err != nil || keeper.pending != nil {
			t.Fatalf("not committed: %v", err)
		}
		want := record.Key{Account: usage.Account{Namespace: "shop", Deployment: "web"}, Interval: interval}
		eventually(t, "the records of what was sealed are to be published", func() bool {
			if queue.Len() == 0 {
				return false
			}
			key, _ := queue.Get()
			queue.Done(key)
			return key == want
		})
	}
	if n := len(server.all()); n != old {
		t.Errorf("%d of %d old records are there before any DELETE was answered", n, old)
	}
	close(release)
	eventually(t, "all old records are deleted", func() bool { return len(server.all()) == 0 })
	if n := most.Load(); n < 2 || n > 32 {
		t.Errorf("%d DELETEs were under way at once", n)
	}
}
