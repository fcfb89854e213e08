package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/test/buildcache"
	"github.com/usage-operator/usage-operator/test/postgres"
)

// fleetPatience bounds a run of the fleet's demo once everything is built.
const fleetPatience = 15 * time.Minute

// fleet is two clusters, and a hub that has the ledgers of both in a database.
type fleet struct {
	*stage   // where the programs are
	database *postgres.Server
	location string // of the database, in libpq's words
	hub      string // its URL
	token    string // of one who may ask about everything
	clusters []*cluster
}

// cluster is one of them.
type cluster struct {
	*stage
	name, uid string
	workloads []workload
}

// workload is a Deployment of a cluster: so many pods, and after a while as many as then.
type workload struct {
	namespace, name string
	pods, later     int32
	cpu, memory     string
}

// showFleet runs the fleet's demo, and stops what it started.
func showFleet(ctx context.Context, out console) (err error) {
	root, unlock, err := lockFolder(ctx, out, ".demo-fleet")
	if err != nil {
		return err
	}
	defer unlock()
	f := &fleet{stage: root}
	for _, c := range []*cluster{
		{name: "eu-1", workloads: []workload{{"shop", "web", 2, 3, "500m", "256Mi"}, {"lab", "train", 1, 1, "2", "1Gi"}}},
		{name: "us-1", workloads: []workload{{"shop", "web", 1, 4, "250m", "128Mi"}}},
	} {
		c.stage = &stage{console: out, checkout: root.checkout, dir: root.path(c.name), programs: root.programs, nodes: 2}
		f.clusters = append(f.clusters, c)
	}
	if err := errors.Join(os.RemoveAll(f.dir), os.MkdirAll(f.dir, 0o700)); err != nil {
		return err
	}
	if err := f.build(ctx); err != nil {
		return err
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, fleetPatience, fmt.Errorf("the demo has taken longer than %s", fleetPatience))
	defer cancel()
	ctx, fail := context.WithCancelCause(withOrphanage(ctx))
	defer fail(nil)
	defer func() {
		out.say("\nStopping the operators, the control planes, the hub and its database.")
		if failed := f.stop(); failed != nil {
			err = errors.Join(err, errNotStopped, failed)
		} else if err == nil {
			err = os.RemoveAll(f.dir)
		}
	}()
	if err := f.set(ctx, fail); err != nil {
		return explained(ctx, err)
	}
	if err := f.perform(ctx); err != nil {
		return explained(ctx, err)
	}
	out.say("\nThe hub has what the clusters have, to the last digit, %s after all was built.", time.Since(begun).Round(time.Second))
	return nil
}

func (f *fleet) hubProgram() string { return f.path("bin/usage-hub") }

// build builds the programs, once for both clusters.
func (f *fleet) build(ctx context.Context) error {
	if err := f.stage.build(ctx); err != nil {
		return err
	}
	for _, c := range f.clusters {
		if err := os.MkdirAll(c.dir, 0o700); err != nil {
			return err
		}
	}
	hub := buildcache.Program{Label: "usage-hub", Module: f.checkout, Package: "./cmd/usage-hub"}
	return errors.Join(os.MkdirAll(filepath.Dir(f.hubProgram()), 0o700), hub.Build(ctx, f.hubProgram(), f.progress()))
}

// stop ends everything that was started.
func (f *fleet) stop() error {
	var failed []error
	for _, c := range f.clusters {
		failed = append(failed, c.stop())
	}
	if f.database != nil {
		f.database.Close() // the hub dies with this process
	}
	return errors.Join(failed...)
}

// set starts the hub, and the clusters.
func (f *fleet) set(ctx context.Context, fail context.CancelCauseFunc) error {
	f.title("A hub, with a PostgreSQL of its own")
	if err := f.openHub(ctx, fail); err != nil {
		return err
	}
	for _, c := range f.clusters {
		f.title("The cluster " + c.name)
		c.more = func(ctx context.Context) ([]string, error) { return f.enrol(ctx, c) }
		if err := c.set(ctx, fail); err != nil {
			return err
		}
	}
	return nil
}

