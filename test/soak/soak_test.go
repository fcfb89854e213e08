package soak

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/config"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/controlplane"
	"github.com/usage-operator/usage-operator/test/faults/truth"
	"github.com/usage-operator/usage-operator/test/faults/witness"
	"github.com/usage-operator/usage-operator/test/widgets"
)

var (
	duration = flag.Duration("soak.duration", 0, "how long the attacks last; 0: the test is skipped")
	pairs    = flag.Int("soak.pairs", 1000, "how many honest deployments there are, ten in a namespace")
	folder   = flag.String("soak.folder", "", "where logs are left; empty: they are removed unless the test fails")
	quiet    = flag.Bool("soak.quiet", false, "no attacks: what honest tenants alone take")
)

const (
	operatorNamespace = "usage-system"
	interval          = 60 // seconds
	// buildPatience is for a machine that has to build the control plane first.
	buildPatience = 20 * time.Minute
	readyPatience = 3 * time.Minute
	// sealedWithin is how long after its end an interval may be sealed.
	sealedWithin = 30 * time.Second
	// recordsWithin is for the records of the last interval to be written.
	recordsWithin = 5 * time.Minute
)

// stage is a control plane with the operator on it.
type stage struct {
	*testing.T
	cp       *controlplane.ControlPlane
	admin    client.WithWatch
	folder   string
	operator *operator
	witness  *witness.Witness
}

