package e2e_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/cert"
)

// portForward writes what kwok reads: whoever port-forwards to a pod of the operator gets to the operator's process.
func portForward(folder, to string) string {
	GinkgoHelper()
	host, port, err := net.SplitHostPort(to)
	Expect(err).NotTo(HaveOccurred())
	file := filepath.Join(folder, "port-forward.yaml")
	Expect(os.WriteFile(file, fmt.Appendf(nil, `
apiVersion: kwok.x-k8s.io/v1alpha1
kind: ClusterPortForward
metadata: {name: usage-api}
spec:
  selector: {matchNamespaces: [usage-system]}
  forwards: [{ports: [8444], target: {address: %q, port: %s}}]
`, host, port), 0o600)).To(Succeed())
	return file
}

// kubectlUsage is the program's file.
type kubectlUsage string

func buildPlugin(ctx context.Context) kubectlUsage {
	GinkgoHelper()
	file := filepath.Join(GinkgoT().TempDir(), "kubectl-usage")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", file, "../../cmd/kubectl-usage").CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
	return kubectlUsage(file)
}

// with runs it with a kubeconfig, and returns all that it says.
func (k kubectlUsage) with(ctx context.Context) func(kubeconfig, arguments string) (string, error) {
	return func(kubeconfig, arguments string) (string, error) {
		out, err := exec.CommandContext(ctx, string(k), append(strings.Fields(arguments), "--kubeconfig="+kubeconfig)...).CombinedOutput()
		return string(out), err
	}
}

// forged is a kubeconfig with a certificate of the same name as its user's, which somebody else has signed.
func forged(name, kubeconfig string) (string, *rest.Config) {
	GinkgoHelper()
	config, err := clientcmd.LoadFromFile(kubeconfig)
	Expect(err).NotTo(HaveOccurred())
	crt, key, err := cert.GenerateSelfSignedCertKey(name, nil, nil)
	Expect(err).NotTo(HaveOccurred())
	for _, as := range config.AuthInfos {
		as.ClientCertificateData, as.ClientKeyData = crt, key
	}
	path := kubeconfig + ".forged"
	Expect(clientcmd.WriteToFile(*config, path)).To(Succeed())
	return path, &rest.Config{TLSClientConfig: rest.TLSClientConfig{CertData: crt, KeyData: key}}
}

// answers is with which status a replica answers to a certificate, if there is one, and headers.
func (p *process) answers(ctx context.Context, who *rest.Config, header map[string]string) int {
	GinkgoHelper()
	settings := &tls.Config{InsecureSkipVerify: true}
	if who != nil {
		own, err := tls.X509KeyPair(who.CertData, who.KeyData)
		Expect(err).NotTo(HaveOccurred())
		settings.Certificates = []tls.Certificate{own}
	}
	transport := &http.Transport{TLSClientConfig: settings}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+p.usage+"/v1/usage", http.NoBody)
	Expect(err).NotTo(HaveOccurred())
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := transport.RoundTrip(request)
	Expect(err).NotTo(HaveOccurred())
	Expect(response.Body.Close()).To(Succeed())
	return response.StatusCode
}

// throughProxy asks through the API server's proxy with the administrator's certificate and no token: nobody is known.
func throughProxy(ctx context.Context) {
	GinkgoHelper()
	client, err := rest.HTTPClientFor(cp.RESTConfig())
	Expect(err).NotTo(HaveOccurred())
	const path = "/api/v1/namespaces/usage-system/services/https:usage-api:https/proxy/v1/usage"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, cp.RESTConfig().Host+path, http.NoBody)
	Expect(err).NotTo(HaveOccurred())
	response, err := client.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	Expect(response.StatusCode).To(Equal(http.StatusUnauthorized))
	Expect(string(text)).To(ContainSubstring("who asks is not known"), "the usage API says it, not the API server")
}

