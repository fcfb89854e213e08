package usagecli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	testclock "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi"
)

// day is the first of November 2026.
const day = int64(1793491200)

func ledger() *timeline.Timeline {
	vcpu, memory := usage.Dimension{Name: "vcpu", Unit: usage.Core}, usage.Dimension{Name: "memory", Unit: usage.Byte}
	held := func(namespace, deployment, name string, d usage.Dimension, level, from, to int64) usage.Change {
		object := usage.Object{APIVersion: "kubevirt.io/v1", Kind: "VirtualMachine", Name: name, UID: "uid-" + name}
		c := usage.Change{Segment: usage.Segment{
			Meter: "vm", Dimension: d, Level: level, Start: usage.Boundary{At: day + from*3600, Evidence: usage.CreationTime},
			Subject: &usage.Subject{
				ResourceType: "vm", Resource: object, Instance: object,
				Account: usage.Account{Namespace: namespace, NamespaceUID: "uid-" + namespace, Deployment: deployment},
			},
		}}
		if to > 0 {
			c.End = usage.Boundary{At: day + to*3600, Evidence: usage.Observed}
		}
		return c
	}
	bounded := held("shop", "web", "web-0", vcpu, 4000, 10, 34)
	bounded.End.Slack, bounded.End.Evidence = 90, usage.ReplayBound
	t := timeline.New()
	t.Take(timeline.Commit{
		Time: day + 72*3600, Sealed: hours(day, day+71*3600),
		Meters: []timeline.Meter{{Name: "vm", ResourceType: "vm", Since: day, Dimensions: []usage.Dimension{vcpu, memory}}},
		Changes: []usage.Change{
			bounded,
			held("shop", "web", "web-0", memory, 16<<30, 10, 34),
			held("shop", "web", "web-1", vcpu, 2000, 24, 0),
			held("shop", "", "=cmd|' /C calc'!A0", vcpu, 1000, 48, 60),
			held("bank", "ledger", "db", vcpu, 8000, 0, 0),
		},
	})
	t.Publish()
	return t
}

// hours are the intervals between two moments.
func hours(start, end int64) (list []usage.Window) {
	for ; start < end; start += 3600 {
		list = append(list, usage.Interval(start, 3600))
	}
	return list
}

// metersNow is the meter as it is applied.
func metersNow(context.Context) ([]v1alpha1.UsageMeter, error) {
	m := v1alpha1.UsageMeter{ObjectMeta: metav1.ObjectMeta{Name: "vm"}}
	m.Spec.Target = v1alpha1.TargetReference{Group: "kubevirt.io", Kind: "VirtualMachineInstance"}
	m.Spec.Dimensions = []v1alpha1.Dimension{{Name: "vcpu", Unit: "core", Quantity: "self.spec\n  .cores"}}
	return []v1alpha1.UsageMeter{m}, nil
}

type answers struct{ *timeline.Timeline }

func (answers) Loaded() bool { return true }

// tenants: who is known sees the namespace of his name, and admin sees all.
type tenants struct{}

func (tenants) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	name := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	return &authenticator.Response{User: &user.DefaultInfo{Name: name}}, name != "", nil
}

func (tenants) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if name := a.GetUser().GetName(); name == "admin" || name == a.GetNamespace() {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionDeny, "", nil
}

// usageAPI is one that knows people in some way.
func usageAPI(who authenticator.Request) http.Handler { return usageAPIOf(ledger(), who) }

func usageAPIOf(ledger *timeline.Timeline, who authenticator.Request) http.Handler {
	return usageapi.New(usageapi.Options{
		Ledger: answers{ledger}, Authenticator: who, Authorizer: tenants{}, Clock: testclock.NewFakePassiveClock(noon()), Log: logr.Discard(),
		RequestsPerSecond: 1e6, OperatorNamespace: "usage-system", Meters: metersNow, Timeout: time.Minute, Observe: func(string, int, time.Duration) {},
		Namespaces: func(context.Context, labels.Selector) ([]timeline.NamespaceRef, error) {
			return []timeline.NamespaceRef{{Name: "bank", UID: "uid-bank"}, {Name: "shop", UID: "uid-shop"}}, nil
		},
	}).Handler()
}

