package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/timelines"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/scratch"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// What a child that keeps a ledger for days is.
const (
	sideLead  = "lead"  // takes in what happens, and writes the journal
	sideStart = "start" // reads what is there, as a start and a standby do
)

const (
	growthDay = 24 * 3600
	// growthJobs are the CronJobs, in forty namespaces.
	growthJobs, growthNamespaces = 200, 40
	// growthLasts is how long a pod lasts, in seconds.
	growthLasts = 180
	// growthFlush is how often what happened is written, in seconds. The operator does it each five: what is merged is the same.
	growthFlush = 60
	// growthKept is for how long the ledger keeps what ended: the default of --record-retention, in hours.
	growthKept = 72
)

// grown is what a child tells of a day.
type grown struct {
	Day          int
	ResidentMiB  float64 // the most up to now, without the program itself
	HeapMiB      float64 // after garbage collection
	JournalMiB   float64
	ScratchMiB   float64
	Segments     int
	FlushMillis  float64 // the median of the day: ledger, encoder and timeline; without what makes up the pods
	SealMillis   float64
	ReportMillis float64 // of the last hour, by namespace and deployment
	LoadSeconds  float64 // of a start
}

// fileBlocks are a journal's blocks as files: what an API server has is not in the process either.
type fileBlocks string

func (b fileBlocks) path(key journal.Key) string { return filepath.Join(string(b), key.String()) }

func (b fileBlocks) Create(_ context.Context, key journal.Key, spec []byte) error {
	file, err := os.OpenFile(b.path(key), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return journal.ErrExists
	}
	if err != nil {
		return err
	}
	_, err = file.Write(spec)
	return errors.Join(err, file.Close())
}

func (b fileBlocks) Get(_ context.Context, key journal.Key) (journal.Stored, error) {
	spec, err := os.ReadFile(b.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return journal.Stored{}, journal.ErrNotFound
	}
	return journal.Stored{Key: key, Spec: spec}, err
}

func (b fileBlocks) Keys(context.Context) ([]journal.Key, error) {
	entries, err := os.ReadDir(string(b))
	var keys []journal.Key
	for _, entry := range entries {
		if key, is := journal.ParseKey(entry.Name()); is {
			keys = append(keys, key)
		}
	}
	return keys, err
}

