package archive

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// restoredFrom is a journal that an archive was restored into, by a restoration that ended after
// any day, and by the next one.
func restoredFrom(t *rapid.T, a *Archive) *journal.State {
	to, r := blockStore{}, restoration(t, a, clusterA)
	ctx, end := context.WithCancel(context.Background())
	left := rapid.IntRange(1, 5).Draw(t, "days until it ends")
	if err := a.Restore(ctx, restoringIn(endingStore{to, ctx}), r, r.End, func(*Manifest) {
		if left--; left == 0 {
			end()
		}
	}); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	end()
	if state, err := journalIn(to).Load(context.Background()); err != nil || state.Sequence > 0 && Unfinished(state) != (state.Positions == nil) {
		t.Fatalf("interrupted: %+v, %v", state, err)
	}
	days := 0
	if err := a.Restore(context.Background(), restoringIn(to), r, r.End, func(*Manifest) { days++ }); err != nil {
		t.Fatal(err)
	}
	if err := a.Restore(context.Background(), restoringIn(to), r, r.End, func(*Manifest) { t.Fatal("restored twice") }); err != nil {
		t.Fatal(err)
	}
	state, err := journalIn(to).Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if Unfinished(state) {
		t.Fatal("it is unfinished")
	}
	if n := len(state.Seals); n == 0 || state.Seals[n-1].Digest != r.Seal || state.Time != r.End {
		t.Fatalf("restored until %s with %d seals: want %s, and %s", moment(state.Time), n, moment(r.End), r.Seal)
	}
	want := []journal.Position{{Kind: "VM", Time: r.End, Checked: r.End}}
	if diff := cmp.Diff(want, state.Positions); diff != "" {
		t.Fatalf("positions, want - got +:\n%s", diff)
	}
	return state
}

func restoration(t rapid.TB, a *Archive, cluster string) *Restoration {
	r, err := a.Restoration(context.Background(), cluster)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// restoringIn is a journal that is restored.
func restoringIn(blocks journal.Store) *journal.Journal {
	return journal.New(journal.Options{Store: blocks, Writer: RestoredBy + "_1", Cluster: clusterA, Clock: someClock(), Log: logr.Discard()})
}

// endingStore refuses what comes once ctx is done, as a process that has ended writes nothing.
type endingStore struct {
	blockStore
	ctx context.Context
}

func (e endingStore) Create(ctx context.Context, key journal.Key, spec []byte) error {
	if e.ctx.Err() != nil {
		return e.ctx.Err()
	}
	return e.blockStore.Create(ctx, key, spec)
}

// A day of which there are two machines, one of which goes on.
func twoMachines(t *testing.T) (*history, *Archive) {
	h, err := newHistory()
	if err != nil {
		t.Fatal(err)
	}
	at := func(second int64) usage.Boundary { return usage.Boundary{At: began + second, Evidence: usage.Observed} }
	ended := held(1, 2, at(100))
	ended.End = at(5000)
	if err := h.advance(int64(firstDay.Next()), []usage.Change{held(0, 4, at(50)), ended}, nil); err != nil {
		t.Fatal(err)
	}
	a, err := open(t.Context(), objects{}, "archive", Options{Cluster: clusterA, Writes: true})
	if err != nil {
		t.Fatal(err)
	}
	caughtUp(t, a, h)
	return h, a
}

// TestRestoreIntoAnotherCluster: nothing is known of what the archive's cluster had since, and
// the stretch says so.
func TestRestoreIntoAnotherCluster(t *testing.T) {
	_, a := twoMachines(t)
	to, r := blockStore{}, restoration(t, a, "cluster-b")
	if !r.Elsewhere || r.First != firstDay || r.Last != firstDay || r.Bytes == 0 {
		t.Errorf("%+v", r)
	}
	now := r.End + 7*aDay
	if err := a.Restore(t.Context(), journalIn(to), r, now, func(*Manifest) {}); err != nil {
		t.Fatal(err)
	}
	state, err := journalIn(to).Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range state.Meters {
		if m.Defined != now {
			t.Errorf("what another cluster has counts from %s: want %s", moment(m.Defined), moment(now))
		}
	}
	open := slices.DeleteFunc(slices.Clone(state.Segments), func(c usage.Change) bool { return !c.End.IsZero() })
	if len(open) != 1 || open[0].Subject.Resource.UID != "uid-0000" || len(state.Segments) != 2 {
		t.Errorf("open: %+v of %d", open, len(state.Segments))
	}
	want := []usage.Stretch{{Meter: "vm", Coverage: usage.CoverageUnknown, Window: usage.Window{Start: r.End, End: now}}}
	if diff := cmp.Diff(want, state.Coverage); diff != "" {
		t.Errorf("coverage, want - got +:\n%s", diff)
	}
}

// TestRestoreRefuses what would mix two histories.
func TestRestoreRefuses(t *testing.T) {
	h, a := twoMachines(t)
	r := restoration(t, a, clusterA)
	err := a.Restore(t.Context(), journalIn(h.blocks), r, r.End, func(*Manifest) {})
	if err != nil { // it has just what the archive has
		t.Error(err)
	}
	if err := h.advance(int64(firstDay.Next())+3600, nil, nil); err != nil {
		t.Fatal(err)
	}
	err = a.Restore(t.Context(), journalIn(h.blocks), r, r.End, func(*Manifest) { t.Error("something was restored") })
	if err == nil || !strings.Contains(err.Error(), "the journal is not empty") {
		t.Errorf("into a journal that goes on: %v", err)
	}
	empty, err := open(t.Context(), objects{}, "archive", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := empty.Restoration(t.Context(), clusterA); !errors.Is(err, ErrEmpty) {
		t.Errorf("an empty archive: %v", err)
	}
}

// TestAMeterThatWasGone before the last chapter was made has nothing open: nothing would ever end it.
func TestAMeterThatWasGone(t *testing.T) {
	c := &Chapter{Day: firstDay, Lists: journal.Lists{Meters: []journal.Meter{{Name: "vm"}}}}
	goesOn := func(meter string) usage.Change {
		s := held(0, 1, usage.Boundary{At: began, Evidence: usage.Observed})
		s.Meter, s.End = meter, usage.Boundary{At: int64(firstDay.Next()), Evidence: usage.IntervalCut}
		return s
	}
	c.Segments = []usage.Change{goesOn("vm"), goesOn("gone")}
	for _, s := range c.rows(true, true) {
		if s.End.IsZero() != (s.Meter == "vm") {
			t.Errorf("%s ends at %+v", s.Meter, s.End)
		}
	}
}
