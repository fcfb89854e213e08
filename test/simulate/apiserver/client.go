package apiserver

import (
	"context"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
)

// Dynamic reads whole objects. What is not asked by the operator is not there.
func (s *Server) Dynamic() dynamic.Interface { return wholes{s} }

// Metadata reads the metadata of objects.
func (s *Server) Metadata() metadata.Interface { return partials{s} }

// Mapper knows the kinds that are served.
func (s *Server) Mapper() meta.RESTMapper {
	var versions []schema.GroupVersion
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.order {
		versions = append(versions, k.GroupVersion())
	}
	mapper := meta.NewDefaultRESTMapper(versions)
	for _, k := range s.order {
		if len(k.served) == 0 {
			continue
		}
		scope := meta.RESTScopeRoot
		if k.Namespaced {
			scope = meta.RESTScopeNamespace
		}
		mapper.AddSpecific(k.GroupVersionKind, k.GroupVersionResource(), k.GroupVersionResource(), scope)
	}
	return mapper
}

type wholes struct{ server *Server }

func (d wholes) Resource(r schema.GroupVersionResource) dynamic.NamespaceableResourceInterface {
	return whole{server: d.server, resource: r}
}

type whole struct {
	dynamic.NamespaceableResourceInterface // nil: the rest is not asked for
	server                                 *Server
	resource                               schema.GroupVersionResource
}

func (s *Server) served(r schema.GroupVersionResource) (*kind, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.kinds[r.GroupResource()]; k != nil && slices.Contains(k.served, r.Version) {
		return k, nil
	}
	return nil, apierrors.NewGenericServerResponse(404, "get", r.GroupResource(), "", "the server could not find the requested resource", 0, true)
}

func (c whole) List(ctx context.Context, opts metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	k, err := c.server.served(c.resource)
	if err != nil {
		return nil, err
	}
	out := &unstructured.UnstructuredList{}
	p, err := c.server.list(ctx, k, "", opts, func(e *event) { out.Items = append(out.Items, *e.whole(c.resource.GroupVersion())) })
	if err != nil {
		return nil, err
	}
	out.SetResourceVersion(text(p.revision))
	out.SetContinue(p.next)
	out.SetRemainingItemCount(p.remaining)
	return out, nil
}

func (c whole) Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	k, err := c.server.served(c.resource)
	if err != nil {
		return nil, err
	}
	return c.server.watch(ctx, k, opts, func(e *event) runtime.Object { return e.whole(c.resource.GroupVersion()) })
}

type partials struct{ server *Server }

func (m partials) Resource(r schema.GroupVersionResource) metadata.Getter {
	return partial{server: m.server, resource: r}
}

type partial struct {
	metadata.ResourceInterface // nil: the rest is not asked for
	server                     *Server
	resource                   schema.GroupVersionResource
	namespace                  string
}

func (c partial) Namespace(namespace string) metadata.ResourceInterface {
	c.namespace = namespace
	return c
}

func (c partial) Get(ctx context.Context, name string, _ metav1.GetOptions, _ ...string) (*metav1.PartialObjectMetadata, error) {
	k, err := c.server.served(c.resource)
	if err != nil {
		return nil, err
	}
	var out *metav1.PartialObjectMetadata
	if err := c.server.get(ctx, k, c.namespace, name, func(e *event) { out = e.metadata() }); err != nil {
		return nil, err
	}
	return out, nil
}

func (c partial) List(ctx context.Context, opts metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	k, err := c.server.served(c.resource)
	if err != nil {
		return nil, err
	}
	out := &metav1.PartialObjectMetadataList{}
	p, err := c.server.list(ctx, k, c.namespace, opts, func(e *event) { out.Items = append(out.Items, *e.metadata()) })
	if err != nil {
		return nil, err
	}
	out.ResourceVersion, out.Continue, out.RemainingItemCount = text(p.revision), p.next, p.remaining
	return out, nil
}

func (c partial) Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	k, err := c.server.served(c.resource)
	if err != nil {
		return nil, err
	}
	return c.server.watch(ctx, k, opts, func(e *event) runtime.Object { return e.metadata() })
}
