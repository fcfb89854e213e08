package collector

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// balancers are the stretches in which load balancers were held, until 1100, in order.
func (d *desk) balancers() []string {
	window := usage.Window{Start: 0, End: 1100}
	var lines []string
	for _, account := range d.Accounts(window, window.End) {
		for _, s := range d.Cut(account, window, window.End) {
			if s.Dimension.Name == "load_balancer" {
				end := s.End.At
				if s.End.IsZero() {
					end = window.End
				}
				lines = append(lines, fmt.Sprintf("%s/%s [%d, %d)", account.Namespace, s.Subject.Instance.Name, s.Start.At, end))
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// Envoy Gateway's Service of all Gateways of a class names none of them: it is metered with
// any of them that has its address, whichever is seen first.
func TestAServiceOfAllGatewaysOfAClass(t *testing.T) {
	const service = `{apiVersion: v1, kind: Service, metadata: {namespace: envoy, name: envoy-eg, uid: service, creationTimestamp: "1970-01-01T00:16:50Z",
		labels: {gateway.envoyproxy.io/owning-gatewayclass: eg}}, spec: {type: LoadBalancer, ports: [{port: 80}]},
		status: {loadBalancer: {ingress: [{ip: 203.0.113.9}]}}}`
	gateway := func(namespace, class, address string, programmed int64) string {
		return fmt.Sprintf(`{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {namespace: %s, name: gateway, uid: %s, creationTimestamp: "1970-01-01T00:16:50Z"},
			spec: {gatewayClassName: %s, listeners: [{name: http, port: 80, protocol: HTTP}]}, status: {addresses: [{value: %s}],
			conditions: [{type: Programmed, status: "True", lastTransitionTime: %q}]}}`, namespace, namespace, class, address, stamped(programmed))
	}
	shop, blog := gateway("shop", "eg", "203.0.113.9", 1030), gateway("blog", "eg", "203.0.113.9", 1040)
	for name, c := range map[string]struct {
		drive func(d *desk)
		want  []string
	}{
		"until the first is programmed, and from when the last is gone": {func(d *desk) {
			d.sees(t, service, ledger.Live, 1020, 1020)
			d.sees(t, shop, ledger.Live, 1030, 1030)
			d.sees(t, blog, ledger.Live, 1040, 1040)
			d.removed(t, shop, 1050, 1050)
			d.removed(t, blog, 1060, 1060)
		}, []string{"blog/gateway [1040, 1060)", "envoy/envoy-eg [1020, 1030)", "envoy/envoy-eg [1060, 1100)", "shop/gateway [1030, 1050)"}},
		"the first says that it was programmed before another was seen": {func(d *desk) {
			d.sees(t, service, ledger.Live, 1020, 1020)
			idle, _, _ := strings.Cut(gateway("shop", "eg", "", 0), ", status:") // it has no address yet
			d.sees(t, idle+"}", ledger.Live, 1028, 1028)
			d.sees(t, shop, ledger.Live, 1032, 1032)
		}, []string{"envoy/envoy-eg [1020, 1030)", "shop/gateway [1030, 1100)"}},
		"the Service is seen last": {func(d *desk) {
			d.sees(t, shop, ledger.Live, 1030, 1030)
			d.sees(t, blog, ledger.Live, 1040, 1040)
			d.sees(t, service, ledger.Live, 1020, 1045)
		}, []string{"blog/gateway [1040, 1100)", "envoy/envoy-eg [1020, 1030)", "shop/gateway [1030, 1100)"}},
		"one of another class": {func(d *desk) {
			d.sees(t, service, ledger.Live, 1020, 1020)
			d.sees(t, gateway("shop", "other", "203.0.113.9", 1030), ledger.Live, 1030, 1030)
		}, []string{"envoy/envoy-eg [1020, 1100)", "shop/gateway [1030, 1100)"}},
		"one with another address": {func(d *desk) {
			d.sees(t, service, ledger.Live, 1020, 1020)
			d.sees(t, gateway("shop", "eg", "203.0.113.10", 1030), ledger.Live, 1030, 1030)
		}, []string{"envoy/envoy-eg [1020, 1100)", "shop/gateway [1030, 1100)"}},
		"one that moves to the class": {func(d *desk) {
			d.sees(t, service, ledger.Live, 1020, 1020)
			d.sees(t, gateway("shop", "other", "203.0.113.9", 1030), ledger.Live, 1030, 1030)
			d.sees(t, shop, ledger.Live, 1050, 1050)
			d.sees(t, gateway("shop", "other", "203.0.113.9", 1030), ledger.Live, 1070, 1070)
		}, []string{"envoy/envoy-eg [1020, 1050)", "envoy/envoy-eg [1070, 1100)", "shop/gateway [1030, 1050)", "shop/gateway [1050, 1070)", "shop/gateway [1070, 1100)"}},
		"it comes to have the address, and had another till then": {func(d *desk) {
			d.sees(t, strings.Replace(service, "203.0.113.9", "203.0.113.50", 1), ledger.Live, 1020, 1020)
			d.sees(t, shop, ledger.Live, 1030, 1030)
			d.sees(t, service, ledger.Live, 1080, 1080)
		}, []string{"envoy/envoy-eg [1020, 1080)", "shop/gateway [1030, 1100)"}},
		"it comes to have the address, and to name the class later": {func(d *desk) {
			unnamed := strings.Replace(service, "owning-gatewayclass", "no-class", 1)
			d.sees(t, strings.Replace(unnamed, "203.0.113.9", "203.0.113.50", 1), ledger.Live, 1020, 1020)
			d.sees(t, shop, ledger.Live, 1030, 1030)
			d.sees(t, unnamed, ledger.Live, 1060, 1060)
			d.sees(t, service, ledger.Live, 1080, 1080)
		}, []string{"envoy/envoy-eg [1020, 1060)", "shop/gateway [1030, 1100)"}},
		"the next in line, when the first is gone": {func(d *desk) {
			beside := strings.ReplaceAll(service, "envoy-eg, uid: service", "beside, uid: beside")
			d.sees(t, service, ledger.Live, 1020, 1020)
			d.sees(t, shop, ledger.Live, 1030, 1030)
			d.sees(t, beside, ledger.Live, 1050, 1050)
			d.removed(t, beside, 1070, 1070)
		}, []string{"envoy/envoy-eg [1020, 1030)", "envoy/envoy-eg [1050, 1070)", "shop/gateway [1030, 1100)"}},
		"Gateways are not metered": {func(d *desk) {
			d.sees(t, service, ledger.Live, 1020, 1020)
			d.clock.SetTime(time.Unix(1025, 0))
			d.Remove("gateway")
			d.sees(t, shop, ledger.Live, 1030, 1030)
		}, []string{"envoy/envoy-eg [1020, 1100)"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, map[string]schema.GroupVersionKind{
				"load-balancer": {Version: "v1", Kind: "Service"},
				"gateway":       {Group: "gateway.networking.k8s.io", Version: "v1", Kind: "Gateway"},
			})
			for _, namespaced := range []string{"envoy", "blog"} {
				d.namespaces[namespaced] = namespace{uid: "ns-" + namespaced}
			}
			d.settle()
			c.drive(d)
			if got := d.balancers(); !slices.Equal(got, c.want) {
				t.Errorf("got %q\nwant %q", got, c.want)
			}
		})
	}
}

// After a restart, one that the ledger has by itself stays there while an older one may be to come that the Gateway stands
// for: which of two it is, is known when all have been compared.
func TestARestartTakesNothingFromTheYoungerOfTwo(t *testing.T) {
	service := func(name string, created int64) string {
		return fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {namespace: envoy, name: %[1]s, uid: %[1]s, creationTimestamp: %[2]q,
			labels: {gateway.envoyproxy.io/owning-gatewayclass: eg}}, spec: {type: LoadBalancer, ports: [{port: 80}]},
			status: {loadBalancer: {ingress: [{ip: 203.0.113.9}]}}}`, name, stamped(created))
	}
	gateway := fmt.Sprintf(`{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {namespace: shop, name: gateway, uid: gateway, creationTimestamp: %[1]q},
		spec: {gatewayClassName: eg, listeners: [{name: http, port: 80, protocol: HTTP}]}, status: {addresses: [{value: 203.0.113.9}],
		conditions: [{type: Programmed, status: "True", lastTransitionTime: %[1]q}]}}`, stamped(1030))
	for name, order := range map[string][]string{
		"the younger is listed first": {gateway, service("younger", 1012), service("older", 1011)},
		"the older is":                {gateway, service("older", 1011), service("younger", 1012)},
		"the Gateway is listed last":  {service("younger", 1012), service("older", 1011), gateway},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, map[string]schema.GroupVersionKind{
				"load-balancer": {Version: "v1", Kind: "Service"},
				"gateway":       {Group: "gateway.networking.k8s.io", Version: "v1", Kind: "Gateway"},
			})
			d.namespaces["envoy"] = namespace{uid: "ns-envoy"}
			d.settle()
			d.sees(t, service("older", 1011), ledger.Live, 1011, 1011)
			d.sees(t, service("younger", 1012), ledger.Live, 1012, 1012)
			d.sees(t, gateway, ledger.Live, 1030, 1030)

			at := d.meters["load-balancer"] // which a next run knows from the journal alone
			at.represented, at.parts = attribution.NewRepresentations(), map[string]*part{}
			d.restored.checking, d.restored.moved = true, map[string]int64{}
			for _, object := range order {
				d.sees(t, object, ledger.Resumed, 1060, 1080)
			}
			d.mu.Lock()
			d.restored.checking = false
			d.decideAll()
			d.mu.Unlock()
			want := []string{"envoy/older [1011, 1030)", "envoy/younger [1012, 1100)", "shop/gateway [1030, 1100)"}
			got := slices.DeleteFunc(d.balancers(), func(line string) bool { return line == "envoy/older [1060, 1060)" }) // it may have been
			if !slices.Equal(got, want) {
				t.Errorf("got %q\nwant %q", got, want)
			}
		})
	}
}
