package e2e_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
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
