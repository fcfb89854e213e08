package controllers

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	authenticationv1 "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationv1 "k8s.io/client-go/kubernetes/typed/authorization/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/connlimit"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/servingcert"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usageapi"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// Serving is how the usage API is served.
type Serving struct {
	// Address is where; "" or "0" is nowhere.
	Address string
	// Certificates is a directory with tls.crt, tls.key and ca.crt, which are read again
	// when they change. Empty: an authority of the operator's own signs certificates.
	Certificates string
	// OnlyBoundTokens is that tokens are refused that are for the API server, and not for the usage API.
	OnlyBoundTokens bool
	// RequestsPerSecond is how many requests one user may make.
	RequestsPerSecond float64
	// Memory is how many bytes all answers that are being made or read may take,
	// approximately; 0: 64 MiB.
	Memory int64
	// Connections is how many connections may be open; 0: 1024.
	Connections int
}

const (
	// answerTimeout is how long an answer may take.
	answerTimeout = 30 * time.Second
	// tokensKnown is how long a token that was good, or was not, is taken to be so.
	tokensKnown = time.Minute
	// allowedFor and deniedFor are how long a review counts.
	allowedFor, deniedFor = time.Minute, 10 * time.Second
	// requestTimeout bounds the handshake and the request's header.
	requestTimeout = 10 * time.Second
	// idleTimeout is how long a connection is kept without a request.
	idleTimeout = 90 * time.Second
	// sendBuffer is the size of a connection's send buffer in the kernel, in bytes.
	sendBuffer = 128 << 10
	// defaultConnections is how many connections there may be.
	defaultConnections = 1024
	// connectionsPerSecond is how many connections one address may open, connectionsAtOnce
	// how many at once: a handshake takes a millisecond of CPU and more.
	connectionsPerSecond, connectionsAtOnce = 50, 200
	// lastAnswers is how long what is being answered may take when the operator ends.
	lastAnswers = 5 * time.Second
)

// reviewRetries are for an API server that is away for a moment.
var reviewRetries = wait.Backoff{Duration: 200 * time.Millisecond, Factor: 1.5, Jitter: 0.2, Steps: 4}

// addUsageAPI has this replica serve the usage API, whether it leads or not.
func addUsageAPI(mgr ctrl.Manager, answers *Answers, o *Options) error {
	if o.Serving.Address == "" || o.Serving.Address == "0" {
		return nil
	}
	log := mgr.GetLogger().WithName("usage-api")
	tokens, authorizer, err := reviewers(mgr)
	if err != nil {
		return err
	}
	tokens = reviewedFor(tokens, o.Serving.OnlyBoundTokens)
	core, err := coreclient.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return err
	}
	signers := &clientCA{configMaps: core.ConfigMaps(metav1.NamespaceSystem), log: log}
	if err := mgr.Add(signers); err != nil {
		return err
	}
	told := newAnswerMetrics()
	if o.Metrics != nil {
		if err := o.Metrics.Register(told); err != nil {
			return err
		}
	}
	api := usageapi.New(usageapi.Options{
		Ledger: answers, Authenticator: callers(tokens, signers.verifyOptions), Authorizer: authorizer,
		Namespaces: func(ctx context.Context, selector labels.Selector) ([]timeline.NamespaceRef, error) {
			return namespacesNow(ctx, mgr.GetClient(), selector)
		},
		Meters: func(ctx context.Context) ([]v1alpha1.UsageMeter, error) { return metersNow(ctx, mgr.GetClient()) },
		Reports: func(ctx context.Context, namespace string) (*usageapi.Kept, error) {
			return reportsNow(ctx, mgr.GetClient(), namespace)
		},
		OperatorNamespace: o.Namespace, Clock: o.Clock,
		RequestsPerSecond: o.Serving.RequestsPerSecond, Timeout: answerTimeout, Memory: o.Serving.Memory,
		Log: log, Observe: told.observe,
	})
	certificate, err := servingcert.New(servingcert.Options{
		Secrets: core.Secrets(o.Namespace), ConfigMaps: core.ConfigMaps(o.Namespace), Names: wire.Names(o.Namespace),
		Folder: o.Serving.Certificates, Clock: o.Clock, Log: log,
	})
	if err != nil {
		return err
	}
	if err := mgr.Add(certificate); err != nil {
		return err
	}
	inner, err := net.Listen("tcp", o.Serving.Address)
	if err != nil {
		return fmt.Errorf("--usage-api-bind-address: %w", err)
	}
	connections := cmp.Or(o.Serving.Connections, defaultConnections)
	listener := connlimit.Listen(inner, connlimit.Limits{
		Total: connections, Each: max(1, connections/2),
		PerSecond: connectionsPerSecond, Burst: connectionsAtOnce, SendBuffer: sendBuffer,
	}, o.Clock)
	told.load.Store(&servingLoad{api, listener, certificate})
	last := lastAnswers
	return mgr.Add(&manager.Server{
		Name: "usage-api", ShutdownTimeout: &last,
		Listener: tls.NewListener(listener, tlsSettings(certificate.Get)),
		Server: &http.Server{
			Handler: api.Handler(), MaxHeaderBytes: 64 << 10, ConnState: listener.ConnState,
			ReadHeaderTimeout: requestTimeout, ReadTimeout: answerTimeout, WriteTimeout: 2 * answerTimeout, IdleTimeout: idleTimeout,
		},
	})
}

