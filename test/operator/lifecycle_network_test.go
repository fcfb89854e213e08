package operator_test

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func second(text string) int64 {
	GinkgoHelper()
	t, err := time.Parse(time.RFC3339, text)
	Expect(err).NotTo(HaveOccurred())
	return t.Unix()
}

func serviceGetsAddress(d *driver) {
	fresh := func() *thing {
		return d.create(`
apiVersion: v1
kind: Service
metadata: {name: web, labels: {metering.usage-operator.dev/deployment: shop}}
spec: {type: LoadBalancer, loadBalancerClass: example.com/metal, ports: [{name: a, port: 80}, {name: b, port: 443}]}
`)
	}
	const facts = "class=example.com/metal"
	service := fresh()
	who := d.self(service, "load_balancer", "shop")
	assigned := d.status(service, `{loadBalancer: {ingress: [{ip: 192.0.2.1}]}}`)
	d.holds(service, who, assigned, facts, levels{"load_balancer": 1000, "listener": 2000, "public_ip": 1000})
	dual := d.status(service, `{loadBalancer: {ingress: [{ip: 192.0.2.1}, {ip: "2001:db8::1"}]}}`)
	d.holds(service, who, dual, facts, levels{"load_balancer": 1000, "listener": 2000, "public_ip": 2000})
	wider := d.patch(service, `spec: {ports: [{name: a, port: 80}, {name: b, port: 443}, {name: c, port: 8443}]}`)
	d.holds(service, who, wider, facts, levels{"load_balancer": 1000, "listener": 3000, "public_ip": 2000})
	d.hold(who, d.patch(service, `spec: {type: ClusterIP, loadBalancerClass: null}`), "", nil)
	d.patch(service, `spec: {type: LoadBalancer, loadBalancerClass: example.com/metal}`)
	assigned = d.status(service, `{loadBalancer: {ingress: [{ip: 192.0.2.2}]}}`)
	d.holds(service, who, assigned, facts, levels{"load_balancer": 1000, "listener": 3000, "public_ip": 1000})
	d.delete(service)
	service = fresh()
	assigned = d.status(service, `{loadBalancer: {ingress: [{ip: 192.0.2.1}]}}`)
	d.holds(service, d.self(service, "load_balancer", "shop"), assigned, facts, levels{"load_balancer": 1000, "listener": 2000, "public_ip": 1000})
	// Another one shares its address, which is one for as long as both have it.
	sharing := d.create(`
apiVersion: v1
kind: Service
metadata: {name: web-udp, labels: {metering.usage-operator.dev/deployment: shop}}
spec: {type: LoadBalancer, loadBalancerClass: example.com/metal, ports: [{name: a, port: 80, protocol: UDP}]}
`)
	with := d.self(sharing, "load_balancer", "shop")
	d.holds(sharing, with, d.status(sharing, `{loadBalancer: {ingress: [{ip: 192.0.2.1}]}}`), facts, levels{"load_balancer": 1000, "listener": 1000})
	d.delete(service)
	d.holds(sharing, with, service.asked, facts, levels{"load_balancer": 1000, "listener": 1000, "public_ip": 1000})
	d.patch(sharing, `metadata: {annotations: {touched: "yes"}}`)
}

