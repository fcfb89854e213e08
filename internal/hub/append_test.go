package hub_test

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/usage-operator/usage-operator/internal/hub"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/postgres"
)

// send appends a block that is to be taken.
func send(t *testing.T, s *hub.Store, cluster hub.Cluster, stored journal.Stored) hub.Ack {
	t.Helper()
	ack, err := s.Append(t.Context(), cluster, stored)
	if err != nil {
		t.Fatalf("block %s: %v", stored.Key, err)
	}
	return ack
}

// refused appends a block that is to be refused, and compares that nothing else has changed.
func refused(t *testing.T, s *hub.Store, cluster hub.Cluster, stored journal.Stored, want hub.Reason) {
	t.Helper()
	before := ledger(t, s, cluster)
	_, err := s.Append(t.Context(), cluster, stored)
	refusal, ok := errors.AsType[*hub.Refusal](err)
	switch {
	case !ok:
		t.Errorf("block %s: %v, want it refused", stored.Key, err)
	case refusal.Reason != want || refusal.Detail == "" || refusal.Next() == "":
		t.Errorf("block %s: %v, want %s, with what to do", stored.Key, refusal, want)
	}
	if after := ledger(t, s, cluster); !reflect.DeepEqual(after, before) {
		t.Errorf("the ledger changed by a block that was refused:\n%+v\n%+v", before, after)
	}
}

// kept is what the hub has of a cluster.
type kept struct {
	sequence, counted uint64
	digest            journal.Digest
	blocks            []journal.Stored
	changes           []usage.Change
	seals             []journal.Seal
	coverage          []usage.Stretch
}

