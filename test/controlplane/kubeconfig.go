package controlplane

import (
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// componentUsers are whom components are to the API server; its built-in roles are bound to the first two.
// kwok has no built-in role, and is exempt from priority and fairness in its releases as these masters are.
var componentUsers = map[string]struct {
	user   string
	groups []string
}{
	ControllerManager: {user: "system:kube-controller-manager"},
	Scheduler:         {user: "system:kube-scheduler"},
	Kwok:              {user: "kwok", groups: []string{"system:masters"}},
}

func (cp *ControlPlane) writeKubeconfigs() error {
	if err := cp.writeKubeconfig(cp.Kubeconfig(), "kubernetes-admin", credentials(cp.pki.admin)); err != nil {
		return err
	}
	for component, as := range componentUsers {
		pair, err := cp.pki.issue(as.user, as.groups)
		if err != nil {
			return err
		}
		if err := cp.writeKubeconfig(cp.componentKubeconfig(component), as.user, credentials(pair)); err != nil {
			return err
		}
	}
	return nil
}

func (cp *ControlPlane) componentKubeconfig(component string) string {
	return cp.path("pki", component+".kubeconfig")
}

func credentials(pair keyPair) *clientcmdapi.AuthInfo {
	return &clientcmdapi.AuthInfo{ClientCertificateData: pair.cert, ClientKeyData: pair.key}
}

// writeKubeconfig writes a file that stands alone: all credentials are in it.
func (cp *ControlPlane) writeKubeconfig(path, user string, as *clientcmdapi.AuthInfo) error {
	const cluster = "usage-operator"
	config := clientcmdapi.NewConfig()
	config.Clusters[cluster] = &clientcmdapi.Cluster{Server: cp.url(APIServer), CertificateAuthorityData: cp.pki.caPEM}
	config.AuthInfos[user] = as
	config.Contexts[cluster] = &clientcmdapi.Context{Cluster: cluster, AuthInfo: user}
	config.CurrentContext = cluster
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("write the kubeconfig of %s: %w", user, err)
	}
	return nil
}

func (cp *ControlPlane) restConfig(pair keyPair) *rest.Config {
	return &rest.Config{
		Host: cp.url(APIServer),
		TLSClientConfig: rest.TLSClientConfig{
			CAData:   cp.pki.caPEM,
			CertData: pair.cert,
			KeyData:  pair.key,
		},
		// Tests write in bursts, and the server's own priority and fairness is what they are to meet.
		QPS: -1,
	}
}

func (cp *ControlPlane) url(component string) string {
	return "https://" + address(cp.state.Ports[component])
}
