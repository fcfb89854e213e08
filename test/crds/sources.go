package crds

// source is a Go module that has CRDs as YAML.
type source struct {
	module, version string
	// sum is the module's checksum, as in a go.sum: what is fetched is what was looked at.
	sum string
	// folder has the files in the module.
	folder string
	files  []string
}

// sources pins every module but KubeVirt, of which only the schemas are YAML.
// To go to another version, change it and its sum, which the error that follows tells.
var sources = []source{
	{
		module:  "sigs.k8s.io/karpenter",
		version: "v1.14.1",
		sum:     "h1:GjqvOHLjl2+OXM0ti5VEZSQuvcitB0pETd8zdChXEtI=",
		folder:  "pkg/apis/crds",
		files:   []string{"karpenter.sh_nodeclaims.yaml", "karpenter.sh_nodepools.yaml"},
	},
	{
		module:  "sigs.k8s.io/cluster-api",
		version: "v1.14.2",
		sum:     "h1:o3GFNaeNFAOEEMpDPfhCK+2CjmV6gtQ8yLEcUwCg7bA=",
		folder:  "core/config/crd/bases",
		files: []string{
			"cluster.x-k8s.io_clusters.yaml",
			"cluster.x-k8s.io_machinedeployments.yaml",
			"cluster.x-k8s.io_machinepools.yaml",
			"cluster.x-k8s.io_machines.yaml",
			"cluster.x-k8s.io_machinesets.yaml",
		},
	},
	{
		module:  "sigs.k8s.io/gateway-api",
		version: "v1.6.3",
		sum:     "h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc=",
		folder:  "config/crd/standard",
		files: []string{
			"gateway.networking.k8s.io_gatewayclasses.yaml",
			"gateway.networking.k8s.io_gateways.yaml",
			"gateway.networking.k8s.io_grpcroutes.yaml",
			"gateway.networking.k8s.io_httproutes.yaml",
			"gateway.networking.k8s.io_listenersets.yaml",
			"gateway.networking.k8s.io_tcproutes.yaml",
			"gateway.networking.k8s.io_tlsroutes.yaml",
			"gateway.networking.k8s.io_udproutes.yaml",
		},
	},
	{
		// The last release that has XListenerSets, which implementations still read.
		module:  "sigs.k8s.io/gateway-api",
		version: "v1.4.1",
		sum:     "h1:NPxFutNkKNa8UfLd2CMlEuhIPMQgDQ6DXNKG9sHbJU8=",
		folder:  "config/crd/experimental",
		files:   []string{"gateway.networking.x-k8s.io_xlistenersets.yaml"},
	},
	{
		module:  "github.com/kubernetes-csi/external-snapshotter/client/v8",
		version: "v8.7.0",
		sum:     "h1:HVaSUeRRHPu49aSiL8eXOjS9Re9G6pM0NzdTGI7mM14=",
		folder:  "config/crd",
		files: []string{
			"snapshot.storage.k8s.io_volumesnapshotclasses.yaml",
			"snapshot.storage.k8s.io_volumesnapshotcontents.yaml",
			"snapshot.storage.k8s.io_volumesnapshots.yaml",
		},
	},
}
