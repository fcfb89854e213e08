package controllers

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/union"
	requestx509 "k8s.io/apiserver/pkg/authentication/request/x509"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/util/cert"
)

// callers are known by their tokens; one who shows none is known by the
// certificate of his connection.
func callers(tokens authenticator.Request, signed requestx509.VerifyOptionFunc) authenticator.Request {
	certificates := requestx509.NewDynamic(signed, requestx509.CommonNameUserConversion)
	return union.NewFailOnError(tokens, group.NewAuthenticatedGroupAdder(authenticator.RequestFunc(
		func(request *http.Request) (*authenticator.Response, bool, error) {
			if request.Header.Get("Authorization") != "" || proxied(request.Header) {
				return nil, false, nil
			}
			return certificates.AuthenticateRequest(request)
		})))
}

// proxied tells whether a request came through something that speaks for others,
// such as the API server's proxy. The certificate of its connection is that
// proxy's own, and says nothing of who asks: to take it would give everybody who
// may use the proxy what the proxy may see. A caller who sets such a header
// himself is not known, and no worse comes of it.
func proxied(header http.Header) bool {
	for name := range header {
		if strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "X-Remote-") || name == "Forwarded" || name == "Via" {
			return true
		}
	}
	return false
}

const (
	// clientCARead is how often the authority is read.
	clientCARead = 30 * time.Second
	// clientCATimeout is how long reading it may take.
	clientCATimeout = 10 * time.Second

	clientCAConfigMap, clientCAKey = "extension-apiserver-authentication", "client-ca-file"
)

// clientCA is the authority that signs the cluster's client certificates, as the
// API server publishes it. It is read now and then, not watched: a watch that may
// not be had is complained of for ever.
type clientCA struct {
	configMaps corev1.ConfigMapInterface // those of kube-system
	log        logr.Logger
	signed     atomic.Pointer[x509.VerifyOptions] // nil: no certificate is good
	told       bool                               // that it cannot be read
}

// errNoClientCA is that the API server takes no client certificates itself.
var errNoClientCA = errors.New("the API server publishes no authority of client certificates")

// NeedLeaderElection says that it is for every replica, as the usage API is.
func (*clientCA) NeedLeaderElection() bool { return false }

// Start keeps it current.
func (c *clientCA) Start(ctx context.Context) error {
	return ignoreDone(ctx, wait.PollUntilContextCancel(ctx, clientCARead, true, func(ctx context.Context) (bool, error) {
		c.refresh(ctx)
		return false, nil
	}))
}

// verifyOptions are what a good certificate is checked with.
func (c *clientCA) verifyOptions() (x509.VerifyOptions, bool) {
	if options := c.signed.Load(); options != nil {
		return *options, true
	}
	return x509.VerifyOptions{}, false
}

// refresh reads it again. While the API server is away, what it said counts.
func (c *clientCA) refresh(ctx context.Context) {
	options, err := c.read(ctx)
	switch {
	case err == nil:
		if c.signed.Swap(options) == nil {
			c.log.Info("callers are known by tokens, and by the cluster's client certificates")
		}
		c.told = false
		return
	case ctx.Err() != nil:
		return
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err), errors.Is(err, errNoClientCA):
		c.signed.Store(nil)
	}
	if c.signed.Load() == nil && !c.told {
		c.told = true
		c.log.Info("callers are not known by client certificates, by tokens alone: to have both, bind the operator's service account "+
			"to the Role extension-apiserver-authentication-reader in kube-system, as config/rbac/client_ca_reader_role_binding.yaml does; "+
			"it is tried again", "error", err.Error())
	}
}

func (c *clientCA) read(ctx context.Context) (*x509.VerifyOptions, error) {
	ctx, cancel := context.WithTimeout(ctx, clientCATimeout)
	defer cancel()
	published, err := c.configMaps.Get(ctx, clientCAConfigMap, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	text := published.Data[clientCAKey]
	if text == "" {
		return nil, fmt.Errorf("%w: it has no --client-ca-file", errNoClientCA)
	}
	options := requestx509.DefaultVerifyOptions()
	if options.Roots, err = cert.NewPoolFromBytes([]byte(text)); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoClientCA, err)
	}
	return &options, nil
}
