package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Under whose name the demo writes what others would write.
const (
	virtController    = client.FieldOwner("virt-controller")
	cloudController   = client.FieldOwner("cloud-controller-manager")
	gatewayController = client.FieldOwner("gateway-controller")
	csiResizer        = client.FieldOwner("csi-resizer")
)

// What the built-in meters measure.
var (
	vmAllocated   = measure{"vm", "vm_allocated"}
	vmVCPU        = measure{"vm", "vcpu"}
	vmMemory      = measure{"vm", "memory"}
	storage       = measure{"volume", "storage"}
	balancers     = measure{"load_balancer", "load_balancer"}
	listeners     = measure{"load_balancer", "listener"}
	publicIPs     = measure{"load_balancer", "public_ip"}
	containerCPU  = measure{"container", "cpu"}
	containerMem  = measure{"container", "memory"}
	poolExistence = measure{"node_pool", "pool"}
	poolNodes     = measure{"node_pool", "node"}
	poolVCPU      = measure{"node_pool", "vcpu"}
	poolMemory    = measure{"node_pool", "memory"}
)

// In base units: thousandths of a core or a count, and bytes.
const (
	one  = int64(1000)
	mebi = int64(1) << 20
	gibi = int64(1) << 30
)

// cloud does what happens to objects, and tells the oracle what that means.
type cloud struct {
	*stage
	oracle  *oracle
	witness *witness
	// instances are the virtual machines' running instances, by namespace/name.
	instances map[string]*unstructured.Unstructured
	objects   map[string]client.Object
	pods      map[string][]string // UIDs by namespace/workload
}

func openCloud(ctx context.Context, s *stage) (*cloud, error) {
	c := &cloud{
		stage: s, oracle: newOracle(), witness: newWitness(),
		instances: map[string]*unstructured.Unstructured{},
		objects:   map[string]client.Object{},
		pods:      map[string][]string{},
	}
	pods := corev1.SchemeGroupVersion.WithKind("Pod")
	nodes := corev1.SchemeGroupVersion.WithKind("Node")
	if err := c.witness.followClaims(ctx, s.cluster); err != nil {
		return nil, err
	}
	return c, c.witness.follow(ctx, s.cluster, pods, nodes, vmKind, vmiKind, gatewayKind)
}

// key is how the cloud finds an object again.
func key(kind, namespace, name string) string { return kind + " " + namespace + "/" + name }

func uid(object client.Object) string { return string(object.GetUID()) }

func created(object client.Object) int64 { return object.GetCreationTimestamp().Unix() }

// written is when a manager last wrote an object, by the API server's clock.
func written(object client.Object, manager string) (int64, error) {
	var newest int64
	for _, entry := range object.GetManagedFields() {
		if entry.Manager == manager && entry.Time != nil {
			newest = max(newest, entry.Time.Unix())
		}
	}
	if newest == 0 {
		return 0, fmt.Errorf("the managedFields of %s do not tell when %s wrote it", object.GetName(), manager)
	}
	return newest, nil
}

// addPool adds a pool and its first nodes.
func (c *cloud) addPool(ctx context.Context, m machine, nodes ...string) (event, error) {
	pool := nodePool(m.pool)
	if err := c.cluster.Create(ctx, pool); err != nil {
		return event{}, err
	}
	c.oracle.hold(uid(pool), account{operatorNamespace, m.pool}, created(pool), levels{poolExistence: one})
	e := event{at: created(pool), where: "cluster", who: "NodePool " + m.pool}
	for _, name := range nodes {
		if _, err := c.addNode(ctx, m, name); err != nil {
			return event{}, err
		}
	}
	e.happens = fmt.Sprintf("%s of %d vCPUs, %d GiB, %s", count(len(nodes), "node"), m.cores, m.gibi, m.capacityType)
	return e, nil
}

func (c *cloud) addNode(ctx context.Context, m machine, name string) (event, error) {
	if err := c.plane.AddNode(ctx, m.node(name)); err != nil {
		return event{}, err
	}
	if err := c.plane.WaitForNode(ctx, name); err != nil {
		return event{}, err
	}
	node := &corev1.Node{}
	if err := c.cluster.Get(ctx, client.ObjectKey{Name: name}, node); err != nil {
		return event{}, err
	}
	c.objects[key("Node", "", name)] = node
	c.oracle.hold(uid(node), account{operatorNamespace, m.pool}, created(node), levels{
		poolNodes: one, poolVCPU: m.cores * one, poolMemory: m.gibi * gibi,
	})
	return event{created(node), "cluster", "Node " + name,
		fmt.Sprintf("joins the pool %s: %d vCPUs, %d GiB, %s", m.pool, m.cores, m.gibi, m.capacityType)}, nil
}

