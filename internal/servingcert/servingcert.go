// Package servingcert has the certificate that a replica serves the usage API with, and publishes, in a ConfigMap, the
// authorities by which clients verify it. What is served is published first.
package servingcert

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/authority"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// Options are where a certificate comes from, and for what it is.
type Options struct {
	// Secrets and ConfigMaps are those of the operator's namespace. A Secret has the authorities' private keys, a
	// ConfigMap their certificates.
	Secrets    corev1client.SecretInterface
	ConfigMaps corev1client.ConfigMapInterface
	// Names are those that clients may use for the usage API: in the DNS, and IP addresses.
	Names []string
	// Folder has tls.crt, tls.key and, if clients need it, ca.crt, as cert-manager writes them; they are read again when
	// they change. Empty: the certificate is signed by an authority of the operator's own.
	Folder string
	Clock  clock.Clock
	Log    logr.Logger
}

const (
	// secretName is the Secret's, and secretKey what it has the authorities in.
	secretName, secretKey = "usage-api-ca", "authorities.pem" //nolint:gosec // a name, no secret
	// every is how often all of it is looked at, and again, how soon after it failed.
	every, again = 10 * time.Second, 2 * time.Second
	// timeout bounds one look.
	timeout = 10 * time.Second
)

// Certificate is the one that is served now. It is a manager's runnable, of every replica.
type Certificate struct {
	Options
	serving atomic.Pointer[tls.Certificate]
	looked  chan struct{} // closed once it is known whether there is one
	once    sync.Once
	own     *tls.Certificate // the last that an authority of the operator's own has signed
	said    string           // the last complaint
}

// New has no certificate yet, unless there is a folder. The error is what is wrong with what is in it.
func New(o Options) (*Certificate, error) {
	c := &Certificate{Options: o, looked: make(chan struct{})}
	if o.Folder == "" {
		return c, nil
	}
	_, _, err := c.given()
	return c, err
}

// Get is what tls.Config's GetCertificate is to be. It waits for the first certificate as long as the client does.
func (c *Certificate) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	select {
	case <-c.looked:
		return c.serving.Load(), nil
	case <-hello.Context().Done():
		return nil, hello.Context().Err()
	}
}

// Ends is when the certificate ends that is served now; zero: none is yet.
func (c *Certificate) Ends() time.Time {
	if served := c.serving.Load(); served != nil {
		return served.Leaf.NotAfter
	}
	return time.Time{}
}

// NeedLeaderElection says that it is for every replica.
func (*Certificate) NeedLeaderElection() bool { return false }

// Start keeps it current.
func (c *Certificate) Start(ctx context.Context) error {
	for {
		wait := every
		if err := c.refresh(ctx); err != nil && ctx.Err() == nil {
			c.complain(err)
			wait = again
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.Clock.After(wait):
		}
	}
}

// complain logs an error unless it is the last one again.
func (c *Certificate) complain(err error) {
	if text := err.Error(); text != c.said {
		c.said = text
		c.Log.Error(err, "the usage API's certificate, or what it is verified by, is not up to date; trying again")
	}
}

// refresh looks at all of it once. Where clients cannot be told what to verify a certificate by, one is served all the
// same: the error says so, and a client that verifies refuses it.
func (c *Certificate) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	next, authorities, err := c.next(ctx)
	if err == nil {
		if err = c.publish(ctx, authorities); err == nil {
			c.said = ""
		}
	}
	had := c.serving.Load()
	switch {
	case err == nil, next != nil && (had == nil || !c.Clock.Now().Before(had.Leaf.NotAfter)):
		c.serve(next)
	case had == nil:
		unknown, failed := selfSigned(c.Names)
		if failed != nil {
			return errors.Join(err, failed)
		}
		c.serve(unknown)
	}
	return err
}

func (c *Certificate) serve(next *tls.Certificate) {
	c.serving.Store(next)
	c.once.Do(func() { close(c.looked) })
}

// next is the certificate to serve, and the authorities that it is verified by.
func (c *Certificate) next(ctx context.Context) (*tls.Certificate, []*x509.Certificate, error) {
	if c.Folder != "" {
		return c.given()
	}
	set, err := c.authorities(ctx)
	if err != nil {
		return nil, nil, err
	}
	if c.own, err = set.Serving(c.own, c.Names, c.Clock.Now()); err != nil {
		return nil, nil, err
	}
	return c.own, set.Certificates(), nil
}

