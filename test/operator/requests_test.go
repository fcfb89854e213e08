package operator_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/config"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
)

const (
	manyPods  = 300
	fewNodes  = 6
	atOnce    = 6
	fastNIC   = corev1.ResourceName("example.com/nic")
	someGPU   = corev1.ResourceName("example.com/gpu")
	hugePages = corev1.ResourceName("hugepages-2Mi")
)

// drawnPod is a pod as a tenant creates it, what it is resized to, and the status that a kubelet writes.
type drawnPod struct {
	pod    *corev1.Pod
	resize string // the first container's new requests; "" is no resize
	status corev1.PodStatus
}

// podDice draws pods with all fields that the scheduler's rules for requests read.
type podDice struct{ *rand.Rand }

func (d podDice) chance(percent int) bool { return d.IntN(100) < percent }

func (d podDice) requests(alone bool) corev1.ResourceRequirements {
	r := corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
	if alone || d.chance(80) {
		r.Requests[corev1.ResourceCPU] = *resource.NewMilliQuantity(50+d.Int64N(3000), resource.DecimalSI)
	}
	if alone || d.chance(80) {
		r.Requests[corev1.ResourceMemory] = *resource.NewQuantity((1+d.Int64N(4096))<<20, resource.BinarySI)
	}
	if d.chance(20) {
		r.Requests[corev1.ResourceEphemeralStorage] = *resource.NewQuantity((1+d.Int64N(50))*1_000_000_000, resource.DecimalSI)
	}
	equal := func(name corev1.ResourceName, quantity *resource.Quantity) { // the API server asks for both
		r.Requests[name], r.Limits[name] = *quantity, *quantity
	}
	if r.Requests.Cpu().Sign()+r.Requests.Memory().Sign() > 0 && d.chance(15) { // without either they are refused
		equal(hugePages, resource.NewQuantity((1+d.Int64N(64))<<21, resource.BinarySI))
	}
	if d.chance(15) {
		equal(someGPU, resource.NewQuantity(1+d.Int64N(8), resource.DecimalSI))
	}
	if d.chance(10) {
		equal(fastNIC, resource.NewQuantity(d.Int64N(3), resource.DecimalSI))
	}
	return r
}

func (d podDice) draw(name, namespace, node, runtime string) drawnPod {
	always := corev1.ContainerRestartPolicyAlways
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Spec: corev1.PodSpec{NodeName: node}}
	for i := range 1 + d.IntN(3) {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: fmt.Sprintf("c%d", i), Image: "x", Resources: d.requests(i == 0)})
	}
	for i := range d.IntN(3) {
		c := corev1.Container{Name: fmt.Sprintf("i%d", i), Image: "x", Resources: d.requests(false)}
		if d.chance(50) {
			c.RestartPolicy = &always
		}
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, c)
	}
	if d.chance(20) {
		pod.Spec.RuntimeClassName = &runtime
	}
	made := drawnPod{pod: pod}
	if d.chance(20) { // the pod as a whole requests more than its containers
		pod.Spec.Resources = &corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("20"), corev1.ResourceMemory: resource.MustParse("64Gi"),
		}}
	} else if d.chance(40) {
		made.resize = fmt.Sprintf(`{cpu: %dm, memory: %dMi}`, 50+d.IntN(4000), 1+d.IntN(8192))
	}
	made.status = d.status(pod, made.resize != "")
	return made
}

