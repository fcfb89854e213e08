package attribution_test

import (
	"fmt"
	"testing"

	"github.com/usage-operator/usage-operator/internal/attribution"
)

// What one tenant can make must not stop the others: each of these takes
// less than a second, or a few for the selectors, where a cost that grows with
// the square would take minutes.
func BenchmarkHostile(b *testing.B) {
	const many = 20_000
	number := func(i int) string { return fmt.Sprintf("%05d", i) }
	cases := map[string]func(g *attribution.Graph){
		"a service and a claim of as many workloads as pods": func(g *attribution.Graph) {
			g.Upsert(made("Service", "s", selecting("app=web")))
			g.Upsert(made("PersistentVolumeClaim", "data"))
			for i := range many {
				g.Upsert(made("Pod", number(i), deployment(number(i)), labelled("app=web"), mounting("data")))
			}
			for i := range many {
				g.Remove("pod/" + number(i))
			}
		},
		"a chain as long as there are objects": func(g *attribution.Graph) {
			for i := range many {
				g.Upsert(made("Kafka", number(i), ownedBy("Kafka", number(i+1))))
			}
			for i := range many {
				g.Upsert(made("Kafka", number(i), ownedBy("Kafka", number(i+1)), deployment("x")))
			}
		},
		"an owner whom every reference calls otherwise": func(g *attribution.Graph) {
			for i := range many {
				n := made("Pod", number(i), ownedBy("Kafka", number(i)))
				n.Owner.UID = "kafka/events"
				g.Upsert(n)
			}
			g.Upsert(made("Kafka", "events"))
			g.Remove("kafka/events")
		},
		"as many selectors as pods": func(g *attribution.Graph) {
			for i := range many {
				g.Upsert(made("Service", number(i), selecting("app=web", "index="+number(i))))
				g.Upsert(made("Pod", number(i), labelled("app=web", "index="+number(i)), deployment("web")))
				if i >= 1000 {
					g.Remove("service/" + number(i-1000))
					g.Remove("pod/" + number(i-1000))
				}
			}
		},
		"a service and a gateway of many routes": func(g *attribution.Graph) {
			g.Upsert(made("Gateway", "edge"))
			for i := range many {
				g.Upsert(made("HTTPRoute", number(i), at("shop/edge"), to("shop/web")))
			}
			for i := range 10 {
				g.Upsert(made("Service", "web", deployment(number(i))))
			}
			for i := range many {
				g.Remove("httproute/" + number(i))
			}
		},
	}
	for name, run := range cases {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				run(attribution.New())
			}
		})
	}
}
