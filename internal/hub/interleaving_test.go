package hub_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/hub"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/postgres"
)

// fate is what ends an append in the middle.
type fate struct {
	statement int // before which one
	cancels   bool
	admin     *pgx.Conn
	// struck tells that it did.
	struck atomic.Bool
	cancel context.CancelFunc
}

// strike ends the append, as the loss of its hub or of its connection would.
func (f *fate) strike(ctx context.Context, tx pgx.Tx, statement int) error {
	if statement != f.statement || !f.struck.CompareAndSwap(false, true) {
		return nil
	}
	if f.cancels {
		f.cancel()
		return nil
	}
	_, err := f.admin.Exec(context.WithoutCancel(ctx), "SELECT pg_terminate_backend($1)", tx.Conn().PgConn().PID())
	return err
}

// oracle knows every block that there is of two histories with one beginning, and which
// of them the hub has said that it has.
type oracle struct {
	t         *rapid.T
	hub       []*hub.Store
	cluster   hub.Cluster
	histories [2][]journal.Stored
	links     [2][]journal.Digest
	said      [2][]*journal.Batch
	// acked is the last sequence that the hub acknowledged of each history.
	acked [2]int
}

// at is how many blocks of each history there are up to a place in a chain; -1 where it is
// the place of something else.
func (o *oracle) at(sequence uint64, digest journal.Digest) (has [2]int) {
	n := int(sequence)
	for history, links := range o.links {
		if has[history] = n; n > 0 && (n > len(links) || digest != links[n-1]) {
			has[history] = -1
		}
	}
	return has
}

// state is how many blocks of each history the hub has now.
func (o *oracle) state() [2]int {
	head, err := o.hub[0].Head(context.Background(), o.cluster)
	if err != nil {
		o.t.Fatal(err)
	}
	return o.at(head.Sequence, head.Digest)
}

func (o *oracle) has(history int) int { return o.state()[history] }

// judge compares an answer with what the hub had before, and has now, by the whole of both
// histories.
func (o *oracle) judge(history, n int, before, now [2]int, ack hub.Ack, err error) {
	same := n < len(o.links[1-history]) && o.links[1-history][n] == o.links[history][n]
	has := func(of [2]int) bool { return n < of[history] || same && n < of[1-history] }
	refusal, refused := errors.AsType[*hub.Refusal](err)
	switch {
	case err == nil:
		if want := (hub.Ack{Sequence: uint64(n) + 1, Digest: o.links[history][n]}); !has(now) || ack != want {
			o.t.Fatalf("block %d of %d is acknowledged as %+v, and there is %v", n, history, ack, now)
		}
		o.acked[history] = max(o.acked[history], n+1)
	case refused && (has(before) || !o.right(refusal.Reason, history, n, before, now)):
		o.t.Fatalf("block %d of %d: %v, and there was %v", n, history, err, before)
	}
}

// right tells whether a block that the hub has not is refused for the right reason.
func (o *oracle) right(reason hub.Reason, history, n int, before, now [2]int) bool {
	switch reason {
	case hub.Gap:
		return max(before[0], before[1]) < n
	case hub.Forked:
		return now[history] < n // it does not fit what is there
	}
	return false
}

// send sends a block, perhaps with what ends it in the middle.
func (o *oracle) send(store *hub.Store, history, n int, f *fate) {
	before := o.state()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if f != nil {
		f.cancel = cancel
		store.Before(f.strike)
		defer store.Before(func(context.Context, pgx.Tx, int) error { return nil })
	}
	ack, err := store.Append(ctx, o.cluster, o.histories[history][n])
	_, refused := errors.AsType[*hub.Refusal](err)
	if err != nil && !refused && (f == nil || !f.struck.Load()) {
		o.t.Fatalf("block %d of %d: %v", n, history, err)
	}
	o.judge(history, n, before, o.state(), ack, err)
}

// race sends a block of each history at once.
func (o *oracle) race(blocks [2]int) {
	var acks [2]hub.Ack
	var errs [2]error
	var sending sync.WaitGroup
	for history, n := range blocks {
		sending.Go(func() {
			acks[history], errs[history] = o.hub[history].Append(context.Background(), o.cluster, o.histories[history][n])
		})
	}
	sending.Wait()
	now := o.state()
	for history, n := range blocks {
		if errs[history] == nil {
			o.judge(history, n, now, now, acks[history], nil)
		} else if _, refused := errors.AsType[*hub.Refusal](errs[history]); !refused {
			o.t.Fatalf("block %d of %d: %v", n, history, errs[history])
		}
	}
}