func (b fileBlocks) List(ctx context.Context, each func(journal.Stored) error) error {
	keys, err := b.Keys(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(keys, func(a, b journal.Key) int { return int(a.From) - int(b.From) })
	for _, key := range keys {
		block, err := b.Get(ctx, key)
		if err == nil {
			err = each(block)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b fileBlocks) Delete(_ context.Context, key journal.Key) error {
	if err := os.Remove(b.path(key)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// replica is what a replica of the operator keeps, without sources and publishing.
type replica struct {
	clock   *clocktesting.FakeClock
	ledger  *ledger.Ledger
	meter   *ledger.Meter
	line    timelines.Follower
	scratch *scratch.Dir
	journal *journal.Journal
	blocks  fileBlocks
	perHour int
	now     int64
	started int // pods
	ended   int
	most    float64 // resident
}

func newReplica(folder string, perHour int) (*replica, error) {
	dir, err := scratch.NewDir(folder, 1<<40, func(err error) { fmt.Fprintln(os.Stderr, err) })
	if err != nil {
		return nil, err
	}
	r := &replica{
		clock: clocktesting.NewFakeClock(time.Unix(storageStart, 0)), scratch: dir, ledger: ledger.New(),
		blocks: fileBlocks(folder), perHour: perHour, now: storageStart,
	}
	r.line = timelines.NewHot(timeline.Hot{Days: 2, Bytes: timeline.DefaultColdBytes, NewShelf: func() timeline.Shelf { return dir.NewFile() }})
	r.meter = ledger.NewMeter("container", storageStart, []usage.Dimension{{Name: "cpu", Unit: usage.Core}, {Name: "memory", Unit: usage.Byte}})
	r.journal = journal.New(journal.Options{
		Store: r.blocks, Writer: "bench", Cluster: "bench", Clock: r.clock, Log: logr.Discard(), Follower: r.line, Retention: growthKept * 3600,
	})
	return r, nil
}

// pod is a UID as Kubernetes gives them, which nothing compresses.
func podUID(n int) string {
	b := sha256.Sum256(strconv.AppendInt(nil, int64(n), 10))
	return fmt.Sprintf("%x-%x-4%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

func (r *replica) start(n int) int64 { return storageStart + int64(n)*3600/int64(r.perHour) }

// pod is the nth, at a moment of its life.
func (r *replica) pod(n int, now int64) *ledger.Observation {
	job := n % growthJobs
	namespace := fmt.Sprintf("team-%d", job%growthNamespaces)
	subject := usage.Subject{
		ResourceType: "container",
		Resource:     usage.Object{APIVersion: "batch/v1", Kind: "CronJob", Name: fmt.Sprintf("report-%d", job), UID: fmt.Sprintf("%08x-1f3d-4c55-8e0b-000000000000", job)},
		Instance:     usage.Object{APIVersion: "v1", Kind: "Pod", Name: fmt.Sprintf("report-%d-%d-%s", job, 29_000_000+n/growthJobs, podUID(n)[:5]), UID: podUID(n)},
		Account:      usage.Account{Namespace: namespace, NamespaceUID: namespace + "-5a2e-4d7b-b1c9-000000000000", Deployment: fmt.Sprintf("report-%d", job)},
	}
	o := &ledger.Observation{Meter: r.meter, UID: subject.Instance.UID, Origin: ledger.Live, Written: now, After: now - 2, Now: now}
	for _, container := range []string{"app", "proxy"} {
		m := usage.Member{Active: true, Levels: []int64{250, 512 << 20}, Subject: subject, Start: usage.Boundary{At: r.start(n), Evidence: usage.ObjectTime}}
		m.Subject.Container = container
		o.Members = append(o.Members, m)
	}
	return o
}

// pass lets a minute pass: what happened is in the ledger, the journal and the timeline.
func (r *replica) pass(ctx context.Context, seals ...journal.Seal) (took time.Duration, err error) {
	r.now += growthFlush
	var seen, gone []*ledger.Observation
	for ; r.start(r.started) < r.now; r.started++ {
		seen = append(seen, r.pod(r.started, r.start(r.started)))
	}
	for ; r.start(r.ended)+growthLasts <= r.now; r.ended++ {
		gone = append(gone, r.pod(r.ended, r.start(r.ended)+growthLasts))
	}
	r.clock.SetTime(time.Unix(r.now, 0))
	began := cpuTime()
	for _, o := range seen {
		if err := r.ledger.Observe(o); err != nil {
			return 0, err
		}
	}
	for _, o := range gone {
		r.ledger.Remove(o)
	}
	batch := &journal.Batch{Time: r.now, Changes: r.ledger.Unwritten(), Seals: seals, Meters: []journal.Meter{{
		Name: r.meter.Name, ResourceType: "container", Version: "0f2b1c7e-9a11-4c55-8e0b-7d1c2e3f4a5b/1", Kind: "Pod",
		Since: r.meter.Since, Dimensions: r.meter.Dimensions(), Listed: true,
	}}}
	if err := r.journal.Append(ctx, batch); err != nil {
		return 0, err
	}
	r.line.Current()
	if _, err := r.journal.Compact(ctx); err != nil {
		return 0, err
	}
	took = cpuTime() - began
	r.most = max(r.most, residentNow())
	return took, nil
}

// runLead lives through days, and tells each day that is asked for.
func runLead(ctx context.Context, args []string) error {
	r, days, err := growthArguments(args)
	if err != nil {
		return err
	}
	if _, err := r.journal.Load(ctx); err != nil {
		return err
	}
	var digest journal.Digest
	var flushes, sealing []time.Duration
	for interval := usage.Interval(r.now, 3600); r.now < storageStart+days*growthDay; interval = interval.Next() {
		var seals []journal.Seal
		if r.now > storageStart {
			began := cpuTime()
			sealed := usage.Window{Start: interval.Start - 3600, End: interval.Start}
			r.ledger.Seal(sealed)
			r.ledger.Forget(sealed.End - growthKept*3600)
			digest = sha256.Sum256(append(digest[:], fmt.Sprint(sealed)...))
			seals = []journal.Seal{{Interval: sealed, Digest: digest}}
			sealing = append(sealing, cpuTime()-began)
		}
		for r.now < interval.End {
			took, err := r.pass(ctx, seals...)
			if err != nil {
				return err
			}
			seals, flushes = nil, append(flushes, took)
		}
		day := (r.now - storageStart) / growthDay
		if (r.now-storageStart)%growthDay != 0 {
			continue
		}
		if day <= 4 || day%max(1, days/10) == 0 || day == days {
			if err := r.tell(int(day), middle(flushes), middle(sealing), 0); err != nil {
				return err
			}
		}
		flushes, sealing = nil, nil
	}
	return nil
}

// runStart reads a journal that days have made, as a start and a standby do.
func runStart(ctx context.Context, args []string) error {
	r, days, err := growthArguments(args)
	if err != nil {
		return err
	}
	r.now = storageStart + days*growthDay
	r.clock.SetTime(time.Unix(r.now, 0))
	began := time.Now()
	state, err := r.journal.Load(ctx)
	if err != nil {
		return err
	}
	r.line.Current()
	sealed := make([]usage.Window, len(state.Seals))
	for i, seal := range state.Seals {
		sealed[i] = seal.Interval
	}
	r.ledger.Restore([]*ledger.Meter{r.meter}, state.Segments, sealed, r.now-growthKept*3600)
	return r.tell(int(days), 0, 0, time.Since(began))
}

func growthArguments(args []string) (r *replica, days int64, err error) {
	if len(args) != 3 {
		return nil, 0, errNotByHand
	}
	perHour, err := strconv.Atoi(args[1])
	if err != nil {
		return nil, 0, err
	}
	if days, err = strconv.ParseInt(args[2], 10, 64); err != nil {
		return nil, 0, err
	}
	r, err = newReplica(args[0], perHour)
	return r, days, err
}

func middle(took []time.Duration) time.Duration {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// tell prints a day.
func (r *replica) tell(day int, flush, seal, load time.Duration) error {
	reports := make([]time.Duration, 5)
	snapshot := r.line.Snapshot()
	for i := range reports {
		began := cpuTime()
		tally, err := timeline.NewTally(timeline.Query{
			Window: usage.Window{Start: snapshot.Sealed() - 3600, End: snapshot.Sealed()}, Size: timeline.Hour,
			GroupBy: []timeline.Key{timeline.Namespace, timeline.Deployment},
		})
		if err == nil {
			err = tally.Advance(snapshot, snapshot.Sealed())
		}
		if err == nil {
			_, err = tally.Page("", 500)
		}
		if err != nil {
			return err
		}
		reports[i] = cpuTime() - began
	}
	g := grown{
		Day: day, ResidentMiB: max(r.most, residentNow()), Segments: snapshot.Segments(), ScratchMiB: mebi(r.scratch.Bytes()), JournalMiB: mebi(r.journal.Size().Bytes),
		FlushMillis: flush.Seconds() * 1000, SealMillis: seal.Seconds() * 1000, ReportMillis: middle(reports).Seconds() * 1000, LoadSeconds: load.Seconds(),
	}
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	g.HeapMiB = mebi(int64(stats.HeapAlloc))
	runtime.KeepAlive(r)
	return json.NewEncoder(os.Stdout).Encode(g)
}

func mebi(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// residentNow is what the process has resident, in MiB, without the pages of its program: this one
// has DuckDB in it.
func residentNow() float64 {
	kilobytes, _ := strconv.ParseFloat(strings.TrimSuffix(field("/proc/self/status", "RssAnon"), " kB"), 64)
	return kilobytes / 1024
}
