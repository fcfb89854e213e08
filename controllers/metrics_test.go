package controllers

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/usage-operator/usage-operator/internal/usagemetrics"
)

const metricsPage = "../docs/metrics.md"

// documented are the metrics on the page: by name, their type and labels.
func documented(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `(usage_operator_\\w+)` \\| (\\w+) \\|([^|]*)\\|")
	found := map[string]string{}
	for _, cells := range row.FindAllStringSubmatch(string(page), -1) {
		if _, again := found[cells[1]]; again {
			t.Errorf("%s is on the page twice", cells[1])
		}
		found[cells[1]] = strings.TrimSpace(cells[2] + " " + strings.TrimSpace(cells[3]))
	}
	return found
}

// offered are the metrics that the operator describes, in the same form. A
// description does not have the type; a counter's name does.
func offered(t *testing.T) map[string]string {
	t.Helper()
	form := regexp.MustCompile(`fqName: "(usage_operator_\w+)", .*variableLabels: \{([^}]*)\}`)
	found := map[string]string{}
	for _, from := range []prometheus.Collector{&Metrics{}, &Memory{}, &Archivist{}, &Shipper{}, newAnswerMetrics(), NewTimings(), newBuildInfo("v1.2.3"), usagemetrics.New(usagemetrics.Options{}), ctrlmetrics.Registry.(prometheus.Collector)} {
		descriptions := make(chan *prometheus.Desc, 1000)
		from.Describe(descriptions)
		close(descriptions)
		for description := range descriptions {
			parts := form.FindStringSubmatch(description.String())
			if parts == nil {
				continue
			}
			kind := "gauge"
			switch {
			case strings.HasSuffix(parts[1], "_total"):
				kind = "counter"
			case strings.HasSuffix(parts[1], "_duration_seconds") && !strings.Contains(parts[1], "_last_"):
				kind = "histogram"
			}
			found[parts[1]] = strings.TrimSpace(kind + " " + strings.ReplaceAll(parts[2], ",", ", "))
		}
	}
	return found
}

func TestThePageHasTheMetricsThatThereAre(t *testing.T) {
	if diff := cmp.Diff(offered(t), documented(t)); diff != "" {
		t.Errorf("what the operator offers (-) and %s (+) differ:\n%s", metricsPage, diff)
	}
}

func TestMetricsAreNamedAsPrometheusHasIt(t *testing.T) {
	var families []*dto.MetricFamily
	for _, m := range slices.Concat(described, ofMemory, ofShipper) {
		parts := regexp.MustCompile(`fqName: "(\w+)", help: "(.*)", constLabels`).FindStringSubmatch(m.String())
		kind := dto.MetricType_GAUGE
		if m.kind == prometheus.CounterValue {
			kind = dto.MetricType_COUNTER
		}
		families = append(families, &dto.MetricFamily{Name: &parts[1], Help: &parts[2], Type: &kind})
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
}