// cluster is an API server that has nothing but a proxy to the usage API, and
// keeps Authorization to itself.
func cluster(t *testing.T) *httptest.Server { return clusterOf(t, ledger()) }

func clusterOf(t *testing.T, ledger *timeline.Timeline) *httptest.Server {
	t.Helper()
	api := usageAPIOf(ledger, tenants{})
	const proxy = "/api/v1/namespaces/usage-system/services/https:usage-api:https/proxy"
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/usagereports/") {
			reportsOf(w, r)
			return
		}
		if strings.HasSuffix(r.URL.Path, "/namespaces/shop/usagereports") {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"kind":"UsageReportList","apiVersion":"metering.usage-operator.dev/v1alpha1","items":[{"metadata":{"name":"idle"}},{"metadata":{"name":"goes-on"}}]}`)
			return
		}
		if direct := !strings.HasPrefix(r.URL.Path, "/api/v1/"); direct {
			api.ServeHTTP(w, r)
			return
		}
		r.Header.Del("Authorization")
		if !strings.HasPrefix(r.URL.Path, proxy) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"kind":"Status","message":"services \"https:usage-api:https\" not found","code":404}`)
			return
		}
		r.URL.Path = strings.TrimPrefix(r.URL.Path, proxy)
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server
}

// kubeconfig is of a user with a token, or without one.
func kubeconfig(t *testing.T, server *httptest.Server, token, namespace string) string {
	t.Helper()
	as := map[string]any{}
	if token != "" {
		as["token"] = token
	}
	return kubeconfigOf(t, server, as, namespace)
}

