package asking

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/hub/replica"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usageapi"
)

// choose finds the clusters that are asked, and of which namespaces: those that are asked for,
// as far as the reader may see them. A name that the filters have, and that is nowhere, is
// refused.
func (q *question) choose() error {
	list, all, err := q.members()
	if err != nil {
		return err
	}
	var clusters, customers, namespaces []string
	if f := q.spec.Filters; f != nil {
		clusters, customers, namespaces = texts(f.Clusters), texts(f.Customers), texts(f.Namespaces)
	}
	if len(clusters) > 0 {
		if list, err = q.named(list, all, clusters); err != nil {
			return err
		}
	}
	q.all = all && len(clusters) == 0
	whole := !slices.ContainsFunc(list, func(m member) bool { is, _ := q.reader.sees(&m); return !is })
	if err := q.checkCustomers(list, whole, customers); err != nil {
		return err
	}
	found, known := map[string]bool{}, map[string]bool{}
	for i := range list {
		of, err := q.choosing(&list[i], customers, namespaces, found, known)
		if err != nil {
			return err
		}
		if of != nil {
			q.clusters = append(q.clusters, of)
		}
	}
	for _, name := range namespaces {
		if !found[name] {
			return q.missing("namespaces", "namespace", name, sorted(known), whole, http.StatusNotFound)
		}
	}
	switch {
	case len(q.clusters) > 0:
		return nil
	case all && len(list) == 0:
		return usageapi.Problem(http.StatusNotFound, "not_found", "the hub has no cluster yet: usage-hub enrol makes it know one", 0)
	}
	return usageapi.Problem(http.StatusForbidden, "forbidden",
		fmt.Sprintf("reader %q may see nothing of what is asked for: ask for it in the hub's fleet file", q.reader.Name), 0)
}

func texts(values []v1alpha1.FilterValue) []string {
	out := make([]string, len(values))
	for i, value := range values {
		out[i] = string(value)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func sorted(names map[string]bool) []string {
	out := make([]string, 0, len(names))
	for name := range names {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// named are the clusters of these names.
func (q *question) named(list []member, all bool, names []string) ([]member, error) {
	for _, name := range names {
		if _, err := q.find(list, all, name, http.StatusNotFound); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(list, func(m member) bool { return !m.is(names) }), nil
}

// checkCustomers refuses a customer that there is not in the clusters that are asked, or of
// which the reader sees nothing there.
func (q *question) checkCustomers(list []member, all bool, names []string) error {
	if len(names) == 0 {
		return nil
	}
	known := map[string]bool{}
	for i := range list {
		whole, some := q.reader.sees(&list[i])
		for namespace, customer := range q.fleet.customers(&list[i]) {
			if whole || slices.Contains(some, namespace) {
				known[customer] = true
			}
		}
	}
	for _, name := range names {
		if name != "" && !known[name] {
			return q.missing("customers", "customer", name, sorted(known), all, http.StatusNotFound)
		}
	}
	return nil
}

// choosing is what is asked of one cluster; nil: nothing. found are the namespaces that are
// asked for and there, and known, those that the reader may see.
func (q *question) choosing(m *member, customers, namespaces []string, found, known map[string]bool) (*asked, error) {
	of := &asked{member: *m, customers: q.fleet.customers(m), filters: q.resolved.Filters, doubts: map[doubtKey]doubt{}}
	if !of.servesSome(customers) {
		return nil, nil
	}
	ledger, err := q.ledger(m)
	if err != nil {
		return nil, err
	}
	of.snapshot = ledger.Snapshot()
	refs, isAll := q.visible(m, ledger, of.snapshot)
	for _, ref := range refs {
		known[ref.Name] = true
	}
	if len(namespaces) == 0 && len(customers) == 0 {
		if !isAll {
			of.filters.Namespaces = refs
		}
		return of.orNothing(), nil
	}
	of.filters.Namespaces = of.narrowed(refs, customers, namespaces)
	for _, ref := range of.filters.Namespaces {
		found[ref.Name] = true
	}
	if isAll && len(namespaces) == 0 {
		return of, nil // a customer's namespaces in which nothing was ever used
	}
	return of.orNothing(), nil
}

// narrowed are those of some namespaces that are of some customers, and have some names; none lets all through.
func (of *asked) narrowed(refs []timeline.NamespaceRef, customers, names []string) []timeline.NamespaceRef {
	out := []timeline.NamespaceRef{}
	for _, ref := range refs {
		if (len(customers) == 0 || slices.Contains(customers, of.customers[ref.Name])) && (len(names) == 0 || slices.Contains(names, ref.Name)) {
			out = append(out, ref)
		}
	}
	return out
}

// servesSome tells whether one of some customers may have something in the cluster.
func (of *asked) servesSome(customers []string) bool {
	return len(customers) == 0 || slices.Contains(customers, "") || slices.ContainsFunc(customers, of.serves)
}

// orNothing is nil where no namespace is asked for.
func (of *asked) orNothing() *asked {
	if of.filters.Namespaces != nil && len(of.filters.Namespaces) == 0 {
		return nil
	}
	return of
}

// visible are the namespaces of a cluster that the reader may see: all that there ever were,
// those that lack a name included, or of some names those that have them now.
func (q *question) visible(m *member, ledger *replica.Ledger, s *timeline.Snapshot) (refs []timeline.NamespaceRef, all bool) {
	whole, some := q.reader.sees(m)
	if whole {
		return s.Namespaces(), true
	}
	refs = []timeline.NamespaceRef{}
	for _, ref := range ledger.Newest() {
		if slices.Contains(some, ref.Name) {
			refs = append(refs, ref)
		}
	}
	return refs, false
}
