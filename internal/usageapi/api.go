// Package usageapi answers four public usage APIs from the timeline: hourly
// details by container, charts by deployment, usage records by resource, and
// batched usage by customer and metric; and, for kubectl usage, reports,
// resources and records as the operator itself has them. Sums over time are the
// timeline's; this package converts units, and ranks and adds up groups.
//
// A namespace stands for the tenant of these APIs: the organization, the project, the customer. Who
// asks sees the namespaces in which he may list UsageRecords.
package usageapi

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/dashboard"
	"github.com/usage-operator/usage-operator/internal/fairqueue"
	"github.com/usage-operator/usage-operator/internal/lru"
	"github.com/usage-operator/usage-operator/internal/timeline"
)

// Ledger is what is answered from.
type Ledger interface {
	// Loaded tells whether there is anything to answer from yet.
	Loaded() bool
	Snapshot() *timeline.Snapshot
}

// Options are what New needs.
type Options struct {
	Ledger        Ledger
	Authenticator authenticator.Request
	Authorizer    authorizer.UnconditionalAuthorizer
	// Namespaces are those that there are now, and that a selector lets through.
	Namespaces func(context.Context, labels.Selector) ([]timeline.NamespaceRef, error)
	// Meters are those that are applied now.
	Meters func(context.Context) ([]v1alpha1.UsageMeter, error)
	// Reports are the reports and schedules of a namespace, or, for "", of all and of the cluster.
	Reports func(ctx context.Context, namespace string) (*Kept, error)
	// OperatorNamespace is where the records are of namespaces that are gone.
	OperatorNamespace string
	Clock             clock.PassiveClock
	// RequestsPerSecond is how many requests one user may make; twice as many at once.
	RequestsPerSecond float64
	// Timeout is how long an answer may take.
	Timeout time.Duration
	// Memory is about how many bytes all answers may take that are being made or read; 0: 64 MiB.
	Memory int64
	// Cells is how many cells what was added up may take that is kept; 0: about 64 MiB.
	Cells int
	Log   logr.Logger
	// Observe is told of each answer: the route's name, its status, and how long it took.
	Observe func(route string, status int, took time.Duration)
}

// API answers.
type API struct {
	Options
	pager     *timeline.Pager
	limits    *lru.Cache[string, *rate.Limiter]
	gate      *gate
	scopes    *scopes
	admission *admission
	pins      *pins
}

const (
	// cellsKept is how many cells what was added up may take: about 64 MiB.
	cellsKept = 4_000_000
	// usersKept is how many users' rates are known.
	usersKept = 10_000
	// maxBody is how large a request's body may be, in bytes.
	maxBody = 1 << 20
)

// New is an API. It answers on the handler that Handler gives.
func New(o Options) *API {
	return &API{
		Options: o, pager: timeline.NewPager(cmp.Or(o.Cells, cellsKept)), limits: lru.New[string, *rate.Limiter](usersKept),
		gate: newGate(o.Clock), scopes: newScopes(), admission: newAdmission(o.Memory), pins: &pins{clock: o.Clock},
	}
}

// route is a request that there is an answer to.
type route struct {
	name    string
	pattern string
	answer  func(*call) error
	refuse  func(http.ResponseWriter, *problem)
	weight  int64 // how many bytes an answer may take
	least   int64 // and how many it can do with; 0: the same
}

func (a *API) routes() []route {
	return []route{
		{"hourly_usage_details", "POST /api/web/namespaces/{namespace}/hourly_usage_details", (*call).hourlyDetails, refuseWithText, streamWeight, 0},
		{"charts", "GET /api/v1/billing/costs/{organization_id}/deployments/{deployment_id}/charts", (*call).charts, refuseWithCodes, streamWeight, 0},
		{"usage", "GET /v1/usage", (*call).listUsage, refuse, pageWeight, leastPageWeight},
		{"usage_of_resource", "GET /v1/usage/{resource_id}", (*call).getUsage, refuse, pageWeight, 0},
		{"batched_usage", "POST /v1/usage", (*call).batchedUsage, refuse, rowsWeight, 0},
		{"report", "POST /v1alpha1/report", (*call).report, refuse, rowsWeight, 0},
		{"series", "POST /v1alpha1/series", (*call).series, refuse, rowsWeight, 0},
		{"capacity", "GET /v1alpha1/capacity", (*call).capacity, refuse, rowsWeight, 0},
		{"reports", "GET /v1alpha1/reports", (*call).reports, refuse, pageWeight, 0},
		{"resources", "GET /v1alpha1/resources", (*call).resources, refuse, pageWeight, leastPageWeight},
		{"records", "GET /v1alpha1/records", (*call).records, refuse, pageWeight, 0},
		{"status", "GET /v1alpha1/status", (*call).status, refuse, pageWeight, 0},
	}
}

// Handler answers requests.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	methods := map[string][]string{} // by path
	for _, r := range a.routes() {
		mux.Handle(r.pattern, a.serve(r))
		method, path, _ := strings.Cut(r.pattern, " ")
		methods[path] = append(methods[path], method)
	}
	for _, r := range a.routes() {
		_, path, _ := strings.Cut(r.pattern, " ")
		if allowed := methods[path]; allowed != nil {
			mux.Handle(path, notAllowed(allowed, r.refuse))
			delete(methods, path)
		}
	}
	a.sessions(mux)
	mux.Handle(dashboard.Prefix, dashboard.Handler())
	mux.Handle("/openapi.json", notAllowed([]string{http.MethodGet}, refuse))
	mux.HandleFunc("GET /openapi.json", serveDescription)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, notFound("there is no %s %s: /openapi.json describes what there is", r.Method, r.URL.Path))
	})
	return mux
}

// call is one request that is being answered.
type call struct {
	*API
	ctx      context.Context
	request  *http.Request
	writer   http.ResponseWriter
	caller   user.Info
	byCookie bool   // who asks is known by the page's cookie
	tenant   string // on whose account the answer is made
	share    *fairqueue.Share
	snapshot *timeline.Snapshot
	segments int   // how many a page of resources may have
	now      int64 // seconds since the epoch

	turn      *fairqueue.Share // a processor; nil: none is needed yet
	turnBegan time.Time        // or was taken up again
	worked    time.Duration    // in earlier turns
	wrote     bool             // it was given up for something to be written
}

// known is up to when there are figures: what happened after the last sealed
// interval may not all be known yet.
func (c *call) known() int64 { return c.snapshot.Time() }
