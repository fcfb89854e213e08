package meter

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	resourcehelper "k8s.io/component-helpers/resource"
	"pgregory.net/rapid"
)

// anyResource are what pods request; what a pod may request as a whole comes first.
var anyResource = []corev1.ResourceName{
	corev1.ResourceCPU, corev1.ResourceMemory, "hugepages-2Mi", "hugepages-1Gi",
	corev1.ResourceEphemeralStorage, "nvidia.com/gpu", "example.com/nic", "deviceclass.resource.kubernetes.io/gpu.example.com",
}

const podLevel = 4 // how many of them

func quantityOf(t *rapid.T, name corev1.ResourceName) resource.Quantity {
	texts := []string{"0", "1", "3", "7", "1Ki", "1k", "12"}
	if name == corev1.ResourceCPU {
		texts = []string{"0", "1m", "250m", "0.5", "1", "1500m", "33", "700u", "1n"}
	}
	return resource.MustParse(rapid.SampledFrom(texts).Draw(t, string(name)))
}

// requested is a list of some of the resources; nil at times.
func requested(t *rapid.T, label string, names []corev1.ResourceName) corev1.ResourceList {
	chosen := rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 4, rapid.ID).Draw(t, label)
	if len(chosen) == 0 && rapid.Bool().Draw(t, "nil") {
		return nil
	}
	made := corev1.ResourceList{}
	for _, name := range chosen {
		made[name] = quantityOf(t, name)
	}
	return made
}

func maybe(t *rapid.T, label string) bool { return rapid.IntRange(0, 2).Draw(t, label) == 0 }

// anyPod is a pod in any state of a resize, with everything that it can request.
func anyPod(t *rapid.T) *corev1.Pod {
	pod := &corev1.Pod{}
	pod.APIVersion, pod.Kind, pod.Name, pod.Namespace, pod.UID = "v1", "Pod", "p", "shop", "pod-1"
	pod.Spec.NodeName = "n1"
	container := func(name string) corev1.Container {
		c := corev1.Container{Name: name, Resources: corev1.ResourceRequirements{Requests: requested(t, name, anyResource)}}
		status := corev1.ContainerStatus{Name: name}
		if maybe(t, "allocated") {
			status.AllocatedResources = requested(t, "allocated", anyResource)
		}
		if maybe(t, "actuated") {
			status.Resources = &corev1.ResourceRequirements{Requests: requested(t, "actuated", anyResource)}
		}
		switch {
		case maybe(t, "no status"):
		case strings.HasPrefix(name, "i"):
			pod.Status.InitContainerStatuses = append(pod.Status.InitContainerStatuses, status)
		default:
			pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, status)
		}
		return c
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "containers") {
		pod.Spec.Containers = append(pod.Spec.Containers, container(fmt.Sprintf("c%d", i)))
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "init containers") {
		c := container(fmt.Sprintf("i%d", i))
		if rapid.Bool().Draw(t, "sidecar") {
			c.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
		}
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, c)
	}
	if maybe(t, "overhead") {
		pod.Spec.Overhead = requested(t, "overhead", anyResource[:2])
	}
	if maybe(t, "as a whole") {
		pod.Spec.Resources = &corev1.ResourceRequirements{Requests: requested(t, "as a whole", anyResource[:podLevel])}
		if maybe(t, "allocated as a whole") {
			pod.Status.AllocatedResources = requested(t, "allocated as a whole", anyResource[:podLevel])
		}
		if maybe(t, "actuated as a whole") {
			pod.Status.Resources = &corev1.ResourceRequirements{Requests: requested(t, "actuated as a whole", anyResource[:podLevel])}
		}
	}
	if reason := rapid.SampledFrom([]string{"", corev1.PodReasonDeferred, corev1.PodReasonInfeasible}).Draw(t, "resize"); reason != "" {
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodResizePending, Status: corev1.ConditionTrue, Reason: reason}}
	}
	if maybe(t, "claims") {
		pod.Status.NodeAllocatableResourceClaimStatuses = []corev1.NodeAllocatableResourceClaimStatus{{
			ResourceClaimName: "claim", Containers: []string{"c0", "i0"}[:rapid.IntRange(0, 2).Draw(t, "of claim")],
			Mapping:  []corev1.NodeAllocatableMappedResources{{Name: "cpu", Quantity: new(quantityOf(t, "cpu"))}},
			Overhead: []corev1.NodeAllocatableOverheadResources{{Name: "memory", PerPod: new(quantityOf(t, "memory")), PerContainer: new(quantityOf(t, "memory"))}},
		}}
	}
	return pod
}

