package controllers

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Timings are histograms of how long things take. Nil Timings observe nothing.
type Timings struct {
	appends *prometheus.HistogramVec
	seals   prometheus.Histogram
	reports prometheus.Histogram
}

// NewTimings are Timings of nothing yet.
func NewTimings() *Timings {
	t := &Timings{
		appends: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "usage_operator_journal_append_duration_seconds",
			Help:    "How long an append to the journal took, by its result: committed or failed.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15},
		}, []string{"result"}),
		seals: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "usage_operator_seal_duration_seconds",
			Help:    "How long after its end an interval was sealed.",
			Buckets: []float64{1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600},
		}),
		reports: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "usage_operator_report_duration_seconds",
			Help:    "How long it took to make a report's status as it is to be.",
			Buckets: []float64{.001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}),
	}
	for _, result := range []string{committed, failed} {
		t.appends.WithLabelValues(result) // from the beginning on: a rate begins at 0
	}
	return t
}

// The results of an append.
const committed, failed = "committed", "failed"

func (t *Timings) all() []prometheus.Collector {
	return []prometheus.Collector{t.appends, t.seals, t.reports}
}

// Describe is prometheus.Collector's.
func (t *Timings) Describe(to chan<- *prometheus.Desc) {
	for _, c := range t.all() {
		c.Describe(to)
	}
}

// Collect is prometheus.Collector's.
func (t *Timings) Collect(to chan<- prometheus.Metric) {
	for _, c := range t.all() {
		c.Collect(to)
	}
}

func (t *Timings) appended(took time.Duration, err error) {
	if t == nil {
		return
	}
	result := committed
	if err != nil {
		result = failed
	}
	t.appends.WithLabelValues(result).Observe(took.Seconds())
}

func (t *Timings) sealed(after time.Duration) {
	if t != nil {
		t.seals.Observe(after.Seconds())
	}
}

func (t *Timings) reported(took time.Duration) {
	if t != nil {
		t.reports.Observe(took.Seconds())
	}
}