// status is what a kubelet writes, or a virtual node, which writes less.
func (d podDice) status(pod *corev1.Pod, resized bool) corev1.PodStatus {
	phases := []corev1.PodPhase{corev1.PodRunning, corev1.PodRunning, corev1.PodRunning, corev1.PodPending, corev1.PodSucceeded, corev1.PodFailed}
	status := corev1.PodStatus{Phase: phases[d.IntN(len(phases))]}
	if d.chance(80) {
		status.Conditions = append(status.Conditions, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()})
	}
	if resized {
		status.Conditions = append(status.Conditions, [][]corev1.PodCondition{
			nil,
			{{Type: corev1.PodResizePending, Status: corev1.ConditionTrue, Reason: corev1.PodReasonInfeasible}},
			{{Type: corev1.PodResizePending, Status: corev1.ConditionTrue, Reason: corev1.PodReasonDeferred}},
			{{Type: corev1.PodResizeInProgress, Status: corev1.ConditionTrue}},
		}[d.IntN(4)]...)
	}
	said := func(containers []corev1.Container) (all []corev1.ContainerStatus) {
		for i := range containers {
			requests := containers[i].Resources.Requests
			s := corev1.ContainerStatus{Name: containers[i].Name, Image: "x"}
			if resized || d.chance(50) {
				s.AllocatedResources, s.Resources = requests, &corev1.ResourceRequirements{Requests: requests}
			}
			if resized && d.chance(20) {
				s.Resources = &corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("5")}}
			}
			all = append(all, s)
		}
		return all
	}
	// A kubelet that answers a resize has written what it allocated. Without that, the scheduler and the pods' lines of
	// kubectl describe count nothing for an infeasible resize, and describe's totals, which read no status, count the spec.
	if resized || d.chance(90) {
		status.ContainerStatuses, status.InitContainerStatuses = said(pod.Spec.Containers), said(pod.Spec.InitContainers)
	}
	return status
}

// create writes the pod as a tenant and a kubelet would, and returns its last resourceVersion.
func (made *drawnPod) create(ctx context.Context) string {
	GinkgoHelper()
	Expect(admin.Create(ctx, made.pod)).To(Succeed())
	if made.resize != "" {
		resized := made.pod.DeepCopy()
		Expect(yaml.Unmarshal([]byte(made.resize), &resized.Spec.Containers[0].Resources.Requests)).To(Succeed())
		Expect(admin.SubResource("resize").Update(ctx, made.pod, client.WithSubResourceBody(resized))).To(Succeed())
		made.pod = resized
	}
	before := made.pod.DeepCopy()
	made.pod.Status = made.status
	Expect(admin.Status().Patch(ctx, made.pod, client.MergeFrom(before))).To(Succeed())
	return made.pod.ResourceVersion
}

// requestsByDescribe is what the pods of a node request according to kubectl describe, in thousandths: the sum of the pods'
// lines for CPU and memory, because describe's totals ignore the status of a resize; the totals for all other resources.
func requestsByDescribe(ctx context.Context, node string) map[string]int64 {
	GinkgoHelper()
	_, text, found := strings.Cut(kubectl(ctx, "describe", "node", node), "Non-terminated Pods:")
	Expect(found).To(BeTrue())
	pods, totals, found := strings.Cut(text, "Allocated resources:")
	Expect(found).To(BeTrue())
	requests := map[string]int64{}
	add := func(name, text string) {
		quantity, err := resource.ParseQuantity(text)
		Expect(err).NotTo(HaveOccurred(), "%s: %s", name, text)
		if !quantity.IsZero() {
			requests[name] += quantity.MilliValue()
		}
	}
	for line := range strings.SplitSeq(pods, "\n") {
		if fields := strings.Fields(line); len(fields) == 11 && strings.HasPrefix(fields[1], "pod-") {
			add("cpu", fields[2])
			add("memory", fields[6])
		}
	}
	totals, _, _ = strings.Cut(totals, "Events:")
	for line := range strings.SplitSeq(totals, "\n") {
		fields := strings.Fields(line)
		if len(fields) >= 2 && (strings.Contains(fields[0], "/") || strings.HasPrefix(fields[0], "hugepages-") || fields[0] == "ephemeral-storage") {
			add(fields[0], fields[1])
		}
	}
	return requests
}

// ledgerOf is what the ledger holds now, in thousandths, by node and resource. nodes has each pod's node, by the pod's UID.
func (op *operator) ledgerOf(nodes map[string]string) map[string]map[string]int64 {
	now := op.clock.Now().Unix()
	window := usage.Window{Start: op.started, End: now + 1}
	found := map[string]map[string]int64{}
	for _, account := range op.collector.Accounts(window, now) {
		for _, s := range op.collector.Cut(account, window, now) {
			node := nodes[s.Subject.Instance.UID]
			if node == "" || !s.End.IsZero() && s.End.At < window.End {
				continue
			}
			if found[node] == nil {
				found[node] = map[string]int64{}
			}
			name, level := heldAs(s)
			found[node][name] += level
		}
	}
	return found
}

