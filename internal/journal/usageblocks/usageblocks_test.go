package usageblocks_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/usageblocks"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/controlplane"
)

var plane *controlplane.ControlPlane

func TestMain(m *testing.M) {
	options := controlplane.Options{Components: controlplane.APIOnly()}
	os.Exit(controlplane.Main(m, options, func(ctx context.Context, started *controlplane.ControlPlane) error {
		plane = started
		if _, err := plane.Kubectl(ctx, "apply", "--server-side", "-k", "../../../config/crd"); err != nil {
			return err
		}
		_, err := plane.Kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s", "crd/usageblocks.metering.usage-operator.dev")
		return err
	}))
}

// now is a moment that the clock has passed.
const now = 1793000000

var blocks = schema.GroupVersionResource{Group: "metering.usage-operator.dev", Version: "v1alpha1", Resource: "usageblocks"}

// namespace makes a namespace for one test's journal.
func namespace(t *testing.T) string {
	t.Helper()
	made, err := kubernetes.NewForConfigOrDie(plane.RESTConfig()).CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "journal-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made.Name
}

// store is a store in the namespace, whose requests go through wrap.
func store(t *testing.T, namespace string, wrap func(http.RoundTripper) http.RoundTripper) *usageblocks.Store {
	t.Helper()
	config := rest.CopyConfig(plane.RESTConfig())
	if wrap != nil {
		config.Wrap(wrap)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	s, err := usageblocks.New(config, client, namespace)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func opened(t *testing.T, s journal.Store, writer string) (*journal.Journal, *journal.State) {
	t.Helper()
	j := journal.New(journal.Options{Store: s, Writer: writer, Cluster: "cluster-1", Clock: clock.RealClock{}, Log: logr.Discard()})
	state, err := j.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return j, state
}

// vm is a segment of the nth VM.
func vm(n int) usage.Change {
	return usage.Change{Segment: usage.Segment{
		Meter: "vm",
		Subject: &usage.Subject{
			ResourceType: "vm",
			Resource:     usage.Object{APIVersion: "kubevirt.io/v1", Kind: "VirtualMachine", Name: fmt.Sprint("db-", n), UID: fmt.Sprint("uid-", n)},
			Account:      usage.Account{Namespace: "shop", Deployment: "db"},
		},
		Dimension: usage.Dimension{Name: "vcpu", Unit: usage.Core}, Level: 4000, Start: usage.Boundary{At: now, Evidence: usage.ObjectTime},
	}}
}

func appended(t *testing.T, j *journal.Journal, batches ...*journal.Batch) {
	t.Helper()
	for _, batch := range batches {
		if err := j.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAppendAndLoad(t *testing.T) {
	s := store(t, namespace(t), nil)
	j, _ := opened(t, s, "a")
	batches := []*journal.Batch{{
		Time: now, Changes: []usage.Change{vm(1)},
		Meters:    []journal.Meter{{Name: "vm", Version: "1/1", Group: "kubevirt.io", Kind: "VirtualMachine", Since: now, Dimensions: []usage.Dimension{{Name: "vcpu", Unit: usage.Core}}, Listed: true}},
		Positions: []journal.Position{{Group: "kubevirt.io", Kind: "VirtualMachine", ResourceVersion: "4711", Time: now}},
	}, {
		Time: now + 1, Changes: []usage.Change{vm(2)},
		Coverage: []usage.Stretch{{Meter: "vm", Window: usage.Window{Start: now, End: now + 1}, Coverage: usage.CoverageReplayed}},
		Seals:    []journal.Seal{{Interval: usage.Window{Start: now - 60, End: now}, Digest: journal.Digest{7}}},
		Meters:   []journal.Meter{}, Positions: []journal.Position{},
	}}
	appended(t, j, batches...)

	_, got := opened(t, s, "b")

	want := &journal.State{
		Sequence: 2, Head: got.Head, Time: now + 1, Cluster: "cluster-1", Writer: "a",
		Segments: []usage.Change{vm(1), vm(2)}, Coverage: batches[1].Coverage, Seals: batches[1].Seals,
		Meters: []journal.Meter{}, Positions: []journal.Position{},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

func TestOneOfTwoWritersIsFenced(t *testing.T) {
	s := store(t, namespace(t), nil)
	a, _ := opened(t, s, "a")
	b, _ := opened(t, s, "b")
	errs := make(chan error, 2)
	for i, j := range []*journal.Journal{a, b} {
		go func() {
			errs <- j.Append(t.Context(), &journal.Batch{Time: now, Changes: []usage.Change{vm(i)}})
		}()
	}

	first, second := <-errs, <-errs

	if (first == nil) == (second == nil) || !errors.Is(errors.Join(first, second), journal.ErrFenced) {
		t.Fatalf("got %v and %v", first, second)
	}
	if _, state := opened(t, s, "c"); len(state.Segments) != 1 {
		t.Errorf("got %+v", state)
	}
}

// deaf does every request, and loses the answer to writes when told to.
type deaf struct {
	http.RoundTripper
	lose *bool
}

func (d deaf) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := d.RoundTripper.RoundTrip(request)
	if err == nil && request.Method == http.MethodPost && *d.lose {
		*d.lose = false
		_ = response.Body.Close()
		return nil, errors.New("connection reset by peer")
	}
	return response, err
}

func TestAWriteWithNoAnswerIsDoneOnce(t *testing.T) {
	lose := false
	s := store(t, namespace(t), func(next http.RoundTripper) http.RoundTripper { return deaf{next, &lose} })
	j, _ := opened(t, s, "a")
	batch := &journal.Batch{Time: now, Changes: []usage.Change{vm(1)}}
	lose = true
	if err := j.Append(t.Context(), batch); err == nil || errors.Is(err, journal.ErrFenced) {
		t.Fatalf("got %v", err)
	}

	appended(t, j, batch, &journal.Batch{Time: now + 1})

	if _, state := opened(t, s, "b"); state.Sequence != 2 || len(state.Segments) != 1 {
		t.Errorf("got %+v", state)
	}
}

func TestNobodyChangesABlock(t *testing.T) {
	in := namespace(t)
	j, _ := opened(t, store(t, in, nil), "a")
	appended(t, j, &journal.Batch{Time: now})
	client := dynamic.NewForConfigOrDie(plane.RESTConfig()).Resource(blocks).Namespace(in)

	_, err := client.Patch(t.Context(), "000000000001", types.MergePatchType, []byte(`{"spec":{"writer":"me"}}`), metav1.PatchOptions{})
	if err == nil || !strings.Contains(err.Error(), "a block of the journal cannot be changed") {
		t.Errorf("got %v", err)
	}
	_, err = client.Patch(t.Context(), "000000000001", types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"metering.usage-operator.dev/accept-gap":"17"}}}`), metav1.PatchOptions{})
	if err != nil {
		t.Error(err)
	}
}

// letters are random: nothing makes them smaller.
func letters(random *rand.Rand) string {
	out := make([]byte, 200)
	for i := range out {
		out[i] = byte('!' + random.IntN(90))
	}
	return string(out)
}

func TestALargeBatchIsSeveralObjects(t *testing.T) {
	in := namespace(t)
	s := store(t, in, nil)
	j, _ := opened(t, s, "a")
	random := rand.New(rand.NewPCG(1, 2))
	batch := &journal.Batch{Time: now}
	for n := range 4000 {
		change := vm(n)
		change.Subject.Deployment = letters(random)
		batch.Changes = append(batch.Changes, change)
	}
	appended(t, j, batch, &journal.Batch{Time: now + 1})

	_, got := opened(t, s, "b")

	if diff := cmp.Diff(batch.Changes, got.Segments); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	list, err := dynamic.NewForConfigOrDie(plane.RESTConfig()).Resource(blocks).Namespace(in).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) < 3 {
		t.Errorf("got %d objects", len(list.Items))
	}
	for _, item := range list.Items {
		raw, err := item.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if len(raw) >= 512<<10 {
			t.Errorf("%s has %d bytes", item.GetName(), len(raw))
		}
	}
}

// counted counts requests by what they are.
type counted struct {
	http.RoundTripper
	requests map[string]int
}

func (c counted) RoundTrip(request *http.Request) (*http.Response, error) {
	what := request.Method
	if strings.HasSuffix(request.URL.Path, "/usageblocks") && request.Method == http.MethodGet {
		what = "LIST"
	}
	c.requests[what]++
	return c.RoundTripper.RoundTrip(request)
}

func TestAnAppendIsOneWriteAndOneRead(t *testing.T) {
	const appends = 300
	requests := map[string]int{}
	s := store(t, namespace(t), func(next http.RoundTripper) http.RoundTripper { return counted{next, requests} })
	j, _ := opened(t, s, "a")
	appended(t, j, &journal.Batch{Time: now})
	clear(requests)
	for range appends {
		appended(t, j, &journal.Batch{Time: now})
	}
	if diff := cmp.Diff(map[string]int{http.MethodPost: appends, http.MethodGet: appends}, requests); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	clear(requests)
	keys, err := s.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) != appends+1 || requests["LIST"] != 2 {
		t.Errorf("got %d names in %d pages", len(keys), requests["LIST"])
	}
}
