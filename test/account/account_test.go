package account

import (
	"context"
	"flag"
	"fmt"
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
	"github.com/usage-operator/usage-operator/test/controlplane"
	"github.com/usage-operator/usage-operator/test/crds"
)

var (
	seed     = flag.Uint64("account.seed", 1, "the seed of the script and of the faults")
	duration = flag.Duration("account.duration", 100*time.Second, "how long the script is")
	replicas = flag.Int("account.replicas", 1, "how many replicas of the operator there are")
	quiet    = flag.Bool("account.quiet", false, "no faults")
	folder   = flag.String("account.folder", "", "where logs are left; empty: they are removed unless something differs")
)

const (
	// buildPatience is for a machine that has to build the control plane first.
	buildPatience = 20 * time.Minute
	// readyPatience is for the first lists, sealPatience for the last seal, when the
	// operator has been killed just before.
	readyPatience = 3 * time.Minute
	sealPatience  = 5 * time.Minute
)

// stage is a control plane with the operator on it.
type stage struct {
	*testing.T
	cp       *controlplane.ControlPlane
	cluster  client.Client
	witness  *witness
	folder   string
	program  string // this version's operator; empty: it is built
	replicas []*replica
	journal  *journal
}

// journal is the log of what was done, with the time.
type journal struct {
	mu   sync.Mutex
	file *os.File
}

func (j *journal) log(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	fmt.Fprintf(j.file, time.Now().UTC().Format("15:04:05.000 ")+format+"\n", args...)
}

// TestAccount is the account: see doc.go.
func TestAccount(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ctrl.SetLogger(logr.Discard())
	s := &stage{T: t, folder: *folder}
	s.begin(ctx)
	from := time.Now().Unix() + 1

	script, faults := write(*seed, *duration), drawFaults(*seed, *duration, *replicas)
	if *quiet {
		faults = nil
	}
	playing, stop := context.WithTimeout(ctx, *duration)
	defer stop()
	d := &driver{Client: s.cluster, log: s.journal.log}
	w := &wrecker{cp: s.cp, replicas: s.replicas, log: s.journal.log}
	var both sync.WaitGroup
	both.Go(func() { d.play(playing, script) })
	both.Go(func() { w.play(playing, faults) })
	both.Wait()

	to := (time.Now().Unix()/interval + 1) * interval
	s.journal.log("the script is over; what counts is until %s", clockTime(to))
	s.report(ctx, from, to, d, w)
}

// report waits until everything is sealed, compares, and tells.
func (s *stage) report(ctx context.Context, from, to int64, d *driver, w *wrecker) {
	s.sealed(ctx, to)
	t, l, v := s.judge(ctx, from, to, func(*truth, *ledger) {})
	crashes := 0
	for _, r := range s.replicas {
		crashes += r.crashes
		for _, line := range r.complaints() {
			s.Error(line)
		}
	}
	fmt.Printf("seed %d, %s, %d replicas: %d steps (%d more refused), %d faults, the operator ended by itself %d times\n", *seed, *duration, len(s.replicas),
		d.done.Load(), d.refused.Load(), w.done.Load(), crashes)
	fmt.Printf("%d writes, each known to within %s; %d changes of %d streams of %d kinds\n", t.counts.writes, t.counts.widest.Round(time.Millisecond),
		t.counts.changes, len(t.facts), len(t.counts.kinds))
	fmt.Printf("%d records, %d corrections; %d stream-seconds compared: %d near a change, %d within bounds, %d that nobody saw\n", l.records, l.fixes,
		v.compared, v.within, v.bounded, v.covered)
	s.tell(t, l, v)
	s.verify(ctx)
}

// judge compares what happened with what the ledger says, of both what narrow leaves of them. What is wrong is looked at
// again: a correction may be on its way.
func (s *stage) judge(ctx context.Context, from, to int64, narrow func(*truth, *ledger)) (t *truth, l *ledger, v *verdict) {
	for try := range 3 {
		if try > 0 {
			pause(ctx, 10*time.Second)
		}
		h, err := s.witness.history(ctx)
		s.must(err)
		t = h.truth()
		l, err = readLedger(ctx, h, s.cluster)
		s.must(err)
		narrow(t, l)
		if v = compare(t, l, from, to); len(v.differences)+len(l.wrong) == 0 {
			break
		}
	}
	return t, l, v
}

// tell says what differs, which fails the test.
func (s *stage) tell(t *truth, l *ledger, v *verdict) {
	fmt.Printf("%d differences\n", len(v.differences)+len(l.wrong))
	for _, wrong := range l.wrong {
		s.Error(wrong)
	}
	for i, difference := range v.differences {
		if i == 40 {
			s.Errorf("and %d more", len(v.differences)-i)
			break
		}
		s.Error(difference.tell(t, l) + "  its history\n    " + strings.Join(t.changes[difference.uid], "\n    "))
	}
	if len(t.facts) == 0 || v.compared == 0 {
		s.Error("nothing was compared")
	}
}

// verify is what anybody can do: usage-operator verify.
func (s *stage) verify(ctx context.Context) {
	var text []byte
	err := wait.PollUntilContextTimeout(ctx, 5*time.Second, time.Minute, true, func(ctx context.Context) (bool, error) {
		command := exec.CommandContext(ctx, s.program, "verify", "--namespace="+operatorNamespace, "--kubeconfig="+s.cp.Kubeconfig())
		var failed error
		text, failed = command.CombinedOutput()
		return failed == nil, nil // a record may be on its way
	})
	if err != nil {
		s.Errorf("usage-operator verify: %v\n%s", err, text)
	}
}

