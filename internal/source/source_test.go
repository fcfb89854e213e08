package source_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/test/controlplane"
)

var plane *controlplane.ControlPlane

func TestMain(m *testing.M) {
	options := controlplane.Options{Components: controlplane.APIOnly()}
	os.Exit(controlplane.Main(m, options, func(_ context.Context, started *controlplane.ControlPlane) error {
		plane = started
		return nil
	}))
}

// diary is a handler that writes down what it is told, but for the objects
// that an API server makes by itself.
type diary struct {
	mu       sync.Mutex
	lines    []string
	changes  []change
	resumed  []bridged
	resuming func() // is called while the source tells that it resumed; nil: nothing is
	failures []error
}

// change is one that an API server's watch, or a source, told of.
type change struct {
	Type     watch.EventType
	Name     string
	UID      types.UID
	Revision string
	Value    string
}

func changeOf(kind watch.EventType, object *unstructured.Unstructured) change {
	value, _, _ := unstructured.NestedString(object.Object, "data", "value")
	return change{kind, object.GetName(), object.GetUID(), object.GetResourceVersion(), value}
}

type bridged struct {
	how  source.Bridge
	from source.Position
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func ours(object *unstructured.Unstructured) bool { return object.GetLabels()["ours"] == "yes" }

func (d *diary) Listing(list source.List) { d.note("list %d for %v", list.Origin, list.For) }
func (d *diary) Item(_ source.List, object *unstructured.Unstructured, _ time.Time) {
	if ours(object) {
		d.note("item %s", object.GetName())
	}
}
func (d *diary) Listed(list source.List, version string, _ time.Time) {
	if source.Revision(version) == 0 {
		d.note("a list at resourceVersion %q", version)
	}
	d.note("listed %d", list.Origin)
}
func (d *diary) Changed(change source.Change, _ time.Time) {
	if !ours(change.Object) {
		return
	}
	replayed := map[bool]string{true: "replayed "}[change.Replayed]
	d.note("%s%s %s", replayed, change.Type, change.Object.GetName())
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changes = append(d.changes, changeOf(change.Type, change.Object))
}
func (d *diary) Coming(changes []source.Change) {
	for _, change := range changes {
		if ours(change.Object) {
			d.note("coming %s %s", change.Type, change.Object.GetName())
		}
	}
}
func (d *diary) Resumed(how source.Bridge, from source.Position, _ time.Time) {
	if d.resuming != nil {
		d.resuming()
	}
	d.note("resumed: %s", how)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.resumed = append(d.resumed, bridged{how, from})
}
func (d *diary) Progress(string, time.Time) {}
func (d *diary) Failed(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failures = append(d.failures, err)
}

// has waits until the lines are in the diary, in this order, from the start on.
func (d *diary) has(t *testing.T, want ...string) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		at := 0
		for _, line := range d.lines {
			if at < len(want) && line == want[at] {
				at++
			}
		}
		return at == len(want), nil
	})
	if err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		t.Fatalf("want %q in this order\nin %q\nfailures: %v", want, d.lines, d.failures)
	}
}

// fails waits until the source tells such a failure.
func (d *diary) fails(t *testing.T, such func(error) bool) {
	t.Helper()
	d.until(t, func() bool { return slices.ContainsFunc(d.failures, such) })
}

// until waits until what is under the lock is so.
func (d *diary) until(t *testing.T, so func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		return so(), nil
	})
	if err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		t.Fatalf("in vain: %q\nfailures: %v", d.lines, d.failures)
	}
}

func (d *diary) lacks(t *testing.T, line string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.lines {
		if l == line {
			t.Fatalf("%q in %q", line, d.lines)
		}
	}
}

// world is a namespace of config maps, and a source that follows them.
type world struct {
	*diary
	client    kubernetes.Interface
	namespace string
	source    *source.Source
}

func newWorld(t *testing.T, client source.Client) *world {
	return newWorldWith(t, client, source.Options{})
}

