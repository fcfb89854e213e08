package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/controllers"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/usageblocks"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

const (
	soakHours     = 72
	soakPairs     = 1000
	soakPerPair   = 5
	soakRetention = 24 // hours
	soakRestart   = 24 // hours: how often the ledger is taken up from the journal
	soakFlush     = 300
	// soakResizes and soakReplaces are how often each machine is resized, and replaced, in a day.
	soakResizes, soakReplaces = 4, 2
	// soakFlat is how much memory may grow once as much is kept as is ever kept.
	soakFlat = 1.05
)

// benchmarkSoak lets days pass by a clock that is set: a fleet's changes go to the ledger and from there to the journal
// in the cluster, hours are sealed, their records are written by the record controller, and pruned, and every day the
// ledger is taken up from the journal, as after a restart.
func benchmarkSoak(ctx context.Context, s *settings) (_ []Figure, err error) {
	pairs := soakPairs
	if s.quick {
		pairs /= 10
	}
	p, err := newPlane(ctx, s, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	k, err := newSoaking(ctx, p, pairs)
	if err != nil {
		return nil, err
	}
	if err := k.live(ctx); err != nil {
		return nil, err
	}
	if err := k.compareWhole(ctx); err != nil {
		return nil, err
	}
	if err := k.compareRecords(ctx); err != nil {
		return nil, err
	}
	return k.figures(ctx, fmt.Sprintf("%d simulated hours, %s (namespace, deployment) pairs, %s machines, records kept %d hours",
		soakHours, quantity(float64(pairs)), quantity(float64(len(k.fleet.machines))), soakRetention))
}

// soaking is an operator without sources: what they would deliver is made up.
type soaking struct {
	*plane
	pairs   int
	fleet   *fleet
	shared  *soakLedger
	clock   *clocktesting.FakeClock
	blocks  *usageblocks.Store
	journal *journal.Journal
	sealed  *controllers.Sealed
	written atomic.Int64
	want    int64

	now         int64
	hours       []sums // the truth, hour by hour, each made beforehand, so that it does not count as what grows
	hour        int
	differences int
	cells       int
	heap        []float64
	digest      [32]byte
	bounds      []usage.Window
}

// soakLedger is a ledger that another takes the place of.
type soakLedger struct{ lockedLedger }

func (l *soakLedger) Ready() bool                           { return true }
func (l *soakLedger) Home(account usage.Account) string     { return account.Namespace }
func (l *soakLedger) Coverage(usage.Window) []usage.Stretch { return nil }

func (l *soakLedger) Changed() []usage.Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ledger.Changed()
}

func (l *soakLedger) Forget(before int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ledger.Forget(before)
}

func newSoaking(ctx context.Context, p *plane, pairs int) (*soaking, error) {
	k := &soaking{
		plane: p, pairs: pairs, now: publishStart, sealed: controllers.NewSealed(),
		clock: clocktesting.NewFakeClock(time.Unix(publishStart, 0)),
		hours: make([]sums, soakHours+1),
	}
	for hour := range k.hours {
		k.hours[hour] = newSums(pairs)
	}
	k.fleet = newFleet(pairs, soakPerPair, publishStart, func(m *machine, dimension int, amount usage.Amount) {
		k.hours[k.hour].add(m.pair, dimension, amount)
	})
	k.shared = &soakLedger{lockedLedger{ledger: k.fleet.ledger}}
	namespaces := (pairs + deploymentsPerNamespace - 1) / deploymentsPerNamespace
	err := inParallel(ctx, publishConcurrency, namespaces, func(i int) error {
		return p.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespaceName(i)}})
	})
	if err != nil {
		return nil, err
	}
	httpClient, err := rest.HTTPClientFor(p.config())
	if err != nil {
		return nil, err
	}
	if k.blocks, err = newBlocks(p, httpClient); err != nil {
		return nil, err
	}
	_, err = k.open(ctx)
	return k, err
}

func (k *soaking) open(ctx context.Context) (*journal.State, error) {
	k.journal = journal.New(journal.Options{
		Store: k.blocks, Writer: "bench-" + k.fleet.uuid(), Cluster: "bench", Clock: k.clock, Log: logr.Discard(),
	})
	return k.journal.Load(ctx)
}