// tlsSettings ask for a client's certificate, and take a client without one, and
// any certificate: who a request is from is found out for each of them.
func tlsSettings(certificates func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		GetCertificate: certificates, ClientAuth: tls.RequestClientCert,
		NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12,
	}
}

// reviewers ask the API server who somebody is by his token, and what he may do, and remember
// what it said for a while.
func reviewers(mgr ctrl.Manager) (authenticator.Request, authorizer.Authorizer, error) {
	tokens, err := authenticationv1.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, nil, err
	}
	access, err := authorizationv1.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, nil, err
	}
	who, _, err := authenticatorfactory.DelegatingAuthenticatorConfig{
		Anonymous: &apiserver.AnonymousAuthConfig{Enabled: false}, TokenAccessReviewClient: tokens,
		TokenAccessReviewTimeout: 10 * time.Second, WebhookRetryBackoff: &reviewRetries, CacheTTL: tokensKnown,
	}.New()
	if err != nil {
		return nil, nil, err
	}
	what, err := authorizerfactory.DelegatingAuthorizerConfig{
		SubjectAccessReviewClient: access, AllowCacheTTL: allowedFor, DenyCacheTTL: deniedFor, WebhookRetryBackoff: &reviewRetries,
	}.New()
	return who, what, err
}

func metersNow(ctx context.Context, reader client.Reader) ([]v1alpha1.UsageMeter, error) {
	list := &v1alpha1.UsageMeterList{}
	err := reader.List(ctx, list)
	return list.Items, err
}

// reportsNow are the reports and schedules of a namespace, or, for "", of all and of the cluster, as
// the cache has them: they are not copied, and not to be changed.
func reportsNow(ctx context.Context, reader client.Reader, namespace string) (*usageapi.Kept, error) {
	reports, schedules := &v1alpha1.UsageReportList{}, &v1alpha1.UsageReportScheduleList{}
	clusterReports, clusterSchedules := &v1alpha1.ClusterUsageReportList{}, &v1alpha1.ClusterUsageReportScheduleList{}
	lists := []client.ObjectList{reports, schedules}
	if namespace == "" {
		lists = append(lists, clusterReports, clusterSchedules)
	}
	for _, list := range lists {
		if err := reader.List(ctx, list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
			return nil, err
		}
	}
	return &usageapi.Kept{Reports: reports.Items, Schedules: schedules.Items, ClusterReports: clusterReports.Items, ClusterSchedules: clusterSchedules.Items}, nil
}

// namespacesNow are the namespaces that there are, and that a selector lets through.
func namespacesNow(ctx context.Context, reader client.Reader, selector labels.Selector) ([]timeline.NamespaceRef, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	if err := reader.List(ctx, list, client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, err
	}
	refs := make([]timeline.NamespaceRef, len(list.Items))
	for i := range list.Items {
		refs[i] = timeline.NamespaceRef{Name: list.Items[i].Name, UID: string(list.Items[i].UID)}
	}
	return refs, nil
}

// SetupServing has a replica serve the usage API and nothing else: it follows the
// journal that others write.
func SetupServing(mgr ctrl.Manager, o Options) (*Answers, error) {
	answers, err := newHotAnswers(mgr, &o)
	if err != nil {
		return nil, err
	}
	read, err := newJournal(mgr, &o, journal.Options{Follower: answers, Past: pastOf(&o), OnlyTold: true, Clock: o.Clock})
	if err != nil {
		return nil, err
	}
	if _, err := addMemory(mgr, answers, &o, o.Clock); err != nil {
		return nil, err
	}
	if o.Metrics != nil {
		if err := o.Metrics.Register(newBuildInfo(o.Version)); err != nil {
			return nil, err
		}
	}
	never := make(chan struct{})
	return answers, errors.Join(mgr.Add(&standby{journal: read, elected: never}), addUsageAPI(mgr, answers, &o))
}
