// Package verify_test runs usage-operator verify on a real API server, on a ledger that adds up and on ones that
// somebody with etcd in his hands has changed.
package verify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/audit"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/usageblocks"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/restclient"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/controlplane"
)

const operatorNamespace = "usage-system"

var (
	plane   *controlplane.ControlPlane
	program string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "verify-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(folder)
	program = filepath.Join(folder, "usage-operator")
	if out, err := exec.CommandContext(context.Background(), "go", "build", "-o", program, "../..").CombinedOutput(); err != nil {
		return fail(fmt.Errorf("%w\n%s", err, out))
	}
	return controlplane.Main(m, controlplane.Options{Components: controlplane.APIOnly()}, prepare)
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// prepare installs the kinds, and writes the ledger that every test starts from.
func prepare(ctx context.Context, started *controlplane.ControlPlane) error {
	plane = started
	for _, args := range [][]string{
		{"apply", "--server-side", "-k", "../../config/crd"},
		{"wait", "--for=condition=Established", "crd", "usageblocks.metering.usage-operator.dev", "usagerecords.metering.usage-operator.dev"},
	} {
		if _, err := plane.Kubectl(ctx, args...); err != nil {
			return err
		}
	}
	return keepLedger(ctx)
}

// began is when the ledger's first interval begins: three hours ago, and some.
var began = usage.Interval(time.Now().Add(-4*time.Hour).Unix(), 3600)

var (
	shop = usage.Account{Namespace: "shop", NamespaceUID: "uid-shop", Deployment: "web"}
	gone = usage.Account{Namespace: "gone", NamespaceUID: "uid-gone", Deployment: "Old Thing"}
)

func held(account usage.Account, name string, level, from, to int64) usage.Change {
	object := usage.Object{APIVersion: "kubevirt.io/v1", Kind: "VirtualMachine", Name: name, UID: "uid-" + name}
	c := usage.Change{Segment: usage.Segment{
		Meter: "vm", Dimension: usage.Dimension{Name: "vcpu", Unit: usage.Core}, Level: level,
		Subject: &usage.Subject{
			ResourceType: "vm", Resource: object, Instance: object, Account: account, Region: "eu-1",
			Attributes: usage.NewAttributes(map[string]string{"storageClass": "fast"}),
		},
		Start: usage.Boundary{At: began.Start + from, Evidence: usage.CreationTime},
	}}
	if to != 0 {
		c.End = usage.Boundary{At: began.Start + to, Slack: 5, Evidence: usage.ReplayBound}
	}
	return c
}

// keepLedger writes three sealed hours of two accounts, one of whose namespace is gone.
func keepLedger(ctx context.Context) error {
	config := plane.RESTConfig()
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	clients := kubernetes.NewForConfigOrDie(config)
	for _, name := range []string{operatorNamespace, shop.Namespace} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := clients.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	store, err := usageblocks.New(config, httpClient, operatorNamespace)
	if err != nil {
		return err
	}
	records, err := restclient.New(config, httpClient)
	if err != nil {
		return err
	}
	kept := journal.New(journal.Options{Store: store, Writer: "test", Cluster: "test", Clock: clock.RealClock{}, Log: logr.Discard()})
	if _, err := kept.Load(ctx); err != nil {
		return err
	}
	changes := []usage.Change{held(shop, "db", 4000, 0, 0), held(gone, "old", 500, 600, 5400), held(shop, "web", 1000, 4000, 9000)}
	coverage := []usage.Stretch{{Meter: "vm", Window: usage.Window{Start: began.Start + 60, End: began.Start + 90}, Coverage: usage.CoverageEstimated}}
	var digest journal.Digest
	for i, interval := 0, began; i < 3; i, interval = i+1, interval.Next() {
		batch := &journal.Batch{
			Time: interval.End, Changes: changes, Coverage: coverage,
			Positions: []journal.Position{{Kind: "Pod", ResourceVersion: "4711", Time: interval.End}},
			Meters:    []journal.Meter{{Name: "vm", Version: "1", Kind: "Pod", Since: began.Start, Dimensions: []usage.Dimension{changes[0].Dimension}, Listed: true}},
		}
		if i > 0 {
			batch.Changes, batch.Coverage = nil, nil
		}
		digest = sealed(digest, interval, changes, coverage)
		batch.Seals = []journal.Seal{{Interval: interval, Digest: digest}}
		if err := kept.Append(ctx, batch); err != nil {
			return err
		}
		for _, in := range inputs(interval, changes, coverage) {
			for _, r := range record.For(in) {
				body, err := json.Marshal(r)
				if err != nil {
					return err
				}
				if err := records.Post().Namespace(r.Namespace).Resource("usagerecords").Body(body).Do(ctx).Error(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func inputs(interval usage.Window, changes []usage.Change, coverage []usage.Stretch) []record.Input {
	moved := record.Input{Key: record.Key{Account: gone, Interval: interval}, Namespace: operatorNamespace, Final: true}
	own := record.Input{Key: record.Key{Account: shop, Interval: interval}, Namespace: shop.Namespace, Final: true}
	list := []record.Input{moved, own}
	for i := range list {
		list[i].Coverage = usage.CutCoverage(coverage, interval)
		for _, c := range changes {
			if part, ok := c.Cut(interval, interval.End); ok && c.Subject.Account == list[i].Account {
				list[i].Segments = append(list[i].Segments, part)
			}
		}
		slices.SortFunc(list[i].Segments, usage.Segment.Compare)
	}
	return list
}

func sealed(previous journal.Digest, interval usage.Window, changes []usage.Change, coverage []usage.Stretch) journal.Digest {
	var segments []usage.Segment
	for _, in := range inputs(interval, changes, coverage) {
		segments = append(segments, in.Segments...)
	}
	return ledger.Digest(previous, interval, segments, usage.CutCoverage(coverage, interval))
}

// verified is what verify says, and its exit status.
func verified(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, append([]string{"verify", "--kubeconfig=" + plane.Kubeconfig()}, args...)...)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	err := command.Run()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), command.ProcessState.ExitCode()
}

func report(t *testing.T, args ...string) *audit.Report {
	t.Helper()
	out, errs, status := verified(t, append(args, "-o", "json")...)
	r := &audit.Report{}
	if err := json.Unmarshal([]byte(out), r); err != nil {
		t.Fatalf("%v\n%s%s", err, out, errs)
	}
	if r.OK() != (status == 0) || !r.OK() != (status == 1) {
		t.Errorf("exit status %d with\n%s", status, out)
	}
	return r
}

func TestALedgerThatAddsUp(t *testing.T) {
	out, errs, status := verified(t)
	if status != 0 || !strings.Contains(out, "All of it adds up.") || errs != "" {
		t.Fatalf("exit status %d\n%s%s", status, out, errs)
	}
	r := report(t)
	if !r.OK() || r.Blocks != 3 || r.Intervals != 3 || r.Records != 5 {
		t.Errorf("%+v", r)
	}
	if r := report(t, "--interval-from", time.Unix(began.End, 0).UTC().Format(time.RFC3339), "--seal", r.LastSeal); !r.OK() || r.Intervals != 2 || r.Records != 3 {
		t.Errorf("%+v", r)
	}
}

// changed changes an object in etcd until the test ends: no admission, no validation is in between.
func changed(t *testing.T, key string, change func(object map[string]any)) {
	t.Helper()
	before := etcdctl(t, "", "get", key, "--print-value-only")
	var object map[string]any
	decoder := json.NewDecoder(strings.NewReader(before))
	decoder.UseNumber()
	if err := decoder.Decode(&object); err != nil {
		t.Fatal(err)
	}
	change(object)
	after, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	etcdctl(t, string(after), "put", key)
	t.Cleanup(func() { etcdctl(t, strings.TrimSpace(before), "put", key) })
}

func etcdctl(t *testing.T, value string, args ...string) string {
	t.Helper()
	if value != "" {
		args = append(args, "--", value)
	}
	out, err := plane.Etcdctl(context.Background(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const registry = "/registry/metering.usage-operator.dev/"

func recordName() string { return "web." + time.Unix(began.Start, 0).UTC().Format("2006010215") }

func TestOneChangeIsFoundAndNamed(t *testing.T) {
	cases := map[string]struct {
		key    string
		change func(object map[string]any)
		want   audit.Difference
	}{
		"a level in a record": {
			key: "usagerecords/shop/" + recordName(),
			change: func(object map[string]any) {
				usage := object["status"].(map[string]any)["usage"].([]any)[0].(map[string]any)
				usage["segments"].([]any)[0].(map[string]any)["level"] = "3"
			},
			want: audit.Difference{In: audit.InRecord, Name: "shop/" + recordName(), Field: "status.usage[0].segments[0].level", Expected: `"4"`, Found: `"3"`},
		},
		"whose a record is": {
			key:    "usagerecords/shop/" + recordName(),
			change: func(object map[string]any) { object["spec"].(map[string]any)["namespaceUID"] = "uid-show" },
			want:   audit.Difference{In: audit.InRecord, Name: "shop/" + recordName(), Field: "spec.namespaceUID", Expected: `"uid-shop"`, Found: `"uid-show"`},
		},
		"a number in a block": {
			key: "usageblocks/usage-system/000000000002",
			change: func(object map[string]any) {
				object["spec"].(map[string]any)["positions"].([]any)[0].(map[string]any)["resourceVersion"] = "4712"
			},
			want: audit.Difference{In: audit.InBlock, Name: "000000000002", Field: "spec.digest"},
		},
		"the last seal": {
			key: "usageblocks/usage-system/000000000003",
			change: func(object map[string]any) {
				seal := object["spec"].(map[string]any)["sealed"].([]any)[0].(map[string]any)
				seal["digest"] = "sha256:" + strings.Repeat("0", 64)
			},
			want: audit.Difference{In: audit.InBlock, Name: "000000000003", Field: "spec.digest"},
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			changed(t, registry+test.key, test.change)
			d := report(t).First
			if d == nil || d.In != test.want.In || d.Name != test.want.Name || d.Field != test.want.Field ||
				test.want.Expected != "" && (d.Expected != test.want.Expected || d.Found != test.want.Found) {
				t.Fatalf("got %+v, want %+v", d, test.want)
			}
			if out, _, _ := verified(t); !strings.Contains(out, "DIFFERENCE in "+string(d.In)+" "+d.Name) {
				t.Errorf("it says\n%s", out)
			}
		})
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	_, kubeconfig, err := plane.AddUser("nobody")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		args []string
		want string
	}{
		"without the right to":     {args: []string{"--kubeconfig=" + kubeconfig}, want: "is forbidden"},
		"with another argument":    {args: []string{"all"}, want: `unknown argument "all"`},
		"with a time that is none": {args: []string{"--interval-from=yesterday"}, want: "want a time such as 2026-11-21T20:00:00Z"},
		"with a seal that is none": {args: []string{"--seal=x"}, want: "is not a digest"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			out, errs, status := verified(t, test.args...)
			if status != 2 || !strings.Contains(errs, test.want) || out != "" {
				t.Errorf("exit status %d\n%s%s", status, out, errs)
			}
		})
	}
}