func TestSoak(t *testing.T) {
	if *duration == 0 {
		t.Skip("make test-soak runs it")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ctrl.SetLogger(logr.Discard())
	s := begin(ctx, t)
	go s.witness.Watch(ctx)
	seals := s.watchSeals(ctx)
	memory := s.operator.watchMemory(ctx)
	crowd := s.newCrowd(ctx, *pairs)
	asker := s.newAsker(ctx, crowd.namespaces[0])
	var attackers []*attacker
	if !*quiet {
		attackers = s.attackers(ctx)
	}

	memory.during(func() {
		attacking, stop := context.WithTimeout(ctx, *duration)
		defer stop()
		var all sync.WaitGroup
		all.Go(func() { crowd.live(attacking) })
		all.Go(func() { asker.ask(attacking) })
		for _, a := range attackers {
			all.Go(func() { a.attack(attacking) })
		}
		all.Wait()
	})

	to := usage.Interval(time.Now().Unix(), interval).End
	s.judge(ctx, crowd, to, seals)
	memory.judge(t, *duration)
	asker.judge(t)
	for _, a := range attackers {
		a.judge(t)
	}
	s.verify(ctx)
	t.Logf("%s, %d honest deployments with %d changes, %d attackers; intervals sealed at most %s after their end; %s; %s",
		*duration, *pairs, crowd.changes.Load(), len(attackers), seals.latest().Round(100*time.Millisecond), memory, asker)
}

// judge compares what honest tenants held with their records, up to a moment.
func (s *stage) judge(ctx context.Context, c *crowd, to int64, seals *seals) {
	window := usage.Window{Start: usage.Interval(c.diary.Begun(), interval).Start, End: to}
	if err := poll(ctx, recordsWithin, func() bool { return seals.until() >= to }); err != nil {
		s.Fatalf("sealed until %s, and not until %s: %v", clockTime(seals.until()), clockTime(to), err)
	}
	var wrong []string
	_ = poll(ctx, recordsWithin, func() bool {
		wrong = c.diary.Judge(truth.Case{Records: s.witness.Finals(c.namespaces...), Window: window})
		return len(wrong) == 0
	})
	for i, difference := range append(wrong, s.witness.Wrong()...) {
		if i == 20 {
			s.Errorf("and %d more", len(wrong)-i)
			break
		}
		s.Error(difference)
	}
	if late := seals.latest(); late > sealedWithin {
		s.Errorf("an interval was sealed %s after its end: want at most %s", late, sealedWithin)
	}
}

// verify is what anybody can do: usage-operator verify.
func (s *stage) verify(ctx context.Context) {
	var text []byte
	err := poll(ctx, 3*time.Minute, func() bool {
		command := exec.CommandContext(ctx, s.operator.program, "verify", "--namespace="+operatorNamespace, "--kubeconfig="+s.cp.Kubeconfig())
		var failed error
		text, failed = command.CombinedOutput()
		return failed == nil // a record may be on its way
	})
	if err != nil {
		s.Errorf("usage-operator verify: %v\n%s", err, text)
	}
}

func poll(ctx context.Context, patience time.Duration, met func() bool) error {
	return wait.PollUntilContextTimeout(ctx, time.Second, patience, true, func(context.Context) (bool, error) { return met(), nil })
}

func clockTime(second int64) string { return time.Unix(second, 0).UTC().Format("15:04:05") }

// begin starts everything.
func begin(ctx context.Context, t *testing.T) *stage {
	s := &stage{T: t, folder: *folder}
	s.makeFolder()
	starting, cancel := context.WithTimeout(ctx, buildPatience)
	defer cancel()
	var err error
	s.cp, err = controlplane.Start(starting, controlplane.Options{
		Components:        []string{controlplane.Etcd, controlplane.APIServer, controlplane.ControllerManager},
		EtcdUnsafeNoFsync: true, Progress: os.Stderr,
	})
	s.must(err)
	t.Cleanup(func() { s.must(s.cp.Stop()) })
	scheme := runtime.NewScheme()
	s.must(clientgoscheme.AddToScheme(scheme))
	s.must(v1alpha1.AddToScheme(scheme))
	s.must(metav1.AddMetaToScheme(scheme))
	all := s.cp.RESTConfig()
	all.QPS = -1
	s.admin, err = client.NewWithWatch(all, client.Options{Scheme: scheme})
	s.must(err)
	s.witness = witness.New(s.admin)
	s.install(ctx)
	return s
}

// makeFolder makes the folder of the logs. It stays when the test fails.
func (s *stage) makeFolder() {
	var err error
	if s.folder != "" {
		s.must(os.MkdirAll(s.folder, 0o755))
		return
	}
	s.folder, err = os.MkdirTemp("", "soak-")
	s.must(err)
	s.Cleanup(func() {
		if s.Failed() {
			s.Logf("the logs are in %s", s.folder)
			return
		}
		s.must(os.RemoveAll(s.folder))
	})
}

const rights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: soak-widgets, labels: {metering.usage-operator.dev/aggregate-to-manager: "true"}}
rules:
- {apiGroups: [test.example.com], resources: ["*"], verbs: [get, list, watch]}
`

// install installs what people install, but for the Deployment: the operator runs here, with the meters of pods and widgets.
func (s *stage) install(ctx context.Context) {
	installer := exec.CommandContext(ctx, "../../hack/installer.sh", s.folder)
	installer.Env = append(os.Environ(), "KUBECTL="+s.cp.Binaries().Path("kubectl"), "IMG=example.com/usage-operator:soak")
	s.run(installer)
	s.kubectl(ctx, "apply", "--server-side", "-f", filepath.Join(s.folder, "install.yaml"))
	s.kubectl(ctx, "delete", "deployment", "-n", operatorNamespace, "usage-operator")
	s.kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
	file := filepath.Join(s.folder, "rights.yaml")
	s.must(os.WriteFile(file, []byte(rights), 0o600))
	s.kubectl(ctx, "apply", "-f", file)
	s.must(s.admin.Create(ctx, widgets.Widget.Definition()))
	s.must(poll(ctx, readyPatience, func() bool { return s.admin.List(ctx, widgets.Widget.List(), client.Limit(1)) == nil }))
	meters, err := config.Meters()
	s.must(err)
	for _, m := range meters {
		if strings.HasPrefix(m.GetName(), "container") {
			s.must(s.admin.Create(ctx, m))
		}
	}
	s.must(s.admin.Create(ctx, widgets.Meter("widgets", widgets.Widget)))
	s.operator = s.startOperator(ctx)
	err = poll(ctx, readyPatience, func() bool {
		meters := &v1alpha1.UsageMeterList{}
		return s.admin.List(ctx, meters) == nil && !slices.ContainsFunc(meters.Items, func(m v1alpha1.UsageMeter) bool {
			return !slices.ContainsFunc(m.Status.Conditions, func(c metav1.Condition) bool { return c.Type == "Ready" && c.Status == metav1.ConditionTrue })
		})
	})
	if err != nil {
		s.Fatalf("the operator does not meter; see %s", s.operator.log)
	}
}

func (s *stage) namespace(ctx context.Context, name string) {
	s.must(s.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
}

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *stage) run(command *exec.Cmd) {
	s.Helper()
	if text, err := command.CombinedOutput(); err != nil {
		s.Fatalf("%s: %v\n%s", command, err, text)
	}
}

func (s *stage) kubectl(ctx context.Context, args ...string) {
	s.Helper()
	if _, err := s.cp.Kubectl(ctx, args...); err != nil {
		s.Fatal(err)
	}
}

// every does something at a pace until ctx is done.
func every(ctx context.Context, pace time.Duration, do func(i int)) {
	ticks := time.NewTicker(pace)
	defer ticks.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
			do(i)
		}
	}
}
