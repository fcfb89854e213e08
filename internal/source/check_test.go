package source_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/usage-operator/usage-operator/internal/source"
)

// replica holds what a source has told of one namespace, and compares it with
// what the checks show.
type replica struct {
	diary
	namespace string
	known     map[string]string // name to revision
	shown     map[string]string
	checked   int
	wrong     []map[string]string
}

func (r *replica) Listing(source.List) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shown = map[string]string{}
}

func (r *replica) Item(_ source.List, object *unstructured.Unstructured, _ time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if object.GetNamespace() == r.namespace {
		r.shown[object.GetName()] = object.GetResourceVersion()
	}
}

func (r *replica) Listed(list source.List, resourceVersion string, _ time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if list.Origin != source.Check {
		r.known = r.shown
		return
	}
	r.checked++
	if !maps.Equal(r.known, r.shown) || resourceVersion != list.ResourceVersion {
		r.wrong = append(r.wrong, r.known, r.shown)
	}
}

func (r *replica) Changed(change source.Change, _ time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case change.Object.GetNamespace() != r.namespace:
	case change.Type == watch.Deleted:
		delete(r.known, change.Object.GetName())
	default:
		r.known[change.Object.GetName()] = change.Object.GetResourceVersion()
	}
}

func TestChecksShowExactlyTheStateAtThePosition(t *testing.T) {
	w := newWorld(t, dynamicClient())
	r := &replica{namespace: w.namespace}
	w.source = source.New(dynamicClient(), r, clockOfTests, source.Options{CheckEvery: 100 * time.Millisecond})
	w.run(t)
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for writer := range 4 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				name := "w" + strconv.Itoa(writer) + "-" + strconv.Itoa(i%20)
				w.create(t, name)
				w.update(t, name, "1")
				if i%3 > 0 {
					w.delete(t, name)
				} else {
					w.update(t, name, "2")
					w.delete(t, name)
				}
			}
		})
	}
	r.until(t, func() bool { return r.checked >= 20 })
	stop()
	writers.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wrong != nil || len(r.resumed) > 0 {
		t.Errorf("checks differ: %v; resumed %v", r.wrong, r.resumed)
	}
}

// inattentive is a client whose watches lack events of these types.
type inattentive struct {
	source.Client
	to []watch.EventType
}

func (c inattentive) Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	w, err := c.Client.Watch(ctx, opts)
	if err != nil {
		return nil, err
	}
	return watch.Filter(w, func(e watch.Event) (watch.Event, bool) { return e, !slices.Contains(c.to, e.Type) }), nil
}

func TestACheckFindsALostRemovalThoughNothingElseHappens(t *testing.T) {
	w := newWorld(t, nil)
	r := &replica{namespace: w.namespace}
	w.source = source.New(inattentive{dynamicClient(), []watch.EventType{watch.Deleted, watch.Bookmark}}, r, clockOfTests, source.Options{
		CheckEvery: 100 * time.Millisecond, Metadata: inattentive{dynamicClient(), []watch.EventType{watch.Deleted}},
	})
	w.run(t)
	w.create(t, "lost")
	r.until(t, func() bool { return r.known["lost"] != "" })
	w.delete(t, "lost")
	r.until(t, func() bool { return r.shown["lost"] == "" && len(r.wrong) > 0 })
}

// forgetful is a client that cannot read the past.
type forgetful struct{ source.Client }

var errForgetful = errors.New("the past is not known")

func (c forgetful) List(ctx context.Context, opts metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	if opts.ResourceVersionMatch == metav1.ResourceVersionMatchExact {
		return nil, errForgetful
	}
	return c.Client.List(ctx, opts)
}

func TestChecksThatFailAreReportedWhenTheyGoOnFailing(t *testing.T) {
	w := newWorldWith(t, forgetful{dynamicClient()}, source.Options{CheckEvery: 100 * time.Millisecond})
	w.run(t)
	w.fails(t, func(err error) bool { return errors.Is(err, errForgetful) })
	if len(w.failures) != 1 {
		t.Errorf("reported %v: want it once, after three", w.failures)
	}
	w.create(t, "undisturbed")
	w.has(t, "listed 0", "ADDED undisturbed")
	w.lacks(t, "resumed: Watched")
}
