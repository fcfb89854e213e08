package sender_test

import (
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/usage-operator/usage-operator/test/postgres"
)

// What it tells of itself is how far it has come, and why it is not further; and it is on the page.
func TestMetrics(t *testing.T) {
	s, url := (&hubs{server: postgres.Start(t)}).open(t)
	c := newCluster(t, s, url)
	c.commit(t)
	at := c.sender()
	want := func(lines ...string) {
		t.Helper()
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(at)
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
			t.Fatal(problems, err)
		}
		page, err := os.ReadFile("../../../docs/fleet.md")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, family := range families {
			if !strings.Contains(string(page), "| `"+family.GetName()+"` | gauge |") {
				t.Errorf("docs/fleet.md does not have %s, a gauge", family.GetName())
			}
			for _, metric := range family.GetMetric() {
				line := strings.TrimPrefix(family.GetName(), "usage_hub_sender_")
				for _, label := range metric.GetLabel() {
					line += " " + label.GetValue()
				}
				if metric.GetGauge().GetValue() != 0 {
					got = append(got, line)
				}
			}
		}
		if strings.Join(got, ", ") != strings.Join(lines, ", ") {
			t.Errorf("it tells %v, want %v", got, lines)
		}
	}
	want()
	finish(at)
	want("acknowledged_sequence", "acknowledged_written_time_seconds", "waiting")
	token, address := c.client.Token, c.client.URL
	c.commit(t)
	c.client.Token = func() (string, error) { return "usage-hub-wrong", nil }
	finish(at)
	want("acknowledged_sequence", "acknowledged_written_time_seconds", "failing Unauthorized")
	c.client.Token, c.client.URL = token, "http://127.0.0.1:1"
	finish(at)
	want("acknowledged_sequence", "acknowledged_written_time_seconds", "failing Away")
	c.client.URL = address
	finish(at)
	want("acknowledged_sequence", "acknowledged_written_time_seconds", "waiting")
}