// heldAs translates a segment's dimension and level to Kubernetes' name of the resource, and thousandths.
func heldAs(s usage.Segment) (string, int64) {
	dimension, of, _ := strings.Cut(s.Dimension.Name, "/")
	switch dimension {
	case "memory":
		return "memory", s.Level * 1000
	case "ephemeral_storage":
		return "ephemeral-storage", s.Level * 1000
	case "hugepages":
		return "hugepages-" + of, s.Level * 1000
	case "extended_resource":
		return of, s.Level
	}
	return dimension, s.Level
}

var _ = Describe("What pods hold", func() {
	It("is, node by node and dimension by dimension, what kubectl describe node says that they request", func(ctx SpecContext) {
		op, d := begin(ctx)
		meters, err := config.Meters()
		Expect(err).NotTo(HaveOccurred())
		for _, meter := range meters {
			if strings.HasPrefix(meter.GetName(), "container") {
				apply(ctx, meter.DeepCopy())
			}
		}
		ready(ctx, "container", "container-extended-resources")
		runtime := &nodev1.RuntimeClass{
			ObjectMeta: metav1.ObjectMeta{Name: d.namespace}, Handler: "vm",
			Overhead: &nodev1.Overhead{PodFixed: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m"), corev1.ResourceMemory: resource.MustParse("120Mi")}},
		}
		d.keep(runtime)
		var nodes []string
		for i := range fewNodes {
			node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", d.namespace, i)}}
			d.keep(node)
			node.Status.Capacity = corev1.ResourceList{}
			for _, name := range []corev1.ResourceName{"cpu", "memory", "ephemeral-storage", hugePages, someGPU, fastNIC} {
				node.Status.Capacity[name] = resource.MustParse("100T")
			}
			node.Status.Allocatable = node.Status.Capacity
			Expect(admin.Status().Update(ctx, node)).To(Succeed())
			nodes = append(nodes, node.Name)
		}
		DeferCleanup(func(ctx SpecContext) { // the next specs would meter what is left
			Expect(admin.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(d.namespace), client.GracePeriodSeconds(0))).To(Succeed())
			for _, name := range nodes {
				Expect(admin.Delete(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})).To(Succeed())
			}
		})

		dice := podDice{rand.New(rand.NewPCG(uint64(GinkgoRandomSeed()), manyPods))}
		all := make([]drawnPod, manyPods)
		for i := range all {
			all[i] = dice.draw(fmt.Sprintf("pod-%03d", i), d.namespace, nodes[i%fewNodes], runtime.Name)
		}
		var last string
		var mu sync.Mutex
		var making sync.WaitGroup
		for part := range slices.Chunk(all, manyPods/atOnce) {
			making.Go(func() {
				defer GinkgoRecover()
				for i := range part {
					version := part[i].create(ctx)
					mu.Lock()
					if source.Newer(version, last) {
						last = version
					}
					mu.Unlock()
				}
			})
		}
		making.Wait()
		for _, meter := range []string{"container", "container-extended-resources"} {
			op.reached(ctx, meter, last)
		}

		on, want := map[string]string{}, map[string]map[string]int64{}
		for i := range all {
			on[string(all[i].pod.UID)] = all[i].pod.Spec.NodeName
		}
		for _, node := range nodes {
			want[node] = requestsByDescribe(ctx, node)
			Expect(slices.Collect(maps.Keys(want[node]))).To(ContainElements("cpu", "memory", "ephemeral-storage"))
		}
		Expect(op.ledgerOf(on)).To(Equal(want))
		for _, meter := range []string{"container", "container-extended-resources"} {
			status, _ := op.collector.Status(meter)
			Expect(status.Quarantined).To(BeEmpty())
		}
	})
})

// keep creates an object that is deleted when the spec ends.
func (d *driver) keep(object client.Object) {
	GinkgoHelper()
	Expect(admin.Create(d.ctx, object)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { Expect(client.IgnoreNotFound(admin.Delete(ctx, object))).To(Succeed()) })
}