// sealed waits until the journal has sealed everything up to the moment.
func (s *stage) sealed(ctx context.Context, to int64) {
	err := wait.PollUntilContextTimeout(ctx, time.Second, sealPatience, true, func(ctx context.Context) (bool, error) {
		list := &v1alpha1.UsageBlockList{}
		if s.cluster.List(ctx, list, client.InNamespace(operatorNamespace)) != nil {
			return false, nil
		}
		return slices.ContainsFunc(list.Items, func(b v1alpha1.UsageBlock) bool {
			return slices.ContainsFunc(b.Spec.Sealed, func(seal v1alpha1.BlockSeal) bool { return seal.EndTime.Unix() >= to })
		}), nil
	})
	if err != nil {
		s.Errorf("not sealed until %s within %s: %v", clockTime(to), sealPatience, err)
	}
}

// begin starts everything.
func (s *stage) begin(ctx context.Context) {
	s.start(ctx)
	s.install(ctx, checkout, s.folder)
	for i := range *replicas {
		r := s.replica(s.program, string(rune('a'+i)))
		keeping, cancel := context.WithCancel(ctx)
		s.Cleanup(func() {
			cancel()
			r.kill()
		})
		go r.keep(keeping)
	}
	s.meters(ctx)
}

// checkout is this version's source.
const checkout = "../.."

// start starts a control plane and its witness, and builds the operator if it is not built.
func (s *stage) start(ctx context.Context) {
	s.must(s.makeFolder())
	file, err := os.Create(filepath.Join(s.folder, "script.log"))
	s.must(err)
	s.journal = &journal{file: file}
	if s.program == "" {
		s.program = filepath.Join(s.folder, "usage-operator")
		s.run(exec.CommandContext(ctx, "go", "build", "-o", s.program, checkout))
	}

	starting, cancel := context.WithTimeout(ctx, buildPatience)
	defer cancel()
	s.cp, err = controlplane.Start(starting, controlplane.Options{
		EtcdUnsafeNoFsync: true,
		Nodes:             2,
		Progress:          os.Stderr,
		ExtraArgs: map[string][]string{controlplane.APIServer: {
			"--etcd-compaction-interval=0",                    // the history stays until a fault takes it away
			"--storage-media-type=application/json",           // which the witness can read
			"--max-requests-inflight=800",                     // it is one machine
			"--max-mutating-requests-inflight=400",            // that does everything
			"--disable-admission-plugins=DefaultStorageClass", // there is none
		}},
	})
	s.must(err)
	s.Cleanup(func() { s.must(s.cp.Stop()) })
	scheme := runtime.NewScheme()
	s.must(clientgoscheme.AddToScheme(scheme))
	s.must(v1alpha1.AddToScheme(scheme))
	config := s.cp.RESTConfig()
	config.QPS = -1
	s.cluster, err = client.New(config, client.Options{Scheme: scheme})
	s.must(err)
	s.witness, err = observe(ctx, s.cp)
	s.must(err)
	s.must(crds.Install(ctx, s.cp.RESTConfig()))
	for _, name := range tenants {
		s.must(s.cluster.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	}
}

// makeFolder makes the folder of the logs. It stays when the test fails.
func (s *stage) makeFolder() (err error) {
	if s.folder != "" {
		return os.MkdirAll(s.folder, 0o755)
	}
	if s.folder, err = os.MkdirTemp("", "account-"); err != nil {
		return err
	}
	s.Cleanup(func() {
		if s.Failed() {
			s.Logf("the logs are in %s", s.folder)
			return
		}
		s.must(os.RemoveAll(s.folder))
	})
	return nil
}

// install installs what people install of a checkout, with its meters, but for the Deployment: the operator runs here.
func (s *stage) install(ctx context.Context, checkout, to string) {
	s.apply(ctx, checkout, to)
	s.kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
	s.kubectl(ctx, "apply", "--server-side", "-f", filepath.Join(to, "meters.yaml"))
}

// apply writes the manifests of a checkout to a folder, and applies them.
func (s *stage) apply(ctx context.Context, checkout, to string) {
	installer := exec.CommandContext(ctx, filepath.Join(checkout, "hack", "installer.sh"), to)
	installer.Env = append(os.Environ(), "KUBECTL="+s.cp.Binaries().Path("kubectl"), "IMG=example.com/usage-operator:account")
	s.run(installer)
	s.kubectl(ctx, "apply", "--server-side", "-f", filepath.Join(to, "install.yaml"))
	s.kubectl(ctx, "delete", "deployment", "-n", operatorNamespace, "usage-operator")
}

// replica starts an operator.
func (s *stage) replica(program, name string) *replica {
	r, err := newReplica(s.cp, program, s.folder, name)
	s.must(err)
	s.must(r.start())
	s.replicas = append(s.replicas, r)
	return r
}

// meters waits until everything is metered.
func (s *stage) meters(ctx context.Context) {
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, readyPatience, true, func(ctx context.Context) (bool, error) {
		meters := &v1alpha1.UsageMeterList{}
		if s.cluster.List(ctx, meters) != nil || len(meters.Items) == 0 || !s.replicas[0].ready(ctx) {
			return false, nil
		}
		return !slices.ContainsFunc(meters.Items, func(m v1alpha1.UsageMeter) bool { return !metering(&m) }), nil
	})
	if err != nil {
		s.Fatalf("the operator does not meter; see %s", s.replicas[0].log.Name())
	}
}

// metering tells whether a meter sees everything, and the journal knows that.
func metering(m *v1alpha1.UsageMeter) bool {
	return slices.ContainsFunc(m.Status.Conditions, func(c metav1.Condition) bool { return c.Type == "Ready" && c.Status == metav1.ConditionTrue })
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
