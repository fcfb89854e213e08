package controlplane

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// FakeNodeAnnotation, with the value "fake", gives a node to kwok, which then plays its kubelet.
const (
	FakeNodeAnnotation = "kwok.x-k8s.io/node"
	fakeNode           = "fake"
)

// nodePatience is for kwok to make a node Ready, or for a controller to make an object.
const nodePatience = 2 * time.Minute

// AddNodes adds nodes kwok-0, kwok-1 and so on, whichever of them are not there yet, and waits until they are Ready.
func (cp *ControlPlane) AddNodes(ctx context.Context, count int) error {
	for i := range count {
		if err := cp.AddNode(ctx, fakeNodeNamed(fmt.Sprintf("kwok-%d", i))); err != nil {
			return err
		}
	}
	for i := range count {
		if err := cp.WaitForNode(ctx, fmt.Sprintf("kwok-%d", i)); err != nil {
			return err
		}
	}
	return nil
}

// AddNode adds a node of the caller's making to those that kwok plays. One that is there already stays as it is.
func (cp *ControlPlane) AddNode(ctx context.Context, node *corev1.Node) error {
	clients, err := cp.clientset()
	if err != nil {
		return err
	}
	node = node.DeepCopy()
	metav1.SetMetaDataAnnotation(&node.ObjectMeta, FakeNodeAnnotation, fakeNode)
	_, err = clients.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("add the node %s: %w", node.Name, err)
	}
	return nil
}

// WaitForNode waits until a node is Ready and pods can be put on it.
func (cp *ControlPlane) WaitForNode(ctx context.Context, name string) error {
	clients, err := cp.clientset()
	if err != nil {
		return err
	}
	return poller{"node " + name + " to be Ready", Kwok}.wait(ctx, cp, func(ctx context.Context) (bool, error) {
		node, err := clients.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		return err == nil && ready(node), err
	})
}

// ready tells whether a node is Ready, and the controller that keeps pods away until then knows it too.
func ready(node *corev1.Node) bool {
	for _, taint := range node.Spec.Taints {
		if taint.Key == corev1.TaintNodeNotReady {
			return false
		}
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// fakeNodeNamed is a machine of a common size, so that what is scheduled there, and how much, is as it would be.
func fakeNodeNamed(name string) *corev1.Node {
	resources := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("64"),
		corev1.ResourceMemory: resource.MustParse("256Gi"),
		corev1.ResourcePods:   resource.MustParse("5000"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			corev1.LabelHostname:           name,
			corev1.LabelOSStable:           "linux",
			corev1.LabelArchStable:         "amd64",
			corev1.LabelInstanceTypeStable: "kwok-64",
		}},
		Status: corev1.NodeStatus{Capacity: resources, Allocatable: resources},
	}
}

func (cp *ControlPlane) waitForServiceAccount(ctx context.Context, namespace, name string) error {
	clients, err := cp.clientset()
	if err != nil {
		return err
	}
	what := fmt.Sprintf("service account %s/%s", namespace, name)
	return poller{what, ControllerManager}.wait(ctx, cp, func(ctx context.Context) (bool, error) {
		_, err := clients.CoreV1().ServiceAccounts(namespace).Get(ctx, name, metav1.GetOptions{})
		return err == nil, err
	})
}

// poller waits for something, and knows which component makes it.
type poller struct {
	what, component string
}

func (p poller) wait(ctx context.Context, cp *ControlPlane, condition wait.ConditionWithContextFunc) error {
	var last error
	start := time.Now()
	tell := every(2*time.Second, func() {
		fmt.Fprintf(cp.progress, "waiting for %s: %s\n", p.what, time.Since(start).Round(time.Second))
	})
	err := wait.PollUntilContextTimeout(ctx, poll, nodePatience, true, func(ctx context.Context) (bool, error) {
		tell()
		done, err := condition(ctx)
		last = err // an answer may be late, not found, or refused while roles are being made: all of that passes
		return done, nil
	})
	if err != nil {
		return fmt.Errorf("wait for %s; see %s: %w", p.what, cp.LogFile(p.component), errors.Join(err, last))
	}
	return nil
}
