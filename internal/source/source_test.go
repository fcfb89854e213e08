package source_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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
	ctx := context.Background()
	var err error
	plane, err = controlplane.Start(ctx, controlplane.Options{
		Components: controlplane.APIOnly(), EtcdUnsafeNoFsync: true, Progress: os.Stderr,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := plane.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// diary is a handler that writes down what it is told, but for the objects
// that an API server makes by itself.
type diary struct {
	mu      sync.Mutex
	lines   []string
	failure error
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
	d.note("%s %s", change.Type, change.Object.GetName())
}
func (d *diary) Resumed(how source.Bridge, _ source.Position, _ time.Time) {
	d.note("resumed: %s", how)
}
func (d *diary) Progress(string, time.Time) {}
func (d *diary) Failed(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failure = err
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
		t.Fatalf("want %q in this order\nin %q\nlast failure: %v", want, d.lines, d.failure)
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
	t.Helper()
	clients := kubernetes.NewForConfigOrDie(plane.RESTConfig())
	namespace, err := clients.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "source-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{diary: &diary{}, client: clients, namespace: namespace.Name}
	w.source = source.New(client, w.diary, clock.RealClock{}, source.Options{})
	return w
}

// run starts the source, and ends it with the test.
func (w *world) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { w.source.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
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

var configMaps = corev1.SchemeGroupVersion.WithResource("configmaps")

func dynamicClient() source.Client {
	return dynamic.NewForConfigOrDie(plane.RESTConfig()).Resource(configMaps)
}

func TestItListsThenWatches(t *testing.T) {
	clients := map[string]source.Client{
		"whole objects": dynamicClient(),
		"metadata alone": source.MetadataClient(metadata.NewForConfigOrDie(plane.RESTConfig()), configMaps,
			corev1.SchemeGroupVersion.WithKind("ConfigMap")),
	}
	for name, client := range clients {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, client)
			w.create(t, "there")
			w.run(t)
			w.has(t, "list 0 for <nil>", "item there", "listed 0")
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
	w.has(t, "listed 0")
	w.create(t, "replayed")
	w.has(t, "ADDED replayed")
	w.source.Replay("somebody")
	w.has(t, "ADDED replayed", "list 2 for somebody", "item replayed", "listed 2")
	w.update(t, "replayed", "1")
	w.has(t, "listed 2", "MODIFIED replayed")
	w.lacks(t, "list 1 for <nil>")
}

func TestItGoesOnWhenTheAPIServerComesBack(t *testing.T) {
	w := newWorld(t, dynamicClient())
	w.run(t)
	w.has(t, "listed 0")
	w.create(t, "before")
	w.has(t, "ADDED before")
	if err := plane.Restart(t.Context(), controlplane.APIServer); err != nil {
		t.Fatal(err)
	}
	w.create(t, "after")
	// The new server's cache starts empty: it goes on, or lists again and says so.
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for i, line := range w.lines {
			if line == "ADDED after" || (line == "item after" && i > 0) {
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		t.Fatalf("nothing of it in %q; last failure: %v", w.lines, w.failure)
	}
}

// expired is a client whose watch cannot go on where it was, once.
type expired struct {
	source.Client
	mu    sync.Mutex
	stale bool
}

func (c *expired) Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stale {
		c.stale = false
		// Older than anything that the API server still has.
		opts.ResourceVersion = "1"
	}
	return c.Client.Watch(ctx, opts)
}

func TestAPositionThatIsTooOldLeadsToAListThatSaysSo(t *testing.T) {
	client := &expired{Client: dynamicClient()}
	w := newWorld(t, client)
	w.create(t, "kept")
	// The history up to here goes, as it does a few minutes after any write.
	version, err := w.client.CoreV1().ConfigMaps(w.namespace).Get(t.Context(), "kept", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := plane.Etcdctl(t.Context(), "compact", version.ResourceVersion); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := plane.Restart(t.Context(), controlplane.APIServer); err != nil {
		t.Fatal(err)
	}
	client.stale = true
	w.run(t)
	w.has(t, "list 0 for <nil>", "item kept", "listed 0", "list 1 for <nil>", "item kept", "listed 1")
	w.update(t, "kept", "1")
	w.has(t, "listed 1", "MODIFIED kept")
}

func TestAKindThatMayNotBeReadSaysSo(t *testing.T) {
	config, _, err := plane.AddUser("nobody")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, dynamic.NewForConfigOrDie(config).Resource(configMaps))
	w.run(t)
	err = wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return apierrors.IsForbidden(w.failure), nil
	})
	if err != nil {
		t.Errorf("the failure is %v; want forbidden", w.failure)
	}
}