func ledger(t fatal, s *hub.Store, cluster hub.Cluster) *kept {
	t.Helper()
	k, ctx := &kept{}, context.Background()
	err := s.View(ctx, cluster, func(v *hub.View) (err error) {
		k.sequence, k.counted, k.digest = v.Head.Sequence, v.Head.Counted, v.Head.Digest
		if err := v.List(ctx, func(b journal.Stored) error { k.blocks = append(k.blocks, b); return nil }); err != nil {
			return err
		}
		err = v.Changes(ctx, func(sequence uint64, c *usage.Change) error {
			if sequence <= k.counted {
				k.changes = append(k.changes, *c)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if k.seals, err = v.Seals(ctx); err != nil {
			return err
		}
		k.coverage, err = v.Coverage(ctx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Each block that no chain may take is refused by its name, and changes nothing.
func TestRefusals(t *testing.T) {
	s, _ := database(t, postgres.Start(t))
	cluster := enrolled(t, s)
	a := newSource(t, cluster, "a", &blocks{}, nil)
	for n := range 3 {
		a.commit(t, holds("a", n, 2))
	}
	clone := newSource(t, cluster, "clone", a.blocks, a.said)
	a.commit(t, holds("a", 3, 2))
	clone.commit(t, holds("clone", 3, 2))
	ours, theirs := a.all(), clone.all()
	for _, stored := range ours[:2] {
		send(t, s, cluster, stored)
	}
	changed := func(from journal.Stored, what, to string) journal.Stored {
		if !bytes.Contains(from.Spec, []byte(what)) {
			t.Fatalf("block %s has no %s", from.Key, what)
		}
		from.Spec = bytes.Replace(from.Spec, []byte(what), []byte(to), 1)
		return from
	}
	renamed := ours[2]
	renamed.Key = journal.Key{From: 4, To: 4}
	truncated := ours[2]
	truncated.Spec = truncated.Spec[:len(truncated.Spec)/2]
	large := ours[2]
	large.Spec = append(bytes.Clone(large.Spec), bytes.Repeat([]byte(" "), hub.MaxBytes)...)
	elsewhere := newSource(t, uid(), "a", &blocks{}, nil)
	elsewhere.commit(t, holds("a", 0, 1))

	refused(t, s, enrolled(t, s), ours[0], hub.OtherCluster)
	refused(t, s, cluster, elsewhere.all()[0], hub.OtherCluster)
	refused(t, s, cluster, truncated, hub.Damaged)
	refused(t, s, cluster, renamed, hub.Damaged)
	refused(t, s, cluster, changed(ours[2], `"rows":2`, `"rows":3`), hub.Damaged)
	refused(t, s, cluster, redigested(t, changed(ours[2], `"rows":2`, `"rows":3`)), hub.Damaged)
	refused(t, s, cluster, redigested(t, changed(ours[2], `"count":1`, `"count":0`)), hub.Damaged)
	refused(t, s, cluster, redigested(t, changed(changed(ours[2], `"count":1`, `"count":3`), `"index":0`, `"index":2`)), hub.Damaged)
	refused(t, s, cluster, redigested(t, changed(ours[2], `"format":1`, `"format":99`)), hub.NewerFormat)
	refused(t, s, cluster, redigested(t, changed(ours[2], `"rows":2`, `"rows":300000`)), hub.TooLarge)
	refused(t, s, cluster, large, hub.TooLarge)
	refused(t, s, cluster, ours[3], hub.Gap)
	refused(t, s, cluster, redigested(t, changed(ours[2], `"previousDigest":"sha256:`, `"previous":"sha256:`)), hub.Unlinked)

	// Two with one UID: the first to append goes on, and the other is found.
	send(t, s, cluster, ours[2])
	send(t, s, cluster, ours[3])
	refused(t, s, cluster, theirs[3], hub.Forked)
	head, err := s.Head(t.Context(), cluster)
	if err != nil || head.Fork.Sequence != 4 || head.Fork.Digest != whole(t, theirs[3]).Digest || head.Fork.Seen != clock.Now().Unix() {
		t.Errorf("the fork on record is %+v, %v", head.Fork, err)
	}
	clone.commit(t, holds("clone", 4, 1))
	refused(t, s, cluster, clone.all()[4], hub.Forked)
	if _, err := s.Append(t.Context(), uid(), ours[0]); err == nil || !strings.Contains(err.Error(), string(hub.OtherCluster)) {
		t.Errorf("a cluster that is not enrolled: %v", err)
	}
	unknown := newSource(t, uid(), "a", &blocks{}, nil)
	unknown.commit(t, holds("a", 0, 1))
	if _, err := s.Append(t.Context(), unknown.cluster, unknown.all()[0]); err == nil || !strings.Contains(err.Error(), string(hub.NotEnrolled)) {
		t.Errorf("a cluster that is not enrolled: %v", err)
	}
}

// A block has one acknowledgement, however often it is sent.
func TestAReplayIsAcknowledgedAsItWas(t *testing.T) {
	s, location := database(t, postgres.Start(t))
	cluster := enrolled(t, s)
	a := newSource(t, cluster, "a", &blocks{}, nil)
	var acks []hub.Ack
	for n := range 5 {
		a.commit(t, holds("a", n, n))
		acks = append(acks, send(t, s, cluster, a.all()[n]))
	}
	other := open(t, location)
	before := ledger(t, s, cluster)
	for n, stored := range a.all() {
		for _, replica := range []*hub.Store{s, other} {
			if ack := send(t, replica, cluster, stored); ack != acks[n] || ack.Sequence != uint64(n)+1 || ack.Digest != whole(t, stored).Digest {
				t.Errorf("block %s is acknowledged with %+v, and was with %+v", stored.Key, ack, acks[n])
			}
		}
	}
	if after := ledger(t, s, cluster); !reflect.DeepEqual(after, before) {
		t.Error("the ledger changed by replays")
	}
}

// merged is a journal of nine commits, its entries, the block that stands for them, and the
// acknowledgement of that.
func merged(t *testing.T, cluster hub.Cluster) (a *source, entries []journal.Stored, block journal.Stored, ack hub.Ack) {
	t.Helper()
	a = newSource(t, cluster, "a", &blocks{}, nil)
	for n := range 9 {
		a.commit(t, holds("a", n, 2))
	}
	entries = a.all()
	if _, err := a.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if block = a.all()[1]; block.Key != (journal.Key{From: 1, To: 9}) {
		t.Fatalf("the merged block is %s", block.Key)
	}
	return a, entries, block, hub.Ack{Sequence: 9, Digest: whole(t, entries[8]).Digest}
}

// acknowledged sends a block, and compares how it is acknowledged, and how many rows and blocks there are then.
func acknowledged(t *testing.T, s *hub.Store, cluster hub.Cluster, stored journal.Stored, want hub.Ack, rows, blocks int) *kept {
	t.Helper()
	if ack := send(t, s, cluster, stored); ack != want {
		t.Errorf("block %s is acknowledged with %+v, want %+v", stored.Key, ack, want)
	}
	k := ledger(t, s, cluster)
	if len(k.changes) != rows || len(k.blocks) != blocks {
		t.Errorf("with block %s there are %d rows in %d blocks, want %d in %d", stored.Key, len(k.changes), len(k.blocks), rows, blocks)
	}
	return k
}

// A hub that begins after blocks were merged takes the merged ones, and goes on with entries.
func TestMergedBlocks(t *testing.T) {
	s, _ := database(t, postgres.Start(t))
	cluster := enrolled(t, s)
	a, entries, block, ack := merged(t, cluster)
	acknowledged(t, s, cluster, block, ack, 18, 1)
	a.commit(t, holds("a", 9, 2))
	tenth := a.all()[len(a.all())-1]
	acknowledged(t, s, cluster, tenth, hub.Ack{Sequence: 10, Digest: whole(t, tenth).Digest}, 20, 2)
	acknowledged(t, s, cluster, entries[8], ack, 20, 2)
	refused(t, s, cluster, entries[4], hub.Overlaps)
}

// A hub that has some of what a merged block stands for takes the rest of it, and keeps what
// it has; one that has it all takes it for that.
func TestALaggingHub(t *testing.T) {
	server := postgres.Start(t)
	lagging, _ := database(t, server)
	cluster := enrolled(t, lagging)
	a, entries, block, ack := merged(t, cluster)
	for _, stored := range entries[:3] {
		send(t, lagging, cluster, stored)
	}
	k := acknowledged(t, lagging, cluster, block, ack, 24, 4)
	if !reflect.DeepEqual(k.changes[:6], changesOf(a.said[:3])) {
		t.Error("rows changed that were there")
	}
	acknowledged(t, lagging, cluster, entries[8], ack, 24, 4)
	acknowledged(t, lagging, cluster, block, ack, 24, 4)
	refused(t, lagging, cluster, entries[4], hub.Overlaps)

	current := enrolledLike(t, server, cluster)
	for _, stored := range entries {
		send(t, current, cluster, stored)
	}
	acknowledged(t, current, cluster, block, ack, 18, 9)
}

// enrolledLike is another hub, with a database of its own, that knows the cluster.
func enrolledLike(t *testing.T, server *postgres.Server, cluster hub.Cluster) *hub.Store {
	t.Helper()
	s, _ := database(t, server)
	if _, err := s.Enrol(t.Context(), cluster, "the same"); err != nil {
		t.Fatal(err)
	}
	return s
}

// A commit of several blocks counts with its last one; one that lacks it when the next
// commit begins never happened.
func TestPartsCountOnceAllAreThere(t *testing.T) {
	server := postgres.Start(t)
	s, _ := database(t, server)
	cluster := enrolled(t, s)
	large := holds("a", 1, 2)
	for i := range 4500 { // as many as take two blocks
		large.Coverage = append(large.Coverage, usage.Stretch{Meter: "vm", Window: usage.Window{Start: int64(i), End: int64(i) + 1}, Coverage: usage.CoverageUnknown})
	}
	a := newSource(t, cluster, "a", &blocks{}, nil)
	a.commit(t, holds("a", 0, 1))
	a.commit(t, large)
	parts := a.all()
	if len(parts) != 3 {
		t.Fatalf("there are %d blocks, want 3", len(parts))
	}
	// Another writer never saw the second part.
	before := &blocks{stored: map[journal.Key]journal.Stored{parts[0].Key: parts[0], parts[1].Key: parts[1]}}
	b := newSource(t, cluster, "b", before, a.said[:1])
	b.commit(t, holds("b", 2, 3))

	send(t, s, cluster, parts[0])
	send(t, s, cluster, parts[1])
	if k := ledger(t, s, cluster); k.sequence != 2 || k.counted != 1 || len(k.changes) != 1 || len(k.coverage) != 0 {
		t.Errorf("half a commit counts: %d rows, %d stretches, up to %d", len(k.changes), len(k.coverage), k.counted)
	}
	send(t, s, cluster, b.all()[2])
	refused(t, s, cluster, parts[2], hub.Forked)
	k := ledger(t, s, cluster)
	if k.counted != 3 || len(k.coverage) != 0 || !reflect.DeepEqual(k.changes, changesOf(b.said)) {
		t.Errorf("a commit that never happened counts: %d rows, %d stretches, up to %d", len(k.changes), len(k.coverage), k.counted)
	}

	finished := enrolledLike(t, server, cluster)
	for _, stored := range parts {
		send(t, finished, cluster, stored)
	}
	if k := ledger(t, finished, cluster); k.counted != 3 || len(k.coverage) != 4500 || !reflect.DeepEqual(k.changes, changesOf(a.said)) {
		t.Errorf("a whole commit does not count: %d rows, %d stretches, up to %d", len(k.changes), len(k.coverage), k.counted)
	}
}

// changesOf are the changes of batches.
func changesOf(batches []*journal.Batch) []usage.Change {
	var changes []usage.Change
	for _, b := range batches {
		changes = append(changes, b.Changes...)
	}
	return changes
}
