package controlplane

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/keyutil"
)

// AddUser makes credentials for a user in these groups, and a kubeconfig with them in the state folder.
// The user may do what roles that are bound to them say, and nothing before.
func (cp *ControlPlane) AddUser(name string, groups ...string) (*rest.Config, string, error) {
	pair, err := cp.pki.issue(name, groups)
	if err != nil {
		return nil, "", err
	}
	folder := cp.path("users")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, "", err
	}
	path := cp.path("users", strings.NewReplacer("/", "_", ":", "_").Replace(name)+".kubeconfig")
	if err := cp.writeKubeconfig(path, name, credentials(pair)); err != nil {
		return nil, "", err
	}
	return cp.restConfig(pair), path, nil
}

// serviceAccountTokenSeconds is a day: longer than any test, and no longer than API servers grant by default.
const serviceAccountTokenSeconds = 24 * 60 * 60

// ServiceAccountKubeconfig writes a kubeconfig to path with which a process outside any pod is that service account,
// and so has the roles that are bound to it. Its token, which is not renewed, is valid for a day.
func (cp *ControlPlane) ServiceAccountKubeconfig(ctx context.Context, namespace, name, path string) error {
	clients, err := cp.clientset()
	if err != nil {
		return err
	}
	seconds := int64(serviceAccountTokenSeconds)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	answer, err := clients.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("get a token of the service account %s/%s; does it exist? %w", namespace, name, err)
	}
	user := fmt.Sprintf("system:serviceaccount:%s:%s", namespace, name)
	return cp.writeKubeconfig(path, user, &clientcmdapi.AuthInfo{Token: answer.Status.Token})
}

// Kubectl runs kubectl as the administrator and returns what it prints.
func (cp *ControlPlane) Kubectl(ctx context.Context, args ...string) (string, error) {
	// A cache of its own, since another control plane may have had the same port and other kinds.
	flags := []string{"--kubeconfig=" + cp.Kubeconfig(), "--cache-dir=" + cp.path("kubectl-cache")}
	return run(ctx, cp.binaries.Path("kubectl"), append(flags, args...)...)
}

// Etcdctl runs etcdctl against this control plane's etcd and returns what it prints.
func (cp *ControlPlane) Etcdctl(ctx context.Context, args ...string) (string, error) {
	flags := []string{
		"--endpoints=" + cp.url(Etcd),
		"--cacert=" + cp.pki.file("ca.crt"),
		"--cert=" + cp.pki.file("admin.crt"),
		"--key=" + cp.pki.file("admin.key"),
	}
	return run(ctx, cp.binaries.Path("etcdctl"), append(flags, args...)...)
}

// EtcdEndpoint is where this control plane's etcd answers, and how to be let in: for what etcdctl cannot do.
func (cp *ControlPlane) EtcdEndpoint() (string, *tls.Config, error) {
	own, err := tls.X509KeyPair(cp.pki.admin.cert, cp.pki.admin.key)
	if err != nil {
		return "", nil, err
	}
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(cp.pki.caPEM)
	return cp.url(Etcd), &tls.Config{Certificates: []tls.Certificate{own}, RootCAs: authorities, MinVersion: tls.VersionTLS12}, nil
}

func run(ctx context.Context, path string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, path, args...)
	stderr := &bytes.Buffer{}
	command.Stderr = stderr
	out, err := command.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w\n%s", path, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

// Expired is the token of a service account as it would be if it had been given out long ago: it is rightly signed, and
// has expired.
func (cp *ControlPlane) Expired(token string) (string, error) {
	text, err := os.ReadFile(cp.pki.file("service-accounts.key"))
	if err != nil {
		return "", err
	}
	parsed, err := keyutil.ParsePrivateKeyPEM(text)
	if err != nil {
		return "", err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	parts := strings.Split(token, ".")
	if !ok || len(parts) != 3 {
		return "", fmt.Errorf("the key is a %T, and the token has %d parts: want an elliptic one, and three", parsed, len(parts))
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", err
	}
	claims := map[string]any{}
	if err := json.Unmarshal(raw, &claims); err != nil {
		return "", err
	}
	for _, moment := range []string{"exp", "iat", "nbf"} {
		claims[moment] = claims[moment].(float64) - 7*24*3600
	}
	if raw, err = json.Marshal(claims); err != nil {
		return "", err
	}
	signed := parts[0] + "." + base64.RawURLEncoding.EncodeToString(raw)
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return "", err
	}
	signature := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
