package collector

import (
	"context"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"

	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// get reads an owner's metadata: as it was at the revision that is taken in; where that
// is not known any more, as it is now; and where it was gone by then, as it was when it
// went. past tells that it is gone, and that its kind's feed, owners, is not about to
// tell so. Nil: there is no such object, and it is not known any more whether there was.
// The error is one that may go away.
func (c *Collector) get(kind schema.GroupVersionKind, namespace string, owner usage.Object, owners *feed, e event) (found *unstructured.Unstructured, past bool, err error) {
	mapping, err := c.Mapper.RESTMapping(kind.GroupKind())
	if err != nil {
		if meta.IsNoMatchError(err) {
			return nil, false, nil
		}
		return nil, false, err
	}
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		namespace = ""
	}
	ctx, cancel := context.WithTimeout(c.ctx, ownersWait)
	defer cancel()
	objects := c.Metadata.Resource(mapping.Resource).Namespace(namespace)
	then, err := asOf(ctx, objects, owner, e.shown)
	if err != nil {
		return nil, false, err
	}
	if then != nil && owners.isBefore(e.shown) {
		found, err = wholeOf(then, mapping.GroupVersionKind)
		return found, false, err
	}
	then, there, err := nowOrLast(ctx, objects, owner, then, e)
	if then == nil || err != nil {
		return nil, false, err
	}
	found, err = wholeOf(then, mapping.GroupVersionKind)
	return found, !there, err
}

// lookUp gets an owner above an object, also one that was gone already.
func (c *Collector) lookUp(kind schema.GroupVersionKind, namespace string, owner usage.Object, owners *feed, uid string, e event) (found *unstructured.Unstructured, past bool, err error) {
	found, past, err = c.get(kind, namespace, owner, owners, e)
	if found != nil || err != nil {
		return found, past, err
	}
	return c.getEarlier(kind, namespace, owner, owners, uid, e)
}

// getEarlier reads an owner that was gone by the revision that is taken in, where what it
// owned was written before that: it was there then. What it owned is above the object.
func (c *Collector) getEarlier(kind schema.GroupVersionKind, namespace string, owner usage.Object, owners *feed, uid string, e event) (found *unstructured.Unstructured, past bool, err error) {
	c.mu.Lock()
	below := c.graph.Below(uid)
	c.mu.Unlock()
	gv, err := schema.ParseGroupVersion(below.APIVersion)
	if err != nil || below.UID == "" || below.UID == uid {
		return nil, false, nil
	}
	mapping, err := c.Mapper.RESTMapping(gv.WithKind(below.Kind).GroupKind())
	if err != nil {
		return nil, false, nil // it is of no kind that is there
	}
	ctx, cancel := context.WithTimeout(c.ctx, ownersWait)
	defer cancel()
	within := namespace
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		within = ""
	}
	owned, err := asOf(ctx, c.Metadata.Resource(mapping.Resource).Namespace(within), below, e.shown)
	if owned == nil || err != nil {
		return nil, false, err
	}
	if written := source.Revision(owned.GetResourceVersion()); written < e.revision {
		e.revision = written
		return c.get(kind, namespace, owner, owners, e)
	}
	return nil, false, nil
}

// nowOrLast is the owner as it was then, or, where that is not known, as it is now, or as
// it was last; and whether it is there now. Nil: it is not known.
func nowOrLast(ctx context.Context, objects metadata.ResourceInterface, owner usage.Object, then *metav1.PartialObjectMetadata, e event) (*metav1.PartialObjectMetadata, bool, error) {
	now, err := objects.Get(ctx, owner.Name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return then, false, notForGood(err)
	}
	there := err == nil && string(now.GetUID()) == owner.UID
	switch {
	case then != nil:
		return then, there, nil
	case there:
		return now, true, nil
	case e.revision < e.shown:
		then, err = lastOf(ctx, objects, owner, e.revision, e.shown)
		return then, false, err
	}
	return nil, false, nil
}

// asOf is the owner as it was at the revision; nil: it was not there, or it is not known.
func asOf(ctx context.Context, objects metadata.ResourceInterface, owner usage.Object, revision uint64) (*metav1.PartialObjectMetadata, error) {
	if revision == 0 {
		return nil, nil
	}
	found, err := exactly(ctx, objects, owner, revision)
	return found, notForGood(err)
}

// lastOf is the owner as it was last, where it was there at the first revision or a
// little later, and was gone by the other one: that is bisected, in some twenty requests
// for a key each. Nil: it is not known.
func lastOf(ctx context.Context, objects metadata.ResourceInterface, owner usage.Object, first, gone uint64) (last *metav1.PartialObjectMetadata, err error) {
	for at := first; at < gone; at = first + (gone-first)/2 {
		found, err := exactly(ctx, objects, owner, at)
		switch {
		case apierrors.IsResourceExpired(err) || apierrors.IsGone(err): // it may have been there
		case err != nil:
			return nil, notForGood(err)
		case found != nil:
			last = found
		case at == first:
			return nil, nil
		default:
			gone = at
			continue
		}
		if first = at; gone-first <= 1 {
			break
		}
	}
	return last, nil
}

// exactly is the owner at the revision; nil: it was not there.
func exactly(ctx context.Context, objects metadata.ResourceInterface, owner usage.Object, revision uint64) (*metav1.PartialObjectMetadata, error) {
	page, err := objects.List(ctx, metav1.ListOptions{
		ResourceVersion: strconv.FormatUint(revision, 10), ResourceVersionMatch: metav1.ResourceVersionMatchExact,
		FieldSelector: "metadata.name=" + owner.Name,
	})
	if err != nil {
		return nil, err
	}
	for i := range page.Items {
		if string(page.Items[i].GetUID()) == owner.UID {
			return &page.Items[i], nil
		}
	}
	return nil, nil
}

// restoredAt is how far the last run had come with the kind, while what there is now is
// compared with what the journal has: where it has put what the kind owns is what was so
// then. 0: nothing is compared. The feed may be nil.
func (f *feed) restoredAt() uint64 {
	if f == nil {
		return 0
	}
	f.collector.mu.Lock()
	defer f.collector.mu.Unlock()
	if !f.collector.restored.checking {
		return 0
	}
	return source.Revision(f.resourceVersion)
}

// isBefore tells whether the feed has still to deliver what happened after the revision.
func (f *feed) isBefore(revision uint64) bool {
	if f == nil {
		return false
	}
	f.collector.mu.Lock()
	defer f.collector.mu.Unlock()
	return !f.ended && f.resourceVersion != "" && (!f.known || source.Revision(f.resourceVersion) < revision)
}

// notForGood is the error, unless another try would be answered alike.
func notForGood(err error) error {
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) ||
		apierrors.IsBadRequest(err) || apierrors.IsInvalid(err) || apierrors.IsMethodNotSupported(err) {
		return nil
	}
	return err
}

func wholeOf(partial *metav1.PartialObjectMetadata, kind schema.GroupVersionKind) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(partial)
	if err != nil {
		return nil, err
	}
	found := &unstructured.Unstructured{Object: content}
	found.SetGroupVersionKind(kind)
	return found, nil
}
