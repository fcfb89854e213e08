package faults_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/usage-operator/usage-operator/test/controlplane"
)

// zone is the time zone of the operators that are processes: not UTC, and no whole hours from it.
const zone = "Asia/Kathmandu"

// process is an operator that is a process of its own, as the installed one is.
type process struct {
	name            string
	command         *exec.Cmd
	ended           chan struct{}
	probes, metrics string
	log             string
}

// run starts an operator, with the rights that it is installed with, in a namespace.
func (p *plane) run(ctx context.Context, name, namespace string, more ...string) *process {
	GinkgoHelper()
	folder := GinkgoT().TempDir()
	kubeconfig := filepath.Join(folder, "kubeconfig")
	p.keeps(namespace)
	Expect(p.ServiceAccountKubeconfig(ctx, namespace, operatorAccount, kubeconfig)).To(Succeed())
	return runWith(kubeconfig, folder, name, namespace, more...)
}

func runWith(kubeconfig, folder, name, namespace string, more ...string) *process {
	GinkgoHelper()
	p := &process{
		name: name, ended: make(chan struct{}), probes: freeAddress(), metrics: freeAddress(), log: filepath.Join(folder, "operator.log"),
	}
	log, err := os.Create(p.log)
	Expect(err).NotTo(HaveOccurred())
	defer log.Close()
	arguments := append([]string{
		"--kubeconfig=" + kubeconfig, "--namespace=" + namespace,
		"--health-probe-bind-address=" + p.probes, "--metrics-bind-address=" + p.metrics, "--metrics-secure=false",
		"--usage-api-bind-address=0",
	}, flags...)
	p.command = exec.Command(program, append(arguments, more...)...)
	p.command.Stdout, p.command.Stderr = log, log
	p.command.Env = append(os.Environ(), "TZ="+zone)
	Expect(controlplane.Launch(p.command)).To(Succeed())
	go func() {
		defer close(p.ended)
		_ = p.command.Wait()
	}()
	DeferCleanup(func() {
		p.kill()
		text, err := os.ReadFile(p.log)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(text)).NotTo(ContainSubstring("DATA RACE"))
		for line := range strings.Lines(string(text)) { // that of a library, too; the last one may be cut by kill -9
			Expect(json.Valid([]byte(line)) || !strings.HasSuffix(line, "\n")).To(BeTrue(), "a line of the log is not JSON: %s", line)
		}
		if CurrentSpecReport().Failed() {
			AddReportEntry("the log of operator "+p.name, string(text))
		}
	})
	return p
}

func freeAddress() string {
	GinkgoHelper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	defer func() { Expect(listener.Close()).To(Succeed()) }()
	return listener.Addr().String()
}

// metering waits until the operator is ready: it meters, or stands by.
func (p *process) metering(ctx context.Context) {
	GinkgoHelper()
	Eventually(ctx, func() error { return p.get(ctx, "http://"+p.probes+"/readyz", nil) }).Should(Succeed(), p.name)
}

func (p *process) get(ctx context.Context, url string, read func(*bufio.Scanner)) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	if read != nil {
		read(bufio.NewScanner(response.Body))
	}
	return nil
}

// metric is the sum of what the operator's metrics say under a name; 0 when it is not there.
func (p *process) metric(ctx context.Context, name string) float64 {
	var sum float64
	_ = p.get(ctx, "http://"+p.metrics+"/metrics", func(lines *bufio.Scanner) {
		for lines.Scan() {
			series, value, _ := strings.Cut(lines.Text(), " ")
			if found, _, _ := strings.Cut(series, "{"); found != name {
				continue
			}
			if v, err := strconv.ParseFloat(value, 64); err == nil {
				sum += v
			}
		}
	})
	return sum
}

// sealed waits until everything up to the end is sealed.
func (p *process) sealed(ctx context.Context, end int64) {
	GinkgoHelper()
	Eventually(ctx, func() float64 { return p.metric(ctx, "usage_operator_sealed_timestamp_seconds") }).
		WithTimeout(2*interval*1e9).Should(BeNumerically(">=", end), p.name)
}

// kill is kill -9. It returns when the process is gone.
func (p *process) kill() {
	GinkgoHelper()
	_ = p.command.Process.Kill()
	Eventually(p.ended).Should(BeClosed(), p.name)
}

// signal sends a signal to the operator.
func (p *process) signal(signal syscall.Signal) {
	GinkgoHelper()
	Expect(p.command.Process.Signal(signal)).To(Succeed(), p.name)
}
