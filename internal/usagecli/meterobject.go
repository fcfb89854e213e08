package usagecli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/meter"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// maxOwnersRead is how many owners of an object are read. Real chains have up to four.
const maxOwnersRead = 8

// surroundings are the other objects that decide how an object is metered, as far as
// they are known. The zero value knows none.
type surroundings struct {
	owners []*unstructured.Unstructured
	node   *unstructured.Unstructured // nil: unknown
	facts  *unstructured.Unstructured // the one that has facts of it; nil: none, or unknown
	// others are those that the object says it is a part of, one for each claim; nil: not
	// there, or unreadable.
	others []*unstructured.Unstructured
	// notes say what could not be read.
	notes []string
	live  bool
}

// hints tell where the object's usage is put, and what else decides.
func (s *surroundings) hints(m *meter.Meter, object *unstructured.Unstructured) []string {
	hints := slices.Clone(s.notes)
	graph := s.graph(object)
	uid := string(object.GetUID())
	placement := graph.Place(uid)
	owner, _, unknown := graph.Unknown(uid)
	if m.BillsWorkload() {
		hint := fmt.Sprintf("bills the workload: %s %s", placement.Workload.Kind, placement.Workload.Name)
		if unknown || !s.live {
			hint += ", or what owns it"
		}
		hints = append(hints, hint)
	}
	name := cmp.Or(placement.Deployment, "(none)")
	switch {
	case unknown:
		hints = append(hints, fmt.Sprintf("deployment: %s, or what owns %s %s", name, owner.Kind, owner.Name))
	case s.live:
		hints = append(hints, fmt.Sprintf("deployment: %s, by the object and its owners, where the meter does not say", name))
	default:
		hints = append(hints, fmt.Sprintf("deployment: %s, by the object alone, where the meter does not say", name))
	}
	return append(hints, s.representation(m, object)...)
}

// representation tells of what else the object may be a part.
func (s *surroundings) representation(m *meter.Meter, object *unstructured.Unstructured) (hints []string) {
	for i, claim := range m.Claims(object) {
		other := fmt.Sprintf("%s %s", claim.Kind.Kind, claim.Name)
		if !s.live {
			hints = append(hints, fmt.Sprintf("metered with %s instead, while that is metered and vouches for it", other))
			continue
		}
		if claim.Shared {
			hints = append(hints, fmt.Sprintf("metered with any %s that goes by %q, while that is metered and vouches for it", claim.Kind.Kind, claim.Name))
			continue
		}
		switch at := s.others[i]; {
		case at == nil:
			hints = append(hints, fmt.Sprintf("says that it is a part of %s, which cannot be read: metered by itself", other))
		case claim.UID != "" && claim.UID != string(at.GetUID()):
			hints = append(hints, fmt.Sprintf("says that it is a part of a %s with another UID than the one that is there: metered by itself", other))
		case !vouches(m, at, &claim):
			hints = append(hints, fmt.Sprintf("says that it is a part of %s, which does not vouch for it: metered by itself", other))
		default:
			hints = append(hints, fmt.Sprintf("is a part of %s, which vouches for it: while a meter meters that, this is not metered by itself", other))
		}
	}
	return hints
}

func vouches(m *meter.Meter, other *unstructured.Unstructured, claim *usage.Claim) bool {
	keys, _ := m.Vouches(claim.Kind, other)
	return !slices.ContainsFunc(claim.Keys, func(key string) bool { return !slices.Contains(keys[claim.Rule], key) })
}

// graph has the object and its owners.
func (s *surroundings) graph(object *unstructured.Unstructured) *attribution.Graph {
	graph := attribution.New()
	graph.Upsert(attribution.NodeOf(object))
	for _, owner := range s.owners {
		graph.Upsert(attribution.NodeOf(owner))
	}
	return graph
}

// clusterReader reads objects of a cluster with the caller's rights.
type clusterReader struct {
	mapper  meta.RESTMapper
	objects dynamic.Interface
}

// inspectLive prints what the meter reads of an object of the cluster, TYPE/NAME.
func (c *cli) inspectLive(ctx context.Context, spec *v1alpha1.UsageMeter, typeAndName string) error {
	config, err := c.config.ToRESTConfig()
	if err != nil {
		return noCluster(err)
	}
	namespace, _, err := c.config.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return noCluster(err)
	}
	reader := &clusterReader{}
	if reader.mapper, err = c.config.ToRESTMapper(); err != nil {
		return noCluster(err)
	}
	if reader.objects, err = dynamic.NewForConfig(config); err != nil {
		return noCluster(err)
	}
	kind, name, _ := strings.Cut(typeAndName, "/")
	mapping, err := reader.mapping(&spec.Spec.Target, kind)
	if err != nil {
		return &outcome{exitUnreadable, err}
	}
	m, err := meter.Compile(spec.Name, &spec.Spec, mapping.Scope.Name() == meta.RESTScopeNameNamespace)
	if err != nil {
		return &outcome{exitUnreadable, err}
	}
	object, err := reader.get(ctx, mapping, namespace, name)
	if err != nil {
		return &outcome{exitUnreadable, err}
	}
	return c.inspect(m, object, reader.around(ctx, m, object))
}