func newWorldWith(t *testing.T, client source.Client, options source.Options) *world {
	t.Helper()
	clients := kubernetes.NewForConfigOrDie(plane.RESTConfig())
	namespace, err := clients.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "source-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{diary: &diary{}, client: clients, namespace: namespace.Name}
	w.source = source.New(client, w.diary, clockOfTests, options)
	return w
}

// run starts the source, and ends it with the test, or before.
func (w *world) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { w.source.Run(ctx); close(ended) }()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

// looks waits until the source looks live: what happens between its list and its
// watch is rightly said to be replayed. Only a watch does what is asked for.
func (w *world) looks(t *testing.T) {
	t.Helper()
	w.source.Replay("looks")
	w.has(t, "list 2 for looks", "listed 2")
}

// restart stops the source, if it runs, and puts another in its place, with a
// new diary, that goes on where it was.
func (w *world) restart(client source.Client, options source.Options) {
	options.From = w.source.Position()
	w.diary = &diary{}
	w.source = source.New(client, w.diary, clockOfTests, options)
}

func (w *world) create(t *testing.T, name string) {
	t.Helper()
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"ours": "yes"}}}
	if _, err := w.client.CoreV1().ConfigMaps(w.namespace).Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (w *world) update(t *testing.T, name, value string) {
	t.Helper()
	object, err := w.client.CoreV1().ConfigMaps(w.namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err == nil {
		object.Data = map[string]string{"value": value}
		_, err = w.client.CoreV1().ConfigMaps(w.namespace).Update(t.Context(), object, metav1.UpdateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) delete(t *testing.T, name string) {
	t.Helper()
	if err := w.client.CoreV1().ConfigMaps(w.namespace).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// now is the current resourceVersion, whether the source can ask for it or not.
func (w *world) now(t *testing.T) string {
	t.Helper()
	now, err := source.New(dynamicClient(), w.diary, clockOfTests, source.Options{}).Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return now
}

var clockOfTests = clock.RealClock{}

var configMaps = corev1.SchemeGroupVersion.WithResource("configmaps")

func dynamicClient() source.Client {
	return dynamic.NewForConfigOrDie(plane.RESTConfig()).Resource(configMaps)
}

func metadataClient() source.Client {
	return source.MetadataClient(metadata.NewForConfigOrDie(plane.RESTConfig()), configMaps,
		corev1.SchemeGroupVersion.WithKind("ConfigMap"))
}

func TestItListsThenWatches(t *testing.T) {
	clients := map[string]source.Client{
		"whole objects":  dynamicClient(),
		"metadata alone": metadataClient(),
	}
	for name, client := range clients {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, client)
			w.create(t, "there")
			w.run(t)
			w.has(t, "list 0 for <nil>", "item there", "listed 0")
			w.looks(t)
			w.create(t, "new")
			w.update(t, "new", "1")
			w.delete(t, "new")
			w.has(t, "ADDED new", "MODIFIED new", "DELETED new")
			w.delete(t, "there")
		})
	}
}

func TestAListOfManyPagesIsWhole(t *testing.T) {
	w := newWorld(t, dynamicClient())
	want := make([]string, 600)
	for i := range want {
		name := fmt.Sprintf("m%04d", i)
		w.create(t, name)
		want[i] = "item " + name
	}
	w.run(t)
	w.has(t, append(want, "listed 0")...)
}

func TestAReplayShowsEverythingAndDisturbsNothing(t *testing.T) {
	w := newWorld(t, dynamicClient())
	w.run(t)
	w.looks(t)
	w.create(t, "replayed")
	w.has(t, "ADDED replayed")
	w.source.Replay("somebody")
	w.has(t, "ADDED replayed", "list 2 for somebody", "item replayed", "listed 2")
	w.update(t, "replayed", "1")
	w.has(t, "listed 2", "MODIFIED replayed")
	w.lacks(t, "list 1 for <nil>")
}

func TestAKindThatMayNotBeReadSaysSo(t *testing.T) {
	config, _, err := plane.AddUser("nobody")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, dynamic.NewForConfigOrDie(config).Resource(configMaps))
	w.run(t)
	w.fails(t, apierrors.IsForbidden)
}
