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

// alarms counts Final records that say something else than the ledger.
var alarms = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "usage_operator_record_alarms_total",
	Help: "Final records that were found to say something else than the ledger: see usage-operator verify.",
})

func init() { metrics.Registry.MustRegister(written, alarms) }
