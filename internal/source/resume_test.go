package source_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/test/controlplane"
)

// last is the name of what the last change creates.
const last = "last"

// oracle is what the API server's own watch says while do does its changes, and
// last is created.
func (w *world) oracle(t *testing.T, do func()) []change {
	t.Helper()
	events, err := dynamicClient().Watch(t.Context(), metav1.ListOptions{ResourceVersion: w.now(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Stop()
	do()
	w.create(t, last)
	var changes []change
	for event := range events.ResultChan() {
		object, ok := event.Object.(*unstructured.Unstructured)
		if !ok {
			t.Fatalf("the watch delivered %v", event.Object)
		}
		if object.GetNamespace() == w.namespace && ours(object) {
			changes = append(changes, changeOf(event.Type, object))
			if object.GetName() == last {
				return changes
			}
		}
	}
	t.Fatal("the oracle's watch ended")
	return nil
}

// tells checks that the source tells these changes, as replays and in order,
// and how it came by them.
func (w *world) tells(t *testing.T, how source.Bridge, from source.Position, want []change) {
	t.Helper()
	w.has(t, "replayed ADDED "+last, "resumed: "+how.String())
	w.mu.Lock()
	defer w.mu.Unlock()
	if diff := cmp.Diff(want, w.changes); diff != "" {
		t.Errorf("the changes (-happened +told):\n%s", diff)
	}
	if want := []bridged{{how, from}}; !slices.Equal(w.resumed, want) {
		t.Errorf("resumed %v, want %v", w.resumed, want)
	}
	for _, line := range w.lines {
		if slices.Contains([]string{"list 0 for <nil>", "list 1 for <nil>"}, line) {
			t.Errorf("it listed: %q", w.lines)
		}
	}
}

// changes are some of all sorts.
func (w *world) changeThings(t *testing.T) {
	w.update(t, "updated", "1")
	w.update(t, "updated", "2")
	w.create(t, "created")
	w.delete(t, "deleted")
	w.create(t, "came-and-went")
	w.update(t, "came-and-went", "1")
	w.update(t, "recreated", "1")
	w.delete(t, "recreated")
	w.create(t, "recreated")
	w.delete(t, "came-and-went")
	w.update(t, "updated", "3")
	w.update(t, "recreated", "2")
	w.delete(t, "updated-and-deleted")
}

func (w *world) createThings(t *testing.T) {
	for _, name := range []string{"updated", "deleted", "recreated", "updated-and-deleted", "kept"} {
		w.create(t, name)
	}
}

// left is a world whose source has seen things and was stopped.
func left(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, dynamicClient())
	stop := w.run(t)
	w.looks(t)
	w.createThings(t)
	w.has(t, "ADDED kept")
	stop()
	return w
}

func TestWhatHappenedWhileAwayIsReplayedByTheWatch(t *testing.T) {
	w := left(t)
	from := w.source.Position()
	happened := w.oracle(t, func() { w.changeThings(t) })
	w.restart(dynamicClient(), source.Options{})
	w.run(t)
	w.has(t, "list 3 for <nil>", "item deleted", "item kept", "item recreated", "item updated", "listed 3", "replayed MODIFIED updated")
	w.lacks(t, "item created")
	w.tells(t, source.Watched, from, happened)
	w.create(t, "live")
	w.has(t, "resumed: Watched", "ADDED live")
}

// An interval is sealed when all has been seen of it: by then it is known, too, how.
func TestWhatIsReplayedIsSeenWhenTheHandlerKnowsHow(t *testing.T) {
	w := left(t)
	w.changeThings(t)
	now := w.now(t)
	w.restart(dynamicClient(), source.Options{})
	reached := make(chan struct{})
	w.resuming = func() {
		select {
		case <-reached:
			t.Error("it was seen before the source had told that it resumed")
		case <-clockOfTests.After(200 * time.Millisecond):
		}
	}
	w.run(t)
	if err := w.source.Reach(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	close(reached)
	w.has(t, "resumed: Watched")
}

func TestWhatHappenedBeforeTheAPIServerRestartedIsReconstructed(t *testing.T) {
	clients := map[string]source.Options{"whole objects": {}, "metadata compared": {Metadata: metadataClient()}}
	for name, options := range clients {
		t.Run(name, func(t *testing.T) {
			w := left(t)
			from := w.source.Position()
			happened := w.oracle(t, func() { w.changeThings(t) })
			if err := plane.Restart(t.Context(), controlplane.APIServer); err != nil {
				t.Fatal(err)
			}
			w.restart(dynamicClient(), options)
			w.run(t)
			w.has(t, "listed 3", "replayed MODIFIED updated")
			w.tells(t, source.Reconstructed, from, happened)
			w.create(t, "live")
			w.has(t, "resumed: Reconstructed", "ADDED live")
		})
	}
}

// More revisions than are listed, and more objects than are on a page.
func TestALongHistoryOfManyObjectsIsSampled(t *testing.T) {
	w := newWorld(t, dynamicClient())
	stop := w.run(t)
	w.has(t, "listed 0")
	name := func(i int) string { return fmt.Sprintf("m%04d", i) }
	const objects = 1100
	parallel(objects, func(i int) { w.create(t, name(i)) })
	w.until(t, func() bool { return len(w.changes) == objects })
	stop()
	from := w.source.Position()
	happened := w.oracle(t, func() {
		parallel(objects, func(i int) {
			switch i % 20 {
			case 0:
				w.delete(t, name(i))
			case 1, 2, 3, 4, 5:
				w.update(t, name(i), strconv.Itoa(i))
			case 6:
				w.delete(t, name(i))
				w.create(t, name(i))
			case 7:
				w.create(t, "new-"+name(i))
			}
		})
	})
	if err := plane.Restart(t.Context(), controlplane.APIServer); err != nil {
		t.Fatal(err)
	}
	w.restart(dynamicClient(), source.Options{Metadata: metadataClient()})
	began := clockOfTests.Now()
	w.run(t)
	w.tells(t, source.Sampled, from, happened)
	t.Logf("%d changes of %d objects took %s", len(happened), objects, clockOfTests.Since(began))
}

func parallel(n int, do func(i int)) {
	group := sync.WaitGroup{}
	for worker := range 8 {
		group.Go(func() {
			for i := worker; i < n; i += 8 {
				do(i)
			}
		})
	}
	group.Wait()
}

// forgetThePast compacts etcd, and empties the API server's cache.
func (w *world) forgetThePast(t *testing.T) {
	t.Helper()
	if out, err := plane.Etcdctl(t.Context(), "compact", w.now(t)); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := plane.Restart(t.Context(), controlplane.APIServer); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsCompactedIsListed(t *testing.T) {
	w := left(t)
	from := w.source.Position()
	w.changeThings(t)
	w.forgetThePast(t)
	w.restart(dynamicClient(), source.Options{})
	w.run(t)
	w.has(t, "list 3 for <nil>", "list 1 for <nil>", "item created", "item kept", "listed 1")
	w.goesOnFrom(t, from)
	w.looks(t)
	w.update(t, "kept", "1")
	w.has(t, "MODIFIED kept")
}

// goesOnFrom waits until the source is up to date again. What etcd still had, from
// the compaction on, it was told as it happened, and nothing was listed as of now.
func (w *world) goesOnFrom(t *testing.T, from source.Position) {
	t.Helper()
	w.until(t, func() bool { return len(w.resumed) > 0 })
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := w.resumed[0]; len(w.resumed) > 1 || got.how >= source.Relisted || got.from != from {
		t.Errorf("resumed %v, from %v", w.resumed, from)
	}
}

func TestAPositionInTheFutureIsReportedAndListed(t *testing.T) {
	w := left(t)
	w.diary = &diary{}
	w.source = source.New(dynamicClient(), w.diary, clockOfTests,
		source.Options{From: source.Position{ResourceVersion: "1000000000", Time: clockOfTests.Now()}})
	w.run(t)
	w.fails(t, func(err error) bool { return errors.Is(err, source.ErrFuture) })
	w.has(t, "list 1 for <nil>", "item kept", "listed 1", "resumed: Relisted")
	w.lacks(t, "list 3 for <nil>")
	w.looks(t)
	w.update(t, "kept", "1")
	w.has(t, "MODIFIED kept")
}

// line is a client whose connection can be cut.
type line struct {
	source.Client
	mu      sync.Mutex
	cut     bool
	watches []watch.Interface
}

var errCut = errors.New("the line is cut")

func (l *line) Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return nil, errCut
	}
	w, err := l.Client.Watch(ctx, opts)
	if err == nil {
		l.watches = append(l.watches, w)
	}
	return w, err
}

func (l *line) List(ctx context.Context, opts metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	l.mu.Lock()
	cut := l.cut
	l.mu.Unlock()
	if cut {
		return nil, errCut
	}
	return l.Client.List(ctx, opts)
}

func (l *line) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	for _, w := range l.watches {
		w.Stop()
	}
	l.watches = nil
}

// cutOff is a world whose source has seen things and cannot reach the API server.
func cutOff(t *testing.T, options source.Options) (*world, *line) {
	t.Helper()
	l := &line{Client: dynamicClient()}
	w := newWorldWith(t, l, options)
	w.run(t)
	w.looks(t)
	w.createThings(t)
	w.has(t, "ADDED kept")
	l.set(true)
	w.fails(t, func(err error) bool { return errors.Is(err, errCut) })
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changes, w.lines = nil, nil
	return w, l
}

func TestALostConnectionLosesNothing(t *testing.T) {
	cases := map[source.Bridge]func() error{
		source.Watched:       func() error { return nil },
		source.Reconstructed: func() error { return plane.Restart(t.Context(), controlplane.APIServer) },
	}
	for how, meanwhile := range cases {
		t.Run(how.String(), func(t *testing.T) {
			w, l := cutOff(t, source.Options{})
			from := w.source.Position()
			happened := w.oracle(t, func() { w.changeThings(t) })
			if err := meanwhile(); err != nil {
				t.Fatal(err)
			}
			l.set(false)
			w.tells(t, how, from, happened)
			w.create(t, "live")
			w.has(t, "resumed: "+how.String(), "ADDED live")
		})
	}
}

func TestALostConnectionWhoseHistoryIsGoneLeadsToAList(t *testing.T) {
	w, l := cutOff(t, source.Options{})
	from := w.source.Position()
	w.changeThings(t)
	w.forgetThePast(t)
	l.set(false)
	w.has(t, "list 1 for <nil>", "item created", "item kept", "listed 1")
	w.goesOnFrom(t, from)
}

func TestWhoeverWantsTheLatestAloneGetsAList(t *testing.T) {
	w, l := cutOff(t, source.Options{Latest: true})
	w.changeThings(t)
	if err := plane.Restart(t.Context(), controlplane.APIServer); err != nil {
		t.Fatal(err)
	}
	l.set(false)
	w.has(t, "list 1 for <nil>", "item created", "listed 1", "resumed: Relisted")
}
