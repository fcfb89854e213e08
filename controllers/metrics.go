package controllers

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/usage-operator/usage-operator/internal/collector"
)

// Metrics tells Prometheus how the meters get on, as of the scrape.
type Metrics struct {
	Collector *collector.Collector
}

var (
	activeObjects = prometheus.NewDesc("usage_operator_meter_active_objects",
		"Objects that hold something now.", []string{"meter"}, nil)
	quarantinedObjects = prometheus.NewDesc("usage_operator_meter_quarantined_objects",
		"Objects that cannot be read; see the UsageMeter's status.quarantine.", []string{"meter"}, nil)
	observedTime = prometheus.NewDesc("usage_operator_meter_observed_timestamp_seconds",
		"When the meter's watch last delivered something. On a quiet kind that is once a minute.", []string{"meter"}, nil)
	sealedTime = prometheus.NewDesc("usage_operator_sealed_timestamp_seconds",
		"The end of the last interval that was made Final.", nil, nil)
	lateBoundaries = prometheus.NewDesc("usage_operator_late_boundaries_total",
		"Starts and ends that were learnt after their interval had been made Final.", nil, nil)
)

// Describe tells which metrics there are.
func (m *Metrics) Describe(descriptions chan<- *prometheus.Desc) {
	for _, description := range []*prometheus.Desc{activeObjects, quarantinedObjects, observedTime, sealedTime, lateBoundaries} {
		descriptions <- description
	}
}

// Collect reads the metrics.
func (m *Metrics) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(description *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(description, prometheus.GaugeValue, value, labels...)
	}
	for _, name := range m.Collector.Meters() {
		status, applied := m.Collector.Status(name)
		if !applied {
			continue
		}
		gauge(activeObjects, float64(status.Active), name)
		gauge(quarantinedObjects, float64(len(status.Quarantined)), name)
		if !status.ObservedTime.IsZero() {
			gauge(observedTime, float64(status.ObservedTime.Unix()), name)
		}
	}
	gauge(sealedTime, float64(m.Collector.Sealed()))
	metrics <- prometheus.MustNewConstMetric(lateBoundaries, prometheus.CounterValue, float64(m.Collector.Late()))
}
