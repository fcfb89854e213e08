package history_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/chronology"
	"github.com/usage-operator/usage-operator/internal/chronology/history"
	"github.com/usage-operator/usage-operator/test/controlplane"
)

// leaseSeconds is how often the Lease that is renewed most seldom is: an API server's own.
const leaseSeconds = 10

var plane *controlplane.ControlPlane

func TestMain(m *testing.M) {
	options := controlplane.Options{Components: controlplane.APIOnly()}
	os.Exit(controlplane.Main(m, options, func(_ context.Context, started *controlplane.ControlPlane) error {
		plane = started
		return nil
	}))
}

// counted counts the lists.
type counted struct {
	history.Leases
	lists int
}

func (c *counted) List(ctx context.Context, opts metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	c.lists++
	return c.Leases.List(ctx, opts)
}

func leases() *counted {
	return &counted{Leases: history.SystemLeases(metadata.NewForConfigOrDie(plane.RESTConfig()))}
}

// deletion is a write that leaves nothing to date it by, and when it was made.
type deletion struct {
	revision      uint64
	before, after int64
}

// deleteOne makes an object and deletes it, and learns the deletion's revision from a watch.
func deleteOne(t *testing.T, clients kubernetes.Interface, name string) deletion {
	t.Helper()
	configMaps := clients.CoreV1().ConfigMaps(metav1.NamespaceDefault)
	object, err := configMaps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	watch, err := configMaps.Watch(t.Context(), metav1.ListOptions{
		ResourceVersion: object.ResourceVersion, FieldSelector: "metadata.name=" + name,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	d := deletion{before: time.Now().Unix()} //nolint:forbidigo // What really happens has the real time.
	if err := configMaps.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	d.after = clock.RealClock{}.Now().Unix()
	gone := (<-watch.ResultChan()).Object.(*corev1.ConfigMap)
	d.revision, err = strconv.ParseUint(gone.ResourceVersion, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// busy writes some revisions a second until the test ends.
func busy(t *testing.T, clients kubernetes.Interface) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	configMaps := clients.CoreV1().ConfigMaps(metav1.NamespaceDefault)
	if _, err := configMaps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "busy"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			patch := fmt.Appendf(nil, `{"data":{"i":"%d"}}`, i)
			// The API server is restarted meanwhile.
			_, _ = configMaps.Patch(ctx, "busy", types.MergePatchType, patch, metav1.PatchOptions{})
		}
	}()
}

func unlimited() *kubernetes.Clientset {
	config := plane.RESTConfig()
	config.QPS = -1
	return kubernetes.NewForConfigOrDie(config)
}

// renewed waits until the API server has renewed its Lease.
func renewed(t *testing.T) {
	t.Helper()
	before := ""
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		list, err := leases().List(ctx, metav1.ListOptions{LabelSelector: "apiserver.kubernetes.io/identity=kube-apiserver"})
		if err != nil || len(list.Items) != 1 {
			return false, err
		}
		is := list.Items[0].ResourceVersion
		if before == "" {
			before = is
		}
		return is != before, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestADeletionOfThePastIsDatedByTheLeases(t *testing.T) {
	clients := unlimited()
	busy(t, clients)
	var deletions []deletion
	for i := range 3 {
		renewed(t)
		deletions = append(deletions, deleteOne(t, clients, fmt.Sprintf("gone-%d", i)))
	}
	renewed(t)
	renewed(t)
	away := int64(0) // for how long there was no API server, in seconds: it makes its Lease anew then
	check := func(t *testing.T) {
		for _, d := range deletions {
			c, from := &chronology.Clock{}, leases()
			if err := history.Probe(t.Context(), from, c, d.revision); err != nil {
				t.Fatal(err)
			}
			earliest, latest := c.Bounds(d.revision, math.MaxInt64)
			t.Logf("revision %d, deleted in [%d, %d]: bounds [%d, %d], %d s apart, by %d lists",
				d.revision, d.before, d.after, earliest, latest, latest-earliest, from.lists)
			if earliest > d.after || latest < d.before {
				t.Errorf("revision %d: deleted in [%d, %d], outside the bounds [%d, %d]", d.revision, d.before, d.after, earliest, latest)
			}
			if latest-earliest > 2*leaseSeconds+away+3 { // it was before the second renewal after it
				t.Errorf("revision %d: [%d, %d] are %d s apart", d.revision, earliest, latest, latest-earliest)
			}
			if from.lists > 24 {
				t.Errorf("revision %d: %d lists", d.revision, from.lists)
			}
		}
	}
	t.Run("from the watch cache", check)
	began := clock.RealClock{}.Now()
	if err := plane.Restart(t.Context(), controlplane.APIServer); err != nil {
		t.Fatal(err)
	}
	renewed(t)
	away = int64(clock.RealClock{}.Since(began).Seconds()) + 1
	t.Run("after a restart of the API server", check)

	t.Run("and no longer once it is compacted", func(t *testing.T) {
		if out, err := plane.Etcdctl(t.Context(), "compact", strconv.FormatUint(deletions[2].revision, 10)); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		c := &chronology.Clock{}
		if err := history.Probe(t.Context(), leases(), c, deletions[0].revision); err != nil {
			t.Error(err)
		}
		if earliest, latest := c.Bounds(deletions[0].revision, math.MaxInt64); earliest != 0 || latest != math.MaxInt64 {
			t.Errorf("bounds [%d, %d]: the Leases of now say nothing of it", earliest, latest)
		}
	})
}

func TestNothingIsAskedForWhereItIsNotNeeded(t *testing.T) {
	cases := map[string]struct {
		revision uint64
		lists    int
	}{
		"one moment already": {revision: 15, lists: 0},
		"no revision":        {revision: 0, lists: 0},
		"not written yet":    {revision: 1 << 60, lists: 1},
		"etcd has no more":   {revision: 1, lists: 2},
		"the last possible":  {revision: math.MaxUint64, lists: 1},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			c, from := &chronology.Clock{}, leases()
			c.AtLeast(10, 100)
			c.Before(20, 100)
			if err := history.Probe(t.Context(), from, c, test.revision); err != nil {
				t.Fatal(err)
			}
			if from.lists != test.lists {
				t.Errorf("%d lists, want %d", from.lists, test.lists)
			}
		})
	}
}
