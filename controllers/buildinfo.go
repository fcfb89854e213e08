package controllers

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
)

// newBuildInfo is the metric that says which version a replica runs, so that an upgrade that
// stopped halfway is seen, and a change of other metrics can be laid beside it.
func newBuildInfo(version string) prometheus.Collector {
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "usage_operator_build_info",
		Help: "Always 1: the labels say which version runs, and with which version of Go it was built.",
	}, []string{"version", "goversion"})
	info.WithLabelValues(version, runtime.Version()).Set(1)
	return info
}