func kubeconfigOf(t *testing.T, server *httptest.Server, as map[string]any, namespace string) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "a",
		"clusters": []any{map[string]any{"name": "a", "cluster": map[string]any{"server": server.URL, "insecure-skip-tls-verify": true}}},
		"users":    []any{map[string]any{"name": "a", "user": as}},
		"contexts": []any{map[string]any{"name": "a", "context": map[string]any{"cluster": "a", "user": "a", "namespace": namespace}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// noon is when the commands are run.
func noon() time.Time { return time.Unix(day+72*3600+12*3600, 0) }

// run accepts that tokens go through the proxy, which the clusters of most tests have alone.
func run(args ...string) (status int, out, err string) {
	if args[0] != cobra.ShellCompRequestCmd {
		args = append([]string{"--through-proxy"}, args...)
	}
	return runPlainly(args...)
}

func runPlainly(args ...string) (status int, out, err string) {
	var stdout, stderr bytes.Buffer
	status = Run("kubectl-usage", args, genericiooptions.IOStreams{In: strings.NewReader(""), Out: &stdout, ErrOut: &stderr}, noon)
	return status, stdout.String(), stderr.String()
}

const november = "--from=2026-11-01T00:00:00Z --to=2026-11-04T00:00:00Z"

func TestWhatPeopleSee(t *testing.T) {
	server := cluster(t)
	shop, admin := kubeconfig(t, server, "shop", "shop"), kubeconfig(t, server, "admin", "default")
	cases := []struct {
		name, kubeconfig, command, want string
	}{
		{"list", shop, "list " + november, `
NAMESPACE   TYPE   NAME                 DEPLOYMENT   USAGE
shop        vm     =cmd|' /C calc'!A0   -            vcpu 12 core-hour
shop        vm     web-0                web          memory 384 GiB-hour, vcpu ~96 core-hour
shop        vm     web-1                web          vcpu 96 core-hour
`},
		{"list since before metering began: what was before is said once, below", shop, "list --dimension vcpu --from=2026-10-28 --to=2026-11-04", `
NAMESPACE   TYPE   NAME                 DEPLOYMENT   USAGE
shop        vm     =cmd|' /C calc'!A0   -            vcpu 12 core-hour
shop        vm     web-0                web          vcpu ~96 core-hour
shop        vm     web-1                web          vcpu 96 core-hour
`},
		{"chart since before metering began", shop, "chart deployment/web --dimension vcpu --width 60 --from=2026-10-28 --to=2026-11-04", `
vm.vcpu, in core-hours
Wed 2026-10-28 to Sun 2026-11-01: unknown
Sun 2026-11-01   56   ████████████████████████▏
Mon 2026-11-02  ~88   ██████████████████████████████████████
Tue 2026-11-03   48+  ████████████████████▊
`},
		{"chart before metering began", shop, "chart --from=2026-10-28 --to=2026-11-01", `
Wed 2026-10-28 to Sun 2026-11-01: unknown
`},
		{"top before metering began", shop, "top --from=2026-10-28 --to=2026-11-01", `
METRIC   NAMESPACE   DEPLOYMENT     USAGE   UNIT   SHARE
-        shop        -            unknown   -          -
`},
		{"list of all", admin, "list -A --type vm --deployment ledger " + november, `
NAMESPACE   TYPE   NAME   DEPLOYMENT   USAGE
bank        vm     db     ledger       vcpu 576 core-hour
`},
		{"list as csv", shop, "list -o csv --dimension vcpu " + november, `
start_time,end_time,namespace,resource_type,resource,resource_uid,deployment,dimension,quantity,unit,exact,exact_unit,accuracy
2026-11-01T00:00:00Z,2026-11-04T00:00:00Z,shop,vm,'=cmd|' /C calc'!A0,uid-=cmd|' /C calc'!A0,,vcpu,12,core-hour,43200000,millicore-second,Exact
2026-11-01T00:00:00Z,2026-11-04T00:00:00Z,shop,vm,web-0,uid-web-0,web,vcpu,96,core-hour,345600000,millicore-second,Estimated
2026-11-01T00:00:00Z,2026-11-04T00:00:00Z,shop,vm,web-1,uid-web-1,web,vcpu,96,core-hour,345600000,millicore-second,Exact
`},
		{"top", admin, "top namespaces -A " + november, `
METRIC      NAMESPACE   USAGE   UNIT         SHARE
vm.memory   shop          384   GiB-hour    100.0%
vm.vcpu     bank          576   core-hour    73.8%
vm.vcpu     shop         ~204   core-hour    26.2%
`},
		{"top resources", admin, "top resources -A --most 1 --dimension vcpu " + november, `
METRIC    NAMESPACE    RESOURCE   USAGE   UNIT        SHARE
vm.vcpu   bank         db           576   core-hour   73.8%
vm.vcpu   (3 others)   -           ~204   core-hour   26.2%
`},
		{"chart", shop, "chart deployment/web --dimension vcpu --width 60 " + november, `
vm.vcpu, in core-hours
Sun 2026-11-01   56   ████████████████████████▏
Mon 2026-11-02  ~88   ██████████████████████████████████████
Tue 2026-11-03   48+  ████████████████████▊
`},
		{"chart without color or much room", shop, "chart --ascii --dimension memory --width 40 --by day " + november, `
vm.memory, in GiB-hours
Sun 2026-11-01  224   ##################
Mon 2026-11-02  160   #############
Tue 2026-11-03    0+
`},
		{"get", shop, "get vm/web-0", `
vm/web-0 in shop, VirtualMachine uid-web-0
memory 384 GiB-hour, vcpu 96 core-hour

DIMENSION     HELD   START                  END                           USAGE   DEPLOYMENT
memory      16 GiB   2026-11-01T10:00:00Z   2026-11-02T10:00:00Z   384 GiB-hour   web
vcpu        4 core   2026-11-01T10:00:00Z   2026-11-02T10:00:00Z   96 core-hour   web
`},
		{"get as csv", shop, "get vm/web-1 -o csv", `
dimension,level,unit,start,end,usage,usage_unit,deployment,instance,container,bundle,region,meter,correction,id
vcpu,2,core,2026-11-02T00:00:00Z,,96,core-hour,web,web-1,,,,vm,,50d0fa63-dd02-8553-b999-e6ca77d3fba7
`},
		{"explain", shop, "explain vms/web-0 --from=2026-11-02T09:00:00Z --to=2026-11-02T12:00:00Z", `
vm/web-0 in shop, VirtualMachine uid-web-0
memory 16 GiB-hour, vcpu 4 core-hour
from 2026-11-02T09:00:00Z to 2026-11-02T12:00:00Z

memory: 16 GiB
  began    2026-11-01T10:00:00Z
           CreationTime: the object's creationTimestamp
  ended    2026-11-02T10:00:00Z
           Observed: when the watch delivered it, by the operator's clock
  counts   16 GiB x 3600 s = 16 GiB-hour
  meter    vm

vcpu: 4 core
  began    2026-11-01T10:00:00Z
           CreationTime: the object's creationTimestamp
  ended    2026-11-02T10:00:00Z, at the latest 2026-11-02T10:01:30Z
           ReplayBound: nobody looked then; what counts is the shorter usage
  counts   4 core x 3600 s = 4 core-hour
  meter    vm

memory, by UsageMeter vm: it is applied no more, or measures this no more

vcpu, by UsageMeter vm from VirtualMachineInstance.kubevirt.io now:
  self.spec
    .cores
`},
		{"list where there is little room", shop, "list --width 74 " + november, `
NAMESPACE  TYPE  NAME                DEPLOYMENT  USAGE
shop       vm    =cmd|' /C calc'!A0  -           vcpu 12 core-hour
shop       vm    web-0               web         memory 384 GiB-hour,
                                                 vcpu ~96 core-hour
shop       vm    web-1               web         vcpu 96 core-hour
`},
		{"get where there is little room", shop, "get vm/web-1 --width 64", `
vm/web-1 in shop, VirtualMachine uid-web-1
vcpu 96 core-hour

DIMENSION    HELD  START                 END               USAGE
vcpu       2 core  2026-11-02T00:00:00Z  (goes on)  96 core-hour
`},
		{"explain an interval as csv", shop, "explain vm/web-1 --interval=20261102T0000Z -o csv", `
dimension,level,unit,start,start_earliest,start_evidence,end,end_latest,end_evidence,seconds,usage,usage_unit,correction,instance,container,meter,formula,id,blocks
vcpu,2,core,2026-11-02T00:00:00Z,2026-11-02T00:00:00Z,CreationTime,,,,3600,2,core-hour,,web-1,,vm,"self.spec
  .cores",50d0fa63-dd02-8553-b999-e6ca77d3fba7,
`},
		{"records", shop, "records --interval=2026-11-02T09:59:59Z", `
NAMESPACE   NAME             DEPLOYMENT   START                  ACCURACY   USAGE
shop        web.2026110209   web          2026-11-02T09:00:00Z   Exact      memory 16 GiB-hour, vcpu 6 core-hour
`},
		{"records as csv", admin, "records -A --from=2026-11-02T09:00:00Z --to=2026-11-02T11:00:00Z --deployment web -o csv", `
start_time,end_time,namespace,deployment,record,resource_type,dimension,quantity,unit,exact,exact_unit,accuracy
2026-11-02T09:00:00Z,2026-11-02T10:00:00Z,shop,web,web.2026110209,vm,memory,16,GiB-hour,61847529062400,byte-second,Exact
2026-11-02T09:00:00Z,2026-11-02T10:00:00Z,shop,web,web.2026110209,vm,vcpu,6,core-hour,21600000,millicore-second,Exact
2026-11-02T10:00:00Z,2026-11-02T11:00:00Z,shop,web,web.2026110210,vm,vcpu,2,core-hour,7200000,millicore-second,Estimated
`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			status, out, stderr := run(append(strings.Fields(c.command), "--kubeconfig="+c.kubeconfig)...)
			if status != 0 {
				t.Fatalf("status %d: %s", status, stderr)
			}
			if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n"), out); diff != "" {
				t.Errorf("wanted (-), got (+):\n%s\nstderr: %s", diff, stderr)
			}
		})
	}
}