// openHub starts the database and the hub, and makes a token for one who may ask about everything.
func (f *fleet) openHub(ctx context.Context, fail context.CancelCauseFunc) (err error) {
	if f.database, err = postgres.Open(ctx); err != nil {
		return err
	}
	if f.location, err = f.database.Create(ctx, "hub"); err != nil {
		return err
	}
	if _, err := f.asHub(ctx, "migrate"); err != nil {
		return err
	}
	made, err := f.asHub(ctx, "token")
	if err != nil {
		return err
	}
	words := strings.Fields(made)
	digest := slices.IndexFunc(words, func(word string) bool { return len(word) == 64 })
	token := slices.IndexFunc(words, func(word string) bool { return strings.HasPrefix(word, "usage-") })
	if digest < 0 || token < 0 {
		return fmt.Errorf("usage-hub token has printed something else than a token and its SHA-256: %q", made)
	}
	f.token = words[token]
	readers, err := yaml.Marshal(map[string]any{"readers": []any{map[string]any{
		"name": "demo", "tokenSHA256": []string{words[digest]}, "sees": []any{map[string]any{"clusters": []string{"*"}}},
	}}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(f.path("fleet.yaml"), readers, 0o600); err != nil {
		return err
	}
	certificate, key, err := certutil.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err == nil {
		err = errors.Join(os.WriteFile(f.path("tls.crt"), certificate, 0o600), os.WriteFile(f.path("tls.key"), key, 0o600))
	}
	if err != nil {
		return err
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	probes, err := freeAddress()
	if err != nil {
		return err
	}
	command := exec.Command(f.hubProgram(), "serve", "--tls-cert="+f.path("tls.crt"), "--tls-key="+f.path("tls.key"), "--address="+address, "--probe-address="+probes, "--fleet="+f.path("fleet.yaml"), "--database="+f.location)
	command.Dir = f.dir
	if err := launch(command, f.path("hub.log"), false); err != nil {
		return fmt.Errorf("start the hub: %w", err)
	}
	go func() {
		err := command.Wait()
		fail(fmt.Errorf("the hub has ended by itself: %w\nthe end of %s:\n%s", orNothing(err), f.path("hub.log"), tail(f.path("hub.log"))))
	}()
	f.hub = "https://" + address
	f.say("  usage-hub migrate\n  usage-hub serve --fleet=fleet.yaml   # one reader, who sees all clusters")
	return nil
}

// asHub runs a command of usage-hub, and returns what it prints.
func (f *fleet) asHub(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, f.hubProgram(), args...)
	command.Env = append(os.Environ(), "USAGE_HUB_DATABASE="+f.location)
	var said bytes.Buffer
	command.Stderr = &said
	text, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("usage-hub %s: %w: %s%s", strings.Join(args, " "), err, text, said.String())
	}
	return string(text), nil
}

// enrol makes the hub know a cluster, and returns the flags with which its operator sends its journal.
func (f *fleet) enrol(ctx context.Context, c *cluster) ([]string, error) {
	system := &corev1.Namespace{}
	if err := c.cluster.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, system); err != nil {
		return nil, err
	}
	c.uid = string(system.UID)
	token, err := f.asHub(ctx, "enrol", c.uid, "--name="+c.name)
	if err != nil {
		return nil, err
	}
	f.say("  usage-hub enrol %s --name %s", c.uid, c.name)
	return []string{"--hub-url=" + f.hub, "--hub-ca-file=" + f.path("tls.crt"), "--hub-token-file=" + c.path("hub-token")},
		os.WriteFile(c.path("hub-token"), []byte(token), 0o600)
}

// perform has something happen in both clusters for two intervals, and compares.
func (f *fleet) perform(ctx context.Context) error {
	f.title("Two intervals")
	first := (time.Now().Unix()/interval + 1) * interval
	beyond := first + 2*interval
	f.say("  what is used from %s to %s is compared", clock(first), clock(beyond))
	for _, c := range f.clusters {
		for _, w := range c.workloads {
			if err := c.deploy(ctx, w); err != nil {
				return err
			}
			f.say("  %s  %s/%s: %d replicas of %s, %s", c.name, w.namespace, w.name, w.pods, w.cpu, w.memory)
		}
	}
	if err := f.until(ctx, first+interval/2); err != nil {
		return err
	}
	for _, c := range f.clusters {
		for _, w := range c.workloads {
			if w.later == w.pods {
				continue
			}
			if err := c.scale(ctx, w); err != nil {
				return err
			}
			f.say("  %s  %s/%s is scaled to %d", c.name, w.namespace, w.name, w.later)
		}
	}
	if err := f.until(ctx, beyond); err != nil {
		return err
	}
	for _, c := range f.clusters {
		if err := c.sealed(ctx, beyond); err != nil {
			return err
		}
	}
	return f.compare(ctx, first, beyond)
}

// until waits for a moment, in seconds since the epoch.
func (f *fleet) until(ctx context.Context, moment int64) error {
	f.say("  ... waiting until %s", clock(moment))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(time.Unix(moment, 0))):
		return nil
	}
}

func (c *cluster) deploy(ctx context.Context, w workload) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}
	labels := map[string]string{"app": w.name}
	held := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(w.cpu), corev1.ResourceMemory: resource.MustParse(w.memory)}
	return errors.Join(
		c.cluster.Create(ctx, namespace),
		c.cluster.Create(ctx, &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: w.name},
			Spec: appsv1.DeploymentSpec{Replicas: &w.pods, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: w.name, Image: "example.com/" + w.name, Resources: corev1.ResourceRequirements{Requests: held}}}},
			}},
		}))
}

func (c *cluster) scale(ctx context.Context, w workload) error {
	deployment := &appsv1.Deployment{}
	if err := c.cluster.Get(ctx, client.ObjectKey{Namespace: w.namespace, Name: w.name}, deployment); err != nil {
		return err
	}
	before := deployment.DeepCopy()
	deployment.Spec.Replicas = &w.later
	return c.cluster.Patch(ctx, deployment, client.MergeFrom(before))
}

