package collector

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/source"
)

// virtual is the time of the test's own bubble.
var virtual clock.RealClock

// lanes are kinds by name: those that catch up, and those that are up to date.
func lanes(t *turns, behind, current []string) map[string]*feed {
	feeds := map[string]*feed{}
	for _, name := range behind {
		from := source.Position{ResourceVersion: "1", Time: time.Unix(1, 0)}
		feeds[name] = &feed{source: source.New(nil, nil, virtual, source.Options{From: from})}
	}
	for _, name := range current {
		feeds[name] = &feed{source: source.New(nil, nil, virtual, source.Options{})}
	}
	for _, f := range feeds {
		t.enter(f)
	}
	return feeds
}

// waiting is a change that waits for its turn.
func waiting(t *turns, f *feed, revision uint64) (done chan struct{}) {
	done = make(chan struct{})
	came := virtual.Now()
	go func() {
		t.wait(context.Background(), f, revision, came)
		t.came(f, revision)
		close(done)
	}()
	synctest.Wait()
	return done
}

func over(done chan struct{}) bool {
	synctest.Wait()
	select {
	case <-done:
		return true
	default:
		return false
	}
}

func TestAChangeWaitsForKindsThatCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(virtual)
		f := lanes(turns, []string{"pods", "owners"}, []string{"nodes"})
		pod := waiting(turns, f["pods"], 10)
		if over(pod) {
			t.Fatal("a pod's change of revision 10 went ahead of owners that are at 0")
		}
		turns.came(f["owners"], 9)
		if over(pod) {
			t.Fatal("a pod's change of revision 10 went ahead of owners that are at 9")
		}
		turns.came(f["owners"], 10)
		if !over(pod) {
			t.Fatal("a pod's change of revision 10 waits for owners that are past it")
		}
	})
}

func TestOfAllThatWaitTheFirstGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(virtual)
		f := lanes(turns, []string{"pods", "owners", "claims"}, nil)
		pod := waiting(turns, f["pods"], 10)
		claim := waiting(turns, f["claims"], 12)
		if over(pod) || over(claim) {
			t.Fatal("a change did not wait for owners")
		}
		owner := waiting(turns, f["owners"], 11)
		if !over(pod) {
			t.Fatal("the change of revision 10 waits, though all others wait with later ones")
		}
		// The kind of the first catches up further, and is past them all.
		turns.came(f["pods"], 20)
		if !over(owner) {
			t.Fatal("the change of revision 11 waits, and is the first now")
		}
		turns.came(f["owners"], 20)
		if !over(claim) {
			t.Fatal("the last one waits for nothing")
		}
	})
}

// A kind that gets on is waited for, and one beside it that does not is given up.
func TestAKindThatGetsOnIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(virtual)
		f := lanes(turns, []string{"owners", "claims"}, []string{"pods"})
		pod := waiting(turns, f["pods"], 10)
		for revision := range uint64(5) {
			<-virtual.After(turnsWait - time.Second)
			if turns.came(f["owners"], revision+1); over(pod) {
				t.Fatalf("it went ahead of owners that get on, and are at %d", revision+1)
			}
		}
		turns.mu.Lock()
		if !turns.lanes[f["claims"]].given || turns.lanes[f["owners"]].given {
			t.Error("given up are not the claims, which do not get on, alone")
		}
		turns.mu.Unlock()
		<-virtual.After(turnsWait)
		if !over(pod) {
			t.Error("it still waits for owners that do not get on any more")
		}
	})
}

// A kind that waits itself gets its turn, however long it has waited.
func TestWhoHasWaitedForOthersIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(virtual)
		f := lanes(turns, []string{"owners", "claims"}, []string{"pods"})
		claim := waiting(turns, f["claims"], 5)
		pod := waiting(turns, f["pods"], 10)
		for revision := range uint64(4) {
			<-virtual.After(turnsWait - time.Second)
			turns.came(f["owners"], revision+1)
		}
		turns.came(f["owners"], 30)
		if !over(claim) {
			t.Error("a claim's change waits for owners that are past it")
		}
		turns.mu.Lock()
		if turns.lanes[f["claims"]].given {
			t.Error("claims are given up, which waited for owners all the time")
		}
		turns.mu.Unlock()
		if over(pod) {
			t.Error("the pod's change went ahead of claims that are at 5")
		}
		turns.came(f["claims"], 10)
		if !over(pod) {
			t.Error("the pod's change waits for nothing")
		}
	})
}

// No kind stops the others for longer than turnsAtMost, whatever tenants do with its objects.
func TestAKindThatGetsOnForLongIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(virtual)
		f := lanes(turns, []string{"owners"}, []string{"pods"})
		began := virtual.Now()
		pod := waiting(turns, f["pods"], 1000)
		for revision := uint64(1); !over(pod); revision++ {
			<-virtual.After(time.Second)
			turns.came(f["owners"], revision)
		}
		if waited := virtual.Since(began); waited < turnsAtMost || waited > turnsAtMost+2*time.Second {
			t.Errorf("it waited for %s", waited)
		}
	})
}

func TestNoChangeWaitsForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(virtual)
		f := lanes(turns, []string{"owners"}, []string{"pods"})
		began := virtual.Now()
		<-waiting(turns, f["pods"], 10)
		if waited := virtual.Since(began); waited != turnsWait {
			t.Errorf("waited %s, want %s", waited, turnsWait)
		}
		began = virtual.Now()
		<-waiting(turns, f["pods"], 11)
		if waited := virtual.Since(began); waited != 0 {
			t.Errorf("a kind that was waited for in vain is waited for again: %s", waited)
		}
		turns.caughtUp(f["owners"])
		second := waiting(turns, f["pods"], 12)
		if over(second) {
			t.Error("a kind that caught up, and fell behind again, is not waited for")
		}
		turns.leave(f["owners"])
		if !over(second) {
			t.Error("a kind that is followed no more is waited for")
		}
	})
}

func TestWhatIsUpToDateDelaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(virtual)
		f := lanes(turns, nil, []string{"owners", "pods"})
		if pod := waiting(turns, f["pods"], 10); !over(pod) {
			t.Error("a change waits for a kind where nothing happens")
		}
	})
}

func TestTheNamespaceOfAnObject(t *testing.T) {
	first := &namespace{uid: "first", created: 100}
	second := &namespace{uid: "second", created: 200, before: first}
	for _, c := range []struct {
		known   *namespace
		created int64
		want    string
	}{
		{second, 250, "second"},
		{second, 200, "second"},
		{second, 199, "first"},
		{second, 0, "second"},        // it does not say
		{first, 100 - skew, "first"}, // stamped by another API server
		{first, 100 - skew - 1, ""},  // of one that nobody knows any more
		{second, 100 - skew - 1, ""}, // likewise
	} {
		got := ""
		if n := c.known.of(c.created); n != nil {
			got = n.uid
		}
		if got != c.want {
			t.Errorf("created at %d, where the namespace is %s: %q, want %q", c.created, c.known.uid, got, c.want)
		}
	}
}
