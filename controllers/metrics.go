package controllers

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/usage-operator/usage-operator/internal/collector"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/publisher"
	"github.com/usage-operator/usage-operator/internal/steadyclock"
)

// Metrics tells Prometheus how this replica gets on, as of the scrape. What only
// the leader knows, only the leader shows. docs/metrics.md explains each.
type Metrics struct {
	Collector *collector.Collector
	Health    *Health
	Journal   *journal.Journal
	Publisher *publisher.Publisher
	Clock     *steadyclock.Clock
	Schedule  Schedule
	Reports   *ReportBudget
	// State foresees how large the journal will be.
	State *LedgerState
	// shares are the namespaces whose records take more than their share; nil: none.
	shares *shares
	// Elected is closed once this replica leads.
	Elected <-chan struct{}
}

// metric is one that is read at the scrape.
type metric struct {
	*prometheus.Desc
	kind prometheus.ValueType
}

var described []metric

// describe makes a metric of Metrics.
func describe(kind prometheus.ValueType, name, help string, labels ...string) metric {
	m := newMetric(kind, name, help, labels...)
	described = append(described, m)
	return m
}

func newMetric(kind prometheus.ValueType, name, help string, labels ...string) metric {
	return metric{prometheus.NewDesc("usage_operator_"+name, help, labels, nil), kind}
}

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

// Of every replica.
var (
	leads = describe(gauge, "leader",
		"1 while this replica meters, 0 while it stands by.")
	clockJumps = describe(counter, "clock_jumps_total",
		"How often the machine's clock was found to be set: ahead by more than a minute, or back by more than two seconds.", "direction")
	clockBehind = describe(gauge, "clock_behind_seconds",
		"How far the machine's clock is behind the time that was known already. Time stands still until it has caught up.")
)

// Of the leader.
var (
	sealLag = describe(gauge, "seal_lag_seconds",
		"How long the oldest interval that is over has waited to be sealed. 0: none waits.")
	sealDuration = describe(gauge, "last_seal_duration_seconds",
		"How long after its end the last interval was sealed. 0: none was sealed in this run.")
	sealedTime = describe(gauge, "sealed_timestamp_seconds",
		"The end of the last interval that was sealed.")
	loadDuration = describe(gauge, "last_load_duration_seconds",
		"How long it took to load the journal before this replica metered. 0: it is not loaded.")
	journalDegraded = describe(gauge, "journal_degraded",
		"1 while the journal cannot be written, and metering goes on in memory.")
	journalLag = describe(gauge, "journal_lag_seconds",
		"How old the oldest change is that the journal does not have yet. 0: it has everything.")
	journalBytes = describe(gauge, "journal_bytes",
		"How large the journal's blocks are.")
	journalBudget = describe(gauge, "journal_budget_bytes",
		"How large the journal may be until people are told (--journal-budget). 0: any size.")
	journalGrowth = describe(gauge, "journal_growth_bytes_per_second",
		"How fast the journal grows, by samples of the last day. 0: no growth can be told.")
	journalReached = describe(gauge, "journal_budget_reached_timestamp_seconds",
		"When the journal comes to its budget if it goes on like this. 0: that cannot be foreseen.")
	journalBlocks = describe(gauge, "journal_blocks",
		"How many blocks the journal has.")
	journalSequence = describe(gauge, "journal_sequence",
		"The sequence of the journal's last block.")
	positionAge = describe(gauge, "source_position_age_seconds",
		"How long ago the watch of the kind, or a barrier, has last told how far it has come. On a quiet kind that is once a minute.", "group", "kind")
	activeObjects = describe(gauge, "meter_active_objects",
		"Objects that hold something now.", "meter")
	quarantinedObjects = describe(gauge, "meter_quarantined_objects",
		"Objects that cannot be read; see the UsageMeter's status.quarantine.", "meter")
	observedTime = describe(gauge, "meter_observed_timestamp_seconds",
		"When the meter's watch last delivered something. On a quiet kind that is once a minute.", "meter")
	coverageLost = describe(counter, "coverage_lost_seconds_total",
		"Time that the meter has not observed as it passed, by how it is known: Replayed, Estimated or Unknown.", "meter", "coverage")
	corrections = describe(counter, "corrections_total",
		"Corrections of sealed intervals: their usage is Less, or More, than was known when they were sealed.", "kind")
	lateBoundaries = describe(counter, "late_boundaries_total",
		"Starts and ends that were learnt after their interval had been sealed.")
	recordCount = describe(gauge, "records",
		"How many usage records there are.")
	recordBytes = describe(gauge, "records_bytes",
		"About how many bytes all usage records take.")
	reportBytes = describe(gauge, "reports_bytes",
		"About how many bytes the statuses of all usage reports take.")
	reportBudget = describe(gauge, "reports_budget_bytes",
		"How many bytes the statuses of all usage reports may take (--report-budget). 0: any.")
	recordKept = describe(gauge, "records_kept_from_timestamp_seconds",
		"From when on the records are kept of a namespace that takes more than its share of the budget: those before are pruned before their time. Of the 100 that take most.", "namespace")
	recordReduced = describe(gauge, "records_reduced",
		"1 for a namespace whose records of the last sealed interval list less than all: Segments of some deployments together, Resources or Totals. Of 100 namespaces.", "namespace", "detail")
	recordOthers = describe(gauge, "records_other_deployments",
		"How many deployments of the namespace had no records of their own in the last sealed interval. Of 100 namespaces.", "namespace")
	recordBudget = describe(gauge, "records_budget_bytes",
		"How many bytes all usage records may take until older ones are pruned before their time (--record-budget). 0: any.")
)

