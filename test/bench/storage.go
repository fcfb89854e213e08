package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/usageblocks"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/usage"
)

const (
	storageDays        = 30
	storagePairs       = 10_000 // 1,000 namespaces x 10 deployments
	storagePerPair     = 10
	storageResizes     = 2    // of each machine in the month
	storageChurn       = 0.05 // of all machines are replaced in a day
	storageFlush       = 300  // seconds: what is merged is the same
	storageFlushAtEnd  = 5    // in the last hour, as the operator does: what is not merged yet
	storageStart       = publishStart
	usageBlocksPrefix  = "/registry/metering.usage-operator.dev/usageblocks/"
	usageRecordsPrefix = "/registry/metering.usage-operator.dev/usagerecords/"
)

// benchmarkStorage writes a month of changes to a journal, in memory, with the real encoder and its compaction, and puts
// what is left of it into an API server, to see what that takes in etcd.
func benchmarkStorage(ctx context.Context, s *settings) (_ []Figure, err error) {
	pairs := storagePairs
	if s.quick {
		pairs /= 10
	}
	m := newMonth(s, pairs)
	if err := m.live(ctx); err != nil {
		return nil, err
	}
	p, err := newPlane(ctx, s, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	_, fresh, _, err := p.etcd.tidy(ctx)
	if err != nil {
		return nil, err
	}
	perHour, perRecord, err := m.objects(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := m.store(ctx, p); err != nil {
		return nil, err
	}
	file, _, _, err := p.etcd.tidy(ctx)
	if err != nil {
		return nil, err
	}
	blocks, bytes, err := p.etcd.live(ctx, usageBlocksPrefix)
	if err != nil {
		return nil, err
	}
	const hours = storageDays * 24
	machines := float64(pairs * storagePerPair)
	work := fmt.Sprintf("a month of %s resources x %d dimensions, %d resizes each, %g%% replaced a day",
		quantity(machines), len(fleetDimensions), storageResizes, 100*storageChurn)
	apart := float64(perHour) * machines * hours
	hourly := float64(perRecord) * float64(pairs) * hours
	f := newFigure(work, "bytes in etcd", []float64{float64(bytes)}, []float64{apart}).against("one object per resource-hour, computed from a real one")
	f = f.goal(apart >= 1000*f.Ours, "at least 1,000x less than the peer")
	f.Notes = map[string]float64{
		"blocks": float64(blocks), "rows": float64(m.rows), "changes": float64(m.fleet.changes), "appends": float64(m.appends),
		"timesLess": apart / f.Ours, "bytesPerResourceHour": float64(perHour), "etcdFileGrew": float64(file - fresh),
		"secondsToEncodeAndMerge": m.seconds,
	}
	g := newFigure(work, "bytes in etcd", []float64{float64(bytes)}, []float64{hourly}).against("hourly UsageRecords, computed from a real one")
	g.Notes = map[string]float64{"bytesPerRecord": float64(perRecord), "timesLess": hourly / g.Ours}
	return []Figure{f, g}, nil
}

// month is a month of a fleet, and its journal.
type month struct {
	*settings
	fleet   *fleet
	blocks  *blocksInMemory
	journal *journal.Journal
	clock   *clocktesting.FakeClock
	truth   usage.Amount
	end     int64
	rows    int
	appends int
	seconds float64
}

func newMonth(s *settings, pairs int) *month {
	m := &month{
		settings: s, blocks: &blocksInMemory{blocks: map[journal.Key]journal.Stored{}},
		clock: clocktesting.NewFakeClock(time.Unix(storageStart, 0)), end: storageStart + storageDays*24*3600,
	}
	m.fleet = newFleet(pairs, storagePerPair, storageStart, func(_ *machine, _ int, amount usage.Amount) { m.truth = m.truth.Plus(amount) })
	m.journal = m.open()
	return m
}

func (m *month) open() *journal.Journal {
	return journal.New(journal.Options{Store: m.blocks, Writer: "usage-operator-7c9d8f5b6d-x2x9k_0f2b1c7e", Cluster: m.fleet.uuid(), Clock: m.clock, Log: logr.Discard()})
}

// live lets the month pass: what happens at random moments is flushed every five minutes, and every five seconds in the
// last hour, as the operator does it: so much is not merged yet. Every hour is sealed. Merging is tried once a minute.
func (m *month) live(ctx context.Context) error {
	if _, err := m.journal.Load(ctx); err != nil {
		return err
	}
	now, seal := int64(storageStart), usage.Interval(storageStart, 3600)
	done := m.tell.during("a month passes", func() string {
		return fmt.Sprintf("day %d of %d, %d blocks", (m.clock.Now().Unix()-storageStart)/(24*3600)+1, storageDays, m.journal.Size().Blocks)
	})
	defer done()
	start := cpuTime()
	machines := float64(len(m.fleet.machines))
	resizes, replaces := newPace(m.fleet, machines*storageResizes/storageDays), newPace(m.fleet, machines*storageChurn)
	for compacted := now; now < m.end && ctx.Err() == nil; {
		step := int64(storageFlush)
		if m.end-now <= 3600 {
			step = storageFlushAtEnd
		}
		for second := now + 1; second <= now+step; second++ {
			resizes.until(second, m.fleet.resize)
			replaces.until(second, m.fleet.replace)
		}
		now += step
		m.clock.SetTime(time.Unix(now, 0))
		var seals []journal.Seal
		if now >= seal.End+step {
			m.fleet.ledger.Seal(seal)
			seals = append(seals, journal.Seal{Interval: seal, Digest: sha256.Sum256([]byte(fmt.Sprint(seal)))})
			m.fleet.ledger.Forget(seal.End)
			seal = seal.Next()
		}
		if m.fleet.ledger.HasUnwritten() || len(seals) > 0 || step == storageFlush {
			m.appends++
			if err := m.journal.Append(ctx, m.fleet.batch(now, seals...)); err != nil {
				return err
			}
		}
		if now-compacted >= 60 {
			compacted = now
			if _, err := m.journal.Compact(ctx); err != nil {
				return err
			}
		}
	}
	m.seconds = (cpuTime() - start).Seconds()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return m.check(ctx)
}

// pace has something happen so many times a day, at random.
type pace struct {
	fleet *fleet
	every float64 // seconds, on average
	next  float64
}

func newPace(f *fleet, perDay float64) *pace {
	p := &pace{fleet: f, every: 24 * 3600 / perDay}
	p.next = storageStart + f.random.ExpFloat64()*p.every
	return p
}

func (p *pace) until(now int64, happen func(at int64)) {
	for ; p.next <= float64(now); p.next += p.fleet.random.ExpFloat64() * p.every {
		happen(now)
	}
}

// check loads the journal as a restart would, and compares what all its segments hold with the truth.
func (m *month) check(ctx context.Context) error {
	defer m.tell.during("loading the journal", nil)()
	m.fleet.tellAll(m.end)
	m.clock.SetTime(time.Unix(m.end, 0))
	state, err := m.journal.Load(ctx)
	if err != nil {
		return err
	}
	whole := usage.Window{Start: storageStart, End: m.end}
	var sum usage.Amount
	for i := range state.Segments {
		sum = sum.Plus(state.Segments[i].Within(whole))
	}
	if m.rows = len(state.Segments); sum != m.truth {
		return fmt.Errorf("the journal has %s unit-seconds of %s", sum, m.truth)
	}
	return nil
}

// objects stores one UsageRecord of one resource, and one of a deployment, and tells how large each is in etcd.
func (m *month) objects(ctx context.Context, p *plane) (perHour, perRecord int64, err error) {
	interval := usage.Interval(m.end-7200, 3600)
	l, meter := ledger.New(), ledger.NewMeter("vm", storageStart, fleetDimensions)
	var one *usage.Account
	for i := range storagePerPair {
		machine := &m.fleet.machines[i]
		o := m.fleet.observation(machine, storageStart)
		o.Meter, o.Members[0].Start.At = meter, storageStart
		o.Members[0].Subject.Deployment = "postgres"
		if err := l.Observe(o); err != nil {
			return 0, 0, err
		}
		// The same once more, alone.
		o.UID = m.fleet.uuid()
		o.Members[0].Subject.Instance.UID, o.Members[0].Subject.Deployment = o.UID, machine.subject.Resource.Name
		o.Members[0].Subject.Resource.UID = m.fleet.uuid()
		if err := l.Observe(o); err != nil {
			return 0, 0, err
		}
		one = &o.Members[0].Subject.Account
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: one.Namespace}}
	if err := p.admin.Create(ctx, namespace); err != nil {
		return 0, 0, err
	}
	together := *one
	together.Deployment = "postgres"
	sizes := map[usage.Account]int64{}
	for _, account := range []usage.Account{*one, together} {
		made := record.For(record.Input{
			Key: record.Key{Account: account, Interval: interval}, Segments: l.Cut(account, interval, interval.End),
			Namespace: account.Namespace, Final: true, Now: interval.End,
		})
		if len(made) != 1 {
			return 0, 0, fmt.Errorf("%d records of %v: want 1", len(made), account)
		}
		if err := p.admin.Create(ctx, made[0]); err != nil {
			return 0, 0, err
		}
		size, err := p.etcd.stored(ctx, usageRecordsPrefix+made[0].Namespace+"/"+made[0].Name)
		if err != nil {
			return 0, 0, err
		}
		sizes[account] = size
		if err := p.admin.Delete(ctx, &v1alpha1.UsageRecord{ObjectMeta: made[0].ObjectMeta}); err != nil {
			return 0, 0, err
		}
	}
	return sizes[*one], sizes[together], nil
}

// store puts the journal into the API server, block by block as it is.
func (m *month) store(ctx context.Context, p *plane) error {
	defer m.tell.during("storing the journal", nil)()
	httpClient, err := rest.HTTPClientFor(p.config())
	if err != nil {
		return err
	}
	blocks, err := newBlocks(p, httpClient)
	if err != nil {
		return err
	}
	return m.blocks.List(ctx, func(block journal.Stored) error { return blocks.Create(ctx, block.Key, block.Spec) })
}

func newBlocks(p *plane, httpClient *http.Client) (*usageblocks.Store, error) {
	return usageblocks.New(p.config(), httpClient, operatorNamespace)
}

// blocksInMemory is a store that is not there any more when the benchmark ends.
type blocksInMemory struct {
	blocks map[journal.Key]journal.Stored
}

var _ journal.Store = &blocksInMemory{}

func (b *blocksInMemory) Create(_ context.Context, key journal.Key, spec []byte) error {
	if _, exists := b.blocks[key]; exists {
		return journal.ErrExists
	}
	b.blocks[key] = journal.Stored{Key: key, Spec: slices.Clone(spec)}
	return nil
}

func (b *blocksInMemory) Get(_ context.Context, key journal.Key) (journal.Stored, error) {
	block, exists := b.blocks[key]
	if !exists {
		return block, journal.ErrNotFound
	}
	return block, nil
}

func (b *blocksInMemory) Keys(context.Context) ([]journal.Key, error) {
	return slices.Collect(maps.Keys(b.blocks)), nil
}

func (b *blocksInMemory) List(_ context.Context, each func(journal.Stored) error) error {
	for _, block := range slices.SortedFunc(maps.Values(b.blocks), func(x, y journal.Stored) int {
		return cmp.Or(cmp.Compare(x.Key.From, y.Key.From), cmp.Compare(x.Key.To, y.Key.To))
	}) {
		if err := each(block); err != nil {
			return err
		}
	}
	return nil
}

func (b *blocksInMemory) Delete(_ context.Context, key journal.Key) error {
	delete(b.blocks, key)
	return nil
}
