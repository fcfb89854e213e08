package e2e_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// token is one that a program of the namespace has.
func token(ctx context.Context, namespace, account string) string {
	GinkgoHelper()
	return strings.TrimSpace(kubectl(ctx, "create", "token", "-n", namespace, account))
}

// insecure is for a server that nobody knows.
var insecure = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}

// asked is what a replica's usage API answers to a token.
func (p *process) asked(ctx context.Context, token, method, path, body string) (status int, answer string) {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, method, "https://"+p.usage+path, strings.NewReader(body))
	Expect(err).NotTo(HaveOccurred())
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := insecure.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	return response.StatusCode, string(text)
}

const example = `
apiVersion: v1
kind: Pod
metadata: {name: example, labels: {metering.usage-operator.dev/deployment: example}}
spec: {containers: [{name: example, image: example.com/example, resources: {requests: {cpu: "1", memory: 1Gi}}}]}`

const exampleVolume = `
apiVersion: v1
kind: PersistentVolume
metadata: {name: example}
spec:
  accessModes: [ReadWriteOnce]
  capacity: {storage: 10Gi}
  storageClassName: example
  hostPath: {path: /example}
  claimRef: {namespace: example, name: example}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: example, labels: {metering.usage-operator.dev/deployment: example}}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: example
  volumeName: example
  resources: {requests: {storage: 10Gi}}
`

