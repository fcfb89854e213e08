// Package operator_test runs the operator, wired as main wires it, against a real API server with the real CRDs of
// what is metered, and compares the Final records with what was done to the objects.
//
// The operator's clock is the real one, plus an offset: once everything has been done to the objects of a spec, the
// clock is put past the end of the interval, so that it is sealed and its records become Final.
package operator_test

import (
	"context"
	"os"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/test/controlplane"
	"github.com/usage-operator/usage-operator/test/crds"
)

const (
	// buildPatience is for a machine that has to build the control plane first.
	buildPatience = 20 * time.Minute
	// patience is for what comes once an interval, and may just have been: a kind where nothing happens is asked how far
	// it is at the interval's end.
	patience = 3 * interval * time.Second
)

var (
	cp     *controlplane.ControlPlane
	scheme = runtime.NewScheme()
	// admin may do everything.
	admin client.WithWatch
)

func TestOperator(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(patience)
	EnforceDefaultTimeoutsWhenUsingContexts()
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	RunSpecs(t, "Operator")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	ctrl.SetLogger(GinkgoLogr)
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	Expect(metav1.AddMetaToScheme(scheme)).To(Succeed())

	var err error
	cp, err = controlplane.Start(ctx, controlplane.Options{
		Components:        controlplane.APIOnly(),
		EtcdUnsafeNoFsync: true,
		ExtraArgs: map[string][]string{controlplane.APIServer: {
			// There is no controller that would make service accounts, or take finalizers away.
			"--disable-admission-plugins=ServiceAccount,StorageObjectInUseProtection",
		}},
		Progress: os.Stderr,
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(cp.Stop()).To(Succeed()) })
	admin, err = client.NewWithWatch(unlimited(cp.RESTConfig()), client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())

	Expect(crds.Install(ctx, cp.RESTConfig())).To(Succeed())
	kubectl(ctx, "apply", "--server-side", "-k", "../../config/crd")
	kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
	install(ctx, widgetKind)
}, NodeTimeout(buildPatience))

// unlimited takes the client's own rate limit away.
func unlimited(config *rest.Config) *rest.Config {
	config.QPS = -1
	return config
}

// kubectl runs kubectl as the administrator, and gives what it prints.
func kubectl(ctx context.Context, args ...string) string {
	GinkgoHelper()
	out, err := cp.Kubectl(ctx, args...)
	Expect(err).NotTo(HaveOccurred(), "kubectl %q", args)
	return out
}

// parse reads an object, or a part of one, from YAML.
func parse(text string) *unstructured.Unstructured {
	GinkgoHelper()
	object := &unstructured.Unstructured{}
	Expect(yaml.Unmarshal([]byte(text), &object.Object)).To(Succeed(), text)
	return object
}
