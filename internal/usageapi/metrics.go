package usageapi

import (
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// metricName is how people name a metric: "vm.vcpu".
func metricName(resourceType, dimension string) string { return resourceType + "." + dimension }

// metricID is the same in every cluster.
func metricID(m *timeline.Measure) string { return wire.ID("metric", m.ResourceType, m.Name) }