// certified is what people with a client certificate and no token see.
func certified(ctx context.Context, plugin kubectlUsage) {
	usage := plugin.with(ctx)
	asTenant, tenant, err := cp.AddUser("certified-tenant")
	Expect(err).NotTo(HaveOccurred())
	asNobody, nobody, err := cp.AddUser("certified-nobody")
	Expect(err).NotTo(HaveOccurred())
	kubectl(ctx, "create", "rolebinding", "certified-tenant", "-n", "example", "--clusterrole=view", "--user=certified-tenant")
	const forwarder = "usage-operator-usage-api-port-forwarder"
	kubectl(ctx, "create", "rolebinding", forwarder, "-n", "usage-system", "--role="+forwarder, "--user=certified-tenant", "--user=certified-nobody")
	Eventually(ctx, func() error { // until the pods are ready and the operator has read who signs
		out, err := usage(tenant, "list -n example")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}).Should(Succeed())

	By("showing the namespaces that each may see")
	for command, says := range map[string]string{
		"list -n %s --last 2h":            "example",
		"top deployments -n %s --last 2h": "example",
		"get volume/example -n %s":        "storage",
	} {
		out, err := usage(tenant, fmt.Sprintf(command, "example"))
		Expect(err).NotTo(HaveOccurred(), "%s: %s", command, out)
		Expect(out).To(ContainSubstring(says), command)
		for who, namespace := range map[string]string{tenant: "other", nobody: "example"} {
			out, err := usage(who, fmt.Sprintf(command, namespace))
			Expect(err).To(HaveOccurred(), "%s: %s", command, out)
			Expect(out).To(ContainSubstring("cannot list resource \"usagerecords\" in API group \"metering.usage-operator.dev\" in the namespace \""+namespace+"\""), command)
		}
	}
	out, err := usage(tenant, "list -A --last 2h")
	Expect(err).NotTo(HaveOccurred(), out)
	Expect(out).To(And(ContainSubstring("example"), Not(MatchRegexp(`\bother\b`))))
	out, err = usage(cp.Kubeconfig(), "list -A --last 2h") // as kind and kubeadm make it
	Expect(err).NotTo(HaveOccurred(), out)
	Expect(out).To(And(ContainSubstring("example"), MatchRegexp(`\bother\b`)))
	words, err := exec.CommandContext(ctx, string(plugin), "__complete", "--kubeconfig="+tenant, "get", "-n", "example", "volume/").Output()
	Expect(err).NotTo(HaveOccurred())
	Expect(string(words)).To(ContainSubstring("volume/example"))

	Expect(kubectl(ctx, "get", "--raw", "/metrics")).To(MatchRegexp(`apiserver_stream_tunnel_requests_total\{code="(101|200)"\} [1-9]`), "WebSockets were used")

	By("taking nobody else's word")
	forgery, asForger := forged("certified-tenant", tenant)
	directly := " --insecure-skip-usage-api-verify --usage-api=https://" + operator.usage
	out, err = usage(tenant, "list -n example"+directly)
	Expect(err).NotTo(HaveOccurred(), out)
	out, err = usage(forgery, "list -n example"+directly)
	Expect(err).To(HaveOccurred())
	Expect(out).To(ContainSubstring("does not take your client certificate"))
	out, err = usage(forgery, "list -n example")
	Expect(err).To(HaveOccurred(), "the API server does not know him either: %s", out)
	for about, c := range map[string]struct {
		who    *rest.Config
		header map[string]string
		status int
	}{
		"a certificate":               {asTenant, nil, http.StatusOK},
		"one that has no rights":      {asNobody, nil, http.StatusForbidden}, // and is known
		"another authority's":         {asForger, nil, http.StatusUnauthorized},
		"none":                        {nil, nil, http.StatusUnauthorized},
		"one, through a proxy":        {asTenant, map[string]string{"X-Forwarded-For": "10.0.0.1"}, http.StatusUnauthorized},
		"one, beside a token":         {asTenant, map[string]string{"Authorization": "Bearer nobodys"}, http.StatusUnauthorized},
		"one, beside a proxy's token": {asTenant, map[string]string{"X-Usage-Authorization": "Bearer nobodys"}, http.StatusUnauthorized},
	} {
		Expect(operator.answers(ctx, c.who, c.header)).To(Equal(c.status), about)
	}

	By("saying what is missing")
	kubectl(ctx, "delete", "rolebinding", forwarder, "-n", "usage-system")
	Eventually(ctx, func() string { out, _ := usage(tenant, "list -n example"); return out }).
		Should(And(ContainSubstring("you may not look for the usage API's pods"), ContainSubstring(forwarder)))
	kubectl(ctx, "create", "role", "looks", "-n", "usage-system", "--verb=list", "--resource=endpointslices.discovery.k8s.io")
	kubectl(ctx, "create", "rolebinding", "looks", "-n", "usage-system", "--role=looks", "--group=system:authenticated")
	Eventually(ctx, func() string { out, _ := usage(tenant, "list -n example"); return out }).
		Should(And(ContainSubstring("you may not port-forward to the pod"), ContainSubstring(forwarder)))
	kubectl(ctx, "delete", "rolebinding", "looks", "-n", "usage-system")
}
