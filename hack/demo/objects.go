package main

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var (
	vmKind       = schema.GroupVersionKind{Group: "kubevirt.io", Version: "v1", Kind: "VirtualMachine"}
	vmiKind      = schema.GroupVersionKind{Group: "kubevirt.io", Version: "v1", Kind: "VirtualMachineInstance"}
	gatewayKind  = schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "Gateway"}
	routeKind    = schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"}
	nodePoolKind = schema.GroupVersionKind{Group: "karpenter.sh", Version: "v1", Kind: "NodePool"}
)

const (
	poolLabel    = "karpenter.sh/nodepool"
	storageClass = "fast"
)

type fields = map[string]any

func objectOf(kind schema.GroupVersionKind, namespace, name string, spec fields) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: fields{"spec": spec}}
	object.SetGroupVersionKind(kind)
	object.SetNamespace(namespace)
	object.SetName(name)
	return object
}

func namespaceNamed(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func nodePool(name string) *unstructured.Unstructured {
	return objectOf(nodePoolKind, "", name, fields{"template": fields{"spec": fields{
		"nodeClassRef": fields{"group": "example.com", "kind": "NodeClass", "name": name},
		"requirements": []any{fields{"key": "kubernetes.io/os", "operator": "In", "values": []any{"linux"}}},
	}}})
}

// machine is what a pool's nodes are.
type machine struct {
	pool, instanceType, capacityType string
	cores, gibi                      int64
}

func (m machine) node(name string) *corev1.Node {
	resources := corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewQuantity(m.cores, resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(m.gibi<<30, resource.BinarySI),
		corev1.ResourcePods:   resource.MustParse("110"),
	}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			corev1.LabelHostname:           name,
			corev1.LabelInstanceTypeStable: m.instanceType,
			corev1.LabelTopologyRegion:     "eu-1",
			poolLabel:                      m.pool,
			"karpenter.sh/capacity-type":   m.capacityType,
		}},
		Status: corev1.NodeStatus{Capacity: resources, Allocatable: resources},
	}
	if m.capacityType == "spot" { // for work that asks for it: the demo removes one of these
		node.Spec.Taints = []corev1.Taint{{Key: "spot", Effect: corev1.TaintEffectNoSchedule}}
	}
	return node
}

func fastClass() *storagev1.StorageClass {
	return &storagev1.StorageClass{
		ObjectMeta:           metav1.ObjectMeta{Name: storageClass},
		Provisioner:          "kubernetes.io/no-provisioner",
		AllowVolumeExpansion: new(true),
	}
}

func volume(name string, gibi int64) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:         corev1.ResourceList{corev1.ResourceStorage: *resource.NewQuantity(gibi<<30, resource.BinarySI)},
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			StorageClassName: storageClass,
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: "/" + name},
			},
		},
	}
}

func claim(namespace, name string, gibi int64) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			StorageClassName: new(storageClass),
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: *resource.NewQuantity(gibi<<30, resource.BinarySI)},
			},
		},
	}
}

// podTemplate is one container with these requests, and the claim mounted.
func podTemplate(name, cpu, memory, claimName string) corev1.PodTemplateSpec {
	container := corev1.Container{
		Name:  name,
		Image: "example.com/" + name,
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
		}},
		VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}},
	}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: appLabels(name)},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{container}},
	}
	if claimName != "" {
		template.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claimName},
		}}}
	}
	return template
}

func appLabels(name string) map[string]string { return map[string]string{"app": name} }

func deployment(namespace, name string, replicas int32, template corev1.PodTemplateSpec) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: metav1.SetAsLabelSelector(appLabels(name)), Template: template,
		},
	}
}

func statefulSet(namespace, name string, gibi int64, template corev1.PodTemplateSpec) *appsv1.StatefulSet {
	return &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: appsv1.StatefulSetSpec{
			Replicas: new(int32(1)), ServiceName: name,
			Selector: metav1.SetAsLabelSelector(appLabels(name)), Template: template,
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{*claim("", "data", gibi)},
		},
	}
}

func loadBalancer(namespace, name string, ports ...int32) *corev1.Service {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Selector: appLabels(name)},
	}
	for _, port := range ports {
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{
			Name: fmt.Sprintf("port-%d", port), Port: port, TargetPort: intstr.FromInt32(port),
		})
	}
	return service
}

func gateway(namespace, name string) *unstructured.Unstructured {
	return objectOf(gatewayKind, namespace, name, fields{
		"gatewayClassName": "example",
		"listeners":        []any{fields{"name": "http", "port": int64(80), "protocol": "HTTP"}},
	})
}

// route sends what comes in at a gateway to a service.
func route(namespace, gatewayName, service string, port int64) *unstructured.Unstructured {
	return objectOf(routeKind, namespace, gatewayName, fields{
		"parentRefs": []any{fields{"name": gatewayName}},
		"rules":      []any{fields{"backendRefs": []any{fields{"name": service, "port": port}}}},
	})
}

func virtualMachine(namespace, name string) *unstructured.Unstructured {
	return objectOf(vmKind, namespace, name, fields{
		"runStrategy": "Always",
		"template":    fields{"spec": fields{"domain": fields{"devices": fields{}}}},
	})
}

// virtualMachineInstance is what virt-controller makes of a machine that is to run.
func virtualMachineInstance(vm *unstructured.Unstructured, cores int64, memory string) *unstructured.Unstructured {
	vmi := objectOf(vmiKind, vm.GetNamespace(), vm.GetName(), fields{"domain": fields{
		"cpu":     fields{"sockets": cores, "cores": int64(1), "threads": int64(1)},
		"memory":  fields{"guest": memory},
		"devices": fields{},
	}})
	vmi.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(vm, vmKind)})
	return vmi
}
