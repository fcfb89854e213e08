package meter

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

// podFunctions count what pods request as the scheduler does.
var podFunctions = []*function{
	{
		name: "podRequests", args: []*cel.Type{cel.DynType}, result: cel.MapType(cel.StringType, cel.StringType),
		call: func(args ...ref.Val) ref.Val {
			pod, err := podOf(args[0])
			if err != nil {
				return failure(err)
			}
			return nativeAdapter{}.NativeToValue(texts(podRequests(pod)))
		},
		cost: podCost, most: assumedLength * containerCost,
	},
	{
		name: "podRequestsByContainer", args: []*cel.Type{cel.DynType}, result: cel.ListType(cel.DynType),
		call: func(args ...ref.Val) ref.Val {
			pod, err := podOf(args[0])
			if err != nil {
				return failure(err)
			}
			return nativeAdapter{}.NativeToValue(requestLines(pod))
		},
		cost: podCost, most: assumedLength * containerCost,
	},
	{
		name: "podEndTime", args: []*cel.Type{cel.DynType}, result: cel.StringType,
		call: func(args ...ref.Val) ref.Val {
			pod, ok := args[0].Value().(map[string]any)
			if !ok {
				return failure(errNoPod)
			}
			return types.String(podEndTime(pod))
		},
		cost: podCost, most: assumedLength * containerCost,
	},
}

// containerCost is what one container's requests cost to add up, in CEL's units:
// about 50 ns each.
const containerCost = 30

// podCost counts the containers that a call goes through.
func podCost(args []ref.Val) uint64 {
	pod, _ := args[0].Value().(map[string]any)
	spec, _ := pod["spec"].(map[string]any)
	return containerCost * uint64(1+len(items(spec, "containers"))+len(items(spec, "initContainers")))
}

var errNoPod = errors.New("the argument is no pod: it has no spec.containers")

// asScheduled are the scheduler's own options: what is allocated counts where it
// is more than the spec says (a resize down that the kubelet has not done), and
// counts alone where the spec asks for what cannot be (a resize that is
// infeasible). The fields of the status are there only in clusters that have
// the features, so that the options need not be chosen.
var asScheduled = resourcehelper.PodResourcesOptions{
	UseStatusResources: true,
	InPlacePodLevelResourcesVerticalScalingEnabled: true,
	UseDRANodeAllocatableResourceClaimStatus:       true,
}

// podRequests is what the pod as a whole keeps from others on its node.
func podRequests(pod *corev1.Pod) corev1.ResourceList {
	return resourcehelper.PodRequests(pod, asScheduled)
}

// mostLines is how many containers have a line of their own: what more of them
// request is held by the pod. So a pod of thousands has as many members as can be
// metered, and none hides behind the others.
const mostLines = 256

// requestLines are podRequests by container: each container, and each init
// container that goes on running, with what it requests itself, and under "" what
// the pod holds beyond them: what it requests as a whole, the peak of its init
// containers, its runtime's overhead, what claims bring. They add up to
// podRequests: a resize that moves a request from one container to another is
// never counted in both. Resources of which nothing is held are left out.
func requestLines(pod *corev1.Pod) []any {
	rest := podRequests(pod)
	lines := make([]any, 0, min(len(pod.Spec.Containers), mostLines)+1)
	line := func(name string, held corev1.ResourceList) {
		lines = append(lines, map[string]any{"container": name, "requests": texts(held)})
	}
	own := asScheduled
	own.InPlacePodLevelResourcesVerticalScalingEnabled = false // which is of the pod as a whole
	own.UseDRANodeAllocatableResourceClaimStatus = false
	alone := corev1.Pod{Status: corev1.PodStatus{Conditions: pod.Status.Conditions}}
	each := func(containers []corev1.Container, statuses []corev1.ContainerStatus, which func(*corev1.Container) bool) {
		for i := range containers {
			if len(lines) == mostLines {
				return
			}
			if !which(&containers[i]) {
				continue
			}
			alone.Spec.Containers, alone.Status.ContainerStatuses = containers[i:i+1], statusOf(statuses, containers[i].Name)
			held := resourcehelper.PodRequests(&alone, own)
			for name, quantity := range held {
				held[name] = take(rest, name, quantity)
			}
			line(containers[i].Name, held)
		}
	}
	each(pod.Spec.Containers, pod.Status.ContainerStatuses, func(*corev1.Container) bool { return true })
	each(pod.Spec.InitContainers, pod.Status.InitContainerStatuses, isSidecar)
	for _, quantity := range rest {
		if !quantity.IsZero() {
			line("", rest)
			break
		}
	}
	return lines
}

