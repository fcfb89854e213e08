package operator_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/controllers"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// fullEtcd refuses to store UsageBlocks, as an API server does whose etcd is
// full; each time with another error.
type fullEtcd struct {
	full  atomic.Bool
	tries atomic.Int64
}

func (e *fullEtcd) option(_ *ctrl.Options, _ *controllers.Options, config **rest.Config) {
	(*config).Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			if !e.full.Load() || request.Method != http.MethodPost || !strings.HasSuffix(request.URL.Path, "/usageblocks") {
				return next.RoundTrip(request)
			}
			status := fmt.Sprintf(`{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 500,
				"message": "try %d: etcdserver: mvcc: database space exceeded"}`, e.tries.Add(1))
			return &http.Response{
				StatusCode: http.StatusInternalServerError, Header: http.Header{"Content-Type": {"application/json"}},
				Body: io.NopCloser(bytes.NewReader([]byte(status))), Request: request,
			}, nil
		})
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// lines keeps an operator's log lines.
type lines struct {
	mu   sync.Mutex
	kept []string
}

func (l *lines) option(o *ctrl.Options, _ *controllers.Options, _ **rest.Config) {
	o.Logger = funcr.New(func(_, line string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.kept = append(l.kept, line)
		GinkgoWriter.Println(line)
	}, funcr.Options{})
}