func gatewayIsProgrammed(d *driver) {
	fresh := func() *thing {
		return d.create(`
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec: {gatewayClassName: cilium, listeners: [{name: http, port: 80, protocol: HTTP}, {name: https, port: 8080, protocol: HTTP}]}
`)
	}
	condition := func(gateway *thing, status, rest string) moment {
		flipped := nextSecond(d.ctx)
		d.status(gateway, fmt.Sprintf(`{conditions: [{type: Programmed, status: %q, reason: Told, message: "", lastTransitionTime: %q}]%s}`,
			status, rfc3339(flipped), rest))
		return at(flipped)
	}
	const facts = "class=cilium"
	gateway := fresh()
	who := d.self(gateway, "load_balancer", "")
	programmed := condition(gateway, "True", `, addresses: [{type: IPAddress, value: 198.51.100.1}]`)
	d.holds(gateway, who, programmed, facts, levels{"load_balancer": 1000, "listener": 2000, "public_ip": 1000})
	fewer := d.patch(gateway, `spec: {listeners: [{name: http, port: 80, protocol: HTTP}]}`)
	d.holds(gateway, who, fewer, facts, levels{"load_balancer": 1000, "listener": 1000, "public_ip": 1000})
	condition(gateway, "False", "") // what its spec asks for cannot be programmed: its load balancer is there
	condition(gateway, "False", ", addresses: null")
	d.hold(who, gateway.happened(), "", nil)
	d.holds(gateway, who, condition(gateway, "True", `, addresses: [{type: IPAddress, value: 198.51.100.1}]`), facts, levels{"load_balancer": 1000, "listener": 1000, "public_ip": 1000})
	// Its own load balancer is not counted again; what shows another address is another one.
	own := func(name, address string) *thing {
		service := d.create(fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata:
  name: %s
  ownerReferences: [{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, name: edge, uid: %s}]
spec: {type: LoadBalancer, ports: [{port: 80}]}
`, name, gateway.uid()))
		d.status(service, fmt.Sprintf(`{loadBalancer: {ingress: [{ip: %s}]}}`, address))
		return service
	}
	made, forged := own("edge", "198.51.100.1"), own("free", "198.51.100.7")
	d.holds(forged, d.self(forged, "load_balancer", ""), forged.happened(), "", levels{"load_balancer": 1000, "listener": 1000, "public_ip": 1000})
	d.delete(gateway)
	d.holds(made, d.self(made, "load_balancer", ""), gateway.asked, "", levels{"load_balancer": 1000, "listener": 1000, "public_ip": 1000})
	gateway = fresh()
	programmed = condition(gateway, "True", "")
	d.holds(gateway, d.self(gateway, "load_balancer", ""), programmed, facts, levels{"load_balancer": 1000, "listener": 2000})
	gatewaysAreMerged(d)
}

// gatewaysAreMerged has the Gateways of a class share one Service, which names the class alone: it counts while none of
// them has its address.
func gatewaysAreMerged(d *driver) {
	class := d.namespace // which other specs have not
	service := d.create(fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: envoy-merged, labels: {gateway.envoyproxy.io/owning-gatewayclass: %s}}
spec: {type: LoadBalancer, ports: [{port: 80}]}
`, class))
	whole := levels{"load_balancer": 1000, "listener": 1000, "public_ip": 1000}
	itself := d.self(service, "load_balancer", "")
	d.holds(service, itself, d.status(service, `{loadBalancer: {ingress: [{ip: 198.51.100.9}]}}`), "", whole)
	gateway := func(name, of string) (made *thing, who holder, programmed moment) {
		made = d.create(fmt.Sprintf(`
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: %s}
spec: {gatewayClassName: %s, listeners: [{name: http, port: 80, protocol: HTTP}]}
`, name, of))
		second := nextSecond(d.ctx)
		d.status(made, fmt.Sprintf(`{conditions: [{type: Programmed, status: "True", reason: Told, message: "", lastTransitionTime: %q}], addresses: [{type: IPAddress, value: %s}]}`,
			rfc3339(second), "198.51.100.9"))
		return made, d.self(made, "load_balancer", ""), at(second)
	}
	// While the Service is metered by itself the address is its own: it is the oldest that has it.
	other, who, programmed := gateway("other", class+"-2") // of another class, it stands for nothing
	d.holds(other, who, programmed, "class="+class+"-2", levels{"load_balancer": 1000, "listener": 1000})
	d.delete(other)
	first, who, programmed := gateway("first", class)
	d.hold(itself, programmed, "", nil)
	d.holds(first, who, programmed, "class="+class, whole)
	second, later, programmed := gateway("second", class)
	d.holds(second, later, programmed, "class="+class, levels{"load_balancer": 1000, "listener": 1000})
	d.delete(first)
	d.holds(second, later, first.asked, "class="+class, whole)
	d.patch(second, `metadata: {annotations: {touched: "yes"}}`)
	d.delete(second)
	d.holds(service, itself, second.asked, "", whole)
	d.patch(service, `metadata: {annotations: {touched: "yes"}}`)
}

