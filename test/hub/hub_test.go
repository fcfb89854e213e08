// Package hub_test sends the journal of a real API server to a hub with a real database, by the real program, which
// ends in between as by kill -9.
package hub_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/audit"
	"github.com/usage-operator/usage-operator/internal/hub"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/usageblocks"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/controlplane"
	"github.com/usage-operator/usage-operator/test/postgres"
)

var (
	plane   *controlplane.ControlPlane
	program string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "hub-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(folder)
	program = filepath.Join(folder, "usage-hub")
	if out, err := exec.CommandContext(context.Background(), "go", "build", "-o", program, "../../cmd/usage-hub").CombinedOutput(); err != nil {
		return fail(fmt.Errorf("%w\n%s", err, out))
	}
	return controlplane.Main(m, controlplane.Options{Components: controlplane.APIOnly()}, func(ctx context.Context, started *controlplane.ControlPlane) error {
		plane = started
		for _, args := range [][]string{
			{"apply", "--server-side", "-k", "../../config/crd"},
			{"wait", "--for=condition=Established", "crd", "usageblocks.metering.usage-operator.dev"},
		} {
			if _, err := plane.Kubectl(ctx, args...); err != nil {
				return err
			}
		}
		return nil
	})
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// cluster is what the operator has: a journal in the cluster itself.
type cluster struct {
	store   *usageblocks.Store
	journal *journal.Journal
	uid     string
	// namespace is the operator's.
	namespace string
	began     usage.Window
	held      []usage.Change
	seal      journal.Digest
	hours     int64
}

// newCluster is one whose journal is in the operator's namespace, and begins so many hours ago.
func newCluster(t *testing.T, namespace string, hours int) *cluster {
	t.Helper()
	config := plane.RESTConfig()
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	clients := kubernetes.NewForConfigOrDie(config)
	made := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := clients.CoreV1().Namespaces().Create(t.Context(), made, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	system, err := clients.CoreV1().Namespaces().Get(t.Context(), metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{uid: string(system.UID), namespace: namespace, began: usage.Interval(time.Now().Unix()-int64(hours)*3600, 3600)}
	if c.store, err = usageblocks.New(config, httpClient, namespace); err != nil {
		t.Fatal(err)
	}
	c.load(t)
	return c
}

// load begins to write, as an operator does that was ended at any moment before.
func (c *cluster) load(t *testing.T) {
	t.Helper()
	c.journal = journal.New(journal.Options{Store: c.store, Writer: "test", Cluster: c.uid, Clock: clock.RealClock{}, Log: logr.Discard()})
	if _, err := c.journal.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// hour is what the operator writes in an hour: something begins, what began before ends, and the hour is sealed.
func (c *cluster) hour(t *testing.T) {
	t.Helper()
	interval := usage.Window{Start: c.began.Start + c.hours*3600, End: c.began.End + c.hours*3600}
	object := usage.Object{APIVersion: "kubevirt.io/v1", Kind: "VirtualMachine", Name: "vm", UID: fmt.Sprint("uid-", c.hours)}
	began := usage.Change{Segment: usage.Segment{
		Meter: "vm", Dimension: usage.Dimension{Name: "vcpu", Unit: usage.Core}, Level: 1000 * (c.hours + 1),
		Subject: &usage.Subject{
			ResourceType: "vm", Resource: object, Instance: object, Region: "eu-1",
			Account: usage.Account{Namespace: "shop", NamespaceUID: "uid-shop", Deployment: "web"},
		},
		Start: usage.Boundary{At: interval.Start + 60, Evidence: usage.CreationTime},
	}}
	changes := []usage.Change{began}
	if n := len(c.held); n > 0 {
		c.held[n-1].End = usage.Boundary{At: interval.Start + 90, Slack: 5, Evidence: usage.ReplayBound}
		changes = append(changes, c.held[n-1])
	}
	c.held = append(c.held, began)
	var inside []usage.Segment
	for i := range c.held {
		inside = ledger.AppendCut(inside, &c.held[i].Segment, interval)
	}
	c.seal = ledger.Digest(c.seal, interval, inside, nil)
	for _, batch := range []*journal.Batch{
		{Time: interval.Start + 100, Changes: changes},
		{Time: interval.End, Seals: []journal.Seal{{Interval: interval, Digest: c.seal}}},
	} {
		if err := c.journal.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	c.hours++
}

// none are the records of a test without any.
type none struct{}

func (none) List(context.Context, func(*audit.Published) error) error { return nil }

// process is the program, as it runs.
type process struct {
	*exec.Cmd
	said bytes.Buffer
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(program, args...)}
	p.Stdout, p.Stderr = &p.said, &p.said
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

// kill ends the process as by kill -9.
func (p *process) kill() {
	_ = p.Process.Kill()
	_ = p.Wait()
}

// output is what the program writes when it does something and ends well.
func output(t *testing.T, args ...string) []byte {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, args...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("usage-hub %v: %v\n%s%s", args, err, out, &stderr)
	}
	return out
}

// hubOf is a hub that knows a cluster, and who sends to it.
type hubOf struct {
	*testing.T
	*cluster
	database         *postgres.Server
	store            *hub.Store
	address, token   string
	serving, sending *process
}

func newHub(t *testing.T, of *cluster) *hubOf {
	t.Helper()
	database := postgres.Start(t)
	location := database.Database(t, "hub")
	t.Setenv("USAGE_HUB_DATABASE", location)
	output(t, "migrate")
	h := &hubOf{T: t, cluster: of, database: database, token: filepath.Join(t.TempDir(), "token")}
	if err := os.WriteFile(h.token, output(t, "enrol", h.uid, "--name", "here"), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.address = listener.Addr().String()
	_ = listener.Close()
	if h.store, err = hub.Open(t.Context(), location, clock.RealClock{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.store.Close)
	return h
}

// run starts the hub, and who sends to it.
func (h *hubOf) run() {
	h.Helper()
	h.serve()
	h.send()
}

func (h *hubOf) serve() {
	h.Helper()
	h.serving = start(h.T, "serve", "--plain-http", "--address", h.address, "--probe-address", "127.0.0.1:0")
}

func (h *hubOf) send() {
	h.Helper()
	h.sending = start(h.T, "send", "--plain-http", "--url", "http://"+h.address, "--token-file", h.token, "--kubeconfig", plane.Kubeconfig(),
		"--namespace", h.namespace, "--probe-address", "127.0.0.1:0")
}

// reaches waits until the hub has come to a sequence.
func (h *hubOf) reaches(sequence uint64) {
	h.Helper()
	var last error
	err := wait.PollUntilContextTimeout(h.Context(), 10*time.Millisecond, 3*time.Minute, true, func(ctx context.Context) (bool, error) {
		head, err := h.store.Head(ctx, hub.Cluster(h.uid))
		last = err // a connection from before the database was ended
		return err == nil && head.Sequence >= sequence, nil
	})
	if err = errors.Join(err, last); err != nil {
		for _, p := range []*process{h.serving, h.sending} {
			p.kill()
			h.Logf("%s", p.said.Bytes())
		}
		h.Fatalf("the hub does not come to sequence %d: %v", sequence, err)
	}
}

// A cluster's journal is sent while it is written and merged, by a program that is ended at any moment, to a hub that
// is, too: in the end the hub has the cluster's own ledger, by its head, its seals and its segments.
func TestTheHubHasTheClustersOwnLedger(t *testing.T) {
	h := newHub(t, newCluster(t, "usage-system", 100))
	h.run()
	for round := range uint64(4) {
		for range 3 {
			h.hour(t)
		}
		h.reaches(12*round + 3)
		h.sending.kill()
		for range 3 { // away, while blocks are merged and deleted
			h.hour(t)
			if _, err := h.journal.Compact(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		h.serving.kill()
		h.run()
	}
	h.reaches(uint64(2 * h.hours))
	h.isTheClusters()
}

// isTheClusters holds what the hub has against the cluster's own ledger: by its head, its seals and its segments.
func (h *hubOf) isTheClusters() {
	t := h.T
	t.Helper()
	own, err := audit.Verify(t.Context(), audit.Input{Blocks: h.cluster.store, Records: none{}, Clock: clock.RealClock{}})
	if err != nil || !own.OK() {
		t.Fatalf("the cluster's own ledger: %v, %+v", err, own)
	}
	var theirs struct{ Blocks, Recomputed *audit.Report }
	if err := json.Unmarshal(output(t, "verify", h.uid, "-o", "json"), &theirs); err != nil {
		t.Fatal(err)
	}
	if got := theirs.Blocks; got.Head != own.Head || got.Sequence != own.Sequence {
		t.Errorf("the hub has come to %d, %s, and the cluster to %d, %s", got.Sequence, got.Head, own.Sequence, own.Head)
	}
	if got := theirs.Recomputed; got.LastSeal != own.LastSeal || got.Intervals != own.Intervals || got.Segments != own.Segments || own.Intervals != int(h.hours) {
		t.Errorf("the hub's rows add up to %d segments in %d intervals, %s, and the cluster's to %d in %d, %s",
			got.Segments, got.Intervals, got.LastSeal, own.Segments, own.Intervals, own.LastSeal)
	}
	t.Logf("the hub has %d blocks, and the cluster %d", theirs.Blocks.Blocks, own.Blocks)
}
