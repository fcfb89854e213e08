package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/usage-operator/usage-operator/internal/timeline"
)

// checkNames says which name in the spec does not exist, if there is one: without it, what is
// misspelt would look as if nothing had been used.
func (s *subject) checkNames(snapshot *timeline.Snapshot, q *timeline.Query) error {
	if err := s.checkNamespaces(snapshot); err != nil {
		return err
	}
	ctx := context.Background() // a name that was not looked for to the end is neither there nor missing
	if err := snapshot.Check(ctx, &q.Filters); err != nil {
		return fmt.Errorf("spec.filters: %w", err)
	}
	return s.checkKeys(ctx, snapshot, q)
}

// checkKeys does that for the attributes that it is grouped by: one that only something else has
// which the report may be about is not misspelt.
func (s *subject) checkKeys(ctx context.Context, snapshot *timeline.Snapshot, q *timeline.Query) error {
	if snapshot.CheckKeys(ctx, &q.Filters, q.GroupBy) == nil {
		return nil
	}
	all, where := timeline.Filters{}, "the whole cluster"
	if s.GetNamespace() != "" {
		all.Namespaces, where = q.Namespaces, "this namespace"
	}
	if err := snapshot.CheckKeys(ctx, &all, q.GroupBy); err != nil {
		return fmt.Errorf("spec.groupBy: in %s, %w", where, err)
	}
	return nil
}

// checkNamespaces does that for the namespaces that a report of the cluster is about. One that
// is gone exists, if anything was recorded in it.
func (s *subject) checkNamespaces(snapshot *timeline.Snapshot) error {
	if s.cluster == nil {
		return nil
	}
	missing := func(among []timeline.NamespaceRef) string {
		for _, name := range s.cluster.Namespaces {
			if !slices.ContainsFunc(among, func(ref timeline.NamespaceRef) bool { return ref.Name == string(name) }) {
				return string(name)
			}
		}
		return ""
	}
	if missing(s.there) != "" {
		all := append(slices.Clone(s.there), snapshot.Namespaces()...)
		if name := missing(all); name != "" {
			return fmt.Errorf("spec.filters.namespaces: %w", &timeline.NoSuchName{Key: timeline.Namespace, Name: name, Known: timeline.NamesOf(all)})
		}
	}
	switch {
	case s.selectsNone && len(s.cluster.Namespaces) > 0:
		return errors.New("spec.filters: no namespace of spec.filters.namespaces has the labels of namespaceSelector now")
	case s.selectsNone:
		return errors.New("spec.filters.namespaceSelector: no namespace has these labels now")
	}
	return nil
}
