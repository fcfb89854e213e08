package verification_test

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/jackc/pgx/v5"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/internal/hub"
	"github.com/usage-operator/usage-operator/internal/hub/verification"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/postgres"
)

// hour0 is 2026-11-21T18:00:00Z.
const hour0, hour = 1795284000, 3600

var clock = clocktesting.NewFakeClock(time.Unix(hour0+10*hour, 0))

// blocks is a journal's store, in memory.
type blocks map[journal.Key]journal.Stored

func (b blocks) Create(_ context.Context, key journal.Key, spec []byte) error {
	b[key] = journal.Stored{Key: key, Spec: slices.Clone(spec)}
	return nil
}

func (b blocks) Get(_ context.Context, key journal.Key) (journal.Stored, error) {
	stored, there := b[key]
	if !there {
		return stored, journal.ErrNotFound
	}
	return stored, nil
}

func (b blocks) Keys(context.Context) ([]journal.Key, error) {
	return slices.Collect(maps.Keys(b)), nil
}
func (b blocks) List(context.Context, func(journal.Stored) error) error { return nil } // it begins empty
func (b blocks) Delete(context.Context, journal.Key) error              { return nil }

func segment(uid string, level, start, end int64) usage.Change {
	c := usage.Change{Kind: usage.Put, Segment: usage.Segment{
		Meter: "vm", Dimension: usage.Dimension{Name: "vcpu", Unit: usage.Core}, Level: level,
		Subject: &usage.Subject{
			Account:      usage.Account{Namespace: "shop", NamespaceUID: "ns", Deployment: "web\x00\xff"},
			ResourceType: "vm", Resource: usage.Object{Kind: "VirtualMachine", Name: "db", UID: uid}, Instance: usage.Object{UID: uid},
			Attributes: usage.NewAttributes(map[string]string{"zone": "a\x00b", "class": "<fast>"}),
		},
		Start: usage.Boundary{At: start, Slack: 3, Evidence: usage.ReplayBound},
	}}
	if end > 0 {
		c.End = usage.Boundary{At: end, Evidence: usage.Observed}
	}
	return c
}