var _ = Describe("The usage API", Ordered, func() {
	var (
		volumeUID, namespaceUID string
		tokens                  = map[string]string{}
		plugin                  kubectlUsage
	)

	BeforeAll(func(ctx SpecContext) {
		namespace := newNamespace(ctx, "example")
		newNamespace(ctx, "other")
		create(ctx, namespace, example)
		create(ctx, "other", pod)
		apply(ctx, namespace, exampleVolume)
		DeferCleanup(func(ctx SpecContext) { kubectl(ctx, "delete", "pv", "example", "--ignore-not-found", "--wait=false") })
		for account, sees := range map[string][]string{"tenant": {"example"}, "two": {"example", "other"}, "nobody": nil} {
			kubectl(ctx, "create", "serviceaccount", account, "-n", namespace)
			for _, seen := range sees {
				kubectl(ctx, "create", "rolebinding", account, "-n", seen, "--clusterrole=view", "--serviceaccount="+namespace+":"+account)
			}
			tokens[account] = token(ctx, namespace, account)
		}
		var err error
		tokens["expired"], err = cp.Expired(tokens["tenant"])
		Expect(err).NotTo(HaveOccurred())
		plugin = buildPlugin(ctx)
		volumeUID = kubectl(ctx, "get", "pvc", "example", "-n", namespace, "-o", "jsonpath={.metadata.uid}")
		namespaceUID = kubectl(ctx, "get", "namespace", namespace, "-o", "jsonpath={.metadata.uid}")
		Eventually(ctx, func(g Gomega) { // both have been metered for some time, and an hour of that is sealed
			final := records(ctx, g, namespace, v1alpha1.PhaseFinal)
			g.Expect(slices.ContainsFunc(final, func(r v1alpha1.UsageRecord) bool { return len(r.Status.Usage) > 1 })).To(BeTrue())
		}).Should(Succeed())
	}, NodeTimeout(4*time.Minute))

	// Each file of the folder is a request as a public page prints it, but for the host and the token, and what is
	// answered. UPDATE_TRANSCRIPTS=1 writes the answers anew.
	It("answers what the public pages print", func(ctx SpecContext) {
		files, err := filepath.Glob("testdata/usage-api/*.txt")
		Expect(err).NotTo(HaveOccurred())
		Expect(len(files)).To(BeNumerically(">=", 6))
		today := time.Now().UTC().Truncate(24 * time.Hour)
		values := []string{
			"HOST=" + operator.usage, "TOKEN=" + tokens["tenant"], "RESOURCE_ID=" + volumeUID, "CUSTOMER_ID=" + namespaceUID,
			"TODAY=" + today.Format(time.RFC3339), "TOMORROW=" + today.Add(24*time.Hour).Format(time.RFC3339),
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			Expect(err).NotTo(HaveOccurred())
			command, want, found := strings.Cut(string(text), "\n\n")
			Expect(found).To(BeTrue(), "%s has no empty line after the request", file)
			shell := exec.CommandContext(ctx, "bash", "-c", "curl() { command curl -sSk \"$@\"; }\n"+strings.TrimPrefix(command, "$ "))
			shell.Env = append(os.Environ(), values...)
			out, err := shell.CombinedOutput()
			Expect(err).NotTo(HaveOccurred(), "%s: %s", file, out)
			got := shown(out)
			if os.Getenv("UPDATE_TRANSCRIPTS") != "" {
				Expect(os.WriteFile(file, []byte(command+"\n\n"+got), 0o600)).To(Succeed())
				continue
			}
			Expect(got).To(Equal(want), file)
		}
	}, SpecTimeout(6*time.Minute)) // with BeforeAll

	It("adds up to what the records say", func(ctx SpecContext) {
		var final []v1alpha1.UsageRecord
		Eventually(ctx, func(g Gomega) { final = records(ctx, g, "example", v1alpha1.PhaseFinal) }).Should(Succeed())
		compared := 0
		for i := range final {
			r := &final[i]
			body := fmt.Sprintf(`{"window_size":"none","starting_on":%q,"ending_before":%q,"customer_ids":[%q]}`,
				r.Spec.StartTime.UTC().Format(time.RFC3339), r.Spec.EndTime.UTC().Format(time.RFC3339), namespaceUID)
			status, text := operator.asked(ctx, tokens["tenant"], http.MethodPost, "/v1/usage", body)
			Expect(status).To(Equal(http.StatusOK), text)
			var answer struct {
				Data []struct {
					ResourceType string `json:"resource_type"`
					Dimension    string
					Exact        string
					Sealed       bool
				}
			}
			Expect(json.Unmarshal([]byte(text), &answer)).To(Succeed())
			exact := map[string]string{}
			for _, row := range answer.Data {
				Expect(row.Sealed).To(BeTrue())
				exact[row.ResourceType+" "+row.Dimension] = row.Exact
			}
			for _, total := range r.Status.Totals { // example is the only deployment
				Expect(exact).To(HaveKeyWithValue(total.ResourceType+" "+total.Dimension, total.Exact), "%s of %s", r.Name, body)
				compared++
			}
			status, text = operator.asked(ctx, tokens["tenant"], http.MethodGet,
				"/v1alpha1/records?project_id=example&interval="+r.Spec.StartTime.UTC().Format(time.RFC3339), "")
			Expect(status).To(Equal(http.StatusOK), text)
			again := &v1alpha1.UsageRecordList{}
			Expect(json.Unmarshal([]byte(text), again)).To(Succeed())
			Expect(again.Items).To(HaveLen(1), text)
			Expect(again.Items[0].Name).To(Equal(r.Name))
			Expect(again.Items[0].Labels).To(Equal(r.Labels))
			Expect(again.Items[0].Spec).To(Equal(r.Spec))
			Expect(again.Items[0].Status).To(Equal(r.Status))
		}
		Expect(compared).To(BeNumerically(">", 1))
	}, SpecTimeout(6*time.Minute)) // with BeforeAll

	It("shows to everybody what he may see, and nothing else", func(ctx SpecContext) {
		now := time.Now().UTC()
		window := fmt.Sprintf(`"window_size":"none","starting_on":%q,"ending_before":%q`,
			now.Add(-time.Hour).Format(time.RFC3339), now.Add(time.Hour).Format(time.RFC3339))
		otherUID := kubectl(ctx, "get", "namespace", "other", "-o", "jsonpath={.metadata.uid}")
		type request struct{ method, path, body string }
		// Of each shape: about a namespace, and about everything.
		of := func(namespace, uid string) map[string]request {
			return map[string]request{
				"hourly":  {"POST", "/api/web/namespaces/" + namespace + "/hourly_usage_details", `{}`},
				"charts":  {"GET", "/api/v1/billing/costs/" + namespace + "/deployments/example/charts", ""},
				"records": {"GET", "/v1/usage?resource_type=container&project_id=" + namespace, ""},
				"batched": {"POST", "/v1/usage", `{` + window + `,"customer_ids":["` + uid + `"]}`},
			}
		}
		everything := map[string]request{
			"charts": {"GET", "/api/v1/billing/costs/-/deployments/example/charts", ""}, "records": {"GET", "/v1/usage?resource_type=container", ""},
			"batched": {"POST", "/v1/usage", `{` + window + `}`},
		}
		both := And(ContainSubstring("example"), ContainSubstring(`"other"`))
		cases := []struct {
			about    string
			who      string
			requests map[string]request
			status   int
			says     types.GomegaMatcher
		}{
			{"allowed", "tenant", of("example", namespaceUID), 200, ContainSubstring(`"exact"`)},
			{"forbidden", "tenant", of("other", otherUID), 403, Or(ContainSubstring("cannot list resource"), ContainSubstring("may not see"))},
			{"mixed", "tenant", everything, 200, Not(ContainSubstring(`"other"`))},
			{"mixed, both", "two", map[string]request{"records": everything["records"], "batched": everything["batched"]}, 200, both},
			{"nothing", "nobody", everything, 403, ContainSubstring("cannot list resource")},
			{"nobody", "nobody", of("example", namespaceUID), 403, Or(ContainSubstring("cannot list resource"), ContainSubstring("may not see"))},
			{"anonymous", "", of("example", namespaceUID), 401, ContainSubstring("Authorization")},
			{"anonymous, everything", "", everything, 401, ContainSubstring("Authorization")},
			{"expired", "expired", of("example", namespaceUID), 401, ContainSubstring("Authorization")},
		}
		for _, c := range cases {
			for shape, r := range c.requests {
				status, text := operator.asked(ctx, tokens[c.who], r.method, r.path, r.body)
				Expect(status).To(Equal(c.status), "%s, %s: %s", shape, c.about, text)
				Expect(text).To(c.says, "%s, %s", shape, c.about)
			}
		}
	}, SpecTimeout(6*time.Minute)) // with BeforeAll

	It("is asked by kubectl usage with a client certificate alone, through the API server's port-forward", func(ctx SpecContext) {
		certified(ctx, plugin)
	}, SpecTimeout(6*time.Minute)) // with BeforeAll

	It("is asked by kubectl usage with a kubeconfig alone, through the API server", func(ctx SpecContext) {
		// No pod runs the operator here: the Service is pointed at the process, by the name of a pod that is nowhere, for
		// the API server goes to pods alone.
		host, port, err := net.SplitHostPort(operator.usage)
		Expect(err).NotTo(HaveOccurred())
		kubectl(ctx, "patch", "service", "usage-api", "-n", "usage-system", "--type=json", `-p=[{"op":"remove","path":"/spec/selector"}]`)
		apply(ctx, "usage-system", fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: here}
spec:
  schedulingGates: [{name: example.com/nowhere}]
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: usage-operator
    image: example.com/usage-operator
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: usage-api-here, labels: {kubernetes.io/service-name: usage-api}}
addressType: IPv4
ports: [{name: https, port: %s, protocol: TCP}]
endpoints: [{addresses: [%q], conditions: {ready: true}, targetRef: {kind: Pod, name: here, namespace: usage-system}}]
`, port, host))
		Eventually(ctx, func() string { // those of the Deployment's pods, which nothing runs in
			kubectl(ctx, "delete", "endpoints", "usage-api", "-n", "usage-system", "--ignore-not-found")
			kubectl(ctx, "delete", "endpointslices", "-n", "usage-system", "-l", "kubernetes.io/service-name=usage-api,endpointslice.kubernetes.io/managed-by")
			return kubectl(ctx, "get", "endpointslices", "-n", "usage-system", "-l", "kubernetes.io/service-name=usage-api", "-o", "name")
		}).Should(Equal("endpointslice.discovery.k8s.io/usage-api-here\n"))
		kubectl(ctx, "patch", "pod", "here", "-n", "usage-system", "--subresource=status", "-p", fmt.Sprintf(`{"status":{"podIP":%q,"podIPs":[{"ip":%q}]}}`, host, host))
		kubeconfig := func(account string) string {
			GinkgoHelper()
			path := filepath.Join(GinkgoT().TempDir(), account)
			Expect(cp.ServiceAccountKubeconfig(ctx, "example", account, path)).To(Succeed())
			return path
		}
		// They may ask for a token for the usage API alone; nobody may not, and is told where his own goes.
		kubectl(ctx, "create", "role", "usage-token", "-n", "example", "--verb=create", "--resource=serviceaccounts/token", "--resource-name=tenant", "--resource-name=auditor")
		kubectl(ctx, "create", "rolebinding", "usage-token", "-n", "example", "--role=usage-token", "--serviceaccount=example:tenant", "--serviceaccount=example:auditor")
		tenant, nobody := kubeconfig("tenant"), kubeconfig("nobody")
		usage := plugin.with(ctx)
		Eventually(ctx, func() error { // until the API server has heard where the service is
			out, err := usage(tenant, "list -n example")
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		}).Should(Succeed())
		out, err := usage(tenant, "list -n example")
		Expect(err).NotTo(HaveOccurred(), out)
		Expect(out).NotTo(ContainSubstring("note:"))
		out, _ = usage(nobody, "list -n example")
		Expect(out).To(ContainSubstring("note: your token, which is good for all that you may do in this cluster, goes to what answers behind the Service usage-api"))
		commands := map[string]string{
			"list -n %s --last 2h":                "example",
			"top deployments -n %s --last 2h":     "example",
			"chart --by hour -n %s --last 2h":     "container.cpu",
			"get container/example -n %s":         "example",
			"explain container/example -n %s":     "CreationTime|ObjectTime|ManagedFields|MeteringStarted|Observed",
			"get volume/example -n %s -o json":    `"dimension": "storage"`,
			"list -n %s --last 2h -o csv":         ",example,",
			"top namespaces -n %s -o yaml":        "namespace: example",
			"chart deployment/example -n %s":      "container.memory",
			"list -n %s --type volume --last 24h": "storage",
			"records -n %s --last 24h":            `example\.20\d+ +example .*Exact|Partial`,
		}
		for command, says := range commands {
			out, err := usage(tenant, fmt.Sprintf(command, "example"))
			Expect(err).NotTo(HaveOccurred(), "%s: %s", command, out)
			Expect(out).To(MatchRegexp(says), command)
			for who, namespace := range map[string]string{tenant: "other", nobody: "example"} {
				out, err := usage(who, fmt.Sprintf(command, namespace))
				Expect(err).To(HaveOccurred(), "%s: %s", command, out)
				Expect(out).To(ContainSubstring("cannot list resource \"usagerecords\" in API group \"metering.usage-operator.dev\" in the namespace \""+namespace+"\""), command)
			}
			if all := strings.Replace(command, "-n %s", "-A", 1); all != command {
				out, err := usage(tenant, all)
				Expect(err).NotTo(HaveOccurred(), "%s: %s", all, out)
				Expect(out).To(MatchRegexp(says), all)
				Expect(out).NotTo(MatchRegexp(`\bother\b`), all)
			}
		}

		By("not taking the API server's proxy for whoever goes through it")
		throughProxy(ctx)

		By("showing a report once it is complete")
		end := time.Now().UTC().Truncate(time.Minute).Add(time.Minute)
		apply(ctx, "example", fmt.Sprintf(`
apiVersion: metering.usage-operator.dev/v1alpha1
kind: UsageReport
metadata: {name: minutes}
spec: {startingOn: %q, endingBefore: %q, groupBy: [resourceType, resource], limit: 1}
`, end.Add(-2*time.Minute).Format(time.RFC3339), end.Format(time.RFC3339)))
		answer, err := usage(tenant, "report minutes -n example --wait --timeout 3m")
		Expect(err).NotTo(HaveOccurred(), answer)
		Expect(answer).To(MatchRegexp(`(?s)START +END +TYPE +RESOURCE +DIMENSION +USAGE +UNIT\n.*container +example +cpu .*1 of 3 rows: --all`))
		answer, err = usage(tenant, "report minutes -n example --all -o csv")
		Expect(err).NotTo(HaveOccurred(), answer)
		Expect(strings.Count(answer, "\n")).To(Equal(1+3), answer)
		By("naming the blocks that hold a segment")
		kubectl(ctx, "create", "serviceaccount", "auditor", "-n", "example")
		for _, role := range []string{"view", "usage-operator-auditor"} {
			kubectl(ctx, "create", "clusterrolebinding", "auditor-"+role, "--clusterrole="+role, "--serviceaccount=example:auditor")
		}
		auditor := kubeconfig("auditor")
		Eventually(ctx, func(g Gomega) { // until the journal has it, and the rights count
			answer, err = usage(auditor, "explain container/example -n example --blocks")
			g.Expect(err).NotTo(HaveOccurred(), answer)
			g.Expect(answer).To(And(MatchRegexp(`(?m)^  meter +container\n  blocks +\d{12}`), ContainSubstring("cpu, by UsageMeter container from Pod now:\n")))
		}).Should(Succeed())
		answer, err = usage(tenant, "explain container/example -n example --blocks")
		Expect(err).To(HaveOccurred(), answer)
		Expect(answer).To(ContainSubstring("ask for the ClusterRole usage-operator-auditor"))
		By("showing a report of chosen namespaces whole")
		kubectl(ctx, "label", "namespace", "example", "report=chosen")
		apply(ctx, "", fmt.Sprintf(`
apiVersion: metering.usage-operator.dev/v1alpha1
kind: ClusterUsageReport
metadata: {name: chosen}
spec: {startingOn: %q, endingBefore: %q, groupBy: [namespace, resourceType], limit: 1, filters: {namespaceSelector: {matchLabels: {report: chosen}}}}
`, end.Add(-2*time.Minute).Format(time.RFC3339), end.Format(time.RFC3339)))
		answer, err = usage(auditor, "report chosen --cluster --wait --all -o csv")
		Expect(err).NotTo(HaveOccurred(), answer)
		Expect(strings.Count(answer, "\n")).To(Equal(1+3), answer)
		Expect(answer).NotTo(ContainSubstring("other"))
		By("verifying the ledger")
		answer, err = usage(cp.Kubeconfig(), "verify")
		Expect(err).NotTo(HaveOccurred(), answer)
		Expect(answer).To(ContainSubstring("All of it adds up."))
		answer, err = usage(tenant, "report none -n example")
		Expect(err).To(HaveOccurred())
		Expect(answer).To(ContainSubstring("kubectl get usagereports -n example"))
	}, SpecTimeout(6*time.Minute)) // with BeforeAll
})

var _ = Describe("A replica that serves only", func() {
	It("answers as the others do, and takes a new certificate without a restart", func(ctx SpecContext) {
		folder := GinkgoT().TempDir()
		issue := func(name string) *x509.Certificate {
			GinkgoHelper()
			crt, key, err := cert.GenerateSelfSignedCertKey(name, nil, nil)
			Expect(err).NotTo(HaveOccurred())
			Expect(os.WriteFile(filepath.Join(folder, "tls.key"), key, 0o600)).To(Succeed())
			Expect(os.WriteFile(filepath.Join(folder, "tls.crt"), crt, 0o600)).To(Succeed())
			issued, err := cert.ParseCertsPEM(crt)
			Expect(err).NotTo(HaveOccurred())
			return issued[0]
		}
		first := issue("first")
		replica := startProcess(operator.command.Path, operator.kubeconfig, filepath.Join(folder, "serving.log"), reachableAddress(),
			"--serve-only", "--usage-api-cert-dir="+folder)
		DeferCleanup(replica.kill)
		Eventually(ctx, replica.ready).Should(Succeed(), "its log is %s", replica.log)

		kubectl(ctx, "create", "serviceaccount", "reader", "-n", "usage-system")
		kubectl(ctx, "create", "clusterrolebinding", "reader", "--clusterrole=view", "--serviceaccount=usage-system:reader")
		reader := token(ctx, "usage-system", "reader")
		var sealed time.Time
		Eventually(ctx, func(g Gomega) {
			final := &v1alpha1.UsageRecordList{}
			g.Expect(cluster.List(ctx, final, client.MatchingFields{"status.phase": string(v1alpha1.PhaseFinal)})).To(Succeed())
			g.Expect(final.Items).NotTo(BeEmpty())
			sealed = final.Items[0].Spec.EndTime.UTC()
		}).Should(Succeed())
		body := fmt.Sprintf(`{"window_size":"none","starting_on":%q,"ending_before":%q}`, sealed.Add(-time.Hour).Format(time.RFC3339), sealed.Format(time.RFC3339))
		status, want := operator.asked(ctx, reader, http.MethodPost, "/v1/usage", body)
		Expect(status).To(Equal(http.StatusOK), want)
		Expect(want).To(ContainSubstring(`"exact"`))
		Eventually(ctx, func() string { // it follows the journal a moment behind
			_, got := replica.asked(ctx, reader, http.MethodPost, "/v1/usage", body)
			return got
		}).Should(Equal(want))

		shown := func(g Gomega) *x509.Certificate {
			connection, err := tls.Dial("tcp", replica.usage, &tls.Config{InsecureSkipVerify: true})
			g.Expect(err).NotTo(HaveOccurred())
			defer connection.Close()
			return connection.ConnectionState().PeerCertificates[0]
		}
		Eventually(ctx, shown).Should(HaveField("Raw", first.Raw))
		second := issue("second")
		Eventually(ctx, shown).Should(HaveField("Raw", second.Raw))

		Expect(replica.terminate()).To(Succeed())
		Eventually(ctx, replica.ended).WithTimeout(15*time.Second).Should(Receive(BeNil()), "it exits with 0")
	}, SpecTimeout(4*time.Minute))

	It("knows callers by tokens alone until it may read who signs certificates", func(ctx SpecContext) {
		const binding = "usage-operator-client-ca-reader"
		may := func() string {
			out, _ := cp.Kubectl(ctx, "auth", "can-i", "get", "configmaps/extension-apiserver-authentication", "-n", "kube-system",
				"--as=system:serviceaccount:usage-system:usage-operator") // it fails where it says no
			return out
		}
		bind := func(ctx SpecContext) {
			_, _ = cp.Kubectl(ctx, "create", "rolebinding", binding, "-n", "kube-system", // it may be there
				"--role=extension-apiserver-authentication-reader", "--serviceaccount=usage-system:usage-operator")
		}
		DeferCleanup(bind)
		kubectl(ctx, "delete", "rolebinding", binding, "-n", "kube-system")
		Eventually(ctx, may).Should(Equal("no\n"))
		replica := startProcess(operator.command.Path, operator.kubeconfig, filepath.Join(GinkgoT().TempDir(), "serving.log"), reachableAddress(), "--serve-only")
		DeferCleanup(replica.kill)
		Eventually(ctx, replica.ready).Should(Succeed(), "its log is %s", replica.log)
		told := func(g Gomega) int {
			text, err := os.ReadFile(replica.log)
			g.Expect(err).NotTo(HaveOccurred())
			return strings.Count(string(text), "callers are not known by client certificates")
		}
		Eventually(ctx, told).Should(Equal(1))
		certified, _, err := cp.AddUser("certified-late")
		Expect(err).NotTo(HaveOccurred())
		kubectl(ctx, "create", "serviceaccount", "late", "-n", "usage-system")
		bearer := map[string]string{"Authorization": "Bearer " + token(ctx, "usage-system", "late")}
		Expect(replica.answers(ctx, certified, nil)).To(Equal(http.StatusUnauthorized))
		Expect(replica.answers(ctx, nil, bearer)).To(Equal(http.StatusForbidden), "known, and without rights")

		bind(ctx)
		Eventually(ctx, func() int { return replica.answers(ctx, certified, nil) }).Should(Equal(http.StatusForbidden))
		Expect(replica.answers(ctx, nil, bearer)).To(Equal(http.StatusForbidden), "known, and without rights")
		Expect(told(NewGomegaWithT(GinkgoT()))).To(Equal(1))
	}, SpecTimeout(4*time.Minute))
})

var (
	uuids    = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	integers = regexp.MustCompile(`^[0-9]+$`)
)

// shown is an answer without what differs from run to run.
func shown(answer []byte) string {
	GinkgoHelper()
	var value any
	Expect(json.Unmarshal(answer, &value)).To(Succeed(), string(answer))
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	Expect(encoder.Encode(same(value))).To(Succeed())
	return out.String()
}

// same is a value with what differs replaced, and what is the same then, once.
func same(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = same(v[key])
		}
		for _, key := range []string{"quantity", "value", "exact"} { // before the operator began, nobody knows
			if _, there := v[key]; there {
				v[key] = "<number or null>"
			}
		}
	case []any:
		for i := range v {
			v[i] = same(v[i])
		}
		seen := map[string]bool{}
		return slices.DeleteFunc(v, func(element any) bool {
			text, err := json.Marshal(element)
			again := err == nil && seen[string(text)]
			seen[string(text)] = true
			return again
		})
	case float64:
		return "<number>"
	case bool:
		return "<true or false>"
	case string:
		return sameText(v)
	}
	return value
}

func sameText(text string) string {
	if _, err := time.Parse(time.RFC3339, text); err == nil {
		return "<time>"
	}
	switch v1alpha1.Accuracy(text) {
	case v1alpha1.AccuracyExact, v1alpha1.AccuracyEstimated, v1alpha1.AccuracyPartial:
		return "<accuracy>"
	}
	switch {
	case uuids.MatchString(text):
		return "<uuid>"
	case integers.MatchString(text):
		return "<integer>"
	}
	return text
}
