package endpoint

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// acknowledged is the outcome of a block that the hub has.
const acknowledged = "Acknowledged"

// scrapePatience is how long the database may take to say where the chains are.
const scrapePatience = 5 * time.Second

// metrics are what a hub tells of itself.
type metrics struct {
	registry *prometheus.Registry
	appends  *prometheus.CounterVec
	took     prometheus.Histogram
	answers  *prometheus.CounterVec
	answered prometheus.Histogram
	ledgers  Ledgers
	log      logr.Logger
}

var (
	databaseUp = prometheus.NewDesc("usage_hub_database_up", "1 when the database says where the chains are, 0 otherwise.", nil, nil)
	// A cluster's name is for people, and may change: it is no label.
	sequenceOf = prometheus.NewDesc("usage_hub_chain_sequence", "The sequence of a cluster's last block.", []string{"cluster"}, nil)
	writtenAt  = prometheus.NewDesc("usage_hub_chain_written_time_seconds",
		"When a cluster's last block was written, by its writer's clock; 0: there is none.", []string{"cluster"}, nil)
	receivedAt = prometheus.NewDesc("usage_hub_chain_received_time_seconds",
		"When the hub got a cluster's last block, by its own clock; 0: there is none.", []string{"cluster"}, nil)
	forkedAt = prometheus.NewDesc("usage_hub_chain_fork_time_seconds",
		"When a block of a cluster was last refused as a fork; 0: none was.", []string{"cluster"}, nil)
)

func newMetrics(ledgers Ledgers, log logr.Logger) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(), ledgers: ledgers, log: log,
		appends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "usage_hub_appends_total", Help: "Blocks that were sent, by what became of them: Acknowledged, or why not.",
		}, []string{"outcome"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "usage_hub_append_duration_seconds", Help: "How long it took to take in a block, or to refuse it.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "usage_hub_answers_total", Help: "Questions that were answered, by what was asked and the HTTP status; 0: nobody reads it any more.",
		}, []string{"what", "status"}),
		answered: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "usage_hub_answer_duration_seconds", Help: "How long it took to answer a question, or to refuse it.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}),
	}
	m.registry.MustRegister(m.appends, m.took, m.answers, m.answered, chains{m})
	return m
}

func (m *metrics) appended(err error, took time.Duration) {
	m.appends.WithLabelValues(title(err)).Inc()
	m.took.Observe(took.Seconds())
}

// Answered counts an answer.
func (e *Endpoint) Answered(what string, status int, took time.Duration) {
	e.metrics.answers.WithLabelValues(what, strconv.Itoa(status)).Inc()
	e.metrics.answered.Observe(took.Seconds())
}

// chains asks the database where the chains are, when it is asked itself. Each replica tells
// the same: they are those of all clusters that are enrolled.
type chains struct{ *metrics }

// Describe lists the metrics.
func (c chains) Describe(to chan<- *prometheus.Desc) {
	for _, description := range []*prometheus.Desc{databaseUp, sequenceOf, writtenAt, receivedAt, forkedAt} {
		to <- description
	}
}

// Collect asks.
func (c chains) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapePatience)
	defer cancel()
	heads, err := c.ledgers.Heads(ctx)
	up := 1.0
	if err != nil {
		c.log.Error(err, "cannot tell where the chains are")
		up = 0
	}
	to <- prometheus.MustNewConstMetric(databaseUp, prometheus.GaugeValue, up)
	for _, head := range heads {
		for description, value := range map[*prometheus.Desc]int64{
			sequenceOf: int64(head.Sequence), writtenAt: head.Written, receivedAt: head.Received, forkedAt: head.Fork.Seen,
		} {
			to <- prometheus.MustNewConstMetric(description, prometheus.GaugeValue, float64(value), string(head.Cluster))
		}
	}
}

// Probes serves what a cluster's kubelet and Prometheus ask, without a token: whether the
// process lives, whether it can take blocks, and its metrics.
func (e *Endpoint) Probes() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	routes.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), scrapePatience)
		defer cancel()
		if err := e.Ledgers.Ready(ctx); err != nil {
			// Anybody may ask: what the database says is for who runs it.
			e.Log.Error(err, "not ready")
			say(w, http.StatusServiceUnavailable, "not ready")
			return
		}
		say(w, http.StatusOK, "ok")
	})
	routes.Handle("GET /metrics", promhttp.HandlerFor(e.metrics.registry, promhttp.HandlerOpts{}))
	return routes
}

func say(w http.ResponseWriter, status int, what string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(what + "\n")) // who asked may be gone
}
