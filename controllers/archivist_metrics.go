package controllers

import "github.com/prometheus/client_golang/prometheus"

// Of the leader, where there is an archive.
var (
	archiveThrough = newMetric(gauge, "archive_through_timestamp_seconds",
		"The end of the last day that is in the archive, as far as this run knows. 0: none is.")
	archiveDegraded = newMetric(gauge, "archive_degraded",
		"1 while the archive cannot be written: the journal has what it lacks.")
	archiveUncut = newMetric(gauge, "archive_cut_degraded",
		"1 while the journal cannot leave out what is archived, though it is to: it grows.")
)

// Describe tells which metrics there are.
func (*Archivist) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- archiveThrough.Desc
	descriptions <- archiveDegraded.Desc
	descriptions <- archiveUncut.Desc
}

// Collect reads the metrics, once this replica has tried to archive.
func (a *Archivist) Collect(metrics chan<- prometheus.Metric) {
	a.mu.Lock()
	through, degraded, uncut := a.through, a.err != nil, a.uncut != nil
	a.mu.Unlock()
	if through == 0 && !degraded && !uncut {
		return
	}
	v := values(metrics)
	v.set(archiveThrough, float64(through))
	v.set(archiveDegraded, number(degraded))
	v.set(archiveUncut, number(uncut))
}
