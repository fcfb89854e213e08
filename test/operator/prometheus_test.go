package operator_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/config"
	"github.com/usage-operator/usage-operator/controllers"
	"github.com/usage-operator/usage-operator/test/monitoring"
)

const checkout = "../.."

// lent is the registry that /metrics is served from; what was registered goes with the spec.
type lent struct {
	prometheus.Registerer
	taken []prometheus.Collector
}

func (l *lent) Register(c prometheus.Collector) error {
	l.taken = append(l.taken, c)
	return l.Registerer.Register(c)
}

// exposed is an operator whose metrics and usage API are served, as main serves them.
type exposed struct {
	metrics, api string // addresses
}

func (e *exposed) option(m *ctrl.Options, o *controllers.Options, _ **rest.Config) {
	m.Metrics = metricsserver.Options{BindAddress: e.metrics, SecureServing: true, FilterProvider: filters.WithAuthenticationAndAuthorization}
	registry := &lent{Registerer: metrics.Registry}
	o.Metrics = registry
	o.Serving = controllers.Serving{Address: e.api, RequestsPerSecond: 10}
	o.UsageMetrics = controllers.UsageMetrics{Series: 100, ByDeployment: true}
	DeferCleanup(func() {
		for _, c := range registry.taken {
			metrics.Registry.Unregister(c)
		}
	})
}

// freeAddress is one of this machine that nothing listens on.
func freeAddress() string {
	GinkgoHelper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	defer l.Close()
	return l.Addr().String()
}

// scraper is the token of a service account that may read metrics, in a file.
func scraper(ctx context.Context, namespace string) string {
	GinkgoHelper()
	kubectl(ctx, "apply", "-f", filepath.Join(checkout, "config/rbac/metrics_reader_role.yaml"))
	account := &corev1.ServiceAccount{}
	account.Namespace, account.Name = namespace, "prometheus"
	Expect(admin.Create(ctx, account)).To(Succeed())
	kubectl(ctx, "create", "clusterrolebinding", namespace+"-prometheus", "--clusterrole=usage-operator-metrics-reader", "--serviceaccount="+namespace+":prometheus")
	token := &authenticationv1.TokenRequest{}
	Expect(admin.SubResource("token").Create(ctx, account, token)).To(Succeed())
	file := filepath.Join(GinkgoT().TempDir(), "token")
	Expect(os.WriteFile(file, []byte(token.Status.Token), 0o600)).To(Succeed())
	return file
}

// monitored is a Prometheus that scrapes an operator.
type monitored struct{ url string }

// prometheusOf runs one until the spec ends, with the rules and the endpoint that config/monitoring has, and waits until it
// scrapes.
func prometheusOf(ctx context.Context, target, token string) *monitored {
	GinkgoHelper()
	groups, err := monitoring.Groups(checkout)
	Expect(err).NotTo(HaveOccurred())
	m := prometheusWith(groups, target, token)
	Eventually(m.scrapes(ctx)).WithContext(ctx).Should(Succeed())
	return m
}

// scrapes fails unless the target answers.
func (m *monitored) scrapes(ctx context.Context) func(Gomega) {
	return func(g Gomega) {
		var targets struct {
			ActiveTargets []struct{ Health, LastError string }
		}
		m.get(ctx, g, "/api/v1/targets", nil, &targets)
		g.Expect(targets.ActiveTargets).To(ConsistOf(HaveField("Health", "up")))
	}
}

// prometheusWith runs one with these rules until the spec ends.
func prometheusWith(groups []monitoring.Group, target, token string) *monitored {
	GinkgoHelper()
	program, err := monitoring.Program("prometheus")
	Expect(err).NotTo(HaveOccurred())
	var monitor struct {
		Spec struct {
			Endpoints []struct {
				Port, Scheme, Path string
				HonorLabels        bool
				TLSConfig          struct{ InsecureSkipVerify bool }
			}
		}
	}
	raw, err := os.ReadFile(filepath.Join(checkout, "config/monitoring/service_monitor.yaml"))
	Expect(err).NotTo(HaveOccurred())
	Expect(yaml.Unmarshal(raw, &monitor)).To(Succeed())
	Expect(monitor.Spec.Endpoints).To(HaveLen(1))
	endpoint := monitor.Spec.Endpoints[0]

	folder := GinkgoT().TempDir()
	Expect(monitoring.WriteRules(filepath.Join(folder, "rules.yaml"), groups)).To(Succeed())
	settings := fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yaml]
