package meter

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"
)

// A Service and the Gateways that it serves have one load balancer, and two Services have two.
func TestLoadBalancer(t *testing.T) {
	for name, c := range map[string]struct{ object, want string }{
		"a Service":                   {`{spec: {ports: [{port: 443}, {port: 80}]}, status: {loadBalancer: {ingress: [{ip: 203.0.113.9}]}}}`, "203.0.113.9/web"},
		"a Gateway that it serves":    {`{spec: {listeners: [{port: 80, protocol: HTTP}]}, status: {addresses: [{type: IPAddress, value: 203.0.113.9}]}}`, "203.0.113.9/web"},
		"one with TLS alone":          {`{spec: {listeners: [{port: 443, protocol: TLS}]}, status: {addresses: [{value: "::ffff:203.0.113.9"}]}}`, "203.0.113.9/web"},
		"another Service there":       {`{spec: {ports: [{port: 8443}, {port: 8080, protocol: TCP}]}, status: {loadBalancer: {ingress: [{ip: 203.0.113.9}]}}}`, "203.0.113.9/TCP8080"},
		"one of UDP":                  {`{spec: {ports: [{port: 443, protocol: UDP}]}, status: {loadBalancer: {ingress: [{ip: 203.0.113.9}]}}}`, "203.0.113.9/UDP443"},
		"Traefik's Gateway":           {`{spec: {gatewayClassName: traefik, listeners: [{port: 8000, protocol: HTTP}]}, status: {addresses: [{value: 203.0.113.9}]}}`, "203.0.113.9/web"},
		"another's at such a port":    {`{spec: {gatewayClassName: eg, listeners: [{port: 8000, protocol: HTTP}]}, status: {addresses: [{value: 203.0.113.9}]}}`, "203.0.113.9/TCP8000"},
		"two families, in one order":  {`{spec: {ports: [{port: 80}]}, status: {loadBalancer: {ingress: [{ip: "2001:db8::1"}, {ip: 203.0.113.9}]}}}`, "203.0.113.9/web"},
		"a name":                      {`{spec: {ports: [{port: 80}]}, status: {loadBalancer: {ingress: [{hostname: B.elb.example}, {hostname: a.elb.example}]}}}`, "a.elb.example/web"},
		"an address goes before it":   {`{spec: {ports: [{port: 80}]}, status: {loadBalancer: {ingress: [{hostname: a.elb.example, ip: "2001:db8::1"}]}}}`, "2001:db8::1/web"},
		"nothing said":                {`{metadata: {uid: u-1}, spec: {ports: [{port: 80}]}, status: {loadBalancer: {ingress: [{}]}}}`, "u-1"},
		"what should not be, by kind": {`{metadata: {uid: u-1}, spec: {listeners: 3, ports: [7]}, status: {addresses: [3, {value: 4}]}}`, "u-1"},
	} {
		t.Run(name, func(t *testing.T) {
			object := map[string]any{}
			if err := yaml.Unmarshal([]byte(c.object), &object); err != nil {
				t.Fatal(err)
			}
			if got := loadBalancer(object); got != c.want {
				t.Errorf("%s: want %s", got, c.want)
			}
		})
	}
}

// The order in which controllers list addresses and ports does not matter.
func TestLoadBalancerIsTheSameInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		addresses := rapid.SliceOfN(rapid.SampledFrom([]any{
			map[string]any{"ip": "203.0.113.1"}, map[string]any{"ip": "10.0.0.9"}, map[string]any{"ip": "2001:db8::2"},
			map[string]any{"hostname": "a.example"}, map[string]any{"hostname": "b.example"},
		}), 1, 5).Draw(t, "addresses")
		ports := rapid.SliceOfN(rapid.Map(rapid.Int64Range(1, 100), func(p int64) any {
			return map[string]any{"port": p, "protocol": map[bool]string{true: "UDP", false: "TCP"}[p%3 == 0]}
		}), 1, 5).Draw(t, "ports")
		service := func(addresses, ports []any) map[string]any {
			return map[string]any{
				"spec": map[string]any{"ports": ports}, "status": map[string]any{"loadBalancer": map[string]any{"ingress": addresses}},
			}
		}
		is := loadBalancer(service(addresses, ports))
		again := loadBalancer(service(rapid.Permutation(addresses).Draw(t, "order"), rapid.Permutation(slices.Clone(ports)).Draw(t, "ports' order")))
		if is != again {
			t.Errorf("%s, and %s in another order", is, again)
		}
	})
}