func (c *cloud) removeNode(ctx context.Context, name string) (event, error) {
	at, err := c.remove(ctx, c.objects[key("Node", "", name)])
	return event{at, "cluster", "Node " + name, "is removed"}, err
}

// remove deletes an object and waits until the demo's own watch has seen it go.
func (c *cloud) remove(ctx context.Context, object client.Object) (int64, error) {
	if err := c.cluster.Delete(ctx, object); err != nil {
		return 0, err
	}
	return c.sawGo(ctx, object.GetName(), uid(object))
}

func (c *cloud) sawGo(ctx context.Context, name, uid string) (at int64, err error) {
	err = c.waitFor(ctx, name+" is gone", func(context.Context) (bool, error) {
		at, err = c.witness.saw(uid)
		return at != 0, err
	})
	c.oracle.remove(uid, at)
	return at, err
}

// createVM makes a machine, whose instance is still to be scheduled.
func (c *cloud) createVM(ctx context.Context, namespace, name string) (event, error) {
	vm := virtualMachine(namespace, name)
	if err := c.cluster.Create(ctx, vm); err != nil {
		return event{}, err
	}
	c.objects[key("VM", namespace, name)] = vm
	c.oracle.hold(uid(vm), account{namespace, name}, created(vm), levels{vmAllocated: one})
	return event{created(vm), namespace, "VM " + name, "is created"}, nil
}

// startVM makes an instance of the machine, as virt-controller does, and has it run.
func (c *cloud) startVM(ctx context.Context, namespace, name string, cores, memory int64) (event, error) {
	vm, ok := c.objects[key("VM", namespace, name)].(*unstructured.Unstructured)
	if !ok {
		return event{}, fmt.Errorf("there is no VM %s/%s", namespace, name)
	}
	vmi := virtualMachineInstance(vm, cores, sizeOf(memory))
	c.enter(vmi, "Pending", time.Now())
	if err := c.cluster.Create(ctx, vmi, virtController); err != nil {
		return event{}, err
	}
	before := vmi.DeepCopy()
	now := time.Now()
	c.enter(vmi, "Running", now)
	c.size(vmi, cores, memory)
	if err := c.cluster.Patch(ctx, vmi, client.MergeFrom(before), virtController); err != nil {
		return event{}, err
	}
	c.instances[key("VM", namespace, name)] = vmi
	c.oracle.hold(uid(vmi), account{namespace, name}, now.Unix(), levels{vmVCPU: cores * one, vmMemory: memory})
	return event{now.Unix(), namespace, "VM " + name, fmt.Sprintf("runs with %d vCPUs, %s", cores, sizeOf(memory))}, nil
}

// enter puts the instance into a phase, with its time, as KubeVirt keeps it: in whole seconds.
func (c *cloud) enter(vmi *unstructured.Unstructured, phase string, at time.Time) {
	transitions, _, _ := unstructured.NestedSlice(vmi.Object, "status", "phaseTransitionTimestamps")
	transitions = append(transitions, fields{
		"phase": phase, "phaseTransitionTimestamp": at.UTC().Format(time.RFC3339),
	})
	_ = unstructured.SetNestedSlice(vmi.Object, transitions, "status", "phaseTransitionTimestamps")
	_ = unstructured.SetNestedField(vmi.Object, phase, "status", "phase")
}

func (c *cloud) size(vmi *unstructured.Unstructured, cores, memory int64) {
	topology := fields{"sockets": cores, "cores": int64(1), "threads": int64(1)}
	_ = unstructured.SetNestedMap(vmi.Object, topology, "status", "currentCPUTopology")
	_ = unstructured.SetNestedField(vmi.Object, sizeOf(memory), "status", "memory", "guestCurrent")
}

// resizeVM plugs CPUs and memory into the running instance.
func (c *cloud) resizeVM(ctx context.Context, namespace, name string, cores, memory int64) (event, error) {
	vmi := c.instances[key("VM", namespace, name)]
	before := vmi.DeepCopy()
	c.size(vmi, cores, memory)
	if err := c.cluster.Patch(ctx, vmi, client.MergeFrom(before), virtController); err != nil {
		return event{}, err
	}
	at, err := written(vmi, string(virtController))
	c.oracle.hold(uid(vmi), account{namespace, name}, at, levels{vmVCPU: cores * one, vmMemory: memory})
	return event{at, namespace, "VM " + name, fmt.Sprintf("is resized while it runs: now %d vCPUs, %s", cores, sizeOf(memory))}, err
}