// live lets the days pass.
func (k *soaking) live(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	config := k.config()
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(request)
			if err == nil && request.Method == http.MethodPost && response.StatusCode == http.StatusCreated {
				k.written.Add(1)
			}
			return response, err
		})
	})
	ended, err := startController(ctx, config, k.clock, k.shared, k.sealed, soakRetention*3600)
	if err != nil {
		return err
	}
	defer k.tell.during("days pass", func() string {
		return fmt.Sprintf("hour %d of %d, %d records of %d written, %d blocks", (k.now-publishStart)/3600, soakHours, k.written.Load(), k.want, k.journal.Size().Blocks)
	})()
	perDay := float64(len(k.fleet.machines))
	resizes, replaces := newPace(k.fleet, perDay*soakResizes), newPace(k.fleet, perDay*soakReplaces)
	for hour := range soakHours {
		if hour > 0 && hour%soakRestart == 0 {
			if err := k.restart(ctx); err != nil {
				return err
			}
		}
		interval := usage.Interval(k.now, 3600)
		for k.now < interval.End {
			k.shared.mu.Lock()
			for second := k.now + 1; second <= k.now+soakFlush; second++ {
				resizes.until(second, k.fleet.resize)
				replaces.until(second, k.fleet.replace)
			}
			k.now += soakFlush
			batch := k.fleet.batch(k.now)
			k.shared.mu.Unlock()
			k.clock.SetTime(time.Unix(k.now, 0))
			if err := k.commit(ctx, batch); err != nil {
				return err
			}
		}
		if err := k.end(ctx, interval, ended); err != nil {
			return err
		}
	}
	cancel()
	return <-ended
}

func (k *soaking) commit(ctx context.Context, batch *journal.Batch) error {
	if err := k.journal.Append(ctx, batch); err != nil {
		return err
	}
	_, err := k.journal.Compact(ctx)
	return err
}