// mapping is how the cluster serves the meter's kind, in the version that the operator
// reads. kind is what the caller calls it.
func (r *clusterReader) mapping(target *v1alpha1.TargetReference, kind string) (*meta.RESTMapping, error) {
	named, groupResource := schema.ParseResourceArg(kind)
	var found schema.GroupVersionKind
	var err error
	if named != nil {
		found, err = r.mapper.KindFor(*named)
	}
	if named == nil || err != nil {
		found, err = r.mapper.KindFor(groupResource.WithVersion(""))
	}
	if meta.IsNoMatchError(err) {
		return nil, fmt.Errorf("--object: there is no such file, and the cluster has no type %q", kind)
	}
	if err != nil {
		return nil, fmt.Errorf("the cluster's types cannot be read: %w", err)
	}
	wanted := schema.GroupKind{Group: target.Group, Kind: target.Kind}
	if found.GroupKind() != wanted {
		return nil, fmt.Errorf("--object: a %s is a %s, and the meter reads a %s", kind, found.GroupKind(), wanted)
	}
	var versions []string
	if target.Version != "" {
		versions = []string{target.Version}
	}
	mapping, err := r.mapper.RESTMapping(wanted, versions...)
	if meta.IsNoMatchError(err) {
		return nil, fmt.Errorf("the cluster has %s, but not in the version %s that the meter reads: it has %s", wanted, target.Version, r.versions(wanted))
	}
	return mapping, err
}

// versions are those in which the cluster serves a kind.
func (r *clusterReader) versions(kind schema.GroupKind) string {
	mappings, err := r.mapper.RESTMappings(kind)
	if err != nil {
		return "none"
	}
	var names []string
	for _, mapping := range mappings {
		names = append(names, mapping.GroupVersionKind.Version)
	}
	return strings.Join(names, ", ")
}

// get reads an object.
func (r *clusterReader) get(ctx context.Context, mapping *meta.RESTMapping, namespace, name string) (*unstructured.Unstructured, error) {
	kind := mapping.GroupVersionKind.Kind
	var from dynamic.ResourceInterface = r.objects.Resource(mapping.Resource)
	place := ""
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		from, place = r.objects.Resource(mapping.Resource).Namespace(namespace), " in the namespace "+namespace
	}
	object, err := from.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("there is no %s %s%s", kind, name, place)
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("you may not get the %s %s%s", kind, name, place)
	case err != nil:
		return nil, fmt.Errorf("%s %s%s cannot be read: %w", kind, name, place, err)
	}
	return object, nil
}

// find reads an object of a kind; whichever version.
func (r *clusterReader) find(ctx context.Context, kind schema.GroupKind, namespace, name string, versions ...string) (*unstructured.Unstructured, error) {
	mapping, err := r.mapper.RESTMapping(kind, versions...)
	if err != nil {
		return nil, fmt.Errorf("the cluster has no kind %s", kind)
	}
	return r.get(ctx, mapping, namespace, name)
}

// around reads what else decides how an object is metered.
func (r *clusterReader) around(ctx context.Context, m *meter.Meter, object *unstructured.Unstructured) *surroundings {
	s := &surroundings{live: true}
	note := func(err error, effect string) { s.notes = append(s.notes, err.Error()+": "+effect) }
	for range maxOwnersRead {
		owner, namespace, unknown := s.graph(object).Unknown(string(object.GetUID()))
		if !unknown {
			break
		}
		kind := schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind)
		found, err := r.find(ctx, kind.GroupKind(), namespace, owner.Name, kind.Version)
		if err != nil {
			note(err, "what owns it is not known")
			break
		}
		if string(found.GetUID()) != owner.UID {
			note(fmt.Errorf("the owner %s %s has another UID", owner.Kind, owner.Name), "it controls nothing here")
			break
		}
		s.owners = append(s.owners, found)
	}
	if name := m.Node(object); name != "" {
		node, err := r.find(ctx, schema.GroupKind{Kind: "Node"}, "", name)
		if err != nil {
			note(err, "the attributes and the region of its node are left out")
		}
		s.node = node
	}
	r.readOther(ctx, m, object, s, note)
	for _, claim := range m.Claims(object) {
		if claim.Shared {
			s.others = append(s.others, nil)
			continue
		}
		kind := schema.GroupKind{Group: claim.Kind.Group, Kind: claim.Kind.Kind}
		other, err := r.find(ctx, kind, claim.Namespace, claim.Name)
		if err != nil {
			note(err, "it is taken to vouch for nothing")
		}
		s.others = append(s.others, other)
	}
	return s
}

// readOther reads the other object that has facts of this one.
func (r *clusterReader) readOther(ctx context.Context, m *meter.Meter, object *unstructured.Unstructured, s *surroundings, note func(error, string)) {
	kind, reads := m.Other()
	reading, err := m.Inspect(object)
	if !reads || err != nil || len(reading.Members) == 0 || reading.Members[0].Other.Name == "" {
		return
	}
	named := reading.Members[0].Other
	if s.facts, err = r.find(ctx, schema.GroupKind(kind), named.Namespace, named.Name); err != nil {
		note(err, "what is held is what the object says itself")
	}
}