// stopVM ends the instance. The machine stays.
func (c *cloud) stopVM(ctx context.Context, namespace, name string) (event, error) {
	vmi := c.instances[key("VM", namespace, name)]
	before := vmi.DeepCopy()
	now := time.Now()
	c.enter(vmi, "Succeeded", now)
	if err := c.cluster.Patch(ctx, vmi, client.MergeFrom(before), virtController); err != nil {
		return event{}, err
	}
	c.oracle.end(uid(vmi), now.Unix())
	_, err := c.remove(ctx, vmi)
	return event{now.Unix(), namespace, "VM " + name, "is stopped; it still exists"}, err
}

func (c *cloud) deleteVM(ctx context.Context, namespace, name string) (event, error) {
	if _, err := c.stopVM(ctx, namespace, name); err != nil {
		return event{}, err
	}
	at, err := c.remove(ctx, c.objects[key("VM", namespace, name)])
	return event{at, namespace, "VM " + name, "is stopped and deleted"}, err
}

// requests are what each pod of a workload requests.
type requests struct {
	cpu, memory int64 // millicores, bytes
}

func (r requests) String() string { return fmt.Sprintf("%dm of CPU, %s", r.cpu, sizeOf(r.memory)) }

func (r requests) template(name, claim string) corev1.PodTemplateSpec {
	return podTemplate(name, fmt.Sprintf("%dm", r.cpu), sizeOf(r.memory), claim)
}

// settlePods waits until a workload has just so many running pods, and tells the oracle which came and which went.
// It returns the latest moment of these.
func (c *cloud) settlePods(ctx context.Context, namespace, workload string, want int, each requests) (latest int64, err error) {
	pods := &corev1.PodList{}
	err = c.waitFor(ctx, fmt.Sprintf("%s has %d running pods", workload, want), func(ctx context.Context) (bool, error) {
		err := c.cluster.List(ctx, pods, client.InNamespace(namespace), client.MatchingLabels(appLabels(workload)))
		running := 0
		for i := range pods.Items {
			if pods.Items[i].Status.Phase == corev1.PodRunning && scheduled(&pods.Items[i]) != 0 {
				running++
			}
		}
		return len(pods.Items) == want && running == want, err
	})
	if err != nil {
		return 0, err
	}
	id := key("pods", namespace, workload)
	before := c.pods[id]
	c.pods[id] = nil
	for i := range pods.Items {
		pod := &pods.Items[i]
		c.pods[id] = append(c.pods[id], uid(pod))
		if slices.Contains(before, uid(pod)) {
			continue
		}
		latest = max(latest, scheduled(pod))
		c.oracle.hold(uid(pod), account{namespace, workload}, scheduled(pod), levels{
			containerCPU: each.cpu, containerMem: each.memory,
		})
	}
	for _, pod := range before {
		if slices.Contains(c.pods[id], pod) {
			continue
		}
		at, err := c.sawGo(ctx, "a pod of "+workload, pod)
		if err != nil {
			return 0, err
		}
		latest = max(latest, at)
	}
	return latest, nil
}

// scheduled is since when a pod has been put on a node; 0 when it was not yet.
func scheduled(pod *corev1.Pod) int64 {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionTrue {
			return condition.LastTransitionTime.Unix()
		}
	}
	return 0
}

func (c *cloud) scale(ctx context.Context, namespace, name string, replicas int32, each requests) (event, error) {
	d := deployment(namespace, name, replicas, corev1.PodTemplateSpec{})
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
	if err := c.cluster.Patch(ctx, d, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		return event{}, err
	}
	at, err := c.settlePods(ctx, namespace, name, int(replicas), each)
	return event{at, namespace, "Deployment " + name, fmt.Sprintf("is scaled to %s", count(int(replicas), "pod"))}, err
}

// bound waits until a claim is bound, and tells the oracle since when, which is when the volume controller wrote it.
func (c *cloud) bound(ctx context.Context, namespace, name, workload string) (event, error) {
	found := &corev1.PersistentVolumeClaim{}
	var at int64
	err := c.waitFor(ctx, "the claim "+name+" is bound", func(ctx context.Context) (bool, error) {
		if err := c.cluster.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, found); err != nil {
			return false, err
		}
		var err error
		at, err = c.witness.sawBound(uid(found))
		return at != 0 && found.Status.Phase == corev1.ClaimBound, err
	})
	if err != nil {
		return event{}, err
	}
	c.objects[key("Claim", namespace, name)] = found
	held := found.Status.Capacity.Storage().Value()
	c.oracle.hold(uid(found), account{namespace, workload}, at, levels{storage: held})
	return event{at, namespace, "Claim " + name, fmt.Sprintf("is bound to a volume of %s; %s mounts it", sizeOf(held), workload)}, nil
}

