package controllers

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Timings are histograms of how long things take. Nil Timings observe nothing.
type Timings struct {
	appends *prometheus.HistogramVec
	merges  *prometheus.HistogramVec
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
		merges: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "usage_operator_journal_compaction_duration_seconds",
			Help:    "How long it took to look through the journal for small blocks and to merge them, by its result: committed or failed.",
			Buckets: []float64{.005, .01, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 30},
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
		t.merges.WithLabelValues(result)
	}
	return t
}

// The results of an append, and of a compaction.
const committed, failed = "committed", "failed"

func (t *Timings) all() []prometheus.Collector {
	return []prometheus.Collector{t.appends, t.merges, t.seals, t.reports}
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
	if t != nil {
		t.appends.WithLabelValues(resultOf(err)).Observe(took.Seconds())
	}
}

func (t *Timings) compacted(took time.Duration, err error) {
	if t != nil {
		t.merges.WithLabelValues(resultOf(err)).Observe(took.Seconds())
	}
}

func resultOf(err error) string {
	if err != nil {
		return failed
	}
	return committed
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