// isSidecar tells whether an init container goes on running beside the others.
func isSidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// statusOf is the container's status, as a list; nil where there is none.
func statusOf(statuses []corev1.ContainerStatus, name string) []corev1.ContainerStatus {
	for i := range statuses {
		if statuses[i].Name == name {
			return statuses[i : i+1]
		}
	}
	return nil
}

// take moves as much as there is, up to the quantity, out of rest. It is cut to
// what levels are kept in, a thousandth of a core and a whole one of anything
// else, so that parts that are rounded one by one still add up.
func take(rest corev1.ResourceList, name corev1.ResourceName, quantity resource.Quantity) resource.Quantity {
	left := rest[name]
	if quantity.Cmp(left) > 0 {
		quantity = left
	}
	scale := resource.Scale(0)
	if name == corev1.ResourceCPU {
		scale = resource.Milli
	}
	if quantity.CmpInt64(math.MaxInt64/1000) < 0 { // beyond, ScaledValue does not fit
		whole := resource.NewScaledQuantity(quantity.ScaledValue(scale), scale)
		if whole.Cmp(quantity) > 0 { // ScaledValue rounds up
			whole.Sub(*resource.NewScaledQuantity(1, scale))
		}
		quantity = *whole
	}
	left.Sub(quantity)
	rest[name] = left
	return quantity
}

// texts are quantities by resource, as the meters' expressions read them; zeros
// are left out.
func texts(list corev1.ResourceList) map[string]any {
	held := make(map[string]any, len(list))
	for name, quantity := range list {
		if !quantity.IsZero() {
			held[string(name)] = quantity.String()
		}
	}
	return held
}

// podEndTime is when the last of a pod's containers ended, in RFC 3339; "" as
// long as one has not, or where one does not say. What a pod requests is kept
// for it until then: the scheduler frees nothing of a pod that goes on.
func podEndTime(pod map[string]any) string {
	spec, _ := pod["spec"].(map[string]any)
	status, _ := pod["status"].(map[string]any)
	latest, ended := "", 0
	for _, of := range [...]string{"containerStatuses", "initContainerStatuses"} {
		for _, item := range items(status, of) {
			at := entry(branch(item, "state", "terminated"), "finishedAt")
			if at == "" && of == "containerStatuses" {
				return ""
			}
			if of == "containerStatuses" {
				ended++
			}
			latest = max(latest, at) // RFC 3339 in UTC sorts as text
		}
	}
	if ended < len(items(spec, "containers")) {
		return ""
	}
	return latest
}

// podOf is as much of a pod as its requests are made of, read from the object
// itself: what a conversion of all of it costs ten times as much for.
func podOf(value ref.Val) (*corev1.Pod, error) {
	object, ok := value.Value().(map[string]any)
	spec, _ := object["spec"].(map[string]any)
	status, _ := object["status"].(map[string]any)
	if !ok || spec["containers"] == nil {
		return nil, errNoPod
	}
	r := podReader{}
	pod := &corev1.Pod{
		Spec: corev1.PodSpec{
			Containers:     r.containers(spec, "containers"),
			InitContainers: r.containers(spec, "initContainers"),
			Overhead:       r.list(spec, "overhead"),
		},
		Status: corev1.PodStatus{
			ContainerStatuses:     r.statuses(status, "containerStatuses"),
			InitContainerStatuses: r.statuses(status, "initContainerStatuses"),
			AllocatedResources:    r.list(status, "allocatedResources"),
			Resources:             r.requirements(status, "resources"),
		},
	}
	pod.Spec.Resources = r.requirements(spec, "resources")
	for _, item := range items(status, "conditions") {
		if condition := branch(item); entry(condition, "type") == string(corev1.PodResizePending) {
			pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodResizePending, Reason: entry(condition, "reason")}}
			break
		}
	}
	if resize := entry(status, "resize"); len(pod.Status.Conditions) == 0 && resize == corev1.PodReasonInfeasible {
		// As Kubernetes before 1.33 says it.
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodResizePending, Reason: resize}}
	}
	pod.Status.NodeAllocatableResourceClaimStatuses = r.claims(status)
	return pod, r.err
}