func TestWhatGoesWrong(t *testing.T) {
	server := cluster(t)
	shop := kubeconfig(t, server, "shop", "shop")
	nobody := kubeconfig(t, server, "", "shop")
	cases := []struct {
		kubeconfig, command string
		status              int
		says                string
	}{
		{shop, "list --from=the-other-day", exitMisused, "is no time: want 2026-11-01, 2026-11-01T10:00, today, yesterday, now, 7d (ago), or with a zone: 2026-11-01T10:00:00Z"},
		{shop, "list --from=2026-03-29T02:30 --time-zone=Europe/Berlin", exitMisused, "the clocks went forward"},
		{shop, "version -o table", exitMisused, "want one of json, yaml"},
		{shop, "list --sort-by=usage --from=2026-11-01 --to=2026-11-04", exitMisused, "of several dimensions, which have no order: choose one with --dimension"},
		{shop, "list --sort-by=mood", exitMisused, "want one of namespace, type, name"},
		{shop, "list -l =", exitMisused, "--selector"},
		{shop, "list --to=2026-11-01T00:00:00Z", exitMisused, "--to without --from"},
		{shop, "list --from=2026-11-02T00:00:00Z --to=2026-11-01T00:00:00Z", exitMisused, "is not before"},
		{shop, "list --last=1y", exitMisused, "1w, 7d, 24h, 30m"},
		{shop, "list --last=1d --this-month", exitMisused, "want one of"},
		{shop, "list --output=xml", exitMisused, "want one of table"},
		{shop, "list --by=day", exitMisused, "with -o csv, parquet"},
		{shop, "get vm/web-0 -o parquet", exitMisused, "want one of table"},
		{shop, "list extra", exitMisused, "want no arguments"},
		{shop, "list --colour", exitMisused, "See kubectl usage list --help."},
		{shop, "lists", exitMisused, `there is no command "lists": did you mean "list"?`},
		{shop, "list --time-zone=Europe/Atlantis", exitMisused, "no time zone"},
		{shop, "list -n bank", exitFailed, `Error from server (Forbidden): usagerecords.metering.usage-operator.dev is forbidden: User "shop" cannot list resource "usagerecords" in API group "metering.usage-operator.dev" in the namespace "bank"`},
		{shop, "chart web", exitMisused, "deployment/NAME"},
		{shop, "chart --by=minute", exitMisused, "hour, day, week, month"},
		{shop, "top everything", exitMisused, "deployments, namespaces or resources"},
		{shop, "get web-0/", exitMisused, "TYPE/NAME"},
		{shop, "get vm/none", exitMisused, `nothing was ever recorded under a resource "none"`},
		{shop, "get", exitMisused, "TYPE/NAME"},
		{shop, "get vm/web-0 --at=2026-11-02T09:00:00Z --last=1h", exitMisused, "want one of --interval, --at"},
		{shop, "explain vm/web-0 --interval=2026-11-09T09:00:00Z", exitMisused, "the last one ends at 2026-11-03T23:00:00Z"},
		{shop, "explain vm/web-0 --interval=2026110209", exitMisused, "is no time"},
		{shop, "explain vm/web-0 --blocks", exitFailed, "usageblocks"},
		{shop, "records --at=2026-11-02T09:00:00Z", exitMisused, "unknown flag"},
		{shop, "records -n bank", exitFailed, `Error from server (Forbidden): usagerecords.metering.usage-operator.dev is forbidden: User "shop" cannot list resource "usagerecords" in API group "metering.usage-operator.dev" in the namespace "bank"`},
		{nobody, "list", exitFailed, "has no token and no client certificate"},
		{shop, "list --operator-namespace=elsewhere", exitFailed, "is the operator installed"},
		{shop, "verify --interval-from=yesterday", exitMisused, "want a time such as"},
		{shop, "verify", exitUnreadable, "usageblocks"},
		{shop, "list --usage-api=http://localhost", exitMisused, "want an address such as https://"},
		{shop, "list --usage-api=" + server.URL, exitFailed, "certificate"},
		{"/none", "list", exitFailed, "kubeconfig"},
	}
	for _, c := range cases {
		status, out, stderr := run(append(strings.Fields(c.command), "--kubeconfig="+c.kubeconfig)...)
		if status != c.status || !strings.Contains(stderr, c.says) || out != "" || strings.Count(stderr, "\n") > 2 {
			t.Errorf("%s: status %d, %q, %s: want %d and one line that says %q", c.command, status, out, stderr, c.status, c.says)
		}
	}
	status, out, stderr := run("list", "--kubeconfig="+shop, "--usage-api="+server.URL, "--insecure-skip-usage-api-verify", "--from=2026-11-01T00:00:00Z", "--to=2026-11-04T00:00:00Z")
	if status != exitDone || !strings.Contains(out, "web-1") {
		t.Errorf("directly: status %d: %s%s", status, out, stderr)
	}
}

