package controlplane

import (
	"slices"
	"strconv"
)

// serviceRange is kubeadm's default: room for a million services.
const serviceRange = "10.96.0.0/12"

// arguments returns a component's flags, with the caller's own at the end, where they win.
func (cp *ControlPlane) arguments(component string) []string {
	build := map[string]func() []string{
		Etcd:              cp.etcdArguments,
		APIServer:         cp.apiServerArguments,
		ControllerManager: cp.controllerManagerArguments,
		Scheduler:         cp.schedulerArguments,
		Kwok:              cp.kwokArguments,
	}
	return slices.Concat(build[component](), cp.state.ExtraArgs[component])
}

func (cp *ControlPlane) etcdArguments() []string {
	peers := "https://" + address(cp.state.Ports[etcdPeers])
	args := []string{
		"--name=default",
		"--data-dir=" + cp.path("etcd"),
		"--listen-client-urls=" + cp.url(Etcd),
		"--advertise-client-urls=" + cp.url(Etcd),
		"--listen-peer-urls=" + peers,
		"--initial-advertise-peer-urls=" + peers,
		"--initial-cluster=default=" + peers,
		"--cert-file=" + cp.pki.file("server.crt"),
		"--key-file=" + cp.pki.file("server.key"),
		"--trusted-ca-file=" + cp.pki.file("ca.crt"),
		"--client-cert-auth",
		"--peer-cert-file=" + cp.pki.file("server.crt"),
		"--peer-key-file=" + cp.pki.file("server.key"),
		"--peer-trusted-ca-file=" + cp.pki.file("ca.crt"),
		"--peer-client-cert-auth",
		"--log-level=warn",
	}
	if cp.state.EtcdUnsafeNoFsync {
		args = append(args, "--unsafe-no-fsync")
	}
	return args
}

// apiServerArguments leave admission plugins, priority and fairness and all limits at their defaults.
func (cp *ControlPlane) apiServerArguments() []string {
	return append(cp.serving(APIServer),
		"--advertise-address=127.0.0.1",
		// The kubernetes service's endpoints must not be loopback addresses, and nothing here would use them.
		"--endpoint-reconciler-type=none",
		"--etcd-servers="+cp.url(Etcd),
		"--etcd-cafile="+cp.pki.file("ca.crt"),
		"--etcd-certfile="+cp.pki.file("admin.crt"),
		"--etcd-keyfile="+cp.pki.file("admin.key"),
		"--client-ca-file="+cp.pki.file("ca.crt"),
		// Nodes' names are no names of hosts here.
		"--kubelet-preferred-address-types=InternalIP",
		"--authorization-mode=Node,RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+cp.pki.file("service-accounts.key"),
		"--service-account-signing-key-file="+cp.pki.file("service-accounts.key"),
		"--service-cluster-ip-range="+serviceRange,
		"--allow-privileged=true",
	)
}

func (cp *ControlPlane) controllerManagerArguments() []string {
	return slices.Concat(cp.serving(ControllerManager), cp.delegating(ControllerManager), []string{
		"--use-service-account-credentials",
		"--service-account-private-key-file=" + cp.pki.file("service-accounts.key"),
		"--root-ca-file=" + cp.pki.file("ca.crt"),
		"--cluster-signing-cert-file=" + cp.pki.file("ca.crt"),
		"--cluster-signing-key-file=" + cp.pki.file("ca.key"),
		// Claims bind within seconds, not within the 15 s of the default.
		"--pvclaimbinder-sync-period=1s",
		"--resource-quota-sync-period=30s",
		"--concurrent-deployment-syncs=10",
		"--concurrent-job-syncs=10",
	})
}

func (cp *ControlPlane) schedulerArguments() []string {
	return slices.Concat(cp.serving(Scheduler), cp.delegating(Scheduler))
}

func (cp *ControlPlane) kwokArguments() []string {
	return []string{
		"--kubeconfig=" + cp.componentKubeconfig(Kwok),
		"--config=" + cp.binaries.KwokStages,
		"--manage-nodes-with-annotation-selector=" + FakeNodeAnnotation + "=" + fakeNode,
		"--server-address=" + address(cp.state.Ports[Kwok]),
		// Where the kubelets that it plays are reached: the API server goes there for logs and port-forwards, which a caller's
		// own --config says what to answer to.
		"--node-ip=127.0.0.1",
		"--node-port=" + strconv.Itoa(cp.state.Ports[Kwok]),
		"--cidr=10.32.0.0/11",
	}
}

// serving flags put a component on its loopback port, with a certificate that our clients trust.
func (cp *ControlPlane) serving(component string) []string {
	return []string{
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(cp.state.Ports[component]),
		"--tls-cert-file=" + cp.pki.file("server.crt"),
		"--tls-private-key-file=" + cp.pki.file("server.key"),
	}
}

// delegating flags are for a component that works through the API server, and asks it who its own callers are.
func (cp *ControlPlane) delegating(component string) []string {
	kubeconfig := cp.componentKubeconfig(component)
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--authentication-tolerate-lookup-failure",
		// There is one of each, so that a killed one is back at once, without waiting for its own lease to end.
		"--leader-elect=false",
		"--kube-api-qps=200",
		"--kube-api-burst=400",
	}
}
