// Package e2e_test installs the operator from the file that people install, on a whole control plane, runs the real
// program with the rights that it is installed with, and looks at what its users see.
package e2e_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/test/controlplane"
	"github.com/usage-operator/usage-operator/test/crds"
)

const (
	// buildPatience is for a machine that has to build the control plane first.
	buildPatience = 20 * time.Minute
	// patience is for an interval of a minute to end, be sealed and be published.
	patience = 2 * time.Minute
)

var (
	cp       *controlplane.ControlPlane
	cluster  client.Client
	operator *process
	scheme   = runtime.NewScheme()
)

func TestEndToEnd(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(patience)
	SetDefaultEventuallyPollingInterval(100 * time.Millisecond)
	EnforceDefaultTimeoutsWhenUsingContexts()
	RunSpecs(t, "End to end")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	ctrl.SetLogger(GinkgoLogr)
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	folder := GinkgoT().TempDir()
	usageAPI := reachableAddress()
	var err error
	cp, err = controlplane.Start(ctx, controlplane.Options{
		Nodes: 2, EtcdUnsafeNoFsync: true, Progress: os.Stderr,
		ExtraArgs: map[string][]string{controlplane.Kwok: {
			"--config=" + portForward(folder, usageAPI), // of the operator's pods, which nothing runs in
			"--node-lease-duration-seconds=40",          // so that these pods stay ready
		}},
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(cp.Stop()).To(Succeed()) })
	cluster, err = client.New(cp.RESTConfig(), client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	Expect(crds.Install(ctx, cp.RESTConfig())).To(Succeed())

	install(ctx, folder)
	operator = startOperator(ctx, folder, usageAPI)
	DeferCleanup(operator.kill)
}, NodeTimeout(buildPatience))

// install applies the file that make build-installer writes, in one go.
func install(ctx context.Context, folder string) {
	GinkgoHelper()
	installer := exec.CommandContext(ctx, "../../hack/installer.sh", folder)
	installer.Env = append(os.Environ(), "KUBECTL="+cp.Binaries().Path("kubectl"), "IMG=example.com/usage-operator:e2e")
	out, err := installer.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
	kubectl(ctx, "apply", "--server-side", "-f", filepath.Join(folder, "install.yaml"))
}

func kubectl(ctx context.Context, args ...string) string {
	GinkgoHelper()
	out, err := cp.Kubectl(ctx, args...)
	Expect(err).NotTo(HaveOccurred(), "kubectl %s\n%s", strings.Join(args, " "), out)
	return out
}

// apply creates what the manifest says, in the namespace.
func apply(ctx context.Context, namespace, manifest string) {
	GinkgoHelper()
	file := filepath.Join(GinkgoT().TempDir(), "manifest.yaml")
	Expect(os.WriteFile(file, []byte(manifest), 0o600)).To(Succeed())
	kubectl(ctx, "apply", "-n", namespace, "-f", file)
}

// newNamespace makes a namespace of the spec's own.
func newNamespace(ctx context.Context, name string) string {
	GinkgoHelper()
	kubectl(ctx, "create", "namespace", name)
	DeferCleanup(func(ctx SpecContext) { kubectl(ctx, "delete", "namespace", name, "--ignore-not-found", "--wait=false") })
	return name
}

// records are the usage records in the namespace, those of the phase alone.
func records(ctx context.Context, g Gomega, namespace string, phase v1alpha1.Phase) []v1alpha1.UsageRecord {
	list := &v1alpha1.UsageRecordList{}
	g.Expect(cluster.List(ctx, list, client.InNamespace(namespace), client.MatchingFields{"status.phase": string(phase)})).To(Succeed())
	return list.Items
}