// broken is a pipe that nobody reads.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, fmt.Errorf("write: %w", io.ErrClosedPipe) }

func TestABrokenPipeIsQuiet(t *testing.T) {
	server := cluster(t)
	var stderr bytes.Buffer
	status := Run("kubectl-usage", []string{"--through-proxy", "list", "-o", "json", "--kubeconfig=" + kubeconfig(t, server, "shop", "shop"), "--from=2026-11-01T00:00:00Z", "--to=2026-11-04T00:00:00Z"},
		genericiooptions.IOStreams{In: strings.NewReader(""), Out: broken{}, ErrOut: &stderr}, noon)
	if status != exitFailed || stderr.Len() > 0 {
		t.Errorf("status %d, %q: want %d, and nothing said", status, stderr.String(), exitFailed)
	}
}

// A connection that breaks as a pipe does is told: only what reads the output may go without a word.
func TestABrokenConnectionIsTold(t *testing.T) {
	for _, err := range []error{syscall.EPIPE, io.ErrClosedPipe} {
		out := &output{Writer: writerOf(func([]byte) (int, error) { return 0, &os.PathError{Op: "write", Path: "/dev/stdout", Err: err} })}
		if _, got := out.Write([]byte("a line")); !errors.Is(got, err) || !out.closed {
			t.Errorf("%v: got %v, closed %t", err, got, out.closed)
		}
	}
	// The pod's end of a port-forward breaks before the server could be verified.
	for range 50 {
		TestATokenIsNotShownToWhatCannotBeVerified(t)
	}
}