scrape_configs:
- job_name: usage-operator-metrics
  scheme: %s
  metrics_path: %s
  honor_labels: %t
  authorization: {credentials_file: %s}
  tls_config: {insecure_skip_verify: %t}
  static_configs: [{targets: [%q], labels: {pod: usage-operator-0, namespace: usage-system}}]
`, endpoint.Scheme, endpoint.Path, endpoint.HonorLabels, token, endpoint.TLSConfig.InsecureSkipVerify, target)
	Expect(os.WriteFile(filepath.Join(folder, "prometheus.yml"), []byte(settings), 0o644)).To(Succeed())
	address := freeAddress()
	running, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(running, program, "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address="+address, "--log.level=warn")
	command.Dir, command.Stdout, command.Stderr = folder, GinkgoWriter, GinkgoWriter
	Expect(command.Start()).To(Succeed())
	DeferCleanup(func() {
		cancel()
		_ = command.Wait()
	})
	return &monitored{url: "http://" + address}
}

// get asks Prometheus, and reads the data of its answer.
func (m *monitored) get(ctx context.Context, g Gomega, path string, query url.Values, data any) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url+path+"?"+query.Encode(), nil)
	g.Expect(err).NotTo(HaveOccurred())
	answer, err := http.DefaultClient.Do(request)
	g.Expect(err).NotTo(HaveOccurred())
	defer answer.Body.Close()
	var body bytes.Buffer
	_, err = body.ReadFrom(answer.Body)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(answer.StatusCode).To(Equal(http.StatusOK), body.String())
	g.Expect(json.Unmarshal(body.Bytes(), &struct{ Data any }{data})).To(Succeed(), body.String())
}

// sample is what a query gives of one series: a value, or several.
type sample struct {
	Metric map[string]string
	Value  []any
	Values [][]any
}

// query gives what an expression says now or, of a range, in the last half minute.
func (m *monitored) query(ctx context.Context, g Gomega, expr string, now time.Time, instant bool) []sample {
	path, query := "/api/v1/query", url.Values{"query": {expr}}
	if !instant {
		path = "/api/v1/query_range"
		query.Set("start", strconv.FormatInt(now.Unix()-30, 10))
		query.Set("end", strconv.FormatInt(now.Unix(), 10))
		query.Set("step", "1")
	}
	var result struct{ Result []sample }
	m.get(ctx, g, path, query, &result)
	return result.Result
}

// numbers are the samples' values that are numbers.
func numbers(samples []sample) []string {
	var all []string
	for _, s := range samples {
		for _, v := range append(s.Values, s.Value) {
			if len(v) == 2 && v[1] != "NaN" {
				all = append(all, v[1].(string))
			}
		}
	}
	return all
}

// forgetOthers deletes the records of intervals that are not over, which operators of other specs
// have left behind, whose clocks were ahead: what two operators say of one differs, and the one
// that comes later says so.
func forgetOthers(ctx context.Context) {
	GinkgoHelper()
	records := &v1alpha1.UsageRecordList{}
	Expect(admin.List(ctx, records)).To(Succeed())
	now := time.Now()
	for i := range records.Items {
		if records.Items[i].Spec.EndTime.After(now) {
			Expect(client.IgnoreNotFound(admin.Delete(ctx, &records.Items[i]))).To(Succeed())
		}
	}
}

var _ = Describe("Monitoring", func() {
	It("has a Prometheus that scrapes the operator answer each panel of each dashboard, and load the rules", func(ctx SpecContext) {
		forgetOthers(ctx)
		served := &exposed{metrics: freeAddress(), api: freeAddress()}
		op, d := begin(ctx, served.option)
		meters, err := config.Meters()
		Expect(err).NotTo(HaveOccurred())
		for _, meter := range meters {
			if name := meter.GetName(); name == "container" || name == "node-pool" {
				apply(ctx, meter.DeepCopy())
			}
		}
		ready(ctx, "container", "node-pool")
		server := prometheusOf(ctx, served.metrics, scraper(ctx, op.namespace))

		node := d.create(`{apiVersion: v1, kind: Node, metadata: {name: monitored-$NAMESPACE}}`)
		d.status(node, `{capacity: {cpu: "8", memory: 16Gi}}`)
		deployment, replicas := d.deployment("web")
		pod := d.pod("web-1-a", replicas, `{containers: [{name: web, image: web, resources: {requests: {cpu: 1500m, memory: 1Gi}}}]}`)
		d.scheduled(pod)
		op.reached(ctx, "container", d.last)
		op.reached(ctx, "node-pool", d.last)
		held := fmt.Sprintf(`usage_operator:held:max{namespace=%q,resource_type="container",dimension="cpu",unit="millicore",deployment=%q}`, d.namespace, deployment.GetName())
		Eventually(func(g Gomega) {
			g.Expect(numbers(server.query(ctx, g, held, time.Now(), true))).To(Equal([]string{"1500"}))
			capacity := numbers(server.query(ctx, g, `usage_operator:node_capacity:max{dimension="vcpu"} >= 8000`, time.Now(), true))
			g.Expect(capacity).To(HaveLen(1)) // other specs' nodes may be there, too
		}).WithContext(ctx).Should(Succeed())

		By("an interval is sealed, a report made, and the usage API asked")
		d.reportOf("present")
		op.seal(ctx)
		ask := func(g Gomega) {
			insecure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
			answer, err := insecure.Get("https://" + served.api + "/v1alpha1/status")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(answer.Body.Close()).To(Succeed())
			g.Expect(answer.StatusCode).To(Equal(http.StatusUnauthorized))
		}
		Eventually(func(g Gomega) {
			ask(g)
			sealed := strings.Replace(held, "held", "unit_seconds", 1)
			g.Expect(numbers(server.query(ctx, g, sealed+" > 0", time.Now(), true))).To(HaveLen(1))
		}).WithContext(ctx).WithPolling(time.Second).Should(Succeed())

		By("each panel has data")
		dashboards, err := monitoring.Dashboards(checkout)
		Expect(err).NotTo(HaveOccurred())
		Expect(dashboards).NotTo(BeEmpty())
		values := map[string]string{"namespace": d.namespace, "__rate_interval": "20s", "__range": "1m"}
		Eventually(func(g Gomega) {
			ask(g)
			var without []string
			now := time.Now()
			for _, dashboard := range dashboards {
				for _, panel := range dashboard.Panels {
					for _, target := range panel.Targets {
						query := target.Query(values)
						if len(numbers(server.query(ctx, g, query, now, target.Instant))) == 0 {
							without = append(without, fmt.Sprintf("%s, %q: %s", dashboard.File, panel.Title, query))
						}
					}
				}
			}
			g.Expect(without).To(BeEmpty(), "queries without data")
		}).WithContext(ctx).WithPolling(time.Second).Should(Succeed())
		var namespaces []string
		server.get(ctx, Default, "/api/v1/label/namespace/values", url.Values{"match[]": {`usage_operator_held{namespace!="(other)"}`}}, &namespaces)
		Expect(namespaces).To(ContainElement(d.namespace))

		By("the rules are healthy, and no alert that a bill depends on fires")
		var rules struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError, State string }
			}
		}
		server.get(ctx, Default, "/api/v1/rules", nil, &rules)
		Expect(rules.Groups).NotTo(BeEmpty())
		for _, group := range rules.Groups {
			for _, rule := range group.Rules {
				Expect(rule.Health).To(Equal("ok"), "%s: %s", rule.Name, rule.LastError)
				Expect(rule.State).NotTo(Equal("firing"), rule.Name)
			}
		}
	})

	It("is a component over what is installed", func(ctx SpecContext) {
		folder := GinkgoT().TempDir()
		from, err := filepath.EvalSymlinks(folder)
		Expect(err).NotTo(HaveOccurred())
		to, err := filepath.Abs(filepath.Join(checkout, "config"))
		Expect(err).NotTo(HaveOccurred())
		path, err := filepath.Rel(from, to)
		Expect(err).NotTo(HaveOccurred())
		text := fmt.Sprintf("resources: [%[1]s/default]\ncomponents: [%[1]s/monitoring]\n", path)
		Expect(os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(text), 0o644)).To(Succeed())
		built := kubectl(ctx, "kustomize", folder)
		Expect(built).To(And(ContainSubstring("kind: ServiceMonitor"), ContainSubstring("kind: PrometheusRule"), ContainSubstring(`grafana_dashboard: "1"`)))
		service := &corev1.Service{}
		for document := range strings.SplitSeq(built, "\n---\n") {
			if strings.Contains(document, "metering.usage-operator.dev/serves: metrics\n") && strings.Contains(document, "kind: Service\n") {
				Expect(yaml.Unmarshal([]byte(document), service)).To(Succeed())
			}
		}
		Expect(service.Name).To(Equal("usage-operator-metrics"), "what the ServiceMonitor selects")
		Expect(client.ObjectKeyFromObject(service).Namespace).To(Equal("usage-system"))
	})
})