// end seals an hour, waits until its records are written, and compares what the ledger says of it with the truth.
func (k *soaking) end(ctx context.Context, interval usage.Window, ended <-chan error) error {
	k.shared.mu.Lock()
	k.fleet.tellAll(interval.End)
	accounts := k.shared.ledger.Accounts(interval, interval.End)
	var segments []usage.Segment
	got := map[usage.Account]map[string]usage.Amount{}
	for _, account := range accounts {
		held := map[string]usage.Amount{}
		for _, segment := range k.shared.ledger.Cut(account, interval, interval.End) {
			segments = append(segments, segment)
			held[segment.Dimension.Name] = held[segment.Dimension.Name].Plus(segment.Within(interval))
		}
		got[account] = held
	}
	k.digest = ledger.Digest(k.digest, interval, segments, nil)
	k.shared.ledger.Seal(interval)
	batch := k.fleet.batch(k.now, journal.Seal{Interval: interval, Digest: k.digest})
	k.shared.mu.Unlock()
	if err := k.commit(ctx, batch); err != nil {
		return err
	}
	k.compare(got, k.hours[k.hour])
	k.hour++
	k.bounds = append(k.bounds, interval)
	k.want += int64(len(accounts))
	k.sealed.Add(journal.Seal{Interval: interval, Digest: k.digest})
	for k.written.Load() < k.want {
		select {
		case err := <-ended:
			return fmt.Errorf("the controller ended: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	k.heap = append(k.heap, float64(stats.HeapAlloc))
	return nil
}

// compare counts the cells in which the ledger says something else than the truth.
func (k *soaking) compare(got map[usage.Account]map[string]usage.Amount, truth sums) {
	for pair := range k.pairs {
		for i, dimension := range fleetDimensions {
			k.cells++
			if got[account(pair)][dimension.Name] != truth.of(pair, i) {
				k.differences++
			}
		}
	}
}

// restart takes the ledger up from the journal.
func (k *soaking) restart(ctx context.Context) error {
	state, err := k.open(ctx)
	if err != nil {
		return err
	}
	k.shared.mu.Lock()
	defer k.shared.mu.Unlock()
	k.fleet.ledger, k.fleet.meter = restored(state, k.now-soakRetention*3600)
	k.shared.ledger = k.fleet.ledger
	k.digest = state.Seals[len(state.Seals)-1].Digest
	return nil
}

// restored is the ledger that a journal's state makes.
func restored(state *journal.State, keptFrom int64) (*ledger.Ledger, *ledger.Meter) {
	l := ledger.New()
	known := state.Meters[0]
	sealed := make([]usage.Window, len(state.Seals))
	for i, seal := range state.Seals {
		sealed[i] = seal.Interval
	}
	byName := l.Restore([]*ledger.Meter{ledger.NewMeter(known.Name, known.Since, known.Dimensions)}, state.Segments, sealed, keptFrom)
	return l, byName[known.Name]
}

// compareWhole takes the whole ledger up from the journal, and compares all that it says with the truth.
func (k *soaking) compareWhole(ctx context.Context) error {
	defer k.tell.during("comparing the journal with the truth", nil)()
	state, err := k.open(ctx)
	if err != nil {
		return err
	}
	l, _ := restored(state, 0)
	whole := usage.Window{Start: publishStart, End: k.now}
	got := map[usage.Account]map[string]usage.Amount{}
	for _, account := range l.Accounts(whole, whole.End) {
		got[account] = map[string]usage.Amount{}
		for _, segment := range l.Cut(account, whole, whole.End) {
			got[account][segment.Dimension.Name] = got[account][segment.Dimension.Name].Plus(segment.Within(whole))
		}
	}
	truth := newSums(k.pairs)
	for _, hour := range k.hours {
		for at, amount := range hour {
			truth[at] = truth[at].Plus(amount)
		}
	}
	k.compare(got, truth)
	return nil
}

// compareRecords reads the records that are kept, and compares them with the truth.
func (k *soaking) compareRecords(ctx context.Context) error {
	defer k.tell.during("comparing the records with the truth", nil)()
	byStart := map[int64]map[usage.Account]map[string]usage.Amount{}
	for i := range (k.pairs + deploymentsPerNamespace - 1) / deploymentsPerNamespace {
		records := &v1alpha1.UsageRecordList{}
		if err := k.admin.List(ctx, records, client.InNamespace(namespaceName(i))); err != nil {
			return err
		}
		for i := range records.Items {
			r := &records.Items[i]
			start := r.Spec.StartTime.Unix()
			if byStart[start] == nil {
				byStart[start] = map[usage.Account]map[string]usage.Amount{}
			}
			of := usage.Account{Namespace: r.Spec.Namespace, NamespaceUID: r.Spec.NamespaceUID, Deployment: r.Spec.Deployment}
			held := map[string]usage.Amount{}
			for _, total := range r.Status.Totals {
				amount, err := usage.ParseAmount(total.Exact)
				if err != nil {
					return err
				}
				held[total.Dimension] = held[total.Dimension].Plus(amount)
			}
			byStart[start][of] = held
		}
	}
	if len(byStart) < soakRetention || len(byStart) > soakRetention+1 {
		return fmt.Errorf("there are records of %d hours, and %d are to be kept", len(byStart), soakRetention)
	}
	for i, interval := range k.bounds {
		if got := byStart[interval.Start]; got != nil {
			k.compare(got, k.hours[i])
		}
	}
	return nil
}

func (k *soaking) figures(ctx context.Context, work string) ([]Figure, error) {
	_, bytes, err := k.etcd.live(ctx, "/")
	if err != nil {
		return nil, err
	}
	blocks, blockBytes, err := k.etcd.live(ctx, usageBlocksPrefix)
	if err != nil {
		return nil, err
	}
	records, recordBytes, err := k.etcd.live(ctx, usageRecordsPrefix)
	if err != nil {
		return nil, err
	}
	file, before, used, err := k.etcd.tidy(ctx)
	if err != nil {
		return nil, err
	}
	exact := newFigure(work+": sums that differ from the oracle, of the ledger, the journal and the records", "differences", []float64{float64(k.differences)}, nil).atMost(0)
	exact.Notes = map[string]float64{"compared": float64(k.cells), "changes": float64(k.fleet.changes), "recordsWritten": float64(k.want)}
	const span = (soakHours - soakRetention) / 4
	early, late := median(k.heap[soakRetention:soakRetention+span]), median(k.heap[len(k.heap)-span:])
	flat := newFigure(work+": live heap of the last hours, over that of the first with all that is kept", "times", []float64{late / early}, nil).atMost(soakFlat)
	flat.Notes = map[string]float64{"early": early, "late": late}
	store := newFigure(work+": etcd's file after defragmentation, over its live bytes", "times", []float64{float64(file) / float64(bytes)}, nil).atMost(1.3)
	store.Notes = map[string]float64{
		"file": float64(file), "liveBytes": float64(bytes), "fileBefore": float64(before), "inUseBefore": float64(used),
		"blocks": float64(blocks), "blockBytes": float64(blockBytes), "records": float64(records), "recordBytes": float64(recordBytes),
	}
	return []Figure{exact, flat, store}, nil
}