// sealed waits until the cluster's operator has sealed all up to a moment, and the hub has it.
func (c *cluster) sealed(ctx context.Context, moment int64) error {
	return c.waitFor(ctx, c.name+" has sealed both, and the hub has them", func(ctx context.Context) (bool, error) {
		ledger := &v1alpha1.UsageLedger{}
		if err := c.cluster.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: v1alpha1.UsageLedgerName}, ledger); err != nil {
			return false, err
		}
		s := &ledger.Status
		if s.SealedTime == nil || s.SealedTime.Unix() < moment || s.Hub == nil || s.Hub.AcknowledgedTime == nil || s.Hub.AcknowledgedTime.Unix() < moment {
			return false, fmt.Errorf("sealed up to %v, hub %+v", s.SealedTime, s.Hub)
		}
		return true, nil
	})
}

// compare holds what the hub answers against what each cluster's own operator does.
func (f *fleet) compare(ctx context.Context, first, beyond int64) error {
	asked := []string{"list", "--all-namespaces", "--from=" + stamp(first), "--to=" + stamp(beyond)}
	hub := []string{"USAGE_HUB=" + f.hub, "USAGE_HUB_TOKEN=" + f.token, "USAGE_HUB_CERTIFICATE_AUTHORITY=" + f.path("tls.crt")}
	whole, err := f.usage(ctx, hub, append(asked, "--output=csv")...)
	if err != nil {
		return err
	}
	rows := 0
	for _, c := range f.clusters {
		variables, err := c.directly(ctx)
		if err != nil {
			return err
		}
		own, err := c.usage(ctx, append(variables, "KUBECONFIG="+c.plane.Kubeconfig()), append(asked, "--output=csv")...)
		if err != nil {
			return err
		}
		theirs, err := f.usage(ctx, hub, append(asked, "--hub-cluster="+c.name, "--output=csv")...)
		if err != nil {
			return err
		}
		n := strings.Count(own, "\n") - 1
		if n < 2*len(c.workloads) {
			return fmt.Errorf("%s has %d rows, which is fewer than its workloads have:\n%s", c.name, n, own)
		}
		if own != theirs {
			return fmt.Errorf("the hub says something else of %s than its own operator\nthe operator:\n%s\nthe hub:\n%s", c.name, own, theirs)
		}
		part, err := partOf(whole, c.name)
		if err != nil {
			return err
		}
		if !sameLines(part, own) {
			return fmt.Errorf("the fleet has something else of %s than its own operator\nthe operator:\n%s\nthe fleet:\n%s", c.name, own, part)
		}
		if _, err := f.asHub(ctx, "verify", c.uid); err != nil {
			return err
		}
		rows += n
	}
	if all := strings.Count(whole, "\n") - 1; all != rows {
		return fmt.Errorf("the fleet has %d rows, and the clusters have %d:\n%s", all, rows, whole)
	}
	f.title(fmt.Sprintf("What the hub says of %s to %s", clock(first), clock(beyond)))
	for _, args := range [][]string{asked, {"top", "namespaces", "--all-namespaces", asked[2], asked[3], "--dimension=cpu"}} {
		text, err := f.usage(ctx, hub, args...)
		if err != nil {
			return err
		}
		f.say("$ kubectl usage %s\n%s", strings.Join(args, " "), text)
	}
	f.say("%d rows of %d clusters: each is what the cluster's own operator says, byte for byte.\nusage-hub verify has recomputed each sealed interval of both.", rows, len(f.clusters))
	return nil
}

func stamp(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }

// usage runs a command of the plugin, and returns what it prints.
func (s *stage) usage(ctx context.Context, variables []string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, s.plugin(), args...)
	command.Env = append(os.Environ(), variables...)
	var said bytes.Buffer
	command.Stderr = &said
	text, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("kubectl usage %s: %w: %s", strings.Join(args, " "), err, said.String())
	}
	return string(text), nil
}

// partOf are the rows of a table of the fleet that are of one cluster, without that column.
func partOf(table, cluster string) (string, error) {
	rows, err := csv.NewReader(strings.NewReader(table)).ReadAll()
	if err != nil {
		return "", err
	}
	at := -1
	if len(rows) > 0 {
		at = slices.Index(rows[0], "cluster")
	}
	if at < 0 {
		return "", fmt.Errorf("a table of the fleet has no column cluster:\n%s", table)
	}
	var out strings.Builder
	w := csv.NewWriter(&out)
	for i, row := range rows {
		if i > 0 && row[at] != cluster {
			continue
		}
		if err := w.Write(slices.Delete(slices.Clone(row), at, at+1)); err != nil {
			return "", err
		}
	}
	w.Flush()
	return out.String(), w.Error()
}

// sameLines tells whether two texts have the same lines, in whatever order.
func sameLines(a, b string) bool {
	first, second := strings.Split(a, "\n"), strings.Split(b, "\n")
	slices.Sort(first)
	slices.Sort(second)
	return slices.Equal(first, second)
}
