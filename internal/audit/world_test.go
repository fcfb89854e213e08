package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/internal/audit"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// operator is the operator's own namespace.
const operator = "usage-system"

// hour0 is 2026-11-21T18:00:00Z; now is in the middle of the fourth hour.
const (
	hour0 = 1795284000
	hour  = 3600
	now   = hour0 + 3*hour + hour/2
)

// world is a ledger, the journal that it is kept in, and what is published of it.
type world struct {
	blocks  map[journal.Key]journal.Stored
	records []*audit.Published
	clock   *clocktesting.FakeClock

	journal  *journal.Journal
	limits   usage.Limits   // that intervals are sealed with
	changes  []usage.Change // that the journal has
	coverage []usage.Stretch
	digest   journal.Digest
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{blocks: map[journal.Key]journal.Stored{}, clock: clocktesting.NewFakeClock(time.Unix(now, 0))}
	w.journal = journal.New(journal.Options{Store: w, Writer: "writer", Cluster: "cluster", Clock: w.clock, Log: logr.Discard()})
	if _, err := w.journal.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// copy is a world of its own with the same in it. Nothing can be appended to it.
func (w *world) copy() *world {
	c := &world{blocks: maps.Clone(w.blocks), clock: clocktesting.NewFakeClock(w.clock.Now()), digest: w.digest}
	for _, r := range w.records {
		p := *r
		p.Metadata.Labels = maps.Clone(r.Metadata.Labels)
		c.records = append(c.records, &p)
	}
	return c
}

func (w *world) Create(_ context.Context, key journal.Key, spec []byte) error {
	w.blocks[key] = journal.Stored{Key: key, Spec: slices.Clone(spec)}
	return nil
}

func (w *world) Get(_ context.Context, key journal.Key) (journal.Stored, error) {
	stored, ok := w.blocks[key]
	if !ok {
		return stored, journal.ErrNotFound
	}
	return stored, nil
}

func (w *world) Keys(context.Context) ([]journal.Key, error) {
	return slices.Collect(maps.Keys(w.blocks)), nil
}

func (w *world) List(_ context.Context, each func(journal.Stored) error) error {
	for _, key := range w.keys() {
		if err := each(w.blocks[key]); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) Delete(_ context.Context, key journal.Key) error {
	delete(w.blocks, key)
	return nil
}

func (w *world) keys() []journal.Key {
	return slices.SortedFunc(maps.Keys(w.blocks), func(a, b journal.Key) int { return strings.Compare(a.String(), b.String()) })
}

// published reads the world's records.
type published struct{ *world }

func (p published) List(_ context.Context, each func(*audit.Published) error) error {
	for _, r := range p.records {
		if err := each(r); err != nil {
			return err
		}
	}
	return nil
}

// append commits changes, and seals an interval by them unless it is empty.
func (w *world) append(t *testing.T, at int64, interval usage.Window, changes ...usage.Change) {
	t.Helper()
	for _, change := range changes {
		w.changes = slices.DeleteFunc(w.changes, func(c usage.Change) bool {
			return c.Kind == usage.Put && change.Kind == usage.Put && c.HasKey() && change.HasKey() && c.Key() == change.Key()
		})
		w.changes = append(w.changes, change)
	}
	batch := &journal.Batch{
		Time: at, Changes: changes,
		Positions: []journal.Position{{Group: "kubevirt.io", Kind: "VirtualMachine", ResourceVersion: "4711", Time: at}},
		Meters: []journal.Meter{{
			Name: "vm", Version: "uid/1", Group: "kubevirt.io", Kind: "VirtualMachine", Since: hour0, Listed: true,
			Dimensions: []usage.Dimension{{Name: "vcpu", Unit: usage.Core}},
		}},
	}
	if interval.Seconds() > 0 {
		batch.Seals = []journal.Seal{w.seal(interval)}
		batch.Coverage = usage.CutCoverage(w.coverage, interval)
	}
	if err := w.journal.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

func (w *world) seal(interval usage.Window) journal.Seal {
	var segments []usage.Segment
	for _, account := range w.accounts() {
		segments = append(segments, w.cut(account, interval)...)
	}
	coverage := usage.CutCoverage(w.coverage, interval)
	w.digest = ledger.Digest(w.digest, interval, segments, coverage)
	unknown := func(s usage.Stretch) bool { return s.Coverage == usage.CoverageUnknown }
	return journal.Seal{Interval: interval, Digest: w.digest, Partial: slices.ContainsFunc(coverage, unknown), Limits: w.limits}
}

func (w *world) accounts() []usage.Account {
	accounts := map[usage.Account]bool{}
	for _, c := range w.changes {
		accounts[c.Subject.Account] = true
	}
	return slices.SortedFunc(maps.Keys(accounts), usage.CompareAccounts)
}

func (w *world) cut(account usage.Account, interval usage.Window) []usage.Segment {
	var segments []usage.Segment
	for _, c := range w.changes {
		if part, ok := c.Cut(interval, interval.End); ok && c.Kind == usage.Put && c.Subject.Account == account {
			segments = append(segments, part)
		}
	}
	slices.SortFunc(segments, usage.Segment.Compare)
	return segments
}

// publish publishes an interval's records. Those of the namespace "gone" go to
// the operator's.
func (w *world) publish(t *testing.T, interval usage.Window, final bool) {
	t.Helper()
	cut := func(account usage.Account) []usage.Segment { return w.cut(account, interval) }
	held := slices.DeleteFunc(w.accounts(), func(account usage.Account) bool { return len(cut(account)) == 0 })
	plan := record.PlanOf(&record.Holdings{Accounts: held, Cut: cut}, w.limits)
	for _, account := range plan.Accounts(held) {
		in := record.Input{
			Key: record.Key{Account: account, Interval: interval}, Namespace: account.Namespace, Final: final, Now: now,
			Coverage: usage.CutCoverage(w.coverage, interval),
		}
		plan.Fill(&in, cut)
		if account.Namespace == "gone" {
			in.Namespace = operator
		}
		for _, r := range record.For(in) {
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			p := &audit.Published{}
			if err := json.Unmarshal(text, p); err != nil {
				t.Fatal(err)
			}
			w.records = append(w.records, p)
		}
	}
}

func (w *world) verify(t *testing.T, change ...func(*audit.Input)) *audit.Report {
	t.Helper()
	in := audit.Input{Blocks: w, Records: published{w}, Namespace: operator, Clock: w.clock}
	for _, c := range change {
		c(&in)
	}
	report, err := audit.Verify(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func hours(n int64) usage.Window { return usage.Interval(hour0+n*hour, hour) }

func subject(namespace, deployment, name string) *usage.Subject {
	object := usage.Object{APIVersion: "kubevirt.io/v1", Kind: "VirtualMachine", Name: name, UID: "uid-" + name}
	return &usage.Subject{
		ResourceType: "vm", Resource: object, Instance: object, Region: "eu-1", Bundle: "u1.large",
		Account:    usage.Account{Namespace: namespace, NamespaceUID: "uid-" + namespace, Deployment: deployment},
		Attributes: usage.NewAttributes(map[string]string{"class": "fast"}),
	}
}

// held is a segment from and to seconds after hour0; to 0: it goes on.
func held(s *usage.Subject, dimension usage.Dimension, level, from, to int64) usage.Change {
	c := usage.Change{Segment: usage.Segment{
		Meter: "vm", Subject: s, Dimension: dimension, Level: level,
		Start: usage.Boundary{At: hour0 + from, Evidence: usage.CreationTime},
	}}
	if to != 0 {
		c.End = usage.Boundary{At: hour0 + to, Slack: 4, Evidence: usage.ReplayBound}
	}
	return c
}

var (
	vcpu   = usage.Dimension{Name: "vcpu", Unit: usage.Core}
	memory = usage.Dimension{Name: "memory", Unit: usage.Byte}
)

// threeHours is a world with three sealed hours, and a fourth that goes on.
func threeHours(t *testing.T) *world { return threeHoursWithin(t, usage.Limits{}) }

// threeHoursWithin are sealed with limits of their records.
func threeHoursWithin(t *testing.T, limits usage.Limits) *world {
	t.Helper()
	w := newWorld(t)
	w.limits = limits
	db, web, old := subject("shop", "db", "db-0"), subject("shop", "", "stray"), subject("gone", "Old Thing", "old-0")
	other := *db
	other.Instance = usage.Object{APIVersion: "v1", Kind: "Pod", Name: "db-0-x", UID: "uid-db-0-x"}
	other.Container = "sidecar"

	w.append(t, hour0+10, usage.Window{}, held(db, vcpu, 2000, 0, 0), held(db, memory, 1<<30, 0, 0), held(old, vcpu, 500, 600, 0))
	w.coverage = []usage.Stretch{
		{Meter: "vm", Window: usage.Window{Start: hour0 + hour + 100, End: hour0 + hour + 200}, Coverage: usage.CoverageUnknown},
		{Meter: "vm", Window: usage.Window{Start: hour0 + 300, End: hour0 + 400}, Coverage: usage.CoverageEstimated},
	}
	w.append(t, hour0+hour+1, hours(0), held(db, vcpu, 2000, 0, 1800), held(db, vcpu, 4000, 1800, 0), held(web, vcpu, 1000, 1200, 0))
	w.append(t, hour0+2*hour+1, hours(1), held(old, vcpu, 500, 600, hour+900), held(&other, vcpu, 100, hour+60, 0))
	correction := held(db, vcpu, 4000, hour, 2*hour)
	correction.Kind, correction.Corrects = usage.Less, hour0+hour
	w.append(t, hour0+3*hour+1, hours(2), held(web, vcpu, 1000, 1200, 2*hour+30), correction)
	w.append(t, now, usage.Window{}, held(db, memory, 1<<30, 0, 3*hour+700))
	w.publish(t, hours(0), true)
	w.publish(t, hours(1), true)
	w.publish(t, hours(2), true)
	w.publish(t, hours(3), false)
	return w
}

// decoded is JSON with numbers as they are written.
func decoded(t *testing.T, text []byte) any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var out any
	if err := decoder.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}