// Describe tells which metrics there are.
func (m *Metrics) Describe(descriptions chan<- *prometheus.Desc) {
	for _, metric := range described {
		descriptions <- metric.Desc
	}
}

// values sends what metrics are to whoever collects them.
type values chan<- prometheus.Metric

func (v values) set(m metric, value float64, labels ...string) {
	v <- prometheus.MustNewConstMetric(m.Desc, m.kind, value, labels...)
}

// Collect reads the metrics.
func (m *Metrics) Collect(metrics chan<- prometheus.Metric) {
	v := values(metrics)
	leading := false
	select {
	case <-m.Elected:
		leading = true
	default:
	}
	v.set(leads, number(leading))
	v.set(clockBehind, m.Clock.Behind().Seconds())
	forward, back := m.Clock.Jumps()
	v.set(clockJumps, float64(forward), "ahead")
	v.set(clockJumps, float64(back), "back")
	if !leading {
		return
	}
	now := m.Clock.Now().Unix()
	m.journal(v, now)
	if m.Collector.Started() {
		m.sources(v, now)
		m.meters(v)
		m.records(v)
	}
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func (m *Metrics) journal(v values, now int64) {
	figures, size := m.Health.figures(now), m.Journal.Size()
	v.set(sealLag, float64(figures.sealLag))
	v.set(sealDuration, figures.sealedIn.Seconds())
	v.set(loadDuration, figures.loadedIn.Seconds())
	v.set(sealedTime, float64(m.Collector.Sealed()))
	v.set(journalDegraded, number(figures.degraded))
	v.set(journalLag, float64(figures.commitLag))
	v.set(journalBytes, float64(size.Bytes))
	v.set(journalBudget, float64(m.Schedule.JournalBudget))
	forecast := m.State.foreseen()
	v.set(journalGrowth, forecast.Growth)
	v.set(journalReached, float64(forecast.Reached))
	v.set(journalBlocks, float64(size.Blocks))
	v.set(journalSequence, float64(size.Sequence))
	v.set(reportBytes, float64(m.Reports.Taken()))
	v.set(reportBudget, float64(m.Schedule.ReportBudget))
}

func (m *Metrics) sources(v values, now int64) {
	for _, source := range m.Collector.Sources() {
		v.set(positionAge, float64(max(0, now-source.Reached)), source.Group, source.Kind)
	}
}

func (m *Metrics) meters(v values) {
	for _, name := range m.Collector.Meters() {
		status, applied := m.Collector.Status(name)
		if !applied {
			continue
		}
		v.set(activeObjects, float64(status.Active), name)
		v.set(quarantinedObjects, float64(len(status.Quarantined)), name)
		if !status.ObservedTime.IsZero() {
			v.set(observedTime, float64(status.ObservedTime.Unix()), name)
		}
	}
	for lost, seconds := range m.Collector.Lost() {
		v.set(coverageLost, float64(seconds), lost.Meter, lost.Coverage.String())
	}
	less, more := m.Collector.Corrections()
	v.set(corrections, float64(less), "Less")
	v.set(corrections, float64(more), "More")
	v.set(lateBoundaries, float64(m.Collector.Late()))
}

func (m *Metrics) records(v values) {
	all := allRecords(m.Publisher)
	v.set(recordCount, float64(all.Records))
	v.set(recordBytes, float64(all.Bytes))
	v.set(recordBudget, float64(m.Schedule.Budget))
	if m.shares == nil {
		return
	}
	for _, over := range m.shares.most(namedAtMost) {
		v.set(recordKept, float64(over.keptFrom), over.namespace)
	}
	others := map[string]int{}
	for _, of := range m.shares.inLast(namedAtMost) {
		if _, again := others[of.Namespace]; !again { // it was deleted and made again
			v.set(recordReduced, 1, of.Namespace, of.Detail.String())
		}
		others[of.Namespace] += of.Others
	}
	for namespace, n := range others {
		v.set(recordOthers, float64(n), namespace)
	}
}

// allRecords are how many records there are, and what they take.
func allRecords(p *publisher.Publisher) publisher.Size {
	var all publisher.Size
	for _, sizes := range p.Sizes() {
		for _, size := range sizes {
			all.Records, all.Bytes = all.Records+size.Records, all.Bytes+size.Bytes
		}
	}
	return all
}

// namedAtMost is how many namespaces a metric names: tenants make namespaces.
const namedAtMost = 100