// podReader reads parts of a pod; after the first error what it reads is empty.
type podReader struct{ err error }

func (r *podReader) containers(fields map[string]any, key string) []corev1.Container {
	listed := items(fields, key)
	if len(listed) == 0 {
		return nil
	}
	containers := make([]corev1.Container, len(listed))
	for i, item := range listed {
		c := branch(item)
		containers[i].Name = entry(c, "name")
		containers[i].Resources.Requests = r.list(branch(c, "resources"), "requests")
		if policy := entry(c, "restartPolicy"); policy != "" {
			containers[i].RestartPolicy = new(corev1.ContainerRestartPolicy(policy))
		}
	}
	return containers
}

func (r *podReader) statuses(fields map[string]any, key string) []corev1.ContainerStatus {
	listed := items(fields, key)
	if len(listed) == 0 {
		return nil
	}
	statuses := make([]corev1.ContainerStatus, len(listed))
	for i, item := range listed {
		s := branch(item)
		statuses[i].Name = entry(s, "name")
		statuses[i].AllocatedResources = r.list(s, "allocatedResources")
		statuses[i].Resources = r.requirements(s, "resources")
	}
	return statuses
}

func (r *podReader) requirements(fields map[string]any, key string) *corev1.ResourceRequirements {
	found, ok := fields[key].(map[string]any)
	if !ok {
		return nil
	}
	return &corev1.ResourceRequirements{Requests: r.list(found, "requests")}
}

// claims are the resources of the node that the pod holds by ResourceClaims.
func (r *podReader) claims(status map[string]any) []corev1.NodeAllocatableResourceClaimStatus {
	var claims []corev1.NodeAllocatableResourceClaimStatus
	for _, item := range items(status, "nodeAllocatableResourceClaimStatuses") {
		from := branch(item)
		claim := corev1.NodeAllocatableResourceClaimStatus{ResourceClaimName: entry(from, "resourceClaimName")}
		for _, container := range items(from, "containers") {
			name, _ := container.(string)
			claim.Containers = append(claim.Containers, name)
		}
		for _, item := range items(from, "mapping") {
			mapping := corev1.NodeAllocatableMappedResources{Name: corev1.ResourceName(entry(branch(item), "name"))}
			mapping.Quantity = r.optional(branch(item), "quantity")
			claim.Mapping = append(claim.Mapping, mapping)
		}
		for _, item := range items(from, "overhead") {
			overhead := corev1.NodeAllocatableOverheadResources{Name: corev1.ResourceName(entry(branch(item), "name"))}
			overhead.PerPod, overhead.PerContainer = r.optional(branch(item), "perPod"), r.optional(branch(item), "perContainer")
			claim.Overhead = append(claim.Overhead, overhead)
		}
		claims = append(claims, claim)
	}
	return claims
}

// list is a list of resources; nil where there is none, which is not the same to
// the scheduler as one that is empty.
func (r *podReader) list(fields map[string]any, key string) corev1.ResourceList {
	found, ok := fields[key].(map[string]any)
	if !ok {
		return nil
	}
	list := make(corev1.ResourceList, len(found))
	for name, value := range found {
		list[corev1.ResourceName(name)] = r.quantity(name, value)
	}
	return list
}

func (r *podReader) optional(fields map[string]any, key string) *resource.Quantity {
	if fields[key] == nil {
		return nil
	}
	return new(r.quantity(key, fields[key]))
}

func (r *podReader) quantity(name string, value any) resource.Quantity {
	var text string
	switch value := value.(type) {
	case string:
		text = value
	case int64:
		return *resource.NewQuantity(value, resource.DecimalSI)
	case float64:
		text = strconv.FormatFloat(value, 'f', -1, 64)
	}
	quantity, err := parseQuantity(text)
	if err == nil && quantity.Sign() < 0 {
		err = errNegative
	}
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("%s: %q: %w", printable(name, 64), printable(text, 64), err)
	}
	return quantity
}

// items are a list's.
func items(fields map[string]any, key string) []any {
	list, _ := fields[key].([]any)
	return list
}

// branch is a map below another; nil where there is none.
func branch(value any, path ...string) map[string]any {
	fields, _ := value.(map[string]any)
	for _, key := range path {
		fields, _ = fields[key].(map[string]any)
	}
	return fields
}