type writerOf func([]byte) (int, error)

func (f writerOf) Write(text []byte) (int, error) { return f(text) }

func TestHelpNamesThePluginAsItIsInstalled(t *testing.T) {
	for program, want := range map[string]string{
		"kubectl-usage": "kubectl usage list", "kubectl-usage.exe": "kubectl usage list",
		"kubectl-usage_ledger": "kubectl usage-ledger list", "usagecli.test": "kubectl usage list",
	} {
		var out bytes.Buffer
		Run(program, []string{"list", "--help"}, genericiooptions.IOStreams{Out: &out, ErrOut: &out}, noon)
		if text := out.String(); !strings.Contains(text, "\n  "+want+" [flags]") || !strings.Contains(text, "\n  "+want+" -A --last 24h") {
			t.Errorf("%s is called so:\n%s\nwant %s", program, text, want)
		}
	}
}

func TestWhenMeteringBeganIsSaidOnce(t *testing.T) {
	server := cluster(t)
	_, out, stderr := run("list", "--from=2026-10-28", "--to=2026-11-04", "--kubeconfig="+kubeconfig(t, server, "shop", "shop"))
	const says = "Metering began at 2026-11-01T00:00:00Z: what was used before that, from 2026-10-28T00:00:00Z on, is unknown.\n"
	if strings.Contains(out, "?") || strings.Count(stderr, says) != 1 {
		t.Errorf("%s%s: want no marks, and once: %s", out, stderr, says)
	}
}

