package controllers

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/usage-operator/usage-operator/internal/memory"
)

// Of every replica, and of one that only serves.
var (
	memoryLimit = newMetric(gauge, "memory_limit_bytes",
		"How much memory the Go runtime stays within (GOMEMLIMIT), by the container's limit. 0: there is none.")
	memoryUsed = newMetric(gauge, "memory_used_bytes",
		"What the Go runtime uses of it. Between two garbage collections it may be twice what is held.")
	memoryHeld = newMetric(gauge, "memory_held_bytes",
		"What no garbage collection frees, as of the last one.")
	memoryGrowth = newMetric(gauge, "memory_growth_bytes_per_second",
		"How fast what is held grows, by the last hours. 0: it does not, as far as that can be told from noise.")
	memoryReached = newMetric(gauge, "memory_limit_reached_timestamp_seconds",
		"When the limit is reached, if it goes on like this. 0: that cannot be foreseen.")

	scratchSize = newMetric(gauge, "scratch_bytes",
		"How much of the history, days older than --hot-days, lies in --scratch-dir instead of in memory.")
	ofMemory = []metric{memoryLimit, memoryUsed, memoryHeld, memoryGrowth, memoryReached, scratchSize}
)

// Describe tells which metrics there are.
func (*Memory) Describe(descriptions chan<- *prometheus.Desc) {
	for _, metric := range ofMemory {
		descriptions <- metric.Desc
	}
}

// Collect reads the metrics.
func (m *Memory) Collect(metrics chan<- prometheus.Metric) {
	v, now := values(metrics), memory.Read()
	m.mu.Lock()
	forecast := m.forecast
	m.mu.Unlock()
	v.set(memoryLimit, float64(m.Limit.Bytes))
	v.set(memoryUsed, float64(now.Used))
	v.set(memoryHeld, float64(now.Held))
	v.set(memoryGrowth, forecast.Growth)
	v.set(memoryReached, float64(forecast.Reached))
	v.set(scratchSize, float64(m.OnDisk()))
}