// expand makes a bound claim's volume larger, as a CSI driver's resizer does.
func (c *cloud) expand(ctx context.Context, namespace, name, workload string, to int64) (event, error) {
	found, ok := c.objects[key("Claim", namespace, name)].(*corev1.PersistentVolumeClaim)
	if !ok {
		return event{}, fmt.Errorf("there is no claim %s/%s", namespace, name)
	}
	size := corev1.ResourceList{corev1.ResourceStorage: *resource.NewQuantity(to, resource.BinarySI)}
	pv := volume(found.Spec.VolumeName, 0)
	patch := fmt.Appendf(nil, `{"spec":{"capacity":{"storage":%q}}}`, sizeOf(to))
	if err := c.cluster.Patch(ctx, pv, client.RawPatch("application/merge-patch+json", patch), csiResizer); err != nil {
		return event{}, err
	}
	before := found.DeepCopy()
	found.Status.Capacity = size
	if err := c.cluster.Status().Patch(ctx, found, client.MergeFrom(before), csiResizer); err != nil {
		return event{}, err
	}
	at, err := written(found, string(csiResizer))
	c.oracle.hold(uid(found), account{namespace, workload}, at, levels{storage: to})
	return event{at, namespace, "Claim " + name, "is expanded to " + sizeOf(to)}, err
}

// address gives a Service its address, as a cloud's controller does.
func (c *cloud) address(ctx context.Context, namespace, name, workload, address string) (event, error) {
	service, ok := c.objects[key("Service", namespace, name)].(*corev1.Service)
	if !ok {
		return event{}, fmt.Errorf("there is no Service %s/%s", namespace, name)
	}
	before := service.DeepCopy()
	service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: address}}
	if err := c.cluster.Status().Patch(ctx, service, client.MergeFrom(before), cloudController); err != nil {
		return event{}, err
	}
	at, err := written(service, string(cloudController))
	ports := int64(len(service.Spec.Ports))
	c.oracle.hold(uid(service), account{namespace, workload}, at, levels{balancers: one, listeners: ports * one, publicIPs: one})
	return event{at, namespace, "Service " + name, fmt.Sprintf("gets the address %s for its %d ports", address, ports)}, err
}

// program makes a Gateway work, as its controller does.
func (c *cloud) program(ctx context.Context, namespace, name, workload, address string) (event, error) {
	g, ok := c.objects[key("Gateway", namespace, name)].(*unstructured.Unstructured)
	if !ok {
		return event{}, fmt.Errorf("there is no Gateway %s/%s", namespace, name)
	}
	before := g.DeepCopy()
	now := time.Now()
	condition := func(kind string) any {
		return fields{
			"type": kind, "status": "True", "reason": kind, "message": "",
			"lastTransitionTime": now.UTC().Format(time.RFC3339),
		}
	}
	err := errors.Join(
		unstructured.SetNestedSlice(g.Object, []any{condition("Accepted"), condition("Programmed")}, "status", "conditions"),
		unstructured.SetNestedSlice(g.Object, []any{fields{"type": "IPAddress", "value": address}}, "status", "addresses"),
	)
	if err != nil {
		return event{}, err
	}
	if err := c.cluster.Status().Patch(ctx, g, client.MergeFrom(before), gatewayController); err != nil {
		return event{}, err
	}
	spec, _, err := unstructured.NestedSlice(g.Object, "spec", "listeners")
	c.oracle.hold(uid(g), account{namespace, workload}, now.Unix(), levels{
		balancers: one, listeners: int64(len(spec)) * one, publicIPs: one,
	})
	return event{now.Unix(), namespace, "Gateway " + name, fmt.Sprintf("is programmed at %s; it routes to %s", address, workload)}, err
}

func (c *cloud) removeGateway(ctx context.Context, namespace, name string) (event, error) {
	at, err := c.remove(ctx, c.objects[key("Gateway", namespace, name)])
	return event{at, namespace, "Gateway " + name, "is removed"}, err
}

// create creates an object that holds nothing yet.
func (c *cloud) create(ctx context.Context, kind string, object client.Object) (int64, error) {
	err := c.cluster.Create(ctx, object)
	c.objects[key(kind, object.GetNamespace(), object.GetName())] = object
	return metav1.Time{Time: object.GetCreationTimestamp().Time}.Unix(), err
}

// sizeOf writes a size as Kubernetes does.
func sizeOf(size int64) string { return resource.NewQuantity(size, resource.BinarySI).String() }

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
