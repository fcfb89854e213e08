package asking

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/hub/replica"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usageapi"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

const (
	// cellsKept is how many cells of what was added up are kept of each cluster, 16 bytes each,
	// and memoryEach how many bytes answers about one may take.
	cellsKept, memoryEach = 500_000, 64 << 20
	// unlimited is a rate: the hub's own counts.
	unlimited = 1_000_000
	// namesShown is how many names a message lists.
	namesShown = 12
)

// asker is who asks, and of which cluster, in a request's context.
type asker struct {
	reader *Reader
	member *member
}

type askerKey struct{}

func askerOf(ctx context.Context) *asker {
	a, _ := ctx.Value(askerKey{}).(*asker)
	return a
}

// ofCluster answers what a cluster's operator does, from the hub's ledger of it.
func (a *Asking) ofCluster(l *replica.Ledger) http.Handler {
	return usageapi.New(usageapi.Options{
		Ledger: l, Authenticator: authenticator.RequestFunc(identify), Authorizer: permitted{},
		Namespaces: func(_ context.Context, selector labels.Selector) ([]timeline.NamespaceRef, error) {
			if !selector.Empty() {
				return nil, unlabeled()
			}
			return slices.Clone(l.Newest()), nil
		},
		// The hub has what meters measure, and not what became of them since.
		Meters:  func(context.Context) ([]v1alpha1.UsageMeter, error) { return nil, nil },
		Reports: func(context.Context, string) (*usageapi.Kept, error) { return &usageapi.Kept{}, nil },
		Clock:   a.Clock, RequestsPerSecond: unlimited, Timeout: a.Timeout, Memory: memoryEach, Cells: cellsKept, Log: a.Log,
		Observe: func(string, int, time.Duration) {},
	}).Handler()
}

// unlabeled is that the hub knows no labels.
func unlabeled() error {
	return usageapi.Problem(http.StatusBadRequest, "bad_request",
		"filters.namespaceSelector: a hub does not know the labels of namespaces: name them in filters.namespaces, or ask for a customer", 0)
}

// identify says who asks, as the hub has found out.
func identify(r *http.Request) (*authenticator.Response, bool, error) {
	a := askerOf(r.Context())
	if a == nil {
		return nil, false, nil
	}
	return &authenticator.Response{User: &user.DefaultInfo{Name: a.reader.Name}}, true, nil
}

// permitted lets readers list usage records in the namespaces that they see.
type permitted struct{}

// Authorize is authorizer.Authorizer's.
func (permitted) Authorize(ctx context.Context, of authorizer.Attributes) (authorizer.Decision, string, error) {
	a := askerOf(ctx)
	if a == nil || of.GetVerb() != "list" || of.GetResource() != "usagerecords" || of.GetAPIGroup() != v1alpha1.GroupVersion.Group {
		return authorizer.DecisionDeny, "", nil
	}
	if all, some := a.reader.sees(a.member); all || slices.Contains(some, of.GetNamespace()) {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionDeny, "", nil
}

// cluster answers as the operator of one cluster does.
func (c *call) cluster() error {
	name := c.request.PathValue("cluster")
	list, all, err := c.members()
	if err != nil {
		return err
	}
	m, err := c.find(list, all, name, http.StatusNotFound)
	if err != nil {
		return err
	}
	ledger, err := c.ledger(m)
	if err != nil {
		return err
	}
	request := c.request.Clone(context.WithValue(c.ctx, askerKey{}, &asker{reader: c.reader, member: m}))
	_, path, _ := strings.Cut(strings.TrimPrefix(c.request.URL.Path, Prefix), "/")
	request.URL.Path, request.URL.RawPath = "/"+path, ""
	request.Header.Del("Cookie")
	ledger.Handler.ServeHTTP(c.writer, request)
	return nil
}

// find is a cluster by its name or UID, of those that the reader may see. To one who does not
// see all it is not said whether there is such a cluster.
func (c *call) find(list []member, all bool, name string, status int) (*member, error) {
	for i := range list {
		if list[i].is([]string{name}) {
			return &list[i], nil
		}
	}
	names := make([]string, len(list))
	for i := range list {
		names[i] = list[i].name
	}
	return nil, c.missing("clusters", "cluster", name, names, all, status)
}

// missing is that there is nothing of that name: of those who do not see all, that they may
// not see such.
func (c *call) missing(field, what, name string, known []string, all bool, status int) error {
	if !all {
		return usageapi.Problem(http.StatusForbidden, "forbidden",
			fmt.Sprintf("%s: reader %q may see no %s %q, if there is one: ask for it in the hub's fleet file", field, c.reader.Name, what, name), 0)
	}
	text := fmt.Sprintf("%s: there is no %s %q", field, what, name)
	if like := timeline.Nearest(name, known); like != "" {
		text += fmt.Sprintf(": did you mean %q?", like)
	}
	switch shown := known[:min(len(known), namesShown)]; {
	case len(known) == 0:
		text += "; there is none"
	case len(shown) < len(known):
		text += fmt.Sprintf(" there are %s and %d more", strings.Join(shown, ", "), len(known)-len(shown))
	default:
		text += " there are " + strings.Join(shown, ", ")
	}
	return usageapi.Problem(status, wire.NoSuchName, text, 0)
}

// clusters lists the clusters that the reader may see, and how far each has come.
func (c *call) clusters() error {
	list, _, err := c.members()
	if err != nil {
		return err
	}
	answer := wire.FleetClusterList{Clusters: []wire.FleetCluster{}}
	for i := range list {
		answer.Clusters = append(answer.Clusters, c.shown(&list[i], list[i].written, 0))
	}
	return c.write(answer)
}

// behindAfter is after how many seconds without a word of a cluster its latest past is unknown.
// Operators write each minute at least.
const behindAfter = 300

// shown is how far a cluster's ledger has come.
func (c *call) shown(m *member, known, sealed int64) wire.FleetCluster {
	of := wire.FleetCluster{
		Name: m.name, UID: string(m.uid), Visible: "all", Behind: known < c.now-behindAfter,
		Known: stamped(known), Sealed: stamped(sealed),
	}
	if all, some := c.reader.sees(m); !all {
		of.Visible = fmt.Sprintf("namespaces=%d", len(some))
	}
	return of
}

// stamped is a moment as answers have it; "" for none.
func stamped(seconds int64) string {
	if seconds <= 0 {
		return ""
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
}

func (c *call) write(what any) error {
	header := c.writer.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	return json.NewEncoder(c.writer).Encode(what)
}