func TestUnitsAreSaidAsPeopleDo(t *testing.T) {
	for counted, want := range map[string]string{
		"vm_allocated": "VM-hours allocated", "public_ip": "public IP-hours", "load_balancer": "load balancer-hours", "node": "node-hours", "storage_retained": "storage-hours retained",
	} {
		if got := inFull(counted, "2", counted+"-hour"); got != "2 "+want {
			t.Errorf("%s: %s, want 2 %s", counted, got, want)
		}
	}
}

func TestNamesDoNothingToATerminal(t *testing.T) {
	if got := plain("a\x1b[31mb\nc\u009bd é"); got != "a?[31mb?c?d é" {
		t.Errorf("%q", got)
	}
	// Overrides and isolates of direction, marks of it, joiners, the byte order mark, line separators, tags.
	for _, hidden := range []rune{0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069, 0x200e, 0x200f, 0x061c, 0x200b, 0x200d, 0xfeff, 0x2028, 0x2029, 0xe0041} {
		if got := plain("web" + string(hidden) + "bd"); got != "web?bd" {
			t.Errorf("%U: %q", hidden, got)
		}
	}
}

// Neither do errors, which may repeat what a server or a tenant wrote.
func TestErrorsDoNothingToATerminal(t *testing.T) {
	var out, said bytes.Buffer
	status := Run("kubectl-usage", []string{"list", "--by=\u202eyad\x1b]0;title\x07"}, genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &said}, noon)
	if text := said.String(); status == exitDone || !strings.Contains(text, "?yad?]0;title?") || strings.ContainsAny(text, "\u202e\x1b\x07") {
		t.Errorf("%d: %q", status, text)
	}
	if got := plainLines("first\n\tsecond\u2066"); got != "first\n    second?" {
		t.Errorf("%q", got)
	}
}

func TestWordsAreCompletedFromTheCluster(t *testing.T) {
	server := cluster(t)
	shop, admin := kubeconfig(t, server, "shop", "shop"), kubeconfig(t, server, "admin", "default")
	for command, want := range map[string]string{
		"get vm/web":          "vm/web-0 vm/web-1",
		"chart deployment/":   "deployment/web",
		"list --deployment w": "web",
		"top --type v":        "vm",
		"list -o j":           "table wide json yaml csv parquet focus-csv name", // the shell chooses
		"chart --by d":        "hour day week month",
		"list --dimension vc": "vcpu",
		"list --from t":       "today yesterday now",
		"report go":           "goes-on",
		"report ":             "goes-on idle",
		"report idle ":        "",
	} {
		status, out, stderr := run(append([]string{"__complete", "--through-proxy", "--kubeconfig=" + shop}, strings.Split(command, " ")...)...)
		words, _, _ := strings.Cut("\n"+out, "\n:")
		if status != exitDone || strings.Join(strings.Fields(words), " ") != want {
			t.Errorf("%s: status %d, %q, %s: want %q", command, status, words, stderr, want)
		}
	}
	if _, out, _ := run("__complete", "--through-proxy", "--kubeconfig="+admin, "list", "-n", "s"); !strings.HasPrefix(out, "shop\n") {
		t.Errorf("namespaces: %q", out)
	}
}

// Each command has an example, and its help fits a terminal of 80 columns.
func TestHelpHasExamplesAndFits(t *testing.T) {
	var each func(command *cobra.Command)
	each = func(command *cobra.Command) {
		for _, below := range command.Commands() {
			each(below)
		}
		if command.Example == "" {
			t.Errorf("%s has no example", command.CommandPath())
		}
		_, help, _ := run(append(strings.Fields(command.CommandPath())[2:], "--help")...)
		if !strings.Contains(help, "Usage:") {
			t.Errorf("%s has no help: %s", command.CommandPath(), help)
		}
		for line := range strings.SplitSeq(help, "\n") {
			if utf8.RuneCountInString(line) > 80 {
				t.Errorf("%s: a line of its help has more than 80 columns: %s", command.CommandPath(), line)
			}
		}
	}
	each(newCommand("kubectl usage", genericiooptions.IOStreams{Out: io.Discard}, noon))
}

