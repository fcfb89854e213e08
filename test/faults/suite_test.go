// Package faults_test breaks what the operator depends on, and the operator itself, and compares what it recorded with
// what was done to the objects. docs/reliability.md lists the faults.
//
// The API server, etcd and the controller manager are real. Where only a process will do, as for kill -9, the operator
// is one, with the rights that it is installed with, and intervals of a minute. Everywhere else it runs in this process,
// wired as main wires it, with the real clock plus an offset, so that no spec waits for an interval to end.
package faults_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/test/controlplane"
	"github.com/usage-operator/usage-operator/test/crds"
	"github.com/usage-operator/usage-operator/test/faults/witness"
)

const (
	// buildPatience is for a machine that has to build the control plane first.
	buildPatience = 20 * time.Minute
	patience      = 3 * time.Minute
	// minutes is for a spec in which some intervals pass for real.
	minutes = 8 * time.Minute
)

// full runs every fault at its full size: make test-faults. Without it they run in a short form.
var full = flag.Bool("faults.full", false, "run every fault at its full size")

var (
	scheme = runtime.NewScheme()
	// home is where all specs run that do not break the whole of it.
	home *plane
	// program is the operator.
	program string
)

// plane is a control plane with the operator's kinds.
type plane struct {
	*controlplane.ControlPlane
	// admin may do everything but write records.
	admin client.WithWatch
	// seen is the witness of the spec that runs.
	seen *witness.Witness
	// tenants are the namespaces that the spec's drivers made.
	tenants map[string]bool
}

func TestFaults(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(patience)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	EnforceDefaultTimeoutsWhenUsingContexts()
	RunSpecs(t, "Faults")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	ctrl.SetLogger(GinkgoLogr)
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	Expect(metav1.AddMetaToScheme(scheme)).To(Succeed())
	folder := GinkgoT().TempDir()
	program = build(ctx, folder)

	cp, err := controlplane.Start(ctx, controlplane.Options{
		Components:        []string{controlplane.Etcd, controlplane.APIServer, controlplane.ControllerManager},
		EtcdUnsafeNoFsync: true,
		// The history stays until a spec takes it away.
		ExtraArgs: map[string][]string{controlplane.APIServer: {"--etcd-compaction-interval=0"}},
		Progress:  os.Stderr,
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(cp.Stop()).To(Succeed()) })
	home = &plane{ControlPlane: cp, admin: clientOf(cp)}

	Expect(crds.Install(ctx, cp.RESTConfig(), "virtualmachines.kubevirt.io", "virtualmachineinstances.kubevirt.io")).To(Succeed())
	home.installOperator(ctx, folder)
}, NodeTimeout(buildPatience))

// build makes the program that is tested, with the race detector where the tests have it.
func build(ctx context.Context, folder string) string {
	GinkgoHelper()
	out := filepath.Join(folder, "usage-operator")
	args := []string{"build", "-o", out}
	if raceDetector {
		args = append(args, "-race")
	}
	command := exec.CommandContext(ctx, "go", append(args, "../..")...)
	text, err := command.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(text))
	return out
}

// installOperator installs what people install, and the kind of the tests' own.
func (p *plane) installOperator(ctx context.Context, folder string) {
	GinkgoHelper()
	installer := exec.CommandContext(ctx, "../../hack/installer.sh", folder)
	installer.Env = append(os.Environ(), "KUBECTL="+p.Binaries().Path("kubectl"), "IMG=example.com/usage-operator:faults")
	text, err := installer.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(text))
	p.kubectl(ctx, "apply", "--server-side", "-f", filepath.Join(folder, "install.yaml"))
	p.kubectl(ctx, "delete", "deployment", "-n", operatorNamespace, "usage-operator")
	p.kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
	rights := filepath.Join(folder, "rights.yaml")
	Expect(os.WriteFile(rights, []byte(rightsManifest), 0o600)).To(Succeed())
	p.kubectl(ctx, "apply", "-f", rights)
	p.installKind(ctx, widgetKind)
}