func unstructuredPod(t *rapid.T, pod *corev1.Pod) *unstructured.Unstructured {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pod)
	if err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: content}
}

// What the built-in meters read of a pod, added up, is what the scheduler
// counts, and what kubectl describe node says of it.
func TestPodsHoldWhatTheSchedulerCounts(t *testing.T) {
	containers, devices := builtin(t, "container"), builtin(t, "container-extended-resources")
	rapid.Check(t, func(rt *rapid.T) {
		for range 20 {
			holdsWhatTheSchedulerCounts(rt, containers, devices, anyPod(rt))
		}
	})
}

// readResources is what the meters read of a pod, added up by resource.
func readResources(rt *rapid.T, containers, devices *Meter, object *unstructured.Unstructured) map[corev1.ResourceName]int64 {
	held := map[corev1.ResourceName]int64{}
	members, err := containers.Read(object)
	if err != nil {
		rt.Fatal(err)
	}
	for _, member := range members {
		held[corev1.ResourceCPU] += member.Levels[0]
		held[corev1.ResourceMemory] += member.Levels[1]
		held[corev1.ResourceEphemeralStorage] += member.Levels[2]
	}
	members, err = devices.Read(object)
	if err != nil {
		rt.Fatal(err)
	}
	for _, member := range members {
		_, name, _ := strings.Cut(member.Subject.Container, "/")
		if strings.HasPrefix(name, "hugepages-") {
			held[corev1.ResourceName(name)] += member.Levels[1]
		} else {
			held[corev1.ResourceName(name)] += member.Levels[0] / 1000
		}
	}
	return held
}

func holdsWhatTheSchedulerCounts(rt *rapid.T, containers, devices *Meter, pod *corev1.Pod) {
	object := unstructuredPod(rt, pod)
	pod = &corev1.Pod{} // as an API server gives it: what is empty is not there
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, pod); err != nil {
		rt.Fatal(err)
	}
	held := readResources(rt, containers, devices, object)
	scheduled := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{
		UseStatusResources: true, InPlacePodLevelResourcesVerticalScalingEnabled: true, UseDRANodeAllocatableResourceClaimStatus: true,
	})
	counted := func(list corev1.ResourceList, name corev1.ResourceName) (least, most int64) {
		quantity := list[name]
		if name == corev1.ResourceCPU { // what is finer than a thousandth is rounded, and kubectl rounds up
			return quantity.MilliValue() - 1, quantity.MilliValue()
		}
		return quantity.Value(), quantity.Value()
	}
	described := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{UseStatusResources: true})
	for _, name := range anyResource {
		if least, most := counted(scheduled, name); held[name] < least || held[name] > most {
			rt.Errorf("%s: held %d, and the scheduler counts %d", name, held[name], most)
		}
		// What kubectl does not know yet: resizes of the pod as a whole, and claims.
		if pod.Status.Resources != nil || pod.Status.NodeAllocatableResourceClaimStatuses != nil {
			continue
		}
		if least, most := counted(described, name); held[name] < least || held[name] > most {
			rt.Errorf("%s: held %d, and kubectl says %d", name, held[name], most)
		}
	}
	for name, quantity := range scheduled {
		if held[name] == 0 && !quantity.IsZero() && name != corev1.ResourceCPU {
			rt.Errorf("%s is not held", name)
		}
	}
}

func TestPodFunctionsRefuse(t *testing.T) {
	m := compiled(t, patchedText(t, small, `{forEach: {in: podRequestsByContainer(self), key: item.container}, dimensions: [{name: thing, unit: count, quantity: "item.requests[?'cpu']"}]}`))
	for name, c := range map[string]struct{ object, want string }{
		"what is no pod":             {`spec: {}`, errNoPod.Error()},
		"what is no quantity":        {`spec: {containers: [{name: a, resources: {requests: {cpu: fast}}}]}`, `cpu: "fast": quantities must match`},
		"a quantity that is no text": {`spec: {containers: [{name: a, resources: {requests: {cpu: [1]}}}]}`, `cpu: "": quantities must match`},
		"less than nothing":          {`spec: {containers: [{name: a, resources: {requests: {cpu: -1}}}]}`, errNegative.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := m.Read(object(t, patchedText(t, thing, c.object)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v; want %s", err, c.want)
			}
		})
	}
}
