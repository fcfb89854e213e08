package controlplane_test

import (
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func TestAUserMayDoWhatRolesSayAndNothingElse(t *testing.T) {
	config, _, err := shared.AddUser("tenant", "tenants")
	require(t, err)
	tenant, err := kubernetes.NewForConfig(config)
	require(t, err)
	_, err = tenant.CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsForbidden(err) {
		t.Fatalf("a user without roles lists secrets: %v, want it forbidden", err)
	}
	if !strings.Contains(err.Error(), `User "tenant"`) {
		t.Errorf("%v: it does not name the user", err)
	}
}

func TestAServiceAccountKubeconfigIsThatServiceAccount(t *testing.T) {
	clients := clients(t, shared)
	namespace := newNamespace(t, clients)
	_, err := clients.CoreV1().ServiceAccounts(namespace).Create(t.Context(), &corev1.ServiceAccount{
		ObjectMeta: metav1.ObjectMeta{Name: "operator"},
	}, metav1.CreateOptions{})
	require(t, err)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	require(t, shared.ServiceAccountKubeconfig(t.Context(), namespace, "operator", path))
	config, err := clientcmd.BuildConfigFromFlags("", path)
	require(t, err)
	operator, err := kubernetes.NewForConfig(config)
	require(t, err)
	_, err = operator.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	if err == nil || !strings.Contains(err.Error(), "system:serviceaccount:"+namespace+":operator") {
		t.Errorf("list pods: %v, want it forbidden to the service account", err)
	}
}

func TestKubectlAndEtcdctlReachTheControlPlane(t *testing.T) {
	version, err := shared.Kubectl(t.Context(), "version")
	require(t, err)
	for _, side := range []string{"Client Version: v1.", "Server Version: v1."} {
		if !strings.Contains(version, side) {
			t.Errorf("kubectl version says\n%s\nwithout %q", version, side)
		}
	}
	keys, err := shared.Etcdctl(t.Context(), "get", "/registry/namespaces/", "--prefix", "--keys-only")
	require(t, err)
	if !strings.Contains(keys, "/registry/namespaces/default") {
		t.Errorf("etcd has the namespaces\n%s\nwithout the default one", keys)
	}
}