// The operator's namespace is that of the Service with the labels, where the caller may list Services.
func TestTheOperatorIsFound(t *testing.T) {
	for _, c := range []struct{ flag, variable, services, want string }{
		{"", "", `{"items": [{"metadata": {"name": "usage-api", "namespace": "metering"}}]}`, "metering"},
		{"", "", `{"items": [{"metadata": {"namespace": "a"}}, {"metadata": {"namespace": "b"}}]}`, usualNamespace},
		{"", "", `{"items": []}`, usualNamespace},
		{"", "", "", usualNamespace},
		{"", "billing", `{"items": [{"metadata": {"namespace": "metering"}}]}`, "billing"},
		{"mine", "billing", "", "mine"},
	} {
		t.Setenv(operatorNamespaceVariable, c.variable)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c.services == "" || r.URL.Query().Get("labelSelector") != operatorLabels {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, c.services)
		}))
		found := &cli{operator: c.flag}
		err := found.findOperator(t.Context(), &rest.Config{Host: server.URL})
		server.Close()
		if several := strings.Contains(c.services, `"b"`); several != (err != nil) {
			t.Errorf("%+v: %v", c, err)
		}
		if found.operator != c.want {
			t.Errorf("%+v: it is looked for in %s", c, found.operator)
		}
	}
	service, err := os.ReadFile("../../config/manager/usage_api_service.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for label := range strings.SplitSeq(operatorLabels, ",") {
		if !strings.Contains(string(service), "    "+strings.Replace(label, "=", ": ", 1)) {
			t.Errorf("the Service does not have the label %s", label)
		}
	}
}

// stopped is a server that answers nothing until it is released.
func stopped(t *testing.T, release <-chan struct{}) *httptest.Server {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func TestStatus(t *testing.T) {
	server := cluster(t)
	status, out, stderr := run("status", "--kubeconfig="+kubeconfig(t, server, "shop", "shop"))
	for _, says := range []string{"sealed up to      2026-11-03T23:00:00Z", "metering began    2026-11-01T00:00:00Z", "! UsageMeter vm: NotSeen", "! no interval was sealed for 13h0m0s"} {
		if !strings.Contains(out, says) {
			t.Errorf("it does not say %q:\n%s", says, out)
		}
	}
	if status != exitDifference || stderr != "" {
		t.Errorf("status %d, %s: want %d", status, stderr, exitDifference)
	}
	status, out, _ = run("status", "-o", "json", "--kubeconfig="+kubeconfig(t, server, "shop", "shop"))
	var got struct{ Problems []string }
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.Problems) != 2 || status != exitDifference {
		t.Errorf("%v, status %d: %s", err, status, out)
	}
	if status, _, stderr := run("status", "--kubeconfig="+kubeconfig(t, server, "nobody", "shop")); status != exitFailed || !strings.Contains(stderr, "Forbidden") {
		t.Errorf("without rights: status %d: %s", status, stderr)
	}
}

// The usage API's own address may be in the environment; the flag wins.
func TestTheAddressMayBeInTheEnvironment(t *testing.T) {
	who := kubeconfig(t, cluster(t), "shop", "shop")
	t.Setenv(serverVariable, "http://variable")
	for flag, want := range map[string]string{"": "--usage-api=http://variable: want", "--usage-api=http://flag": "--usage-api=http://flag: want"} {
		if status, _, said := run(strings.Fields("list --kubeconfig=" + who + " " + flag)...); status != exitMisused || !strings.Contains(said, want) {
			t.Errorf("%q: status %d, %s: want %s", flag, status, said, want)
		}
	}
}