// ledgerOf is a hub with a cluster's ledger: three hours that were sealed, a correction of
// one, and what is open.
func ledgerOf(t *testing.T) (*hub.Store, hub.Cluster, *pgx.Conn) {
	t.Helper()
	location := postgres.Start(t).Database(t, "hub")
	s, err := hub.Open(t.Context(), location, clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	const cluster = hub.Cluster("00000000-0000-4000-8000-000000000001")
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Enrol(t.Context(), cluster, "here"); err != nil {
		t.Fatal(err)
	}
	stored := blocks{}
	j := journal.New(journal.Options{Store: stored, Writer: "w", Cluster: string(cluster), Clock: clock, Log: logr.Discard()})
	if _, err := j.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	held := []usage.Change{segment("a", 4000, hour0+60, 0), segment("b", 2000, hour0+120, hour0+hour+30)}
	void := segment("c", 1, hour0+5, 0)
	void.Kind = usage.Void
	less := segment("a", 1000, hour0+60, hour0+90)
	less.Kind, less.Corrects = usage.Less, hour0
	unseen := []usage.Stretch{{Meter: "vm", Window: usage.Window{Start: hour0 + 10, End: hour0 + 20}, Coverage: usage.CoverageUnknown}}
	batches := []*journal.Batch{
		{Time: hour0 + 200, Changes: append(slices.Clone(held), segment("c", 1, hour0+5, 0)), Coverage: unseen},
		{Time: hour0 + 300, Changes: []usage.Change{void}},
	}
	digest := journal.Digest{}
	for n := range int64(3) {
		interval := usage.Window{Start: hour0 + n*hour, End: hour0 + (n+1)*hour}
		var inside []usage.Segment
		for i := range held {
			inside = ledger.AppendCut(inside, &held[i].Segment, interval)
		}
		digest = ledger.Digest(digest, interval, inside, usage.CutCoverage(unseen, interval))
		batches = append(batches, &journal.Batch{Time: interval.End + 60, Seals: []journal.Seal{{Interval: interval, Digest: digest, Partial: n == 0}}})
	}
	batches = append(batches, &journal.Batch{Time: hour0 + 4*hour, Changes: []usage.Change{less}})
	for _, batch := range batches {
		if err := j.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	for n := range uint64(len(batches)) {
		block, err := stored.Get(t.Context(), journal.Key{From: n + 1, To: n + 1})
		if err == nil {
			_, err = s.Append(t.Context(), cluster, block)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	connection, err := pgx.Connect(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close(context.Background()) })
	return s, cluster, connection
}

func verify(t *testing.T, s *hub.Store, cluster hub.Cluster) (*verification.Report, string) {
	t.Helper()
	r, err := verification.Verify(t.Context(), s, cluster, clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := r.Write(&text); err != nil {
		t.Fatal(err)
	}
	return r, text.String()
}

// What adds up adds up; whatever is changed of it, in any table, is found.
func TestWhatIsChangedIsFound(t *testing.T) {
	s, cluster, connection := ledgerOf(t)
	r, text := verify(t, s, cluster)
	if !r.OK() || r.Recomputed.Intervals != 3 || r.Rows != 5 || !strings.Contains(text, "All of it adds up.") {
		t.Fatalf("%+v\n%s", r, text)
	}
	t.Log(text)
	for line := range strings.Lines(text) {
		if len(line) > 81 && !strings.Contains(line, "sha256:") {
			t.Errorf("%d columns: %s", len(line)-1, line)
		}
	}
	tables := []string{"clusters", "blocks", "subjects", "segments", "seals", "coverage"}
	do := func(statement string) {
		if _, err := connection.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	for _, table := range tables {
		do("CREATE TABLE kept_" + table + " AS TABLE " + table)
	}
	for name, statement := range map[string]string{
		"a level":               "UPDATE segments SET level = level + 1 WHERE sequence = 1 AND ordinal = 0",
		"a row is gone":         "DELETE FROM segments WHERE sequence = 1 AND ordinal = 1",
		"a row is another's":    "UPDATE segments SET subject = 2 WHERE sequence = 1 AND ordinal = 0",
		"a row of no block":     "INSERT INTO segments SELECT cluster, 3, ordinal, kind, corrects, subject, meter, dimension, unit, level, starts, start_slack, start_evidence, ends, end_slack, end_evidence FROM segments WHERE sequence = 1",
		"a correction":          "UPDATE segments SET level = level - 1 WHERE kind = 'Less'",
		"a void":                "DELETE FROM segments WHERE kind = 'Void'",
		"a namespace":           "UPDATE subjects SET namespace = 'another' WHERE subject = 1",
		"a seal":                "UPDATE seals SET partial = NOT partial WHERE sequence = 3",
		"a seal is gone":        "DELETE FROM seals WHERE sequence = 5",
		"coverage":              "UPDATE coverage SET ends = ends + 1",
		"coverage is gone":      "DELETE FROM coverage",
		"a block is gone":       "DELETE FROM blocks WHERE sequence = 2",
		"the last block's gone": "DELETE FROM blocks WHERE sequence = 6",
		"a byte of a block":     `UPDATE blocks SET spec = replace(encode(spec, 'escape'), '"writer":"w"', '"writer":"x"')::bytea WHERE sequence = 2`,
		"the head":              "UPDATE clusters SET digest = '\\x00'",
		"what counts":           "UPDATE clusters SET counted = 5",
	} {
		do(statement)
		if r, text := verify(t, s, cluster); r.OK() || !strings.Contains(text, "DIFFERENCE in ") {
			t.Errorf("%s: it is not found:\n%s", name, text)
		}
		for _, table := range tables {
			do("TRUNCATE " + table)
			do("INSERT INTO " + table + " SELECT * FROM kept_" + table)
		}
	}
	if r, text := verify(t, s, cluster); !r.OK() {
		t.Errorf("what was put back does not add up:\n%s", text)
	}
}

// A fork that was refused is shown, and is no difference.
func TestAForkIsShown(t *testing.T) {
	s, cluster, connection := ledgerOf(t)
	if _, err := connection.Exec(t.Context(), "UPDATE clusters SET fork_sequence = 6, fork_digest = digest"); err != nil {
		t.Fatal(err)
	}
	if r, text := verify(t, s, cluster); !r.OK() || !strings.Contains(text, "block 6 was refused") {
		t.Errorf("%s", text)
	}
}

// Nothing yet adds up, and a cluster that the hub does not know is refused.
func TestVerifyNothing(t *testing.T) {
	s, _, _ := ledgerOf(t)
	const fresh = hub.Cluster("00000000-0000-4000-8000-000000000002")
	if _, err := verification.Verify(t.Context(), s, fresh, clock, nil); err == nil || !strings.Contains(err.Error(), "NotEnrolled") {
		t.Errorf("a cluster that is not enrolled: %v", err)
	}
	if _, err := s.Enrol(t.Context(), fresh, "fresh"); err != nil {
		t.Fatal(err)
	}
	if r, text := verify(t, s, fresh); !r.OK() {
		t.Errorf("%s", text)
	}
}