// ingressHasLoadBalancer has two Ingresses of a group, which have one load balancer of a cloud's.
func ingressHasLoadBalancer(d *driver) {
	fresh := func(name, finalizer string) *thing {
		return d.create(fmt.Sprintf(`
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %s, labels: {metering.usage-operator.dev/deployment: shop}, finalizers: [%s]}
spec: {ingressClassName: alb, defaultBackend: {service: {name: web, port: {number: 80}}}}
`, name, finalizer))
	}
	const facts = "class=alb"
	const address = `{loadBalancer: {ingress: [{hostname: k8s-shop-1.elb.example.com}]}}`
	first, second := fresh("first", "group.ingress.k8s.aws/shop"), fresh("second", "group.ingress.k8s.aws/shop")
	who, later := d.self(first, "load_balancer", "shop"), d.self(second, "load_balancer", "shop")
	d.holds(first, who, d.status(first, address), facts, levels{"load_balancer": 1000})
	d.status(second, address)
	inside := fresh("inside", "") // a Service's address, which is metered with that
	d.status(inside, `{loadBalancer: {ingress: [{ip: 198.51.100.20}]}}`)
	d.hold(who, d.patch(first, `metadata: {finalizers: null}`), "", nil) // its controller has removed what was its own
	d.holds(second, later, first.happened(), facts, levels{"load_balancer": 1000})
	d.delete(first)
	// GKE's has an address.
	d.patch(second, `metadata: {finalizers: [networking.gke.io/ingress-finalizer-V2]}`)
	addressed := d.status(second, `{loadBalancer: {ingress: [{ip: 198.51.100.21}]}}`)
	d.holds(second, later, addressed, facts, levels{"load_balancer": 1000, "public_ip": 1000})
	d.patch(second, `metadata: {finalizers: null}`)
	d.hold(later, second.happened(), "", nil)
	d.delete(second)
}

func vpcExists(d *driver) {
	fresh := func() *thing {
		return d.create(fmt.Sprintf(`
apiVersion: kubeovn.io/v1
kind: Vpc
metadata: {name: %s}
spec: {namespaces: [$NAMESPACE]}
`, d.namespace))
	}
	who := func(vpc *thing) holder {
		who := d.self(vpc, "vpc", d.namespace)
		who.namespace = d.namespace
		return who
	}
	vpc := fresh()
	d.holds(vpc, who(vpc), vpc.created(), "", levels{"vpc": 1000})
	d.holds(vpc, who(vpc), d.status(vpc, `{subnets: [a, b]}`), "", levels{"vpc": 1000, "subnet": 2000})
	shared := d.patch(vpc, `spec: {namespaces: [$NAMESPACE, default]}`)
	d.hold(who(vpc), shared, "", nil)
	d.holds(vpc, d.self(vpc, "vpc", d.namespace), shared, "", levels{"vpc": 1000, "subnet": 2000})
	d.delete(vpc)
	vpc = fresh()
	d.holds(vpc, who(vpc), vpc.created(), "", levels{"vpc": 1000})
}

func networkExists(d *driver) {
	fresh := func() *thing {
		return d.create(`
apiVersion: k8s.ovn.org/v1
kind: UserDefinedNetwork
metadata: {name: blue, labels: {app.kubernetes.io/name: blue-net}}
spec: {topology: Layer2, layer2: {role: Primary, subnets: [10.0.0.0/24]}}
`)
	}
	network := fresh()
	d.holds(network, d.self(network, "vpc", "blue-net"), network.created(), "topology=Layer2", levels{"vpc": 1000})
	renamed := d.patch(network, `metadata: {labels: {metering.usage-operator.dev/deployment: shop}}`)
	d.hold(d.self(network, "vpc", "blue-net"), renamed, "", nil)
	d.holds(network, d.self(network, "vpc", "shop"), renamed, "topology=Layer2", levels{"vpc": 1000})
	d.delete(network)
	network = fresh()
	d.holds(network, d.self(network, "vpc", "blue-net"), network.created(), "topology=Layer2", levels{"vpc": 1000})
}