// given is what is in the folder. Without a ca.crt, the last certificate of tls.crt is what the others are verified by.
func (c *Certificate) given() (*tls.Certificate, []*x509.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(c.Folder, "tls.crt"), filepath.Join(c.Folder, "tls.key"))
	if err != nil {
		return nil, nil, fmt.Errorf("--usage-api-cert-dir: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(c.Folder, "ca.crt"))
	if errors.Is(err, fs.ErrNotExist) {
		last, err := x509.ParseCertificate(pair.Certificate[len(pair.Certificate)-1])
		return &pair, []*x509.Certificate{last}, err
	}
	if err != nil {
		return nil, nil, fmt.Errorf("--usage-api-cert-dir: %w", err)
	}
	authorities, err := cert.ParseCertsPEM(text)
	if err != nil {
		return nil, nil, fmt.Errorf("--usage-api-cert-dir: ca.crt: %w", err)
	}
	return &pair, authorities, nil
}

// selfSigned is verified by nobody.
func selfSigned(names []string) (*tls.Certificate, error) {
	crt, key, err := cert.GenerateSelfSignedCertKey(names[0], nil, nil)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(crt, key)
	return &pair, err
}

// raced tells whether another replica, or a person, was faster.
func raced(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }

// authorities are those of the Secret, where a new one is put when it is due. Of several replicas one makes it.
func (c *Certificate) authorities(ctx context.Context) (set authority.Set, err error) {
	err = retry.OnError(retry.DefaultRetry, raced, func() error {
		secret, err := c.Secrets.Get(ctx, secretName, metav1.GetOptions{})
		missing := apierrors.IsNotFound(err)
		if err != nil && !missing {
			return err
		}
		if missing {
			secret = &corev1.Secret{ObjectMeta: described(secretName), Type: corev1.SecretTypeOpaque}
		}
		had, err := authority.Parse(secret.Data[secretKey])
		if err != nil {
			c.Log.Error(err, "the Secret "+secretName+" cannot be read: there is a new certificate authority")
			had = nil
		}
		var changed bool
		if set, changed, err = had.Renewed(c.Names, c.Clock.Now()); err != nil || !changed {
			return err
		}
		text, err := set.PEM()
		if err != nil {
			return err
		}
		secret.Data = map[string][]byte{secretKey: text}
		if missing {
			_, err = c.Secrets.Create(ctx, secret, metav1.CreateOptions{})
			err = notInstalled(err, "create secret generic "+secretName)
		} else {
			_, err = c.Secrets.Update(ctx, secret, metav1.UpdateOptions{})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read or renew Secret %s: %w", secretName, err)
	}
	return set, nil
}

// publish has the ConfigMap have authorities beside those that others have put there.
func (c *Certificate) publish(ctx context.Context, authorities []*x509.Certificate) error {
	err := retry.OnError(retry.DefaultRetry, raced, func() error {
		published, err := c.ConfigMaps.Get(ctx, wire.CAConfigMap, metav1.GetOptions{})
		missing := apierrors.IsNotFound(err)
		if err != nil && !missing {
			return err
		}
		if missing {
			published = &corev1.ConfigMap{ObjectMeta: described(wire.CAConfigMap)}
		}
		had := []byte(published.Data[wire.CAKey])
		bundle := authority.Bundle(had, authorities, c.Clock.Now())
		if !missing && bytes.Equal(had, bundle) {
			return nil
		}
		published.Data = map[string]string{wire.CAKey: string(bundle)}
		if missing {
			_, err = c.ConfigMaps.Create(ctx, published, metav1.CreateOptions{})
			err = notInstalled(err, "create configmap "+wire.CAConfigMap)
		} else {
			_, err = c.ConfigMaps.Update(ctx, published, metav1.UpdateOptions{})
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("ConfigMap %s: %w", wire.CAConfigMap, err)
	}
	return nil
}

// notInstalled says what to do if an object that is installed with the operator is not there and may not be created by it.
// Where its rights allow it, as on a developer's machine, it is.
func notInstalled(err error, command string) error {
	if !apierrors.IsForbidden(err) {
		return err
	}
	return fmt.Errorf("it is not there, and is created by the installation: apply that again, or run kubectl %s in the operator's namespace: %w", command, err)
}

func described(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Labels: map[string]string{
		"app.kubernetes.io/name": "usage-operator", "app.kubernetes.io/component": "usage-api", "app.kubernetes.io/managed-by": "usage-operator",
	}}
}
