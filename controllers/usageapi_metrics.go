package controllers

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/usage-operator/usage-operator/internal/connlimit"
	"github.com/usage-operator/usage-operator/internal/servingcert"
	"github.com/usage-operator/usage-operator/internal/usageapi"
)

// answerMetrics tell how the usage API is used.
type answerMetrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	load     atomic.Pointer[servingLoad] // nil: nothing is served
}

// servingLoad has the functions that return the present load.
type servingLoad struct {
	api         *usageapi.API
	listener    *connlimit.Listener
	certificate *servingcert.Certificate
}

var (
	answersBytes = prometheus.NewDesc("usage_operator_api_answers_bytes",
		"How much memory is admitted for answers of the usage API that are being made or read.", nil, nil)
	requestsWaiting = prometheus.NewDesc("usage_operator_api_requests_waiting",
		"How many requests to the usage API wait until there is memory for their answers.", nil, nil)
	connectionsOpen = prometheus.NewDesc("usage_operator_api_connections",
		"How many connections to the usage API are open.", nil, nil)
	connectionsRefused = prometheus.NewDesc("usage_operator_api_connections_refused_total",
		"How many connections to the usage API were closed at once: there were too many, or their address opened too many.", nil, nil)
	certificateEnds = prometheus.NewDesc("usage_operator_api_certificate_expiration_timestamp_seconds",
		"When the certificate ends with which this replica serves the usage API.", nil, nil)
)

func newAnswerMetrics() *answerMetrics {
	return &answerMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "usage_operator_api_requests_total",
			Help: "How many requests to the usage API were answered, with which status.",
		}, []string{"route", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "usage_operator_api_request_duration_seconds",
			Help:    "How long requests to the usage API took, until the answer was sent.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route"}),
	}
}

// Describe is prometheus.Collector's.
func (m *answerMetrics) Describe(to chan<- *prometheus.Desc) {
	m.requests.Describe(to)
	m.seconds.Describe(to)
	for _, description := range []*prometheus.Desc{answersBytes, requestsWaiting, connectionsOpen, connectionsRefused, certificateEnds} {
		to <- description
	}
}

// Collect is prometheus.Collector's.
func (m *answerMetrics) Collect(to chan<- prometheus.Metric) {
	m.requests.Collect(to)
	m.seconds.Collect(to)
	at := m.load.Load()
	if at == nil {
		return
	}
	load := at.api.Load()
	to <- prometheus.MustNewConstMetric(answersBytes, prometheus.GaugeValue, float64(load.Admitted))
	to <- prometheus.MustNewConstMetric(requestsWaiting, prometheus.GaugeValue, float64(load.Waiting))
	to <- prometheus.MustNewConstMetric(connectionsOpen, prometheus.GaugeValue, float64(at.listener.Open()))
	to <- prometheus.MustNewConstMetric(connectionsRefused, prometheus.CounterValue, float64(at.listener.Refused()))
	if ends := at.certificate.Ends(); !ends.IsZero() {
		to <- prometheus.MustNewConstMetric(certificateEnds, prometheus.GaugeValue, float64(ends.Unix()))
	}
}

func (m *answerMetrics) observe(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}
