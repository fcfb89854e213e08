package usageapi

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/usage-operator/usage-operator/internal/timeline"
)

// metricName is how people name a metric: "vm.vcpu".
func metricName(resourceType, dimension string) string { return resourceType + "." + dimension }

// uuidOf is a UUID (version 8 of RFC 9562) that says the same wherever and
// whenever it is made.
func uuidOf(of ...string) string {
	hash := sha256.New()
	for _, part := range of {
		fmt.Fprintf(hash, "%d:%s", len(part), part)
	}
	b := hash.Sum(nil)[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	text := hex.EncodeToString(b)
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// metricID is the same in every cluster.
func metricID(m *timeline.Measure) string { return uuidOf("metric", m.ResourceType, m.Name) }
