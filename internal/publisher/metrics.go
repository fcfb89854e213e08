package publisher

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// written counts the writes of usage records.
var written = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "usage_operator_records_written_total",
	Help: "Writes of usage records, by the phase that was written.",
}, []string{"phase"})

func init() { metrics.Registry.MustRegister(written) }