// kubectl runs kubectl as the administrator, and gives what it prints.
func (p *plane) kubectl(ctx context.Context, args ...string) string {
	GinkgoHelper()
	out, err := p.Kubectl(ctx, args...)
	Expect(err).NotTo(HaveOccurred(), "kubectl %s\n%s", strings.Join(args, " "), out)
	return out
}

// operatorNamespace is where the operator is installed, and operatorAccount as whom it runs. Specs give each operator a
// namespace of its own, with an account of that name.
const (
	operatorNamespace = "usage-system"
	operatorAccount   = "usage-operator"
)

// rightsManifest lets the operator do anywhere what the install lets it do in its own namespace, and read the tests'
// own kinds.
const rightsManifest = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: faults-anywhere, labels: {metering.usage-operator.dev/aggregate-to-manager: "true"}}
rules:
- {apiGroups: [metering.usage-operator.dev], resources: [usageblocks], verbs: [get, list, watch, create, delete]}
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update]}
- {apiGroups: [test.example.com], resources: ["*"], verbs: [get, list, watch]}
`

// newOperatorNamespace is a namespace in which the operator is installed as it is in its own.
func (p *plane) newOperatorNamespace(ctx context.Context) string {
	GinkgoHelper()
	name := p.newNamespace(ctx, "usage-")
	account := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: name, Name: operatorAccount}
	manager := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "usage-operator-manager"},
		Subjects:   []rbacv1.Subject{account},
	}
	for _, object := range []client.Object{&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: operatorAccount}}, manager} {
		Expect(p.admin.Create(ctx, object)).To(Succeed())
	}
	DeferCleanup(func(ctx SpecContext) { Expect(p.admin.Delete(ctx, manager)).To(Succeed()) })
	// The admission policy reads this one binding.
	publishers := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "usage-operator-publisher"}}
	patch := fmt.Sprintf(`[{"op":"add","path":"/subjects/-","value":{"kind":"ServiceAccount","namespace":%q,"name":%q}}]`, name, operatorAccount)
	Expect(p.admin.Patch(ctx, publishers, client.RawPatch(types.JSONPatchType, []byte(patch)))).To(Succeed())
	return name
}

// forgetHistory leaves nothing of what was before: neither in etcd, nor in the API server's own memory.
func (p *plane) forgetHistory(ctx context.Context) {
	GinkgoHelper()
	p.compact(ctx)
	Expect(p.Restart(ctx, controlplane.APIServer)).To(Succeed())
}

// compact takes away what etcd knows of the past.
func (p *plane) compact(ctx context.Context) {
	GinkgoHelper()
	var status []struct {
		Status struct {
			Header struct{ Revision int64 }
		}
	}
	parseJSON(p.etcdctl(ctx, "endpoint", "status", "-w", "json"), &status)
	p.etcdctl(ctx, "compact", fmt.Sprint(status[0].Status.Header.Revision))
}

// etcdctl runs etcdctl, and gives what it prints.
func (p *plane) etcdctl(ctx context.Context, args ...string) string {
	GinkgoHelper()
	out, err := p.Etcdctl(ctx, args...)
	Expect(err).NotTo(HaveOccurred())
	return out
}

func clientOf(on *controlplane.ControlPlane) client.WithWatch {
	GinkgoHelper()
	c, err := client.NewWithWatch(on.RESTConfig(), client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	return c
}

// Each spec has a witness: whatever is done, no Final record changes.
var _ = BeforeEach(func() { home.witness() })

// witness looks on until the spec ends, and then must have seen nothing wrong.
func (p *plane) witness() {
	GinkgoHelper()
	w := witness.New(p.admin)
	p.seen, p.tenants = w, map[string]bool{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Watch(ctx)
	}()
	DeferCleanup(func() {
		cancel()
		<-done
		Expect(w.Wrong()).To(BeEmpty(), "Final records changed")
	})
}