func clusterNetworkExists(d *driver) {
	fresh := func() *thing {
		return d.create(fmt.Sprintf(`
apiVersion: k8s.ovn.org/v1
kind: ClusterUserDefinedNetwork
metadata: {name: %s}
spec:
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: $NAMESPACE}}
  network: {topology: Layer3, layer3: {role: Primary, subnets: [{cidr: 10.0.0.0/16, hostSubnet: 24}]}}
`, d.namespace))
	}
	const facts = "topology=Layer3"
	who := func(network *thing) holder {
		who := d.self(network, "vpc", d.namespace)
		who.namespace = d.namespace
		return who
	}
	network := fresh()
	d.holds(network, who(network), network.created(), facts, levels{"vpc": 1000})
	shared := d.patch(network, `spec: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: null, team: a}}}`)
	d.hold(who(network), shared, "", nil)
	d.holds(network, d.self(network, "vpc", d.namespace), shared, facts, levels{"vpc": 1000})
	d.delete(network)
	network = fresh()
	d.holds(network, who(network), network.created(), facts, levels{"vpc": 1000})
}

// becomes writes the condition Ready, and returns when it says that it changed.
func (d *driver) becomes(t *thing, ready bool, rest string) moment {
	GinkgoHelper()
	flipped := nextSecond(d.ctx)
	status := map[bool]string{true: "True", false: "False"}[ready]
	d.status(t, fmt.Sprintf(`{conditions: [{type: Ready, status: %q, reason: Told, lastTransitionTime: %q}]%s}`, status, rfc3339(flipped), rest))
	return at(flipped)
}

func connectionIsReady(d *driver) {
	fresh := func() *thing {
		return d.create(fmt.Sprintf(`
apiVersion: directconnect.aws.upbound.io/v1beta1
kind: Connection
metadata: {name: %s, labels: {crossplane.io/claim-namespace: $NAMESPACE}}
spec: {forProvider: {bandwidth: 1Gbps, location: EqDC2, region: us-east-1, name: office}}
`, d.namespace))
	}
	const facts = "location=EqDC2 in us-east-1"
	who := func(connection *thing) holder {
		who := d.self(connection, "connection", d.namespace)
		who.namespace = d.namespace
		return who
	}
	connection := fresh()
	d.becomes(connection, false, "")
	since := d.becomes(connection, true, `, atProvider: {arn: "arn:aws:directconnect:us-east-1:1:dxcon/dxcon-1"}`)
	d.holds(connection, who(connection), since, facts, levels{"connection": 1000, "bandwidth": 1_000_000_000})
	slower := d.status(connection, `{atProvider: {bandwidth: 500Mbps}}`)
	d.holds(connection, who(connection), slower, facts, levels{"connection": 1000, "bandwidth": 500_000_000})
	d.becomes(connection, false, "") // unavailable, and held
	d.delete(connection)
	connection = fresh()
	d.holds(connection, who(connection), d.becomes(connection, true, ""), facts, levels{"connection": 1000, "bandwidth": 1_000_000_000})
}

func attachmentIsReady(d *driver) {
	fresh := func() *thing {
		return d.create(`
apiVersion: compute.cnrm.cloud.google.com/v1beta1
kind: ComputeInterconnectAttachment
metadata: {name: office}
spec: {bandwidth: BPS_50M, region: us-west1, routerRef: {name: r}, type: DEDICATED}
`)
	}
	const facts = "type=DEDICATED in us-west1"
	attachment := fresh()
	who := d.self(attachment, "connection", "")
	since := d.becomes(attachment, true, "")
	d.holds(attachment, who, since, facts, levels{"connection": 1000, "bandwidth": 50_000_000})
	faster := d.patch(attachment, `spec: {bandwidth: BPS_1G}`)
	d.holds(attachment, who, faster, facts, levels{"connection": 1000, "bandwidth": 1_000_000_000})
	d.becomes(attachment, false, "") // that ends it when it is written: the meter states no endTime

	d.hold(who, attachment.happened(), "", nil)
	d.delete(attachment)
	attachment = fresh()
	d.holds(attachment, d.self(attachment, "connection", ""), d.becomes(attachment, true, ""), facts, levels{"connection": 1000, "bandwidth": 50_000_000})
}
