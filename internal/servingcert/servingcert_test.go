package servingcert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	clientgotesting "k8s.io/client-go/testing"
	"k8s.io/client-go/util/cert"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

const operatorNamespace = "usage-system"

// started is the time of tests: certificates that client-go makes are valid from the wall clock's.
var started = time.Now() //nolint:forbidigo // what client-go makes has the real time

// replicaOf is a replica of a cluster's, and all that it has logged.
func replicaOf(t *testing.T, cluster *fake.Clientset, folder string) (*Certificate, *strings.Builder) {
	t.Helper()
	var logged strings.Builder
	c, err := New(Options{
		Secrets: cluster.CoreV1().Secrets(operatorNamespace), ConfigMaps: cluster.CoreV1().ConfigMaps(operatorNamespace),
		Names: wire.Names(operatorNamespace), Folder: folder, Clock: clocktesting.NewFakeClock(started),
		Log: funcr.New(func(_, args string) { logged.WriteString(args + "\n") }, funcr.Options{}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, &logged
}

// bundleOf is what the cluster's clients verify by.
func bundleOf(t *testing.T, cluster *fake.Clientset) string {
	t.Helper()
	published, err := cluster.CoreV1().ConfigMaps(operatorNamespace).Get(t.Context(), wire.CAConfigMap, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return published.Data[wire.CAKey]
}

// handshakeWith is the error with which a client that has the bundle ends a handshake with the replica.
func handshakeWith(t *testing.T, c *Certificate, bundle, name string) error {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(bundle))
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	go func() {
		_ = tls.Server(there, &tls.Config{GetCertificate: c.Get}).HandshakeContext(context.Background())
	}()
	return tls.Client(here, &tls.Config{RootCAs: roots, ServerName: name, Time: c.Clock.Now}).HandshakeContext(t.Context())
}

func TestClientsVerifyByWhatIsPublished(t *testing.T) {
	cluster := fake.NewClientset()
	first, logged := replicaOf(t, cluster, "")
	second, _ := replicaOf(t, cluster, "")
	for _, c := range []*Certificate{first, second} {
		if err := c.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	bundle := bundleOf(t, cluster)
	if strings.Count(bundle, "BEGIN") != 1 || !strings.Contains(bundle, "BEGIN CERTIFICATE") {
		t.Errorf("published is\n%s", bundle)
	}
	for _, name := range append(wire.Names(operatorNamespace), "usage-api.usage-system.svc") {
		for _, c := range []*Certificate{first, second} {
			if err := handshakeWith(t, c, bundle, name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if err := handshakeWith(t, first, bundle, "usage-api.other.svc"); err == nil {
		t.Error("it is taken for another namespace's")
	}

	// After a restart it is the same authority; what somebody has taken out is put back.
	if err := cluster.CoreV1().ConfigMaps(operatorNamespace).Delete(t.Context(), wire.CAConfigMap, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	restarted, _ := replicaOf(t, cluster, "")
	if err := restarted.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := bundleOf(t, cluster); again != bundle {
		t.Errorf("published is now\n%s", again)
	}
	if logged.Len() > 0 {
		t.Errorf("it says: %s", logged)
	}
}

func TestItIsKnownWhenTheCertificateEnds(t *testing.T) {
	c, _ := replicaOf(t, fake.NewClientset(), "")
	if ends := c.Ends(); !ends.IsZero() {
		t.Errorf("what is not there yet ends at %s", ends)
	}
	if err := c.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ends := c.Ends(); !ends.After(started) || !ends.Equal(c.own.Leaf.NotAfter) {
		t.Errorf("it ends at %s", ends)
	}
}

// slowly has something else done before it creates.
type slowly struct {
	corev1client.SecretInterface
	before func()
}

func (s slowly) Create(ctx context.Context, secret *corev1.Secret, o metav1.CreateOptions) (*corev1.Secret, error) {
	s.before()
	return s.SecretInterface.Create(ctx, secret, o)
}

// Both replicas find that there is no authority; the second is slower.
func TestReplicasAgreeOnAnAuthority(t *testing.T) {
	cluster := fake.NewClientset()
	fast, _ := replicaOf(t, cluster, "")
	slow, _ := replicaOf(t, cluster, "")
	slow.Secrets = slowly{slow.Secrets, sync.OnceFunc(func() {
		if err := fast.refresh(t.Context()); err != nil {
			t.Error(err)
		}
	})}
	if err := slow.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Certificate{fast, slow} {
		if err := handshakeWith(t, c, bundleOf(t, cluster), "localhost"); err != nil {
			t.Error(err)
		}
	}
}

// What cannot be published is not served before what is served has ended, and the first is.
func TestWhatIsServedIsPublishedFirst(t *testing.T) {
	cluster := fake.NewClientset()
	folder := t.TempDir()
	issue := func(name string) {
		t.Helper()
		crt, key, err := cert.GenerateSelfSignedCertKey(name, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string][]byte{"tls.crt": crt, "tls.key": key} {
			if err := os.WriteFile(filepath.Join(folder, file), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	issue("first")
	c, _ := replicaOf(t, cluster, folder)
	refused := true
	cluster.PrependReactor("*", "configmaps", func(_ clientgotesting.Action) (bool, runtime.Object, error) {
		return refused, nil, apierrors.NewForbidden(corev1.Resource("configmaps"), wire.CAConfigMap, nil)
	})
	serves := func(name string) {
		t.Helper()
		if err := c.serving.Load().Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if err := c.refresh(t.Context()); !apierrors.IsForbidden(err) {
		t.Errorf("it is said: %v", err)
	}
	serves("first")
	issue("second")
	if err := c.refresh(t.Context()); !apierrors.IsForbidden(err) {
		t.Errorf("it is said: %v", err)
	}
	serves("first")
	refused = false
	if err := c.refresh(t.Context()); err != nil {
		t.Error(err)
	}
	serves("second")
	if err := handshakeWith(t, c, bundleOf(t, cluster), "second"); err != nil {
		t.Error(err)
	}
	issue("third")
	if err := c.refresh(t.Context()); err != nil {
		t.Error(err)
	}
	if bundle := bundleOf(t, cluster); strings.Count(bundle, "BEGIN") != 2 {
		t.Errorf("old and new are not both published:\n%s", bundle)
	}
	issue("fourth")
	refused = true
	c.Clock.(*clocktesting.FakeClock).SetTime(started.AddDate(2, 0, 0)) // the third has ended
	if err := c.refresh(t.Context()); !apierrors.IsForbidden(err) {
		t.Errorf("it is said: %v", err)
	}
	serves("fourth")
}

// Installed empty, with no right to create: both are filled in. If one is missing, what is said has the command that makes it.
func TestWhatIsInstalledEmptyIsFilledIn(t *testing.T) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: secretName}}
	bundle := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: wire.CAConfigMap}}
	for _, at := range []struct {
		have []runtime.Object
		says string
	}{
		{[]runtime.Object{secret, bundle}, ""},
		{[]runtime.Object{bundle}, "kubectl create secret generic usage-api-ca"},
		{[]runtime.Object{secret}, "kubectl create configmap usage-api-ca"},
	} {
		cluster := fake.NewClientset(at.have...)
		cluster.PrependReactor("create", "*", func(a clientgotesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(a.GetResource().GroupResource(), "", nil)
		})
		c, _ := replicaOf(t, cluster, "")
		err := c.refresh(t.Context())
		if at.says == "" && err != nil || at.says != "" && (err == nil || !strings.Contains(err.Error(), at.says)) {
			t.Errorf("with %d objects: %v: want %q", len(at.have), err, at.says)
		}
		if err == nil {
			if err := handshakeWith(t, c, bundleOf(t, cluster), "localhost"); err != nil {
				t.Error(err)
			}
		}
	}
}

// Without the right to the Secret there is a certificate that is verified by nobody, until there is the right.
func TestWithoutRightsNobodyVerifies(t *testing.T) {
	cluster := fake.NewClientset()
	c, logged := replicaOf(t, cluster, "")
	refused := true
	cluster.PrependReactor("*", "secrets", func(clientgotesting.Action) (bool, runtime.Object, error) {
		return refused, nil, apierrors.NewForbidden(corev1.Resource("secrets"), secretName, nil)
	})
	for range 3 {
		err := c.refresh(t.Context())
		if !apierrors.IsForbidden(err) {
			t.Fatalf("it is said: %v", err)
		}
		c.complain(err)
	}
	if lines := strings.Count(logged.String(), "\n"); lines != 1 || !strings.Contains(logged.String(), "Secret usage-api-ca") {
		t.Errorf("it is said %d times: %s", lines, logged)
	}
	if err := handshakeWith(t, c, "", "localhost"); err == nil {
		t.Error("it is verified with nothing")
	}
	refused = false
	if err := c.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := handshakeWith(t, c, bundleOf(t, cluster), "localhost"); err != nil {
		t.Error(err)
	}
}

// A Secret that somebody has spoilt has a new authority in it, and clients that read again go on.
func TestASpoiltSecretIsMadeAnew(t *testing.T) {
	cluster := fake.NewClientset(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secretName, Namespace: operatorNamespace}, Data: map[string][]byte{secretKey: []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")}})
	c, logged := replicaOf(t, cluster, "")
	if err := c.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(logged.String(), "cannot be read") {
		t.Errorf("it says: %s", logged)
	}
	if err := handshakeWith(t, c, bundleOf(t, cluster), "localhost"); err != nil {
		t.Error(err)
	}
}

func TestAFolderOfNoUseIsSaidAtOnce(t *testing.T) {
	if _, err := New(Options{Folder: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "--usage-api-cert-dir") {
		t.Errorf("it is said: %v", err)
	}
}

// A handshake waits until it is known which certificate there is; it ends with whoever waits for it.
func TestAHandshakeWaitsForACertificate(t *testing.T) {
	cluster := fake.NewClientset()
	c, _ := replicaOf(t, cluster, "")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Start(ctx) }()
	here, there := net.Pipe()
	defer here.Close()
	go func() {
		_ = tls.Server(there, &tls.Config{GetCertificate: c.Get}).HandshakeContext(context.Background())
	}()
	if err := tls.Client(here, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(t.Context()); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
