package usageapi

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// An answer without a figure may mean four things: nothing was used; it is unknown; the
// caller may not see it; or a name in the request does not exist. Each of them has an
// answer of its own, in every shape:
//
//   - nothing was used: no row, and wire.CoverageHeader says that all is known
//   - unknown: a row without a quantity, and wire.CoverageHeader says how much is known
//   - not visible: 403, and wire.VisibleHeader says of an answer about all how much that is
//   - no such name: 400, or 404 where the name is in the path, with the names that there are

// all are the namespaces that the caller may see: nil is all that there ever were. A
// caller who may see none is refused, as kubectl get would be.
func (c *call) all() ([]timeline.NamespaceRef, error) {
	refs, err := c.within()
	switch {
	case err != nil:
		return nil, err
	case refs == nil:
		c.sees("all")
	case len(refs) == 0:
		return nil, unseen(c.caller.GetName(), everywhere)
	default:
		c.sees(fmt.Sprintf("namespaces=%d", len(refs)))
	}
	return refs, nil
}

// one is a namespace by its name, if the caller may see it.
func (c *call) one(name string) ([]timeline.NamespaceRef, error) {
	refs, err := c.named(name)
	if err == nil {
		c.sees("namespaces=1")
	}
	return refs, err
}

func (c *call) sees(what string) { c.writer.Header().Set(wire.VisibleHeader, what) }

// unseen is kubectl's message that a user may not see the usage of a namespace, or of any.
func unseen(user, namespace string) error {
	scope, remedy := "at the cluster scope, nor in any namespace", "ask for a RoleBinding in your namespace"
	if namespace != everywhere {
		scope, remedy = fmt.Sprintf("in the namespace %q", namespace), "ask for a RoleBinding there"
	}
	return forbidden("usagerecords.%s is forbidden: User %q cannot list resource %q in API group %q %s: %s to the ClusterRole view, or to another that may list usagerecords",
		v1alpha1.GroupVersion.Group, user, "usagerecords", v1alpha1.GroupVersion.Group, scope, remedy)
}

// tell sets the headers of an answer: the coverage of its window by the meters of what
// it is about.
func (c *call) tell(f *timeline.Filters, w usage.Window) timeline.Coverage {
	w.End = min(w.End, c.known())
	if w.Start == math.MinInt64 { // of everything
		began := c.snapshot.CoverageOf(f, usage.Window{}).Began
		w.Start = min(began, w.End)
	}
	w.End = max(w.Start, w.End)
	known := c.snapshot.CoverageOf(f, w)
	header := c.writer.Header()
	if known.Seconds() > 0 {
		header.Set(wire.CoverageHeader, report.Percent(&known))
	}
	if known.Began > 0 {
		header.Set(wire.BeganHeader, stamp(known.Began))
	}
	return known
}

// isUnknown tells that no second of a window that has begun was seen.
func isUnknown(known *timeline.Coverage) bool {
	return known.Seconds() > 0 && known.Unknown == known.Seconds()
}

// check refuses unknown names, in the request of a first page.
func (c *call) check(f *timeline.Filters, cursor string) error {
	if cursor != "" {
		return nil
	}
	return noSuchName(c.snapshot.Check(c.ctx, f), http.StatusBadRequest)
}

// checkQuery does the same for all of a query: also for the attributes by which its rows are told
// apart, in a field of that name. One that nothing has would put everything into a group without
// a value. One that only something else has that the caller may see is not misspelt.
func (c *call) checkQuery(q *timeline.Query, field, cursor string) error {
	if err := c.check(&q.Filters, cursor); err != nil || cursor != "" {
		return err
	}
	if err := c.snapshot.CheckKeys(c.ctx, &q.Filters, q.GroupBy); err == nil || c.ctx.Err() != nil {
		return err
	}
	visible, err := c.within()
	if err != nil {
		return err
	}
	err = c.snapshot.CheckKeys(c.ctx, &timeline.Filters{Namespaces: visible}, q.GroupBy)
	unknown, is := errors.AsType[*timeline.NoSuchName](err)
	if !is {
		return err
	}
	return &problem{status: http.StatusBadRequest, code: wire.NoSuchName, message: field + ": in all that you may see, " + unknown.Error()}
}

// checkHolders does the same for the names of resources and containers. It costs a look
// at everything, and is for answers that are empty.
func (c *call) checkHolders(f *timeline.Filters) error {
	return noSuchName(c.snapshot.CheckHolders(c.ctx, f), http.StatusBadRequest)
}

// noSuchName is the problem that an unknown name is.
func noSuchName(err error, status int) error {
	unknown, is := errors.AsType[*timeline.NoSuchName](err)
	if !is {
		return err
	}
	return &problem{status: status, code: wire.NoSuchName, message: field(unknown.Key) + unknown.Error()}
}

// field is what requests call what a key names.
func field(key timeline.Key) string {
	switch key {
	case timeline.ResourceType:
		return "resource_type: "
	case timeline.Resource:
		return "name: "
	}
	if name, is := key.Attribute(); is {
		return "attributes." + name + ": "
	}
	return string(key) + ": "
}

// parameters are those of a route's URL; the four public shapes have unknown, too.
var parameters = map[string][]string{
	"hourly_usage_details": {"unknown"},
	"charts":               {"bucketing_strategy", "from", "to", "unknown"},
	"usage":                {"project_id", "resource_type", "region", "deployment", "from", "to", "limit", "cursor", "unknown"},
	"usage_of_resource":    {"project_id", "resource_type", "region", "deployment", "from", "to", "unknown"},
	"batched_usage":        {"next_page", "unknown"},
	"report":               {"top"},
	"series":               {"top"},
	"capacity":             {"from", "to", "window_size", "time_zone"},
	"reports":              {"project_id", "cursor"},
	"resources":            {"uid", "name", "project_id", "resource_type", "region", "deployment", "from", "to", "interval", "cursor"},
	"status":               {},
	"session":              {},
	"records":              {"project_id", "deployment", "from", "to", "interval", "cursor"},
}

// checkParameters refuses parameters that a route does not have: a misspelt one would be
// ignored otherwise.
func checkParameters(route string, request *http.Request) error {
	query := request.URL.Query()
	known := parameters[route]
	for _, name := range slices.Sorted(maps.Keys(query)) {
		values, is := query[name], slices.Contains(known, name)
		switch {
		case !is && len(known) == 0:
			return badRequest("there is no parameter %q: there are none", name)
		case !is:
			text := fmt.Sprintf("there is no parameter %q;", name)
			if like := timeline.Nearest(name, known); like != "" {
				text = fmt.Sprintf("there is no parameter %q: did you mean %q?", name, like)
			}
			return badRequest("%s there are %s", text, strings.Join(known, ", "))
		case name == "unknown" && (len(values) != 1 || values[0] != "omit" && values[0] != "null"):
			return badRequest("unknown: %q is none of null, omit", strings.Join(values, ","))
		}
	}
	return nil
}

// omitsUnknown tells whether rows without a quantity are left out, for clients that
// cannot read null. Unknown then looks like zero.
func (c *call) omitsUnknown() bool { return c.request.URL.Query().Get("unknown") == "omit" }

// notAllowed answers methods that a path does not support.
func notAllowed(allowed []string, refuse func(http.ResponseWriter, *problem)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		refuse(w, &problem{
			status: http.StatusMethodNotAllowed, code: "method_not_allowed",
			message: fmt.Sprintf("there is no %s %s: there is %s", r.Method, r.URL.Path, strings.Join(allowed, ", ")),
		})
	}
}
