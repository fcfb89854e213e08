package source

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
)

// MetadataClient reads the metadata alone of one kind: a tenth of the bytes,
// where owners and names are all that is asked for.
func MetadataClient(client metadata.Interface, resource schema.GroupVersionResource, kind schema.GroupVersionKind) Client {
	return metadataClient{resource: client.Resource(resource), kind: kind}
}

type metadataClient struct {
	resource metadata.Getter
	kind     schema.GroupVersionKind
}

func (c metadataClient) List(ctx context.Context, opts metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	page, err := c.resource.List(ctx, opts)
	if err != nil {
		return nil, err
	}
	out := &unstructured.UnstructuredList{Items: make([]unstructured.Unstructured, len(page.Items))}
	out.SetResourceVersion(page.GetResourceVersion())
	out.SetContinue(page.GetContinue())
	out.SetRemainingItemCount(page.GetRemainingItemCount())
	for i := range page.Items {
		object, err := c.whole(&page.Items[i])
		if err != nil {
			return nil, err
		}
		out.Items[i] = *object
	}
	return out, nil
}

func (c metadataClient) Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	w, err := c.resource.Watch(ctx, opts)
	if err != nil {
		return nil, err
	}
	return watch.Filter(w, func(event watch.Event) (watch.Event, bool) {
		if partial, ok := event.Object.(*metav1.PartialObjectMetadata); ok {
			object, err := c.whole(partial)
			if err != nil {
				return event, false
			}
			event.Object = object
		}
		return event, true
	}), nil
}

// whole gives the metadata the form of the kind's objects.
func (c metadataClient) whole(partial *metav1.PartialObjectMetadata) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(partial)
	if err != nil {
		return nil, err
	}
	object := &unstructured.Unstructured{Object: content}
	object.SetGroupVersionKind(c.kind)
	return object, nil
}
