package usageapi

import (
	"context"
	"net/http"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/timeline"
)

// everywhere is the namespace in which one who may list, may list in all.
const everywhere = ""

// usageRecords are what somebody has to be allowed to list, to see the usage of a namespace.
const usageRecords = "usagerecords"

// may tells whether who asks may list the UsageRecords of a namespace.
func (c *call) may(namespace string) (allowed bool, err error) {
	return c.mayList(usageRecords, namespace)
}

// mayList tells whether who asks may list a resource of the operator's in a namespace.
func (c *call) mayList(resource, namespace string) (allowed bool, err error) {
	err = c.rest(func() error {
		allowed, err = c.mayWithin(c.ctx, resource, namespace)
		return err
	})
	return allowed, err
}

// mayWithin is mayList, for as long as a context lasts.
func (c *call) mayWithin(ctx context.Context, resource, namespace string) (bool, error) {
	decision, _, err := c.Authorizer.Authorize(ctx, authorizer.AttributesRecord{
		User: c.caller, Verb: "list", Namespace: namespace, ResourceRequest: true,
		APIGroup: v1alpha1.GroupVersion.Group, APIVersion: v1alpha1.GroupVersion.Version, Resource: resource,
	})
	if decision == authorizer.DecisionAllow {
		return true, nil
	}
	if err != nil && ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		c.Log.Error(err, "cannot ask what somebody may see", "user", c.caller.GetName(), "namespace", namespace)
		return false, unasked()
	}
	return false, nil
}

// within are the namespaces that who asks may see: nil is all that there ever
// were. Of others he sees those that there are now: one that had the name before
// was another tenant's.
func (c *call) within() ([]timeline.NamespaceRef, error) {
	all, err := c.may(everywhere)
	if all || err != nil {
		return nil, err
	}
	now, err := c.Namespaces(c.ctx, labels.Everything())
	if err != nil {
		return nil, err
	}
	return c.visible(usageRecords, now)
}

// noSuchNamespace is that there is none of that name, among all.
func noSuchNamespace(name string, all []timeline.NamespaceRef) error {
	return noSuchName(&timeline.NoSuchName{Key: timeline.Namespace, Name: name, Known: timeline.NamesOf(all)}, http.StatusNotFound)
}

// named is one namespace, if who asks may see it.
func (c *call) named(name string) ([]timeline.NamespaceRef, error) {
	all, err := c.may(everywhere)
	if err != nil {
		return nil, err
	}
	now, err := c.Namespaces(c.ctx, labels.Everything())
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(now, func(ref timeline.NamespaceRef) bool { return ref.Name == name })
	if all {
		if i < 0 && !slices.ContainsFunc(c.snapshot.Namespaces(), func(ref timeline.NamespaceRef) bool { return ref.Name == name }) {
			return nil, noSuchNamespace(name, append(now, c.snapshot.Namespaces()...))
		}
		return []timeline.NamespaceRef{{Name: name}}, nil
	}
	allowed, err := c.may(name)
	if err != nil {
		return nil, err
	}
	if !allowed || i < 0 {
		return nil, unseen(c.caller.GetName(), name)
	}
	return []timeline.NamespaceRef{now[i]}, nil
}
