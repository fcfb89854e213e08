package source_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/usage-operator/usage-operator/internal/source"
)

// The revision is that of another kind: nobody has asked the API server what is
// current of this one.
func TestAQuietKindReachesTheCurrentRevisionWithinSeconds(t *testing.T) {
	quiet := dynamic.NewForConfigOrDie(plane.RESTConfig()).
		Resource(schema.GroupVersionResource{Version: "v1", Resource: "limitranges"})
	w := newWorld(t, quiet)
	w.run(t)
	w.has(t, "listed 0")
	for range 3 {
		w.create(t, "elsewhere")
		w.delete(t, "elsewhere")
		now := w.now(t)
		if !source.Newer(now, w.source.Position().ResourceVersion) {
			t.Fatalf("at %s already: want it before %s", w.source.Position().ResourceVersion, now)
		}
		began := clockOfTests.Now()
		var callers sync.WaitGroup
		for range 3 {
			callers.Go(func() {
				if err := w.source.Reach(t.Context(), now); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		took := clockOfTests.Since(began)
		t.Logf("reached in %s", took)
		if took > 30*time.Second {
			t.Errorf("it took %s: as if it had waited for the bookmark that comes each minute", took)
		}
		if source.Newer(now, w.source.Position().ResourceVersion) {
			t.Errorf("at %s: want %s", w.source.Position().ResourceVersion, now)
		}
	}
}

func TestABusyKindReachesARevisionByItsOwnWatch(t *testing.T) {
	w := newWorld(t, dynamicClient())
	w.run(t)
	w.looks(t)
	w.create(t, "busy")
	object, err := w.client.CoreV1().ConfigMaps(w.namespace).Get(t.Context(), "busy", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.source.Reach(t.Context(), object.ResourceVersion); err != nil {
		t.Fatal(err)
	}
	w.has(t, "ADDED busy")
}

// slow is a client whose watch takes its time for each event.
type slow struct{ source.Client }

func (c *slow) Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	w, err := c.Client.Watch(ctx, opts)
	if err != nil {
		return nil, err
	}
	events := make(chan watch.Event)
	go func() {
		defer close(events)
		defer w.Stop()
		for event := range w.ResultChan() {
			select {
			case <-clockOfTests.After(20 * time.Millisecond):
				events <- event
			case <-ctx.Done():
				return
			}
		}
	}()
	return watch.NewProxyWatcher(events), nil
}

// watched counts the watches of a client.
type watched struct {
	source.Client
	count atomic.Int64
}

func (c *watched) Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	c.count.Add(1)
	return c.Client.Watch(ctx, opts)
}

func TestAWatchThatCatchesUpIsLeftToIt(t *testing.T) {
	second := &watched{Client: dynamicClient()}
	w := newWorldWith(t, &slow{Client: dynamicClient()}, source.Options{Metadata: second})
	w.run(t)
	w.looks(t)
	const many = 50 // a second's worth of events
	for i := range many {
		w.create(t, fmt.Sprintf("one-of-%02d", i))
	}
	last, err := w.client.CoreV1().ConfigMaps(w.namespace).Get(t.Context(), fmt.Sprintf("one-of-%02d", many-1), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.source.Reach(t.Context(), last.ResourceVersion); err != nil {
		t.Fatal(err)
	}
	if count := second.count.Load(); count > 0 {
		t.Errorf("%d more watches looked at what the first one was bringing", count)
	}
}

func TestReachEndsWithTheSource(t *testing.T) {
	w := newWorld(t, dynamicClient())
	stop := w.run(t)
	w.has(t, "listed 0")
	stop()
	if err := w.source.Reach(t.Context(), "1000000000"); err == nil {
		t.Error("reached, although the source has stopped")
	}
}

func TestReachEndsWithItsContext(t *testing.T) {
	w := newWorld(t, dynamicClient())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := w.source.Reach(ctx, "1"); err == nil {
		t.Error("reached, although the source does not run")
	}
}

// deaf is a client whose first watch delivers nothing, like a connection that
// hangs.
type deaf struct {
	source.Client
	once sync.Once
}

func (c *deaf) Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	var w watch.Interface
	c.once.Do(func() { w = watch.NewFake() })
	if w != nil {
		return w, nil
	}
	return c.Client.Watch(ctx, opts)
}

func TestAWatchThatHangsIsReplaced(t *testing.T) {
	w := newWorld(t, &deaf{Client: dynamicClient()})
	w.run(t)
	w.looks(t)
	w.create(t, "unheard")
	if err := w.source.Reach(t.Context(), w.now(t)); err != nil {
		t.Fatal(err)
	}
	w.has(t, "listed 0", "replayed ADDED unheard", "resumed: Watched")
}

func TestAKindThatIsRemovedAndInstalledAgain(t *testing.T) {
	client := dynamic.NewForConfigOrDie(plane.RESTConfig())
	definitions := client.Resource(apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions"))
	widgets := client.Resource(schema.GroupVersionResource{Group: "test.example.com", Version: "v1", Resource: "widgets"})
	install := func() {
		t.Helper()
		if _, err := definitions.Create(t.Context(), widgetDefinition(t), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t, widgets)
	createWidget := func(name string) {
		t.Helper()
		object := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "test.example.com/v1", "kind": "Widget",
			"metadata": map[string]any{"name": name, "labels": map[string]any{"ours": "yes"}},
		}}
		w.until(t, func() bool { // until it is served
			_, err := widgets.Namespace(w.namespace).Create(t.Context(), object, metav1.CreateOptions{})
			return err == nil
		})
	}
	w.run(t)
	w.fails(t, apierrors.IsNotFound)
	install()
	createWidget("one")
	w.until(t, func() bool { return w.mentions("one") })
	w.looks(t)
	if err := definitions.Delete(t.Context(), "widgets.test.example.com", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.has(t, "DELETED one")
	w.mu.Lock()
	w.failures = nil
	w.mu.Unlock()
	w.fails(t, apierrors.IsNotFound)
	install()
	createWidget("two")
	w.has(t, "list 1 for <nil>", "listed 1", "resumed: Reconstructed")
	w.until(t, func() bool { return w.mentions("two") })
}

// mentions tells whether the object came, in a list or by the watch. Called
// under the lock.
func (d *diary) mentions(name string) bool {
	for _, line := range d.lines {
		if line == "item "+name || line == "ADDED "+name || line == "replayed ADDED "+name {
			return true
		}
	}
	return false
}

func widgetDefinition(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	preserve := true
	definition := &apiextensionsv1.CustomResourceDefinition{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition"},
		ObjectMeta: metav1.ObjectMeta{Name: "widgets.test.example.com"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "test.example.com", Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "widgets", Kind: "Widget"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object", XPreserveUnknownFields: &preserve,
				}},
			}},
		},
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(definition)
	if err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: content}
}