// with are the lines that have the text.
func (l *lines) with(text string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
	for _, line := range l.kept {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// gauged are the metrics of one operator.
type gauged struct{ *prometheus.Registry }

func (m gauged) option(_ *ctrl.Options, o *controllers.Options, _ **rest.Config) {
	o.Metrics = m.Registry
}

// value sums a metric up.
func (m gauged) value(name string) func() float64 {
	return func() float64 {
		families, err := m.Gather()
		Expect(err).NotTo(HaveOccurred())
		sum := 0.0
		for _, family := range families {
			if family.GetName() != "usage_operator_"+name {
				continue
			}
			for _, metric := range family.GetMetric() {
				sum += metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
			}
		}
		return sum
	}
}

// events are the reasons of the Events about the operator, each once.
func (op *operator) events(ctx context.Context) func(Gomega) []string {
	return func(g Gomega) []string {
		list := &corev1.EventList{}
		g.Expect(admin.List(ctx, list, client.InNamespace(op.namespace))).To(Succeed())
		var reasons []string
		for i := range list.Items {
			if e := &list.Items[i]; e.InvolvedObject.Kind == "Namespace" {
				reasons = append(reasons, e.Type+" "+e.Reason)
			}
		}
		return reasons
	}
}

var _ = Describe("The operator's health", func() {
	It("is shown while the journal cannot be written, and comes back by itself", func(ctx SpecContext) {
		etcd, log, metrics := &fullEtcd{}, &lines{}, gauged{prometheus.NewPedanticRegistry()}
		op, d := begin(ctx, etcd.option, log.option, metrics.option)
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		widget := d.widget("one", "2")
		d.size(widget, widget.created(), 2)
		Eventually(metrics.value("journal_lag_seconds")).WithContext(ctx).Should(BeZero())
		Expect(metrics.value("journal_degraded")()).To(BeZero())

		By("its etcd is full")
		etcd.full.Store(true)
		resized := d.patch(widget, `spec: {size: 3}`)
		d.size(widget, resized, 3)
		Eventually(conditions(ctx, "widgets")).WithContext(ctx).Should(ConsistOf(
			"Ready=False/JournalUnavailable", "Reconciling=True/JournalUnavailable", "Stalled=False/JournalUnavailable"))
		Expect(message(ctx, "widgets", v1alpha1.ConditionReady)).To(And(ContainSubstring("in memory"), ContainSubstring("space exceeded")))
		Expect(metrics.value("journal_degraded")()).To(Equal(1.0))
		Eventually(metrics.value("journal_lag_seconds")).WithContext(ctx).Should(BeNumerically(">", 3))
		Eventually(op.events(ctx)).WithContext(ctx).Should(ConsistOf("Warning JournalUnavailable"))
		Eventually(etcd.tries.Load).WithContext(ctx).Should(BeNumerically(">=", 5))
		again := d.patch(widget, `spec: {size: 4}`)
		d.size(widget, again, 4)

		By("there is room again")
		etcd.full.Store(false)
		ready(ctx, "widgets")
		Eventually(op.events(ctx)).WithContext(ctx).Should(ConsistOf("Warning JournalUnavailable", "Normal JournalAvailable"))
		Expect(metrics.value("journal_degraded")()).To(BeZero())
		d.settled("widgets")
		Expect(log.with("cannot use the journal")).To(HaveLen(1))
		Expect(log.with("the journal can be written again")).To(HaveLen(1))
	})

	It("has time stand still while the machine's clock is set back", func(ctx SpecContext) {
		metrics := gauged{prometheus.NewPedanticRegistry()}
		op, d := begin(ctx, metrics.option)
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")

		op.clock.set.Store(int64(-time.Hour))
		Eventually(conditions(ctx, "widgets")).WithContext(ctx).Should(ContainElement("Ready=False/ClockBehind"))
		Eventually(op.events(ctx)).WithContext(ctx).Should(ConsistOf("Warning ClockBehind"))
		Expect(metrics.value("clock_behind_seconds")()).To(BeNumerically("~", 3600, 60))

		By("the journal is written all the same")
		Eventually(metrics.value("journal_lag_seconds")).WithContext(ctx).Should(BeZero())
		written := metrics.value("journal_sequence")()
		d.widget("one", "2")
		Eventually(metrics.value("journal_sequence")).WithContext(ctx).Should(BeNumerically(">", written))
		Expect(op.collector.Late()).To(BeZero())

		By("the clock is right again")
		op.clock.set.Store(0)
		ready(ctx, "widgets")
		// An hour at once is a jump of its own, whatever it puts right.
		Eventually(op.events(ctx)).WithContext(ctx).Should(ConsistOf("Warning ClockBehind", "Warning ClockSetAhead", "Normal ClockCaughtUp"))
		Expect(metrics.value("clock_behind_seconds")()).To(BeZero())
		Expect(metrics.value("clock_jumps_total")()).To(Equal(2.0))
	})

	It("says that the journal is over its budget, and deletes nothing of it", func(ctx SpecContext) {
		op, d := begin(ctx, func(_ *ctrl.Options, o *controllers.Options, _ **rest.Config) { o.Schedule.JournalBudget = 1 })
		apply(ctx, meterOf("widgets", widgetKind))
		widget := d.widget("one", "2")
		d.size(widget, widget.created(), 2)
		Eventually(func(g Gomega) string {
			g.Expect(conditions(ctx, "widgets")(g)).To(ContainElement("Ready=True/Metering"))
			return message(ctx, "widgets", v1alpha1.ConditionReady)
		}).WithContext(ctx).Should(ContainSubstring("--journal-budget=1"))
		Eventually(op.events(ctx)).WithContext(ctx).Should(ConsistOf("Warning JournalOverBudget"))
		d.settled("widgets")

		By("the UsageLedger says so, too")
		Eventually(func(g Gomega) {
			ledger := &v1alpha1.UsageLedger{}
			g.Expect(admin.Get(ctx, client.ObjectKey{Namespace: op.namespace, Name: v1alpha1.UsageLedgerName}, ledger)).To(Succeed())
			limits := meta.FindStatusCondition(ledger.Status.Conditions, v1alpha1.ConditionWithinLimits)
			g.Expect(limits).NotTo(BeNil())
			g.Expect(limits.Reason).To(Equal(v1alpha1.ReasonJournalOverBudget))
			g.Expect(meta.IsStatusConditionTrue(ledger.Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue())
			g.Expect(meta.FindStatusCondition(ledger.Status.Conditions, v1alpha1.ConditionArchived)).To(BeNil())
			g.Expect(ledger.Status.Journal.Used.Value()).To(BeNumerically(">", 1000))
			g.Expect(ledger.Status.Journal.Limit.Value()).To(Equal(int64(1)))
			g.Expect(ledger.Status.Memory.Used.Value()).To(BeNumerically(">", 1<<20))
			g.Expect(ledger.Status.Records).NotTo(BeNil())
			g.Expect(ledger.Status.ObservedTime.Time).To(BeTemporally("~", op.clock.Now(), 3*time.Minute))
		}).WithContext(ctx).WithTimeout(2 * patience).Should(Succeed())
		table := kubectl(ctx, "-n", op.namespace, "get", "ul")
		Expect(table).To(And(ContainSubstring("JOURNAL"), ContainSubstring("JournalOverBudget")))
		for line := range strings.Lines(table) {
			Expect(len(strings.TrimRight(line, " \n"))).To(BeNumerically("<=", 120), line)
		}
	})

	It("prunes records of older intervals when all take more than their budget", func(ctx SpecContext) {
		const budget = 5000
		metrics := gauged{prometheus.NewPedanticRegistry()}
		op, d := begin(ctx, metrics.option, func(_ *ctrl.Options, o *controllers.Options, _ **rest.Config) { o.Schedule.Budget = budget })
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		first := nameAt("db", op.clock.Now().Unix())
		widget := d.sized(widgetKind, "one", "db", "2")
		op.reached(ctx, "widgets", d.last)
		created := widget.created().last

		var end int64
		Eventually(func(g Gomega) { // an interval at a time, until they are too many
			end = op.seal(ctx)
			latest := current(ctx, d.namespace, nameAt("db", end-1))
			Eventually(latest).WithContext(ctx).Should(HaveField("Status.Phase", v1alpha1.PhaseFinal))
			err := admin.Get(ctx, client.ObjectKey{Namespace: d.namespace, Name: first}, &v1alpha1.UsageRecord{})
			g.Expect(apierrors.IsNotFound(err)).To(BeTrue(), "%s is there still: %v", first, err)
		}).WithContext(ctx).WithPolling(time.Second).Should(Succeed())

		// What other specs left in namespaces of their own is in the sum, too.
		Expect(metrics.value("records_bytes")()).To(BeNumerically(">", 0))
		Expect(metrics.value("records")()).To(BeNumerically(">=", 1))
		accounts := op.collector.Accounts(usage.Interval(created, interval), end)
		Expect(accounts).To(ContainElement(HaveField("Deployment", "db")), "the ledger has what the pruned record said")
	})

	It("is shown by the metrics that docs/metrics.md has, with their types", func(ctx SpecContext) {
		metrics := gauged{prometheus.NewPedanticRegistry()}
		_, d := begin(ctx, metrics.option)
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		widget := d.widget("one", "2")
		d.size(widget, widget.created(), 2)
		d.settled("widgets")

		page := documentedMetrics()
		families, err := metrics.Gather()
		Expect(err).NotTo(HaveOccurred())
		for _, family := range families {
			kind := strings.ToLower(family.GetType().String())
			Expect(page).To(HaveKeyWithValue(family.GetName(), kind))
			delete(page, family.GetName())
		}
		// What is counted where it happens is in the registry of the whole program, the usage API is not served here, and no
		// namespace takes more than its share.
		Expect(slices.Collect(maps.Keys(page))).To(ConsistOf(
			"usage_operator_archive_through_timestamp_seconds", "usage_operator_archive_degraded", "usage_operator_archive_cut_degraded", // there is no --archive
			"usage_operator_hub_acknowledged_sequence", "usage_operator_hub_lag_seconds", "usage_operator_hub_degraded", "usage_operator_hub_refusals_total", "usage_operator_hub_cut_withheld", // there is no --hub-url
			"usage_operator_records_written_total", "usage_operator_record_alarms_total",
			"usage_operator_api_requests_total", "usage_operator_api_request_duration_seconds", "usage_operator_api_requests_waiting",
			"usage_operator_api_answers_bytes", "usage_operator_api_connections", "usage_operator_api_connections_refused_total",
			"usage_operator_api_certificate_expiration_timestamp_seconds",
			"usage_operator_records_kept_from_timestamp_seconds", "usage_operator_records_reduced", "usage_operator_records_other_deployments", "usage_operator_node_capacity",
		))
		Expect(metrics.value("leader")()).To(Equal(1.0))
		Expect(metrics.value("last_seal_duration_seconds")()).To(BeNumerically(">", 0))
		Expect(metrics.value("meter_active_objects")()).To(Equal(1.0))
		Expect(metrics.value("source_position_age_seconds")()).To(BeNumerically(">=", 0))
	})
})

// documentedMetrics are the metrics on the page, and their types.
func documentedMetrics() map[string]string {
	GinkgoHelper()
	page, err := os.ReadFile("../../docs/metrics.md")
	Expect(err).NotTo(HaveOccurred())
	found := map[string]string{}
	for _, cells := range regexp.MustCompile("(?m)^\\| `(usage_operator_\\w+)` \\| (\\w+) \\|").FindAllStringSubmatch(string(page), -1) {
		found[cells[1]] = cells[2]
	}
	return found
}
