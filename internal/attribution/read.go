package attribution

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// The labels that rules 1 and 5 read.
const (
	DeploymentLabel = "metering.usage-operator.dev/deployment"
	InstanceLabel   = "app.kubernetes.io/instance"
	NameLabel       = "app.kubernetes.io/name"
)

// maxLabels bounds what one pod can make the graph keep. The API server sets no
// bound but the object's size. Real pods have up to twenty.
const maxLabels = 64

// fields is a part of an object's content. Whatever is not as it should be
// reads as absent: content is its author's, and the graph must take any.
type fields map[string]any

func (f fields) child(name string) fields {
	child, _ := f[name].(map[string]any)
	return child
}

func (f fields) text(name string) string {
	text, _ := f[name].(string)
	return text
}

func (f fields) textOr(name, otherwise string) string {
	if text := f.text(name); text != "" {
		return text
	}
	return otherwise
}

func (f fields) each(name string, do func(fields)) {
	list, _ := f[name].([]any)
	for _, element := range list {
		if element, ok := element.(map[string]any); ok {
			do(element)
		}
	}
}

// texts is a map of strings; nil when it is empty.
func (f fields) texts(name string) map[string]string {
	from := f.child(name)
	if len(from) == 0 {
		return nil
	}
	texts := make(map[string]string, len(from))
	for key, value := range from {
		if text, ok := value.(string); ok {
			texts[key] = text
		}
	}
	return texts
}

// NodeOf reads what the graph needs of an object. The metadata alone will do:
// what the rest would tell is then missing.
//
// A pod that has finished mounts nothing and nothing selects it. Of a pod with
// more than 64 labels the first 64 keys count, and a selector with more selects
// nothing. A route attaches to a gateway in another namespace only once that
// gateway says so: tenants must not change how others' gateways are placed.
func NodeOf(object *unstructured.Unstructured) Node {
	content := fields(object.Object)
	metadata := content.child("metadata")
	labels := metadata.child("labels")
	n := Node{
		Object: usage.Object{
			APIVersion: content.text("apiVersion"),
			Kind:       content.text("kind"),
			Name:       metadata.text("name"),
			UID:        metadata.text("uid"),
		},
		Namespace:  metadata.text("namespace"),
		Owner:      controllerOf(metadata),
		Deployment: labels.text(DeploymentLabel),
		Instance:   labels.text(InstanceLabel),
		Name:       labels.text(NameLabel),
	}
	switch roleOf(n.Object.APIVersion, n.Object.Kind) {
	case pod:
		if phase := content.child("status").text("phase"); phase != "Succeeded" && phase != "Failed" {
			n.Labels = firstLabels(metadata.texts("labels"))
			n.Claims = claimsOf(n.Object.Name, content)
		}
	case service:
		if selector := content.child("spec").texts("selector"); len(selector) <= maxLabels {
			n.Selector = selector
		}
	case route:
		n.Parents = gatewaysOf(n.Namespace, content)
		n.Backends = backendsOf(n.Namespace, content.child("spec"))
	}
	return n
}

func controllerOf(metadata fields) (owner usage.Object) {
	metadata.each("ownerReferences", func(reference fields) {
		if controls, _ := reference["controller"].(bool); !controls || owner.UID != "" {
			return
		}
		owner = usage.Object{
			APIVersion: reference.text("apiVersion"),
			Kind:       reference.text("kind"),
			Name:       reference.text("name"),
			UID:        reference.text("uid"),
		}
	})
	return owner
}

func firstLabels(labels map[string]string) map[string]string {
	if len(labels) <= maxLabels {
		return labels
	}
	for _, key := range slices.Sorted(maps.Keys(labels))[maxLabels:] {
		delete(labels, key)
	}
	return labels
}

// DeviceClaim is the name of a ResourceClaim among those of claims: no claim has
// such a name itself.
func DeviceClaim(name string) string { return "resourceclaim/" + name }

// claimsOf are the claims that a pod mounts or uses devices of, those that are made
// for it included.
func claimsOf(podName string, pod fields) []string {
	var claims []string
	device := func(field string) func(fields) {
		return func(named fields) {
			if name := named.text(field); name != "" {
				claims = append(claims, DeviceClaim(name))
			}
		}
	}
	spec, status := pod.child("spec"), pod.child("status")
	spec.each("resourceClaims", device("resourceClaimName"))
	status.each("resourceClaimStatuses", device("resourceClaimName"))
	spec.each("volumes", func(volume fields) {
		if name := volume.child("persistentVolumeClaim").text("claimName"); name != "" {
			claims = append(claims, name)
		}
		if volume.child("ephemeral") != nil {
			claims = append(claims, podName+"-"+volume.text("name"))
		}
	})
	slices.Sort(claims)
	return slices.Compact(claims)
}

// reference reads a parentRef or backendRef; false when it is to another kind.
func reference(from fields, group, kind, namespace string) (Reference, bool) {
	to := Reference{Namespace: from.textOr("namespace", namespace), Name: from.text("name")}
	return to, to.Name != "" && from.textOr("group", group) == group && from.textOr("kind", kind) == kind
}

func gatewaysOf(namespace string, route fields) []Reference {
	accepted := map[Reference]bool{}
	route.child("status").each("parents", func(parent fields) {
		to, ok := reference(parent.child("parentRef"), gatewayGroup, "Gateway", namespace)
		if ok && conditionTrue(parent, "Accepted") && conditionTrue(parent, "ResolvedRefs") {
			accepted[to] = true
		}
	})
	var gateways []Reference
	route.child("spec").each("parentRefs", func(parent fields) {
		to, ok := reference(parent, gatewayGroup, "Gateway", namespace)
		if ok && (to.Namespace == namespace || accepted[to]) {
			gateways = append(gateways, to)
		}
	})
	return distinct(gateways)
}

func conditionTrue(of fields, conditionType string) (holds bool) {
	of.each("conditions", func(condition fields) {
		if condition.text("type") == conditionType {
			holds = condition.text("status") == "True"
		}
	})
	return holds
}

func backendsOf(namespace string, spec fields) []Reference {
	var backends []Reference
	spec.each("rules", func(rule fields) {
		rule.each("backendRefs", func(backend fields) {
			if to, ok := reference(backend, "", "Service", namespace); ok {
				backends = append(backends, to)
			}
		})
	})
	return distinct(backends)
}
