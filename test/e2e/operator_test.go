package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/config"
)

// process is the operator, running.
type process struct {
	command    *exec.Cmd
	kubeconfig string
	ended      chan error
	probes     string
	usage      string // where the usage API is
	log        string
}

// startOperator builds the program, and runs it with its service account's token and the flags of the Deployment, but
// for the interval. It serves the usage API at that address.
func startOperator(ctx context.Context, folder, usageAPI string) *process {
	GinkgoHelper()
	program := filepath.Join(folder, "usage-operator")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "../..")
	out, err := build.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
	kubeconfig := filepath.Join(folder, "kubeconfig")
	Expect(cp.ServiceAccountKubeconfig(ctx, "usage-system", "usage-operator", kubeconfig)).To(Succeed())

	p := startProcess(program, kubeconfig, filepath.Join(folder, "operator.log"), usageAPI, "--install-meters", "--interval=1m", "--live-refresh=2s")
	Expect(p.ready(ctx)).NotTo(Succeed(), "it cannot be metering yet")
	Eventually(ctx, p.ready).WithPolling(10*time.Millisecond).Should(Succeed(), "the operator's log is %s", p.log)
	expectMetering(ctx)
	return p
}

// startProcess runs the program, with the usage API at that address, and the rest on addresses of its own.
func startProcess(program, kubeconfig, logFile, usageAPI string, more ...string) *process {
	GinkgoHelper()
	p := &process{kubeconfig: kubeconfig, ended: make(chan error, 1), probes: freeAddress(), usage: usageAPI, log: logFile}
	log, err := os.Create(p.log)
	Expect(err).NotTo(HaveOccurred())
	defer log.Close()
	p.command = exec.Command(program, append([]string{
		"--kubeconfig=" + kubeconfig, "--namespace=usage-system", "--health-probe-bind-address=" + p.probes,
		"--metrics-bind-address=" + freeAddress(), "--usage-api-bind-address=" + p.usage,
	}, more...)...)
	p.command.Stdout, p.command.Stderr = log, log
	Expect(p.command.Start()).To(Succeed())
	go func() { p.ended <- p.command.Wait() }()
	return p
}

// expectMetering checks what readiness promises: every built-in meter is there and was taken up.
func expectMetering(ctx context.Context) {
	GinkgoHelper()
	builtin, err := config.Meters()
	Expect(err).NotTo(HaveOccurred())
	meters := &v1alpha1.UsageMeterList{}
	Expect(cluster.List(ctx, meters)).To(Succeed())
	Expect(meters.Items).To(HaveLen(len(builtin)))
	for _, m := range meters.Items {
		Expect(m.Status.ObservedGeneration).To(Equal(m.Generation), m.Name)
		Expect(meta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.ConditionStalled)).To(BeFalse(), m.Name)
	}
}

func freeAddress() string {
	GinkgoHelper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	defer func() { Expect(listener.Close()).To(Succeed()) }()
	return listener.Addr().String()
}

// reachableAddress is one that the API server's proxy goes to, which it does to no loopback address.
func reachableAddress() string {
	GinkgoHelper()
	all, err := net.InterfaceAddrs()
	Expect(err).NotTo(HaveOccurred())
	for _, address := range all {
		network, is := address.(*net.IPNet)
		if !is || !network.IP.IsGlobalUnicast() {
			continue
		}
		listener, err := net.Listen("tcp", net.JoinHostPort(network.IP.String(), "0"))
		if err != nil {
			continue
		}
		defer func() { Expect(listener.Close()).To(Succeed()) }()
		return listener.Addr().String()
	}
	Fail("this machine has no address but loopback ones: give its network interface one")
	return ""
}

// ready asks the readiness probe.
func (p *process) ready(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.probes+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("readyz: %s", response.Status)
	}
	return nil
}

func (p *process) kill() {
	if p.command.ProcessState == nil {
		_ = p.command.Process.Kill()
	}
	if text, err := os.ReadFile(p.log); err == nil && CurrentSpecReport().Failed() {
		AddReportEntry("the operator's log", string(text))
	}
}

// terminate asks the operator to end, as a kubelet does.
func (p *process) terminate() error {
	return p.command.Process.Signal(syscall.SIGTERM)
}

// audit is what usage-operator verify says to somebody with the auditor's role.
func audit(ctx context.Context) string {
	GinkgoHelper()
	_, kubeconfig, err := cp.AddUser("auditor")
	Expect(err).NotTo(HaveOccurred())
	kubectl(ctx, "create", "clusterrolebinding", "auditor", "--clusterrole=usage-operator-auditor", "--user=auditor")
	var out []byte
	Eventually(ctx, func() error { // until the right has got around
		out, err = exec.CommandContext(ctx, operator.command.Path, "verify", "--kubeconfig="+kubeconfig).CombinedOutput()
		var exited *exec.ExitError
		if errors.As(err, &exited) && exited.ExitCode() == 2 {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	}).Should(Succeed())
	AddReportEntry("usage-operator verify", string(out))
	return string(out)
}
