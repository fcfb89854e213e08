package e2e_test

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"

	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// documented is the first block of commands in a section of a page.
func documented(page, section string) string {
	GinkgoHelper()
	text, err := os.ReadFile(page)
	Expect(err).NotTo(HaveOccurred())
	_, after, found := strings.Cut(string(text), "\n## "+section+"\n")
	Expect(found).To(BeTrue(), "%s has no section %s", page, section)
	_, after, found = strings.Cut(after, "\n```sh\n")
	Expect(found).To(BeTrue())
	block, _, found := strings.Cut(after, "\n```\n")
	Expect(found).To(BeTrue())
	return block
}

var _ = Describe("The usage API", func() {
	// The commands run as they are written. There is no cluster DNS: curl is told where the Service is.
	It("is verified by what the operator publishes, as the documentation has it", func(ctx SpecContext) {
		kubectl(ctx, "create", "serviceaccount", "verifies", "-n", "usage-system")
		kubectl(ctx, "create", "clusterrolebinding", "verifies", "--clusterrole=view", "--serviceaccount=usage-system:verifies")
		kubeconfig := filepath.Join(GinkgoT().TempDir(), "kubeconfig")
		Expect(cp.ServiceAccountKubeconfig(ctx, "usage-system", "verifies", kubeconfig)).To(Succeed())
		bearer := token(ctx, "usage-system", "verifies")
		ask := func(service, to string) (string, error) {
			shell := exec.CommandContext(ctx, "bash", "-ec", `kubectl() { command "$KUBECTL" "$@"; }
curl() { command curl -sS --fail-with-body --connect-to "$SERVICE:443:$TO" "$@"; }
`+strings.ReplaceAll(documented("../../docs/usage-api.md", "Asking"), "usage-api.usage-system.svc", service))
			shell.Dir = GinkgoT().TempDir()
			shell.Env = append(os.Environ(), "KUBECTL="+cp.Binaries().Path("kubectl"), "KUBECONFIG="+kubeconfig,
				"TOKEN="+bearer, "SERVICE="+service, "TO="+to)
			out, err := shell.CombinedOutput()
			return string(out), err
		}
		Eventually(ctx, func(g Gomega) { // until the right counts
			out, err := ask("usage-api.usage-system.svc", operator.usage)
			g.Expect(err).NotTo(HaveOccurred(), out)
			g.Expect(out).To(ContainSubstring(`"resource_type"`))
		}).Should(Succeed())

		By("no other name")
		out, err := ask("usage-api.other.svc", operator.usage)
		Expect(err).To(HaveOccurred(), out)
		Expect(out).To(ContainSubstring("curl: (60)"))
		By("no other server")
		_, port, err := net.SplitHostPort(strings.TrimPrefix(cp.RESTConfig().Host, "https://"))
		Expect(err).NotTo(HaveOccurred())
		out, err = ask("usage-api.usage-system.svc", "127.0.0.1:"+port)
		Expect(err).To(HaveOccurred(), out)
		Expect(out).To(ContainSubstring("curl: (60)"))
	}, SpecTimeout(2*time.Minute))
})

var _ = Describe("Tokens", func() {
	It("for the usage API are good for it alone", func(ctx SpecContext) {
		kubectl(ctx, "create", "serviceaccount", "bound", "-n", "usage-system")
		kubectl(ctx, "create", "clusterrolebinding", "bound", "--clusterrole=view", "--serviceaccount=usage-system:bound")
		create := func(audience ...string) string {
			GinkgoHelper()
			return strings.TrimSpace(kubectl(ctx, append([]string{"create", "token", "-n", "usage-system", "bound"}, audience...)...))
		}
		own, others, servers := create("--audience="+wire.Audience), create("--audience=example.com"), create()
		status := func(p *process, token string) int {
			GinkgoHelper()
			status, _ := p.asked(ctx, token, http.MethodGet, "/v1/usage", "")
			return status
		}
		Eventually(ctx, func() int { return status(operator, own) }).Should(Equal(http.StatusOK)) // when the right counts
		Expect(status(operator, servers)).To(Equal(http.StatusOK))
		Expect(status(operator, others)).To(Equal(http.StatusUnauthorized))
		server, err := rest.HTTPClientFor(&rest.Config{BearerToken: own, TLSClientConfig: rest.TLSClientConfig{CAData: cp.RESTConfig().CAData, CAFile: cp.RESTConfig().CAFile}})
		Expect(err).NotTo(HaveOccurred())
		answer, err := server.Get(cp.RESTConfig().Host + "/api/v1/namespaces")
		Expect(err).NotTo(HaveOccurred())
		Expect(answer.Body.Close()).To(Succeed())
		Expect(answer.StatusCode).To(Equal(http.StatusUnauthorized), "the API server does not know it")

		replica := startProcess(operator.command.Path, operator.kubeconfig, filepath.Join(GinkgoT().TempDir(), "serving.log"), reachableAddress(),
			"--serve-only", "--usage-api-cluster-tokens=false")
		DeferCleanup(replica.kill)
		Eventually(ctx, replica.ready).Should(Succeed(), "its log is %s", replica.log)
		Expect(status(replica, own)).To(Equal(http.StatusOK))
		Expect(status(replica, servers)).To(Equal(http.StatusUnauthorized))
		Expect(status(replica, others)).To(Equal(http.StatusUnauthorized))
	}, SpecTimeout(2*time.Minute))
})