// compare compares all that the hub has with the history that it took.
func (o *oracle) compare() {
	k := ledger(o.t, o.hub[1], o.cluster)
	now := o.at(k.sequence, k.digest)
	history := 0
	if now[1] > now[0] {
		history = 1
	}
	if int(k.sequence) != now[history] || k.counted != k.sequence {
		o.t.Fatalf("the hub has %d blocks, and counts %d, of neither history: %v", k.sequence, k.counted, now)
	}
	if !equal(k.blocks, o.histories[history][:k.sequence]) {
		o.t.Fatal("the blocks are not those that were sent, byte for byte")
	}
	var changes []usage.Change
	var seals []journal.Seal
	for _, batch := range o.said[history][:k.sequence] {
		changes, seals = append(changes, batch.Changes...), append(seals, batch.Seals...)
	}
	if !equal(k.changes, changes) || !equal(k.seals, seals) {
		o.t.Fatalf("the rows are %d changes and %d seals, want %d and %d", len(k.changes), len(k.seals), len(changes), len(seals))
	}
	for h, acked := range o.acked {
		if acked == 0 || acked <= now[h] || acked <= now[1-h] && o.links[h][acked-1] == o.links[1-h][acked-1] {
			continue
		}
		o.t.Fatalf("block %d of %d was acknowledged, and is lost", acked, h)
	}
}

// draw makes two histories that are one up to a point.
func (o *oracle) draw() {
	commit := func(s *source, n int) {
		batch := holds(fmt.Sprint("from-", len(s.said)), n, rapid.IntRange(0, 5).Draw(o.t, "changes"))
		batch.Time += int64(n)
		if rapid.Bool().Draw(o.t, "seals") {
			batch.Seals = []journal.Seal{{Interval: usage.Window{Start: int64(n), End: int64(n) + 1}, Digest: journal.Digest{byte(n)}}}
		}
		s.commit(o.t, batch)
	}
	a := newSource(o.t, o.cluster, "a", &blocks{}, nil)
	together := rapid.IntRange(0, 4).Draw(o.t, "together")
	for n := range together {
		commit(a, n)
	}
	b := newSource(o.t, o.cluster, "b", a.blocks, a.said)
	for i, s := range []*source{a, b} {
		for n := range rapid.IntRange(1, 5).Draw(o.t, "apart") {
			commit(s, together+n)
		}
		o.histories[i], o.said[i] = s.all(), s.said
		for _, stored := range o.histories[i] {
			o.links[i] = append(o.links[i], whole(o.t, stored).Digest)
		}
	}
}

// Whatever is sent by two writers with one UID, in whatever order and however often, and
// wherever an append is ended: the hub has the beginning of one history, with just its rows,
// and all that it acknowledged.
func TestAnyInterleaving(t *testing.T) {
	server := postgres.Start(t)
	store, location := database(t, server)
	other := open(t, location)
	admin, err := pgx.Connect(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	ends := 0
	rapid.Check(t, func(t *rapid.T) {
		o := &oracle{t: t, hub: []*hub.Store{store, other}, cluster: enrolled(t, store)}
		o.draw()
		some := func(history int) int {
			// Often the one that comes next: else hardly anything is ever taken.
			if next := o.has(history); next >= 0 && next < len(o.histories[history]) && rapid.IntRange(0, 2).Draw(t, "next") > 0 {
				return next
			}
			return rapid.IntRange(0, len(o.histories[history])-1).Draw(t, "block")
		}
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			history := rapid.IntRange(0, 1).Draw(t, "history")
			sender := o.hub[rapid.IntRange(0, 1).Draw(t, "replica")]
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				o.race([2]int{some(0), some(1)})
			case 1:
				f := &fate{statement: rapid.IntRange(0, 6).Draw(t, "statement"), cancels: rapid.Bool().Draw(t, "cancels"), admin: admin}
				o.send(sender, history, some(history), f)
				if f.struck.Load() {
					ends++
				}
			default:
				o.send(sender, history, some(history), nil)
			}
			o.compare()
		}
		// The one that was first can send all that there is.
		winner := 0
		if o.has(1) > o.has(0) {
			winner = 1
		}
		for n := range o.histories[winner] {
			o.send(store, winner, n, nil)
		}
		if o.compare(); o.has(winner) != len(o.histories[winner]) {
			t.Fatalf("the hub has %d blocks of %d", o.has(winner), len(o.histories[winner]))
		}
	})
	if ends == 0 {
		t.Error("no append was ended in the middle")
	}
}
