package sender

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Why an attempt did not succeed that nothing has to be done about.
const passes = "Away"

var (
	acknowledgedOf = prometheus.NewDesc("usage_hub_sender_acknowledged_sequence", "The last block that the hub has, as far as the sender knows.", nil, nil)
	writtenOf      = prometheus.NewDesc("usage_hub_sender_acknowledged_written_time_seconds",
		"When the last block was written that the hub acknowledged to this process; 0: none yet.", nil, nil)
	waitingOf = prometheus.NewDesc("usage_hub_sender_waiting", "1 when there was nothing more to send, 0 otherwise.", nil, nil)
	failingOf = prometheus.NewDesc("usage_hub_sender_failing",
		"1 while attempts do not succeed, by why: Away, which passes, or the reason of a refusal, which does not by itself.", []string{"reason"}, nil)
)

// Describe lists the metrics.
func (s *Sender) Describe(to chan<- *prometheus.Desc) {
	for _, description := range []*prometheus.Desc{acknowledgedOf, writtenOf, waitingOf, failingOf} {
		to <- description
	}
}

// Collect tells how far the sender has come.
func (s *Sender) Collect(to chan<- prometheus.Metric) {
	status := s.Status()
	gauge := func(description *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(description, prometheus.GaugeValue, value, labels...)
	}
	if status.Known {
		gauge(acknowledgedOf, float64(status.Acknowledged))
	}
	gauge(writtenOf, float64(status.Time))
	waiting := 0.0
	if status.Waiting {
		waiting = 1
	}
	gauge(waitingOf, waiting)
	if reason := status.Reason(); reason != "" {
		gauge(failingOf, 1, reason)
	}
}

// Reason is why the last attempt did not succeed; empty: it did.
func (s Status) Reason() string {
	if refusal, refused := errors.AsType[*Refusal](s.Err); refused {
		return refusal.Reason
	}
	if s.Err != nil {
		return passes
	}
	return ""
}
