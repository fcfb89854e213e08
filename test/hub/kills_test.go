package hub_test

import (
	"flag"
	"testing"
	"time"

	"github.com/usage-operator/usage-operator/test/controlplane"
)

var (
	killsFor   = flag.Duration("kills.for", 8*time.Second, "for how long parts of a fleet are killed")
	killsEvery = flag.Duration("kills.every", time.Second, "how often one is")
)

// One part after the other is ended as by kill -9, while an operator writes, merges and deletes: the hub, who sends to it,
// the database, the API server, and the operator. Nothing is lost by it, and nothing is there twice.
func TestKillsOfAnyPart(t *testing.T) {
	const perSecond = 2
	h := newHub(t, newCluster(t, "usage-killed", 1+perSecond*int(*killsFor/time.Second)))
	h.run()
	parts := []struct {
		name   string
		kill   func() error
		revive func() error
	}{
		{"the hub", func() error { h.serving.kill(); return nil }, func() error { h.serve(); return nil }},
		{"who sends", func() error { h.sending.kill(); return nil }, func() error { h.send(); return nil }},
		{"the database", func() error { h.database.Kill(t); return nil }, func() error { h.database.Run(t); return nil }},
		{"the API server", func() error { return plane.Kill(controlplane.APIServer) }, func() error { return plane.StartComponent(t.Context(), controlplane.APIServer) }},
		{"the operator", func() error { return nil }, func() error { h.load(t); return nil }},
	}
	pace := time.NewTicker(time.Second / perSecond) // the operator's
	defer pace.Stop()
	began, kills := time.Now(), 0
	for ; time.Since(began) < *killsFor || kills < len(parts); kills++ {
		part := parts[kills%len(parts)]
		for next := time.Now().Add(*killsEvery); time.Now().Before(next); <-pace.C {
			h.hour(t)
			if h.hours%7 == 0 {
				if _, err := h.journal.Compact(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := part.kill(); err != nil {
			t.Fatalf("kill %s: %v", part.name, err)
		}
		if kills%2 == 1 && part.name != "the API server" {
			h.hour(t) // while it is gone
		}
		if err := part.revive(); err != nil {
			t.Fatalf("start %s again: %v", part.name, err)
		}
	}
	h.reaches(uint64(2 * h.hours))
	h.isTheClusters()
	t.Logf("%d kills in %s, %d intervals", kills, time.Since(began).Round(time.Second), h.hours)
}
