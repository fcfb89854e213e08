// Package api_test installs what config/default installs on a real control plane, and checks what people meet there:
// which objects are accepted and why others are not, the columns and selectors, and who may do what.
package api_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/test/controlplane"
)

const (
	operatorNamespace = "usage-system"
	operatorUser      = "system:serviceaccount:usage-system:usage-operator"

	// buildPatience is for a machine that has to build the control plane first.
	buildPatience = 20 * time.Minute
	patience      = 3 * time.Minute
)

var (
	cp *controlplane.ControlPlane
	// install is the file that installs everything.
	install string
	// admin may do everything that an administrator may; operator is the operator's service account.
	admin, operator client.Client
)

func TestAPI(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(patience)
	EnforceDefaultTimeoutsWhenUsingContexts()
	ctrl.SetLogger(GinkgoLogr)
	RunSpecs(t, "API")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	var err error
	cp, err = controlplane.Start(ctx, controlplane.Options{
		// The controller manager fills aggregated roles, collects garbage and makes pods of deployments.
		Components:        []string{controlplane.Etcd, controlplane.APIServer, controlplane.ControllerManager},
		EtcdUnsafeNoFsync: true,
		Progress:          os.Stderr,
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(cp.Stop()).To(Succeed()) })

	admin = as(cp.RESTConfig())
	manifests := kubectl(ctx, "kustomize", "../../config/default")
	install = filepath.Join(GinkgoT().TempDir(), "install.yaml")
	Expect(os.WriteFile(install, []byte(manifests), 0o600)).To(Succeed())

	By("installing everything with one command")
	kubectl(ctx, "apply", "--server-side", "-f", install)

	operator = impersonate(operatorUser)
	By("waiting until the operator may write records, which is when roles and policy are in force")
	Eventually(func(ctx context.Context) error {
		return operator.Create(ctx, record(), client.DryRunAll)
	}).WithContext(ctx).Should(Succeed())
	Eventually(func(ctx context.Context) error {
		return admin.Create(ctx, record(), client.DryRunAll)
	}).WithContext(ctx).Should(MatchError(ContainSubstring("only usage-operator writes UsageRecords")))
}, NodeTimeout(buildPatience))

// as is a client that fails on fields that a kind does not have.
func as(config *rest.Config) client.Client {
	GinkgoHelper()
	c, err := client.New(config, client.Options{Scheme: clientgoscheme.Scheme})
	Expect(err).NotTo(HaveOccurred())
	return client.WithFieldValidation(c, "Strict")
}

// impersonate is the client of a user whom the administrator plays.
func impersonate(user string) client.Client {
	GinkgoHelper()
	config := rest.CopyConfig(cp.RESTConfig())
	config.Impersonate.UserName = user
	return as(config)
}

// kubectl runs kubectl as the administrator, and gives what it prints.
func kubectl(ctx context.Context, args ...string) string {
	GinkgoHelper()
	out, err := cp.Kubectl(ctx, args...)
	Expect(err).NotTo(HaveOccurred(), fmt.Sprint(args))
	return out
}
