package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/util/workqueue"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/publisher"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// observe has the VM of a namespace under the deployment from the moment on.
func (l ledgerInMemory) observe(t *testing.T, m *ledger.Meter, namespace, deployment string, at int64) {
	t.Helper()
	object := usage.Object{APIVersion: "v1", Kind: "VM", Name: "vm", UID: namespace}
	err := l.Observe(&ledger.Observation{
		Meter: m, UID: namespace, Written: at, After: at, Now: at,
		Members: []usage.Member{{Active: true, Levels: []int64{1000}, Subject: usage.Subject{
			ResourceType: "vm", Resource: object, Instance: object, Account: usage.Account{Namespace: namespace, Deployment: deployment},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// texts are the records that there are, as they are stored.
func (s *recordServer) texts(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, r := range s.all() {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		found[r.Namespace+"/"+r.Name] = string(text)
	}
	return found
}

// runOf is a run of the operator that publishes.
type runOf struct {
	*UsageRecordReconciler
	queue recordQueue
	tells []string
}

func newRun(t *testing.T, server *recordServer, l Ledger, schedule Schedule, now int64) *runOf {
	t.Helper()
	run := &runOf{queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[record.Key]())}
	t.Cleanup(run.queue.ShutDown)
	run.UsageRecordReconciler = &UsageRecordReconciler{
		Ledger: l, Publisher: publisher.New(server.client(t), logr.Discard()), Clock: clocktesting.NewFakeClock(time.Unix(now, 0)),
		Namespace: "usage-system", Schedule: schedule, Sealed: NewSealed(),
		Health: &Health{Announce: func(a announcement) { run.tells = append(run.tells, a.reason+" of "+a.namespace) }},
	}
	server.listTo(t, run.Publisher, time.Unix(now, 0))
	return run
}

func (r *runOf) reconcileAll(t *testing.T) {
	t.Helper()
	for r.queue.Len() > 0 {
		key, _ := r.queue.Get()
		if _, err := r.Reconcile(context.Background(), key); err != nil {
			t.Fatal(err)
		}
		r.queue.Done(key)
	}
}

// A tenant puts its VM under another deployment each minute; another one does not.
func TestATenantThatChangesItsDeploymentAllTheTime(t *testing.T) {
	const began, ended, most = hoursSince, hoursSince + 3600, 5
	server, l := newRecordServer(), newLedgerInMemory(t, began)
	m := ledger.NewMeter("machines", 0, []usage.Dimension{{Name: "vcpu", Unit: usage.Core}})
	schedule := Schedule{Interval: 3600, Refresh: 1, Retention: 72 * 3600, Budget: intervalsKept * 15_000, Deployments: most}
	first := newRun(t, server, l, schedule, ended-1)
	first.Sealed.Add(journal.Seal{Interval: usage.Window{Start: began - 3600, End: began}})
	first.publish(t.Context(), first.queue, first.Sealed.take())
	live := newLive(schedule.Refresh)
	live.most = schedule.Deployments
	l.observe(t, m, "blue", "steady", began)
	for minute := range int64(60) {
		at := began + 60*minute
		l.observe(t, m, "red", fmt.Sprintf("d%02d", minute), at)
		live.note(l.Changed(), at)
		live.current = usage.Window{Start: began, End: ended}
		add(first.queue, openPriority, live.due(at)...)
		first.reconcileAll(t)
	}
	if open := server.all(); len(open) != most+2 { // shop has one since the ledger began
		t.Errorf("%d Open records, want those of %d deployments, of blue and of shop", len(open), most)
	}

	interval := usage.Window{Start: began, End: ended}
	first.Clock.(*clocktesting.FakeClock).SetTime(time.Unix(ended+5, 0))
	l.Seal(interval)
	seal := journal.Seal{Interval: interval, Limits: schedule.limits(holdings(l, interval))}
	first.Sealed.Add(seal)
	first.publish(t.Context(), first.queue, first.Sealed.take())
	first.reconcileAll(t)

	finals, amounts := server.finals(t)
	if want := map[string]int{"red Totals": most + 1, "blue ": 1, "shop ": 1}; !maps.Equal(finals, want) {
		t.Errorf("%v records, want %v", finals, want)
	}
	if want := map[string]int{"red": 3600_000, "blue": 3600_000, "shop": 3600_000}; !maps.Equal(amounts, want) {
		t.Errorf("they add up to %v, want %v", amounts, want)
	}
	if want := []string{"RecordsReduced of red"}; !slices.Equal(first.tells, want) {
		t.Errorf("told %v, want %v", first.tells, want)
	}

	// Another run, with other settings, has what the journal has: it comes to the same bytes.
	before := server.texts(t)
	schedule.Budget, schedule.Deployments = 0, 0
	again := newRun(t, server, l, schedule, ended+60)
	again.Sealed.Add(seal)
	again.publish(t.Context(), again.queue, again.Sealed.take())
	again.reconcileAll(t)
	if diff := cmp.Diff(before, server.texts(t)); diff != "" {
		t.Errorf("after a restart (-before +after): %s", diff)
	}
	for name := range before {
		delete(server.objects, name)
		break
	}
	lost := newRun(t, server, l, schedule, ended+120)
	lost.Sealed.Add(seal)
	lost.publish(t.Context(), lost.queue, lost.Sealed.take())
	lost.reconcileAll(t)
	if diff := cmp.Diff(digests(t, before), digests(t, server.texts(t))); diff != "" {
		t.Errorf("what was deleted is put back (-before +after): %s", diff)
	}
}

// finals are how many Final records there are by their namespace and detail, and what
// each namespace's amount to.
func (s *recordServer) finals(t *testing.T) (records, amounts map[string]int) {
	t.Helper()
	records, amounts = map[string]int{}, map[string]int{}
	for _, r := range s.all() {
		if r.Status.Phase != v1alpha1.PhaseFinal {
			t.Errorf("%s/%s is %s", r.Namespace, r.Name, r.Status.Phase)
		}
		amount, err := strconv.Atoi(r.Status.Totals[0].Exact)
		if err != nil {
			t.Fatal(err)
		}
		records[r.Namespace+" "+string(r.Status.Detail)]++
		amounts[r.Namespace] += amount
	}
	return records, amounts
}

// digests are those of the records.
func digests(t *testing.T, texts map[string]string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for name, text := range texts {
		var r v1alpha1.UsageRecord
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		out[name] = r.Status.Digest
	}
	return out
}
