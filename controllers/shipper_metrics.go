package controllers

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Of the leader, where there is a hub.
var (
	hubAcknowledged = newMetric(gauge, "hub_acknowledged_sequence",
		"The last block of the journal that the hub has acknowledged, once it has said where it is.")
	hubLag = newMetric(gauge, "hub_lag_seconds",
		"How long ago the last block was written that the hub has; 0: it has all. Once it has said where it is.")
	hubDegraded = newMetric(gauge, "hub_degraded",
		"1 while the hub does not take the journal, or does not answer: the journal has what it lacks.")
	hubRefusals = newMetric(counter, "hub_refusals_total",
		"Attempts to send to the hub that did not succeed: Away, which passes, or the reason of a refusal, which does not by itself.", "reason")
	hubWithheld = newMetric(gauge, "hub_cut_withheld",
		"1 while the journal keeps what is archived because the hub has not acknowledged it, though it is to leave that out: it grows.")
	ofShipper = []metric{hubAcknowledged, hubLag, hubDegraded, hubRefusals, hubWithheld}
)

// Describe tells which metrics there are.
func (*Shipper) Describe(descriptions chan<- *prometheus.Desc) {
	for _, m := range ofShipper {
		descriptions <- m.Desc
	}
}

// Collect reads the metrics, once this replica has begun to send.
func (s *Shipper) Collect(metrics chan<- prometheus.Metric) {
	now := s.Clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.began {
		return
	}
	v := values(metrics)
	if s.status.Known {
		lag, _ := s.lag(now)
		v.set(hubAcknowledged, float64(s.status.Acknowledged))
		v.set(hubLag, lag.Seconds())
	}
	v.set(hubDegraded, number(s.status.Err != nil && now.Sub(s.failing) >= awayFor))
	for _, reason := range slices.Sorted(maps.Keys(s.refusals)) {
		v.set(hubRefusals, float64(s.refusals[reason]), reason)
	}
	_, withheld := s.Journal.Withheld()
	v.set(hubWithheld, number(withheld))
}
