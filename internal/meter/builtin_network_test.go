package meter

const (
	service1 = "shop/ load_balancer; v1 Service web service-1"
	gateway1 = "shop/ load_balancer; gateway.networking.k8s.io/v1 Gateway edge gateway-1"
	direct1  = "connection; directconnect.aws.upbound.io/v1beta1 Connection office connection-1"
	attach1  = "shop/ connection; compute.cnrm.cloud.google.com/v1beta1 ComputeInterconnectAttachment office attachment-1"
)

var networkLifecycles = []lifecycle{
	{
		meter: "load-balancer",
		object: `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, uid: service-1, creationTimestamp: "2026-11-21T20:00:00Z"}
spec: {type: LoadBalancer, loadBalancerClass: metal, ports: [{port: 80}, {port: 443}]}
`,
		stages: []stage{
			{name: "created", patch: `status: {loadBalancer: {}}`, want: []string{service1}},
			{name: "assigned", patch: `status: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}`,
				want: []string{service1 + "; [class:metal]; holds load_balancer=1000 listener=2000 public_ip=1000"}},
			{name: "dual stack, one more port", patch: `
spec: {ports: [{port: 80}, {port: 443}, {port: 8443}]}
status: {loadBalancer: {ingress: [{ip: 192.0.2.1}, {ip: "2001:db8::1"}]}}
`, want: []string{service1 + "; [class:metal]; holds load_balancer=1000 listener=3000 public_ip=2000"}},
			{name: "of another type", patch: `spec: {type: ClusterIP}`, want: []string{service1}},
			{name: "a gateway's, as it says: see TestClaims", patch: `
metadata: {ownerReferences: [{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, name: edge, uid: gateway-1, controller: true}]}
spec: {type: LoadBalancer}
`, want: []string{service1 + "; [class:metal]; holds load_balancer=1000 listener=3000 public_ip=2000"}},
		},
	},
	{
		meter: "gateway",
		object: `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop, uid: gateway-1, creationTimestamp: "2026-11-21T20:00:00Z"}
spec: {gatewayClassName: cilium, listeners: [{name: http, port: 80}, {name: https, port: 443}]}
status: {conditions: [{type: Programmed, status: Unknown, lastTransitionTime: "1970-01-01T00:00:00Z"}]}
`,
		stages: []stage{
			{name: "created", want: []string{gateway1}},
			{name: "programmed", patch: `
status:
  addresses: [{type: IPAddress, value: 192.0.2.1}]
  conditions:
  - {type: Accepted, status: "True", lastTransitionTime: "2026-11-21T20:00:02Z"}
  - {type: Programmed, status: "True", lastTransitionTime: "2026-11-21T20:00:05Z"}
`, want: []string{gateway1 + "; [class:cilium]; holds load_balancer=1000 listener=2000 public_ip=1000; from 20:00:05 ObjectTime"}},
			{name: "its spec cannot be programmed, and its address is there", patch: `status: {conditions: [{type: Programmed, status: "False", lastTransitionTime: "2026-11-21T20:37:30Z"}]}`,
				want: []string{gateway1 + "; [class:cilium]; holds load_balancer=1000 listener=2000 public_ip=1000"}},
			{name: "no longer", patch: `status: {addresses: null}`, want: []string{gateway1}},
			{name: "an internal load balancer", patch: `
status:
  addresses: [{type: IPAddress, value: 10.96.17.3}]
  conditions: [{type: Programmed, status: "True", lastTransitionTime: "2026-11-21T20:40:05Z"}]
`, want: []string{gateway1 + "; [class:cilium]; holds load_balancer=1000 listener=2000 public_ip=0; from 20:40:05 ObjectTime"}},
			{name: "a waypoint", patch: `spec: {gatewayClassName: istio-waypoint}`, want: []string{}},
			{name: "a waypoint with a load balancer", patch: `status: {addresses: [{type: IPAddress, value: 10.96.17.3}, {type: IPAddress, value: 192.0.2.1}]}`,
				want: []string{gateway1 + "; [class:istio-waypoint]; holds load_balancer=1000 listener=2000 public_ip=1000; from 20:40:05 ObjectTime"}},
			{name: "a proxy behind a Service of the cluster", patch: `
spec: {gatewayClassName: istio}
status: {addresses: [{type: Hostname, value: edge-istio.shop.svc.cluster.local}]}
`, want: []string{}},
			{name: "a load balancer that has a name", patch: `status: {addresses: [{type: Hostname, value: edge-1.elb.example.com}]}`,
				want: []string{gateway1 + "; [class:istio]; holds load_balancer=1000 listener=2000 public_ip=0; from 20:40:05 ObjectTime"}},
		},
	},
	{
		meter: "vpc",
		object: `
apiVersion: kubeovn.io/v1
kind: Vpc
metadata: {name: tenant-a, uid: vpc-1, creationTimestamp: "2026-11-21T20:00:00Z"}
spec: {namespaces: [shop]}
`,
		stages: []stage{
			{name: "created", want: []string{"shop/ vpc; kubeovn.io/v1 Vpc tenant-a vpc-1; holds vpc=1000 subnet=0; from 20:00:00 CreationTime"}},
			{name: "with subnets", patch: `status: {subnets: [a, b]}`,
				want: []string{"shop/ vpc; kubeovn.io/v1 Vpc tenant-a vpc-1; holds vpc=1000 subnet=2000; from 20:00:00 CreationTime"}},
			{name: "shared", patch: `spec: {namespaces: [shop, blog]}`,
				want: []string{"/ vpc; kubeovn.io/v1 Vpc tenant-a vpc-1; holds vpc=1000 subnet=2000; from 20:00:00 CreationTime"}},
			{name: "of nobody", patch: `{spec: null, status: {subnets: null}}`,
				want: []string{"/ vpc; kubeovn.io/v1 Vpc tenant-a vpc-1; holds vpc=1000 subnet=0; from 20:00:00 CreationTime"}},
		},
	},
	{
		meter: "vpc-udn",
		object: `
apiVersion: k8s.ovn.org/v1
kind: UserDefinedNetwork
metadata: {name: blue, namespace: shop, uid: udn-1, creationTimestamp: "2026-11-21T20:00:00Z"}
spec: {topology: Layer2, layer2: {role: Primary, subnets: [10.0.0.0/24]}}
`,
		stages: []stage{
			{name: "created", want: []string{"shop/ vpc; k8s.ovn.org/v1 UserDefinedNetwork blue udn-1; [topology:Layer2]; holds vpc=1000; from 20:00:00 CreationTime"}},
		},
	},
	{
		meter: "vpc-cudn",
		object: `
apiVersion: k8s.ovn.org/v1
kind: ClusterUserDefinedNetwork
metadata: {name: blue, uid: cudn-1, creationTimestamp: "2026-11-21T20:00:00Z"}
spec: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}, network: {topology: Layer3}}
`,
		stages: []stage{
			{name: "of one namespace", want: []string{"shop/ vpc; k8s.ovn.org/v1 ClusterUserDefinedNetwork blue cudn-1; [topology:Layer3]; holds vpc=1000; from 20:00:00 CreationTime"}},
			{name: "in other words", patch: `spec: {namespaceSelector: {matchLabels: null, matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [shop]}]}}`,
				want: []string{"shop/ vpc; k8s.ovn.org/v1 ClusterUserDefinedNetwork blue cudn-1; [topology:Layer3]; holds vpc=1000; from 20:00:00 CreationTime"}},
			{name: "of two", patch: `spec: {namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [shop, blog]}]}}`,
				want: []string{"/ vpc; k8s.ovn.org/v1 ClusterUserDefinedNetwork blue cudn-1; [topology:Layer3]; holds vpc=1000; from 20:00:00 CreationTime"}},
			{name: "of whoever has a label", patch: `spec: {namespaceSelector: {matchExpressions: null, matchLabels: {team: a}}}`,
				want: []string{"/ vpc; k8s.ovn.org/v1 ClusterUserDefinedNetwork blue cudn-1; [topology:Layer3]; holds vpc=1000; from 20:00:00 CreationTime"}},
		},
	},
	{
		meter: "connection-directconnect",
		object: `
apiVersion: directconnect.aws.upbound.io/v1beta1
kind: Connection
metadata: {name: office, uid: connection-1, creationTimestamp: "2026-11-21T20:00:00Z", labels: {crossplane.io/claim-namespace: shop}}
spec: {forProvider: {bandwidth: 1Gbps, location: EqDC2, region: us-east-1}}
`,
		stages: []stage{
			{name: "created", patch: `status: {conditions: [{type: Ready, status: "False", reason: Creating, lastTransitionTime: "2026-11-21T20:00:01Z"}]}`,
				want: []string{"shop/ " + direct1}},
			{name: "ready", patch: `
status:
  atProvider: {arn: "arn:aws:directconnect:us-east-1:1:dxcon/dxcon-1"}
  conditions: [{type: Ready, status: "True", reason: Available, lastTransitionTime: "2026-11-21T20:05:00Z"}]
`, want: []string{"shop/ " + direct1 + "; region us-east-1; [location:EqDC2]; holds connection=1000 bandwidth=1000000000; from 20:05:00 ObjectTime"}},
			{name: "what the provider says goes first", patch: `status: {atProvider: {bandwidth: 500Mbps}}`,
				want: []string{"shop/ " + direct1 + "; region us-east-1; [location:EqDC2]; holds connection=1000 bandwidth=500000000; from 20:05:00 ObjectTime"}},
			{name: "being deleted, of nobody", patch: `
metadata: {labels: null}
status: {conditions: [{type: Ready, status: "False", reason: Deleting, lastTransitionTime: "2026-11-21T20:37:30Z"}]}
`, want: []string{"/ " + direct1 + "; region us-east-1; [location:EqDC2]; holds connection=1000 bandwidth=500000000"}},
		},
	},
	{
		meter: "connection-interconnect",
		object: `
apiVersion: compute.cnrm.cloud.google.com/v1beta1
kind: ComputeInterconnectAttachment
metadata: {name: office, namespace: shop, uid: attachment-1, creationTimestamp: "2026-11-21T20:00:00Z"}
spec: {bandwidth: BPS_50M, region: us-west1, routerRef: {name: r}, type: DEDICATED}
`,
		stages: []stage{
			{name: "created", want: []string{attach1}},
			{name: "ready", patch: `status: {conditions: [{type: Ready, status: "True", reason: UpToDate, lastTransitionTime: "2026-11-21T20:05:00Z"}]}`,
				want: []string{attach1 + "; region us-west1; [type:DEDICATED]; holds connection=1000 bandwidth=50000000; from 20:05:00 ObjectTime"}},
			{name: "its update fails", patch: `
spec: {bandwidth: BPS_1G}
status: {selfLink: "https://x", conditions: [{type: Ready, status: "False", reason: UpdateFailed}]}
`, want: []string{attach1 + "; region us-west1; [type:DEDICATED]; holds connection=1000 bandwidth=1000000000"}},
			{name: "of the default bandwidth", patch: `spec: {bandwidth: null, type: null}`,
				want: []string{attach1 + "; region us-west1; holds connection=1000 bandwidth=10000000000"}},
			{name: "of a partner's", patch: `spec: {type: PARTNER}`,
				want: []string{attach1 + "; region us-west1; [type:PARTNER]; holds connection=1000 bandwidth=0"}},
		},
	},
}
